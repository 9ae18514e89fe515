import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import type { Engine, Transaction } from "../engine/engine.ts";
import { PostgresFixture, recovered } from "./postgres-fixture.ts";
import { soon } from "./source.suite.ts";

/** A log whose commits wait while the gate is shut. */
function gated(engine: Engine): { engine: Engine; shut(): void; open(): void } {
  let gate = Promise.withResolvers<void>();
  gate.resolve();
  const held = (transaction: Transaction): Transaction => ({
    append: (request) => transaction.append(request),
    abort: () => transaction.abort(),
    async commit() {
      await gate.promise;
      await transaction.commit();
    },
  });
  const through = new Proxy(engine, {
    get(target, name) {
      if (name === "initProducer") {
        return async (id: string) => {
          const producer = await target.initProducer(id);
          return new Proxy(producer, {
            get: (inner, member) =>
              member === "begin" ? () => held(inner.begin()) : Reflect.get(inner, member, inner),
          });
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return {
    engine: through,
    shut() {
      gate = Promise.withResolvers();
    },
    open: () => gate.resolve(),
  };
}

test("while the log takes nothing the server is answered, and its log waits on its side; then everything comes, once", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  await fixture.sql(`alter database ${fixture.database.name} set wal_sender_timeout = '2s'`);
  const log = gated(fixture.engine);
  const source = fixture.source(["t"], {
    engine: log.engine,
    settings: { partBytes: 256 * 1024, batchBytes: 32 * 1024, spoolBytes: 256 * 1024 },
  });
  await fixture.caughtUp(source);
  const { slot } = source.status();
  log.shut();
  for (let i = 0; i < 20; i++) {
    await fixture.sql("insert into t select i, repeat('v', 1000) from generate_series($1::int, $1 + 999) i", [
      i * 1000,
    ]);
  }
  const sender = async () =>
    (
      await fixture.sql(
        `select r.pid, r.sent_lsn < pg_current_wal_lsn() as waits, extract(epoch from clock_timestamp())::float8 as now
           from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = $1`,
        [slot],
      )
    )[0] as { pid: number; waits: boolean; now: number } | undefined;
  const first = await sender();
  assert.ok(first);
  // Longer than the server waits for a client that is silent.
  for (;;) {
    const now = await sender();
    assert.equal(now?.pid, first.pid, "the server has cut the connection");
    assert.equal(source.status().state.kind, "streaming");
    if (now.now - first.now > 3 && now.waits) break;
    await soon();
  }
  assert.equal(await rows(fixture), 0);
  log.open();
  await fixture.caughtUp(source);
  assert.equal((await sender())?.pid, first.pid);
  assert.equal(await rows(fixture), 20_000);
});

test("a full disk for transactions that still run is said, holds nothing back for good, and loses nothing", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  await fixture.sql(`alter database ${fixture.database.name} set logical_decoding_work_mem = '64kB'`);
  const disk = new SimulatedDisk(seededRandom(3));
  disk.setCapacityBytes(512 * 1024);
  const source = fixture.source(["t"], { disk, settings: { spoolBytes: 64 * 1024 } });
  await fixture.caughtUp(source);
  await fixture.sql("insert into t values (0)");
  const confirmed = async () =>
    (
      await fixture.sql("select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1", [
        source.status().slot,
      ])
    )[0]?.lsn;
  await fixture.caughtUp(source);
  await fixture.sql("insert into t select i, repeat('v', 1000) from generate_series(1, 5000) i");
  for (;;) {
    const { state } = source.status();
    if (state.kind === "waiting") {
      assert.equal(state.error.code, "DISK_LOW");
      assert.match(state.error.hint ?? "", /by itself when there is room/);
      break;
    }
    await soon();
  }
  assert.equal(await rows(fixture), 1);
  assert.ok(await confirmed());
  disk.setCapacityBytes(Number.POSITIVE_INFINITY);
  await recovered(source);
  await fixture.caughtUp(source);
  assert.equal(await rows(fixture), 5001);
  assert.deepEqual(await disk.list("/data/spill/shop"), []);
});

test("what an earlier process has spilled is removed when the source begins, and is sent again by the server", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  await fixture.sql(`alter database ${fixture.database.name} set logical_decoding_work_mem = '64kB'`);
  let source = fixture.source(["t"], { settings: { spoolBytes: 64 * 1024 } });
  await fixture.caughtUp(source);
  const other = await fixture.connect();
  await other.query("begin; insert into t select i, repeat('v', 1000) from generate_series(1, 3000) i");
  while ((await files(fixture)).length === 0) await soon();
  // The process is gone without a word: its files stay.
  const { disk } = fixture;
  await fixture.cutPower();
  const left = disk.afterKill();
  assert.ok((await left.list("/data/spill/shop")).length > 0);
  source = fixture.source(["t"], { disk: left, settings: { spoolBytes: 1024 * 1024 * 1024 } });
  await fixture.caughtUp(source);
  assert.deepEqual(await left.list("/data/spill/shop").catch(() => []), []);
  await other.query("commit");
  await fixture.caughtUp(source);
  assert.equal(await rows(fixture), 3000);
});

const files = (fixture: PostgresFixture) => fixture.disk.list("/data/spill/shop").catch(() => []);

async function rows(fixture: PostgresFixture): Promise<number> {
  return (await fixture.read("shop.public.t")).length;
}
