/**
 * Builds what is published, into `dist/` of a package: `build.ts [root|client]`.
 *
 * `pack` and `unpack` stand around `npm pack` (prepack, postpack): between them the package.json on disk is the one that
 * is published, without what only the repository needs.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join } from "node:path";

interface Package {
  readonly name: string;
  readonly folder: string;
  readonly project: string;
  readonly commands: readonly string[];
  readonly console: boolean;
}

const root = join(import.meta.dirname, "..");

const packages: Readonly<Record<string, Package>> = {
  root: {
    name: "root",
    folder: root,
    project: "tsconfig.build.json",
    commands: ["cli/millrace.js"],
    console: true,
  },
  client: {
    name: "client",
    folder: join(root, "client"),
    project: "tsconfig.build-client.json",
    commands: [],
    console: false,
  },
};

const repositoryOnly = ["scripts", "workspaces", "devDependencies", "imports"];

process.exit(main(process.argv.slice(2)));

function main([first = "root", second]: readonly string[]): number {
  const action = first === "pack" || first === "unpack" ? first : "build";
  const chosen = packages[action === "build" ? first : (second ?? "root")];
  if (chosen === undefined) {
    console.error("build: usage: build.ts [pack|unpack] [root|client]");
    return 2;
  }
  if (action !== "build") restore(chosen);
  if (action === "unpack") return 0;
  const code = build(chosen);
  if (code === 0 && action === "pack") publishable(chosen);
  return code;
}

function build({ folder, project, commands, console: withConsole }: Package): number {
  const dist = join(folder, "dist");
  rmSync(dist, { recursive: true, force: true });
  const { status } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", project], {
    cwd: root,
    // What npm pack answers is on stdout.
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) return status ?? 1;
  nameJavaScriptInTypes(dist);
  for (const command of commands) chmodSync(join(dist, command), 0o755);
  if (withConsole) buildConsole(join(dist, "console"));
  return 0;
}

/** The compiler names the sources in its declarations; what is published has none. */
function nameJavaScriptInTypes(dist: string): void {
  for (const path of globSync("**/*.d.ts", { cwd: dist })) {
    const text = readFileSync(join(dist, path), "utf8");
    writeFileSync(join(dist, path), text.replaceAll(/(\b(?:from|import)\s*\(?\s*")(\.{1,2}\/[^"]+)\.ts"/g, '$1$2.js"'));
  }
}

/** The same names as in the repository, holding JavaScript. */
function buildConsole(target: string): void {
  const source = join(root, "console");
  const files = globSync(["*.{html,css,js,svg}", "src/*.{ts,css,svg}"], { cwd: source });
  for (const path of files.filter((one) => !/\.(test|suite)\.ts$/.test(one))) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    if (!path.endsWith(".ts")) copyFileSync(join(source, path), join(target, path));
    else writeFileSync(join(target, path), stripTypeScriptTypes(readFileSync(join(source, path), "utf8")));
  }
}

function publishable(chosen: Package): void {
  const path = join(chosen.folder, "package.json");
  const content: Record<string, unknown> = JSON.parse(readFileSync(path, "utf8"));
  for (const name of repositoryOnly) delete content[name];
  content.exports = withoutSource(content.exports);
  mkdirSync(dirname(keptIn(chosen)), { recursive: true });
  copyFileSync(path, keptIn(chosen));
  writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
}

/** Also after a packing that was interrupted. */
function restore(chosen: Package): void {
  if (existsSync(keptIn(chosen))) renameSync(keptIn(chosen), join(chosen.folder, "package.json"));
}

function keptIn({ name }: Package): string {
  return join(root, ".millrace", "packing", `${name}.json`);
}

/** The condition under which the repository runs its own sources. */
function withoutSource(exports: unknown): unknown {
  if (typeof exports !== "object" || exports === null) return exports;
  const kept = Object.entries(exports).filter(([name]) => name !== "source");
  return Object.fromEntries(kept.map(([name, value]) => [name, withoutSource(value)]));
}
