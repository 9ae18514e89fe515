/** A source's server on its bad days: restored, promoted, replaced, out of disk. Each on real servers, with its way out. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { parseLsn } from "../../src/capture/lsn.ts";
import { failure, PostgresFixture, recovered } from "../../src/capture/postgres-fixture.ts";
import { soon } from "../../src/capture/source.suite.ts";
import type { Source } from "../../src/capture/source.ts";
import type { GapEvent } from "../../src/schema/transaction-events.ts";
import { EmbeddedServers, type OwnServer } from "../support/embedded-postgres.ts";
import { eventually } from "../support/program.ts";

const often = { careMs: 20 };
const table = "create table t (id int primary key, v text)";

describe("a source whose server is not where it was left", () => {
  let servers: EmbeddedServers;
  let fixture: PostgresFixture;

  before(async () => {
    servers = await EmbeddedServers.open();
  });
  after(async () => {
    await servers?.[Symbol.asyncDispose]();
  });

  const captured = async (): Promise<number[]> =>
    (await fixture.values("shop.public.t")).flatMap((value) => (value?.after == null ? [] : [Number(value.after.id)]));
  const gaps = async () => (await fixture.events()).filter((event): event is GapEvent => event.status === "GAP");
  const open = (server: OwnServer, more: Parameters<PostgresFixture["source"]>[1] = {}): Source =>
    fixture.source(["t"], { ...often, ...more, url: server.url });
  const positionsTest = (title: string, body: () => Promise<void>) =>
    test(title, async () => {
      fixture = await PostgresFixture.open();
      try {
        await body();
      } finally {
        await fixture[Symbol.asyncDispose]();
      }
    });
  const insert = async (server: OwnServer, ...ids: number[]) => {
    for (const id of ids) await server.sql("insert into t values ($1, 'v')", [id]);
  };

  positionsTest("a server restored from a backup is refused, also after it has gone past our position", async () => {
    const server = await servers.create();
    await server.sql(table);
    const first = open(server);
    await fixture.caughtUp(first);
    await insert(server, 1);
    await fixture.caughtUp(first);
    await fixture.restart();
    await server.stop();
    const backup = await servers.copy(server);
    await server.start();
    const second = open(server);
    await insert(server, 2, 3);
    await fixture.caughtUp(second);
    await fixture.restart();
    await server.kill();

    const restored = await servers.runCopy(backup);
    const third = open(restored);
    const error = await failure(third);
    assert.equal(error.code, "SOURCE_RESTORED");
    assert.match(error.hint ?? "", /resnapshot shop.*adopt shop/s);
    // It writes on, past what was captured of it: nothing of that makes it right.
    const lost = third.status().position;
    for (
      let id = 10;
      (await restored.sql("select pg_current_wal_lsn() > $1 as past", [lost]))[0]?.past !== true;
      id++
    ) {
      await insert(restored, id);
      await restored.sql("select pg_switch_wal()");
    }
    await fixture.restart();
    const fourth = open(restored);
    assert.equal((await failure(fourth)).code, "SOURCE_RESTORED");
    fourth.adopt();
    await recovered(fourth);
    await insert(restored, 50);
    await fixture.caughtUp(fourth);
    assert.ok((await captured()).includes(10) && (await captured()).includes(50));
    assert.ok(fourth.status().warnings.some((warning) => /may be missing/.test(warning)));
    await restored.kill();
  });

  positionsTest("a server set back while nobody looked is known by where its slot begins", async () => {
    const server = await servers.create();
    await server.sql(table);
    const first = open(server);
    await fixture.caughtUp(first);
    await fixture.restart();
    await server.stop();
    const backup = await servers.copy(server);
    await server.start();
    const second = open(server, { settings: { heartbeatMs: 20 } });
    await fixture.caughtUp(second);
    // A slot whose beginning has moved, looked at twice, and a position written behind the second look.
    const beginning = async () =>
      (await server.sql("select restart_lsn::text as lsn from pg_replication_slots"))[0]?.lsn as string;
    const before = parseLsn(await beginning());
    const put = async () => {
      const value = (await fixture.read("_millrace.progress")).findLast(
        ({ key }) => String(key) === "progress/source/shop",
      );
      const { slotRestart } = JSON.parse(String(value?.value)).value as { slotRestart?: string };
      return slotRestart === undefined ? 0 : parseLsn(slotRestart);
    };
    for (let id = 1; (await put()) <= before; id++) {
      await insert(server, id);
      await server.sql("checkpoint");
      await fixture.caughtUp(second);
    }
    const position = second.status().position;
    await fixture.restart();
    await server.kill();

    const restored = await servers.runCopy(backup);
    while ((await restored.sql("select pg_current_wal_lsn() > $1 as past", [position]))[0]?.past !== true) {
      await restored.sql("select pg_switch_wal()");
      await restored.sql("create table if not exists filler (v text); insert into filler values ('x')");
    }
    const error = await failure(open(restored));
    assert.equal(error.code, "SOURCE_RESTORED");
    assert.match(error.message, /set back/);
    await restored.kill();
  });

  positionsTest("another server under the address is refused, and cannot be adopted", async () => {
    const [server, other] = [await servers.create(), await servers.create()];
    await server.sql(table);
    await other.sql(table);
    await fixture.caughtUp(open(server));
    await fixture.restart();
    const second = open(other);
    assert.equal((await failure(second)).code, "SOURCE_REPLACED");
    second.adopt();
    await soon();
    assert.equal((await failure(second)).code, "SOURCE_REPLACED");
    second.resnapshot();
    await recovered(second);
    await server.kill();
    await other.kill();
  });

  positionsTest(
    "a slot that the server gave up, for its disk, is refused; adopting makes a new one and tells of the gap",
    async () => {
      const server = await servers.create({
        max_slot_wal_keep_size: "1MB",
        min_wal_size: "32MB",
        max_wal_size: "32MB",
      });
      await server.sql(table);
      const first = open(server);
      await fixture.caughtUp(first);
      await insert(server, 1);
      await fixture.caughtUp(first);
      const position = first.status().position;
      await fixture.restart();
      await insert(server, 2);
      for (let i = 0; i < 6; i++) {
        await server.sql("create table if not exists filler (v text); insert into filler values ('x')");
        await server.sql("select pg_switch_wal()");
      }
      await server.sql("checkpoint");
      const second = open(server);
      const error = await failure(second);
      assert.equal(error.code, "SOURCE_SLOT_LOST");
      assert.match(error.message, /wal_removed/);
      second.adopt();
      await recovered(second);
      await insert(server, 3);
      await fixture.caughtUp(second);
      assert.deepEqual(await captured(), [1, 3]);
      const [gap] = await gaps();
      assert.equal(gap?.code, "SOURCE_SLOT_LOST");
      assert.ok(gap !== undefined && gap.from >= (position ?? ""));
      second.resnapshot();
      while ((await captured()).filter((id) => id === 2).length === 0) await soon();
      await fixture.caughtUp(second);
      assert.ok(!second.status().warnings.some((warning) => /may be missing/.test(warning)));
      await server.kill();
    },
  );

  /** A primary that is captured, and its standby. */
  async function pair(
    settings: Record<string, string>,
    more: { readonly primary?: Record<string, string>; readonly sql?: readonly string[] } = {},
  ) {
    const primary = await servers.create({ ...settings, ...more.primary });
    await primary.sql(table);
    for (const sql of more.sql ?? []) await primary.sql(sql);
    await primary.stop();
    const data = await servers.copy(primary);
    await primary.start();
    return { primary, standby: await servers.runCopy(data, settings, primary) };
  }
  const replayed = async (primary: OwnServer, standby: OwnServer) => {
    const [row] = await primary.sql("select pg_current_wal_flush_lsn()::text as lsn");
    await standby.becomes(`select pg_last_wal_replay_lsn() >= '${row?.lsn}'`);
  };
  const promote = async (standby: OwnServer) => {
    await standby.sql("select pg_promote()");
    await standby.becomes("select not pg_is_in_recovery()");
  };

  positionsTest("a promoted standby without the slot is refused, and read anew", async () => {
    const { primary, standby } = await pair({});
    const first = open(primary);
    await insert(primary, 1);
    await fixture.caughtUp(first);
    await fixture.restart();
    await replayed(primary, standby);
    await primary.kill();
    await promote(standby);
    const second = open(standby);
    const error = await failure(second);
    assert.equal(error.code, "SOURCE_SLOT_LOST");
    second.resnapshot();
    await recovered(second);
    await insert(standby, 2);
    await fixture.caughtUp(second);
    assert.equal((await captured()).at(-1), 2);
    await standby.kill();
  });

  positionsTest("a standby promoted from before our position is refused: it lacks what was captured", async () => {
    const { primary, standby } = await pair({});
    const first = open(primary);
    await insert(primary, 1);
    await fixture.caughtUp(first);
    await replayed(primary, standby);
    await standby.stop();
    await insert(primary, 2);
    await fixture.caughtUp(first);
    await fixture.restart();
    await primary.stop();
    await standby.start();
    await promote(standby);
    const second = open(standby);
    const error = await failure(second);
    assert.equal(error.code, "SOURCE_DIVERGED");
    assert.match(error.message, /timeline 2/);
    second.resnapshot();
    await recovered(second);
    assert.equal((await captured()).at(-1), 1);
    // And back on the old primary, which was left behind.
    await fixture.restart();
    await standby.kill();
    await primary.start();
    assert.equal((await failure(open(primary))).code, "SOURCE_RESTORED");
    await primary.kill();
    // Under the right address again it goes on: that was seen, and is not held against the new primary.
    await fixture.restart();
    await standby.start();
    const last = open(standby);
    await insert(standby, 3);
    await fixture.caughtUp(last);
    assert.equal((await captured()).at(-1), 3);
    await standby.kill();
  });

  positionsTest(
    "a standby that has our slot from its primary goes on, and nothing is lost or comes twice",
    async () => {
      const { primary, standby } = await pair(
        { sync_replication_slots: "on", primary_slot_name: "physical" },
        {
          primary: { synchronized_standby_slots: "physical" },
          sql: ["select pg_create_physical_replication_slot('physical', true)"],
        },
      );
      const first = open(primary);
      await insert(primary, 1, 2, 3);
      await fixture.caughtUp(first);
      // The slot comes to the standby when both are near each other: something must be written for that.
      while ((await standby.sql("select from pg_replication_slots where synced and not temporary")).length === 0) {
        await insert(primary, 1_000_000 + Math.floor(performance.now()));
        await primary.sql("select pg_log_standby_snapshot()");
        await fixture.caughtUp(first);
      }
      await insert(primary, 4, 5);
      await fixture.caughtUp(first);
      await fixture.restart();
      await insert(primary, 6);
      await replayed(primary, standby);
      await primary.kill();
      await promote(standby);
      const second = open(standby);
      await fixture.caughtUp(second);
      await insert(standby, 7);
      await fixture.caughtUp(second);
      assert.deepEqual(
        (await captured()).filter((id) => id < 1_000_000),
        [1, 2, 3, 4, 5, 6, 7],
      );
      assert.equal((await fixture.events()).filter(({ status }) => status === "SNAPSHOT_BEGIN").length, 1);
      await standby.kill();
    },
  );

  positionsTest("a standby can be captured: what it lacks is told with the SQL for its primary", async () => {
    const { primary, standby } = await pair({});
    await insert(primary, 1);
    await replayed(primary, standby);
    const source = open(standby);
    const error = await failure(source);
    assert.equal(error.code, "SOURCE_NOT_PERMITTED");
    const sql = /by itself: (create publication .*)$/.exec(error.hint ?? "")?.[1];
    assert.ok(sql, String(error.hint));
    await primary.sql(String(sql));
    // A slot on a standby waits for the primary to say what runs.
    const running = recovered(source);
    let done = false;
    void running.then(() => {
      done = true;
    });
    await eventually(async () => {
      if (done) return true;
      await primary.sql("select pg_log_standby_snapshot()");
      return undefined;
    });
    await insert(primary, 2, 3);
    await replayed(primary, standby);
    await fixture.caughtUp(source);
    assert.deepEqual(await captured(), [1, 2, 3]);
    await source.stop({ release: true });
    assert.equal((await standby.sql("select from pg_replication_slots")).length, 0);
    await standby.kill();
    await primary.kill();
  });
});
