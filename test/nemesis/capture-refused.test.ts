/** A source that is not where it was left: `millrace start` ends with the code, and does not go on as if nothing was lost. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { errorCodes } from "../../src/base/error-codes.ts";
import { KillablePostgres } from "../support/killable-postgres.ts";
import { eventually, type Program, runProgram } from "../support/program.ts";
import { makeSource } from "./capture/source.ts";

const app = new URL("./capture/app.ts", import.meta.url).pathname;

const refusals: readonly {
  readonly what: string;
  readonly code: keyof typeof errorCodes;
  readonly sql: (slot: string) => readonly string[];
}[] = [
  {
    what: "dropped and made anew",
    code: "SOURCE_SLOT_AHEAD",
    sql: (slot) => [
      `select pg_drop_replication_slot('${slot}')`,
      "insert into items values (900001, 1, 'between the two')",
      `select pg_create_logical_replication_slot('${slot}', 'pgoutput')`,
    ],
  },
  { what: "dropped", code: "SOURCE_SLOT_LOST", sql: (slot) => [`select pg_drop_replication_slot('${slot}')`] },
];

describe("while Millrace was stopped its slot was", () => {
  let source: KillablePostgres;
  before(async () => {
    source = await KillablePostgres.start();
    const client = await source.connect();
    await makeSource(client, 20);
    await client.end();
  });
  after(() => source[Symbol.asyncDispose]());

  for (const { what, code, sql } of refusals) {
    test(`${what}: the start ends with ${code}, the changes between are not passed over, and a new snapshot is the way out`, async () => {
      const data = mkdtempSync(join(tmpdir(), "millrace-refused-"));
      const start = (...more: string[]) =>
        runProgram({ script: ["src/cli/millrace.ts", "start", ...more, app], data, env: { FIRE_URL: source.url } });
      const programs: Program[] = [];
      try {
        const first = await start();
        programs.push(first);
        await streaming(first);
        assert.equal(await first.stop(), 0);
        const [slot] = await source.query<{ name: string }>("select slot_name as name from pg_replication_slots");
        for (const statement of sql(slot?.name ?? "")) await source.query(statement);

        const refused = await ended(start);
        assert.equal(refused.exitCode, errorCodes[code].exit, refused.words);
        assert.notEqual(refused.exitCode, 0);
        assert.match(refused.words, new RegExp(code));
        assert.match(refused.words, /millrace sources resnapshot fire/);

        // Asked again it says the same: nothing was taken up behind the operator's back.
        assert.equal((await ended(start)).exitCode, errorCodes[code].exit);

        const anew = await start("--resnapshot", "fire");
        programs.push(anew);
        await streaming(anew);
        const [table] = await source.query<{ n: string }>("select count(*) as n from items");
        await eventually(async () => {
          const response = await fetch(`${anew.address}/v1/views/by_length`);
          if (!response.ok) return undefined;
          const rows = (await response.json()) as { n: string }[];
          return rows.reduce((sum, { n }) => sum + Number(n), 0) === Number(table?.n) ? true : undefined;
        });
        assert.equal(await anew.stop(), 0);
      } finally {
        for (const program of programs) await program.kill();
        rmSync(data, { recursive: true, force: true });
        await source.query("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active");
      }
    });
  }
});

async function streaming(program: Program): Promise<void> {
  await eventually(async () => {
    const response = await fetch(`${program.address}/v1/sources/fire`);
    const { state } = (await response.json()) as { state: { kind: string } };
    return state.kind === "streaming" ? true : undefined;
  });
}

/** Its end, whether it came before the door had opened or behind. */
async function ended(start: () => Promise<Program>): Promise<{ exitCode: number | null; words: string }> {
  try {
    const program = await start();
    const { process } = program;
    if (process.exitCode === null && process.signalCode === null) await once(process, "exit");
    return { exitCode: process.exitCode, words: program.words() };
  } catch (error) {
    const { message } = error as Error;
    return { exitCode: Number(/the program ended with (\d+)/.exec(message)?.[1]), words: message };
  }
}
