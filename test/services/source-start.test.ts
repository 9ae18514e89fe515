/** The program itself, when its source's database is not where it was left. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { eventually, type Program, runProgram } from "../support/program.ts";

const root = new URL("../../", import.meta.url).pathname;
const password = "hunter2 of the program";

interface Status {
  readonly state: { readonly kind: string; readonly error?: { readonly code: string } };
  readonly slot: string | null;
}

describe("a program whose source's slot was dropped and made anew while it was stopped", () => {
  let folder: string;
  let database: TestDatabase;
  let client: pg.Client;
  let slot: string;
  let url: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "millrace-start-"));
    writeFileSync(
      join(folder, "app.ts"),
      `import { postgres } from ${JSON.stringify(join(root, "src/index.ts"))};
export const shop = postgres("shop", { url: process.env.SHOP_URL ?? "", tables: ["orders"] });\n`,
    );
    database = await testDatabase();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query("create table orders (id int primary key); insert into orders values (1)");
    const address = new URL(database.url);
    address.password = encodeURIComponent(password);
    url = address.href;
    await using program = await run("start");
    slot = (await streams(program)).slot ?? "";
  });

  after(async () => {
    await client?.end();
    await database?.[Symbol.asyncDispose]();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  const env = () => ({ SHOP_URL: url, MILLRACE_LOG_LEVEL: "debug" });
  const run = (mode: "start" | "dev", ...more: string[]): Promise<Program> =>
    runProgram({
      script: ["src/cli/millrace.ts", mode, join(folder, "app.ts"), ...more],
      env: env(),
      data: join(folder, "data"),
    });
  const ask = async (program: Program, path: string, method = "GET") =>
    (await (await fetch(`${program.address}${path}`, { method })).json()) as Status;
  const streams = (program: Program): Promise<Status> =>
    eventually(async () => {
      const status = await ask(program, "/v1/sources/shop");
      return status.state.kind === "streaming" ? status : undefined;
    });
  const makeAnew = async () => {
    await eventually(async () => {
      const { rows } = await client.query("select active from pg_replication_slots where slot_name = $1", [slot]);
      return rows[0]?.active === true ? undefined : true;
    });
    await client.query("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1", [
      slot,
    ]);
    await client.query("select pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
  };
  /** Resolves to what it printed when it ends by itself. */
  const endsWith = async (...more: string[]): Promise<{ code: number | null; words: string }> => {
    const program = await run("start", ...more).catch((error: Error) => error);
    if (program instanceof Error) {
      return { code: Number(/ended with (\d+)/.exec(program.message)?.[1] ?? Number.NaN), words: program.message };
    }
    await eventually(async () => (program.process.exitCode === null ? undefined : true));
    return { code: program.process.exitCode, words: program.words() };
  };
  const cli = async (program: Program, ...args: string[]) => {
    const command = [
      "-C",
      "source",
      "--disable-warning=ExperimentalWarning",
      join(root, "src/cli/millrace.ts"),
      ...args,
    ];
    return await promisify(execFile)(process.execPath, command, {
      cwd: folder,
      env: {
        ...process.env,
        ...env(),
        MILLRACE_URL: program.address,
        MILLRACE_DATA: join(folder, "data"),
        NO_COLOR: "1",
      },
    });
  };

  test("start ends with the exit code and the code of the refusal, and with what to do", async () => {
    await makeAnew();
    const { code, words } = await endsWith();
    assert.equal(code, 3, words);
    assert.match(words, /SOURCE_SLOT_AHEAD/);
    assert.match(words, /millrace start --resnapshot shop/);
    assert.ok(!words.includes("hunter2"));
    const misspelt = await endsWith("--resnapshot", "shob");
    assert.equal(misspelt.code, 2, misspelt.words);
    assert.match(misspelt.words, /no source of this name/);
    // It stays so until somebody decides.
    assert.equal((await endsWith()).code, 3);
  });

  test("dev shows it and goes on, and a new snapshot leads out of it", async () => {
    await using program = await run("dev");
    await eventually(async () => {
      const { state } = await ask(program, "/v1/sources/shop");
      return state.error?.code === "SOURCE_SLOT_AHEAD" ? true : undefined;
    });
    const { stdout } = await cli(program, "sources", "resnapshot", "shop");
    assert.match(stdout, /a new snapshot of shop begins/);
    await streams(program);
    // Left by a kill: a clean stop of dev gives the slot up.
    await program.kill();
  });

  test("start --resnapshot answers the refusal, and means nothing where there is none", async () => {
    await makeAnew();
    for (let time = 0; time < 2; time++) {
      await using program = await run("start", "--resnapshot", "shop");
      await streams(program);
      assert.equal(await program.stop(), 0);
    }
  });

  test("start --adopt goes on from the server's position", async () => {
    await makeAnew();
    await using program = await run("start", "--adopt", "shop");
    await streams(program);
    const { stdout } = await cli(program, "sources", "show", "shop");
    assert.match(stdout, /may be missing: the server's position was adopted/);
  });

  test("a pause is told what becomes of the slot, stands through a restart, and is ended by a resume", async () => {
    {
      await using program = await run("start");
      await streams(program);
      await assert.rejects(cli(program, "sources", "pause", "shop"), /--keep-slot or --drop-slot/);
      assert.match((await cli(program, "sources", "pause", "shop", "--keep-slot")).stdout, /shop stands still/);
      await program.stop();
    }
    await using program = await run("start");
    await eventually(async () => {
      const { stdout } = await cli(program, "sources", "list");
      return /paused, slot kept/.test(stdout) ? true : undefined;
    });
    await cli(program, "sources", "resume", "shop");
    await streams(program);
    const script = (await cli(program, "sources", "grant-sql", "--role", "reader")).stdout;
    assert.match(script, new RegExp(`create publication "${slot}" for table only "public"."orders"`));
    assert.ok(!script.includes("hunter2"));
    await cli(program, "sources", "remove", "shop", "--drop-slot");
    const { rows } = await client.query("select from pg_replication_slots where slot_name = $1", [slot]);
    assert.equal(rows.length, 0);
    for (const text of [program.words(), await (await fetch(`${program.address}/metrics`)).text()]) {
      assert.ok(!text.includes("hunter2"));
    }
  });
});
