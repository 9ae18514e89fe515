import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PostgresFixture } from "./postgres-fixture.ts";
import { decideWal, lookAtSlot, type SlotWal, slotWarnings } from "./slot-look.ts";

const mib = 1024 ** 2;
const wal = (more: Partial<SlotWal>): SlotWal => ({
  heldBytes: 10 * mib,
  safeBytes: null,
  limitBytes: null,
  status: "reserved",
  ...more,
});
const warned = (more: Partial<SlotWal>, limit: number | null = null) =>
  slotWarnings({ wal: wal(more), advice: [] }, limit).join();

test("the operator is warned before the server's disk is full, and before the slot is lost", () => {
  assert.equal(warned({}), "");
  assert.match(warned({ heldBytes: 3000 * mib }), /holds 3000 MiB .*nothing bounds it/);
  assert.equal(warned({ heldBytes: 300 * mib, limitBytes: 1000 * mib, safeBytes: 700 * mib }), "");
  assert.match(warned({ heldBytes: 600 * mib, limitBytes: 1000 * mib, safeBytes: 400 * mib }), /another 400 MiB/);
  assert.match(warned({ status: "unreserved", limitBytes: mib, safeBytes: -5 }), /next checkpoint/);
  assert.match(warned({ status: "lost" }), /must be read anew/);
  assert.match(warned({ heldBytes: 60 * mib }, 100 * mib), /walHeldBytesMax is 100 MiB/);
  assert.deepEqual(slotWarnings({ wal: null, advice: ["a"] }, null), ["a"]);
});

test("a limit acts once when it is passed, and again only after the server has held less", () => {
  const limit = { walHeldBytesMax: 100, onWalFull: "drop-slot" } as const;
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 200 })), fc.boolean(), (held, first) => {
      let armed = first;
      let below = first;
      for (const heldBytes of held) {
        const decided = decideWal(wal({ heldBytes }), limit, armed);
        assert.equal(decided.act, heldBytes > 100 && below ? "drop-slot" : "nothing");
        below = heldBytes <= 100;
        armed = decided.armed;
        if (heldBytes > 100) below = false;
      }
    }),
  );
  assert.equal(decideWal(wal({ heldBytes: 1000 }), { ...limit, walHeldBytesMax: null }, true).act, "nothing");
  assert.equal(decideWal(null, limit, true).act, "nothing");
});

test("slots and publications of Millraces that are gone are named with the SQL that drops them; what is in use is not", async () => {
  await using fixture = await PostgresFixture.open(`create table t (id int primary key);
    create publication millrace_old_00000000 for table t; create publication somebodys for table t`);
  await fixture.sql("select pg_create_logical_replication_slot('millrace_old_00000000', 'pgoutput')");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  const look = await lookAtSlot(fixture.client, source.status().slot ?? "");
  assert.ok(look.wal !== null && look.wal.heldBytes >= 0 && look.wal.status === "reserved");
  assert.ok(look.walSenderTimeoutMs > 0);
  assert.deepEqual(
    look.orphans.map(({ kind, name }) => `${kind} ${name}`),
    ["slot millrace_old_00000000", "publication millrace_old_00000000"],
  );
  for (const { sql } of look.orphans) await fixture.sql(sql);
  assert.deepEqual((await lookAtSlot(fixture.client, source.status().slot ?? "")).orphans, []);
  assert.equal((await fixture.sql("select from pg_publication where pubname = 'somebodys'")).length, 1);
  // What another Millrace reads at this moment is no orphan: to it, ours is none.
  assert.deepEqual((await lookAtSlot(fixture.client, "millrace_other_11111111")).orphans, []);
});
