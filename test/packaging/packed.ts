/** The packages as `npm pack` makes them, from a copy of this clone, so that nothing in the clone changes. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = new URL("../../", import.meta.url).pathname;

export interface Outcome {
  readonly exitCode: number;
  readonly out: string;
  /** stdout and stderr, for a failing test. */
  readonly words: string;
}

/** This Node.js is the one that `#!/usr/bin/env node` finds; what CI and npm say about the run of the tests is left out. */
export function environment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(npm_|MILLRACE_|NODE_TEST|INIT_CWD)/.test(name));
  return {
    ...Object.fromEntries(inherited),
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    NO_COLOR: "1",
    ...extra,
  };
}

/** Never rejects. */
export function run(
  file: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(
      file,
      args,
      { cwd: options.cwd, env: environment(options.env), maxBuffer: 64 * 1024 ** 2 },
      (error, out, errors) => {
        const exitCode = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ exitCode, out, words: `$ ${file} ${args.join(" ")}\n${out}${errors}${error?.message ?? ""}` });
      },
    );
    child.stdin?.end();
  });
}

export interface Packed {
  readonly root: string;
  readonly client: string;
  remove(): void;
}

/** Throws with npm's words. */
export async function packAll(): Promise<Packed> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-pack-"));
  const clone = join(folder, "clone");
  mkdirSync(clone);
  const kept = (name: string): boolean => !/^(\.git|\.millrace|node_modules|dist|bench|docs|test)$/.test(name);
  for (const name of readdirSync(root).filter(kept)) {
    cpSync(join(root, name), join(clone, name), {
      recursive: true,
      filter: (path) => !/\/(node_modules|dist|\.millrace)$/.test(path),
    });
  }
  symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
  const pack = async (args: readonly string[]): Promise<string> => {
    const packed = await run("npm", ["pack", "--json", "--pack-destination", folder, ...args], { cwd: clone });
    if (packed.exitCode !== 0) throw new Error(packed.words);
    const tarballs = readdirSync(folder).filter(
      (name) => name.endsWith(".tgz") && name.includes("client") === args.length > 0,
    );
    return join(folder, tarballs[0] ?? "");
  };
  try {
    return {
      root: await pack([]),
      client: await pack(["--workspace", "client"]),
      remove: () => rmSync(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}
