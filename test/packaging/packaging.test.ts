import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { eventually } from "../support/program.ts";
import { environment, type Outcome, type Packed, packAll, run } from "./packed.ts";

const repository = new URL("../../", import.meta.url).pathname;
const anyPort = { MILLRACE_PORT: "0", MILLRACE_STORE_PORT: "0", MILLRACE_KAFKA_PORT: "0" };

const schema = `
  create table customers (id integer primary key, name text not null);
  create table orders (id bigint primary key, customer_id integer not null, "Total Price" numeric(12,2), placed_at timestamptz not null default now());
  create table clicks (at timestamptz not null);
  insert into customers values (1, 'Ada');
  insert into orders select g, 1, g from generate_series(1, 50) g;
  analyze;`;

function succeeded(outcome: Outcome): string {
  assert.equal(outcome.exitCode, 0, outcome.words);
  return outcome.out;
}

describe("the published packages", () => {
  let packed: Packed;
  let source: TestDatabase;
  const folders: string[] = [];
  const children: ChildProcess[] = [];

  before(async () => {
    source = await testDatabase();
    const client = new pg.Client({ connectionString: source.url });
    await client.connect();
    await client.query(schema);
    await client.end();
    packed = await packAll();
  });

  after(async () => {
    for (const child of children) {
      child.kill("SIGTERM");
      child.stdout?.destroy();
      child.stderr?.destroy();
    }
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
    packed?.remove();
    await source?.[Symbol.asyncDispose]();
  });

  function emptyFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), "millrace-user-"));
    // Else the store of a test that runs as root stands outside of it, and outlives it.
    chmodSync(folder, 0o755);
    folders.push(folder);
    return folder;
  }

  test("hold JavaScript and types, no sources, no runtime, and no path into the repository", async () => {
    for (const tarball of [packed.root, packed.client]) {
      const files = succeeded(await run("tar", ["-tzf", tarball], { cwd: "/" }))
        .trim()
        .split("\n");
      const sources = files.filter((name) => /\.ts$/.test(name) && !/\.d\.ts$|^package\/dist\/console\//.test(name));
      assert.deepEqual(sources, []);
      assert.ok(!files.some((name) => /node_modules|\.test\.|tools\/|bin\/node$/.test(name)), files.join("\n"));
      for (const name of ["package/package.json", "package/dist/index.js", "package/dist/index.d.ts"]) {
        assert.ok(files.includes(name), `${tarball} lacks ${name}`);
      }
      const about = JSON.parse(succeeded(await run("tar", ["-xzOf", tarball, "package/package.json"], { cwd: "/" })));
      for (const name of ["workspaces", "devDependencies", "scripts"]) assert.ok(!(name in about), name);
      assert.doesNotMatch(JSON.stringify(about.exports), /source/);
      assert.ok(
        !Object.keys({ ...about.dependencies, ...about.optionalDependencies }).some((name) => /^node-/.test(name)),
      );
    }
  });

  test("npx millrace init makes a project of an empty folder that dev runs, check accepts and tsc compiles", async () => {
    const folder = emptyFolder();
    const init = ["millrace", "init", "--source", source.url, "--package", packed.root];
    const words = succeeded(
      await run("npm", ["exec", "--yes", `--package=${packed.root}`, "--", ...init], { cwd: folder, env: anyPort }),
    );
    assert.match(words, /Now run: npx millrace dev/);
    assert.equal(statSync(join(folder, ".env")).mode & 0o777, 0o600);
    assert.match(readFileSync(join(folder, ".gitignore"), "utf8"), /^\.env$/m);
    assert.doesNotMatch(readFileSync(join(folder, "app.ts"), "utf8"), /postgres:\/\//);
    assert.match(readFileSync(join(folder, "app.ts"), "utf8"), /\/\/ "clicks", \/\/ no key/);

    const again = await run("npx", ["--no-install", ...init], { cwd: folder });
    assert.equal(again.exitCode, 2, again.words);
    assert.match(again.words, /app\.ts is there already/);

    const dev = spawn("npx", ["--no-install", "millrace", "dev"], {
      cwd: folder,
      env: environment(anyPort),
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(dev);
    let said = "";
    for (const stream of [dev.stdout, dev.stderr]) stream?.on("data", (chunk) => (said += chunk));
    await eventually(async () => {
      if (dev.exitCode !== null) throw new Error(said);
      return existsSync(join(folder, "millrace-schema.json")) ? true : undefined;
    });
    const millrace = (...args: string[]) => run("npx", ["--no-install", "millrace", ...args], { cwd: folder });
    assert.match(succeeded(await millrace("check", "app.ts")), /ok {2}view orders_sample/);
    succeeded(await millrace("types", "app.ts", "--check"));
    await eventually(async () => {
      const rows = await millrace("views", "query", "select count(*)::int as n from views.orders_sample", "--json");
      return rows.exitCode === 0 && JSON.parse(rows.out).rows[0][0] === 50 ? true : undefined;
    });
    assert.match(succeeded(await millrace("sources", "list")), /streaming/);

    const { addresses } = JSON.parse(readFileSync(join(folder, ".millrace/running.json"), "utf8"));
    assert.match(await (await fetch(`${addresses.http}/`)).text(), /<title>Millrace<\/title>/);
    const script = await fetch(`${addresses.http}/console/src/main.ts`);
    assert.equal(script.headers.get("content-type"), "text/javascript; charset=utf-8");
    assert.doesNotMatch(await script.text(), /^import type/m);
    await compiles(folder);
    dev.kill("SIGTERM");
    const running = join(folder, ".millrace/running.json");
    await eventually(async () => (existsSync(running) ? undefined : true));
  });

  /** With the client, whose tarball is installed beside, reading what the project defines. */
  async function compiles(folder: string): Promise<void> {
    succeeded(await run("npm", ["install", "--no-audit", "--no-fund", packed.client], { cwd: folder }));
    writeFileSync(
      join(folder, "use.ts"),
      `import { connect } from "@millrace/client";
       import type { ViewDefinition } from "millrace";
       import * as app from "./app.ts";
       import type { Tables, Views } from "./millrace-env.d.ts";
       export const definition: ViewDefinition = app.ordersSample;
       export const client = connect("http://127.0.0.1:4400");
       export function id(row: Views["orders_sample"]): string { return row.id; }
       export type Order = Tables[keyof Tables];
       // @ts-expect-error a column that is not there
       export function no(row: Views["orders_sample"]) { return row.nothing; }`,
    );
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          target: "esnext",
          module: "nodenext",
          strict: true,
          exactOptionalPropertyTypes: true,
          noEmit: true,
          allowImportingTsExtensions: true,
          typeRoots: [join(repository, "node_modules/@types")],
          types: ["node"],
        },
        files: ["app.ts", "use.ts", "millrace-env.d.ts"],
      }),
    );
    succeeded(
      await run(process.execPath, [join(repository, "node_modules/typescript/bin/tsc"), "-p", folder], { cwd: folder }),
    );
  }

  // Package managers that npm itself can bring.
  const managers: readonly (readonly [name: string, npmPackage: string, program: string])[] = [
    ["pnpm", "pnpm", "node_modules/.bin/pnpm"],
    ["bun", `@oven/bun-${process.platform}-${process.arch === "arm64" ? "aarch64" : process.arch}`, ""],
  ];
  for (const [name, npmPackage, program] of managers) {
    test(`${name} installs them, and millrace runs, finds the source and loads its own project`, async (t) => {
      const tools = emptyFolder();
      const got = await run(
        "npm",
        ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", tools, npmPackage],
        {
          cwd: tools,
        },
      );
      if (got.exitCode !== 0) return t.skip(`${name} cannot be had from npm`);
      const manager = join(tools, program || `node_modules/${npmPackage}/bin/bun`);
      if ((await run(manager, ["--version"], { cwd: tools })).exitCode !== 0)
        return t.skip(`${name} does not run here`);

      const folder = emptyFolder();
      writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
      succeeded(await run(manager, ["add", "--ignore-scripts", packed.root], { cwd: folder }));
      const bin = join(folder, "node_modules/.bin/millrace");
      assert.match(succeeded(await run(bin, ["version"], { cwd: folder })), /^millrace \d+\.\d+\.\d+ /);
      // As when the manager itself runs the command: found in PATH, named by its agent.
      const env = {
        ...anyPort,
        npm_config_user_agent: `${name}/1.0.0`,
        PATH: `${join(manager, "..")}:${environment().PATH}`,
      };
      const init = await run(bin, ["init", "--source", source.url], { cwd: folder, env });
      assert.match(succeeded(init), new RegExp(`installing with ${name}`));
      assert.match(init.out, /ok +tables of \w+ +2 can be captured/);
    });
  }
});
