/**
 * A commit that waits for a synchronous standby is in the server's log, and capture sees it, before anybody who reads
 * the server does. Neither a snapshot nor the reading of a table may lose such a transaction, or take the rows from
 * before it for newer.
 */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { Replay } from "../../src/capture/replay.fixture.ts";
import { decodeCommitted } from "../../src/engine/records.ts";
import type { StoredRecord } from "../../src/records/record.ts";
import type { TransactionEvent } from "../../src/schema/transaction-events.ts";
import type { KillablePostgres } from "../support/killable-postgres.ts";
import { judgedLog } from "./capture/log-reader.ts";
import { judgedTables, printedRows } from "./capture/source.ts";
import { StepWorld, stepServer } from "./capture/step-world.ts";

describe("commits that wait for a synchronous standby", () => {
  let server: KillablePostgres;
  before(async () => {
    // Who does not ask for it does not wait.
    server = await stepServer({ synchronous_commit: "local" });
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    await server.query("alter system set synchronous_standby_names = 'nobody'");
    await server.query("select pg_reload_conf()");
    await until(
      async () => (await server.query("show synchronous_standby_names"))[0]?.synchronous_standby_names === "nobody",
    );
  });

  const release = async () => {
    await server.query("alter system set synchronous_standby_names = ''");
    await server.query("select pg_reload_conf()");
  };

  /** Answers when the commit waits; what it answers resolves when the commit has returned. */
  const commitWaiting = async (world: StepWorld, sql: string): Promise<{ returned: Promise<unknown> }> => {
    const client = await world.connect();
    const returned = client
      .query(`begin; set local synchronous_commit = on; ${sql}; commit`)
      .finally(() => client.end());
    await until(
      async () => (await server.query("select 1 as one from pg_stat_activity where wait_event = 'SyncRep'")).length > 0,
    );
    return { returned };
  };

  test("an event is in the log before the source shows its row, and stays right", async () => {
    await using world = await StepWorld.open(server, 20);
    world.begin();
    await world.caughtUp();
    const { returned } = await commitWaiting(world, "insert into items values (7777, 1, null)");
    await until(async () => {
      const result = await world.engine.read({
        topic: "fire.public.items",
        partition: 0,
        offset: 0,
        isolation: "read_committed",
        bytesMax: 1024 * 1024,
      });
      return decodeCommitted(result, 0).some(({ key }) => String(key) === '{"id":7777}');
    });
    const reader = await world.connect();
    assert.equal((await reader.query("select 1 from items where id = 7777")).rowCount, 0);
    await reader.end();
    await release();
    await returned;
    await world.caughtUp();
    await world.judge();
  });

  test("a first snapshot waits for a commit that waits, and has it once", async () => {
    await using world = await StepWorld.open(server, 20);
    const { returned } = await commitWaiting(
      world,
      "insert into items values (7777, 1, null); update whole set v = v + 1",
    );
    const source = world.begin();
    // The making of the slot waits for the transaction to end.
    await until(
      async () =>
        (
          await server.query(
            "select 1 as one from pg_stat_activity where backend_type = 'walsender' and wait_event = 'transactionid'",
          )
        ).length > 0,
    );
    assert.notEqual(source.status().state.kind, "streaming");
    await world.sql("insert into items values (7778, 2, null); update items set v = v + 1 where id < 10");
    await release();
    await returned;
    await world.caughtUp();
    await world.judge();
  });

  test("a table that is added while a change of it waits is read as it is, and not as it was", async () => {
    await using world = await StepWorld.open(server, 20);
    world.begin(["accounts", "items"]);
    await world.caughtUp();
    const { returned } = await commitWaiting(
      world,
      "update whole set v = v + 1000; insert into whole values (7777, 1, 'late'); delete from whole where id = 3",
    );
    await world.source?.stop();
    const source = world.begin(["accounts", "items", "whole"]);
    // Either it waits for the transaction, or it reads meanwhile what it then has to put right.
    for (let looks = 0; looks < 100 && source.status().state.kind !== "streaming"; looks++) await systemClock.sleep(5);
    await world.sql("insert into items values (7779, 2, null)");
    await release();
    await returned;
    await world.caughtUp();
    const table = judgedTables.find(({ name }) => name === "whole");
    assert.ok(table);
    const client = await world.connect();
    const wanted = (await client.query("select id::text, v::text, note from whole")).rows;
    assert.equal((await printedRows(client, table, "whole")).size, wanted.length);
    await client.end();
    await until(async () => {
      const rows = await replayed(world, "fire.public.whole", ["accounts", "items", "whole"]);
      return rows !== null;
    });
    const rows = await replayed(world, "fire.public.whole", ["accounts", "items", "whole"]);
    const text = (row: Record<string, string>) =>
      JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
    assert.deepEqual(rows, wanted.map(text).sort());
  });
});

/** Null while the table is read. */
async function replayed(world: StepWorld, topic: string, tables: readonly string[]): Promise<string[] | null> {
  const log = judgedLog(world.engine, "fire");
  const topics = new Map<string, StoredRecord[]>();
  const events: TransactionEvent[] = [];
  for await (const { value } of log.transactions) events.push(JSON.parse(String(value)));
  for (const name of tables) topics.set(`fire.public.${name}`, await Array.fromAsync(log.topic(`fire.public.${name}`)));
  const replay = new Replay(topics);
  for (const event of events) replay.step(event);
  return replay.rowsOf(topic);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await systemClock.sleep(5);
}
