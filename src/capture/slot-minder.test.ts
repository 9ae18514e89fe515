import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { postgres } from "../catalog/definitions.ts";
import { remembering } from "./postgres-fixture.ts";
import { silenceFault } from "./slot-care.ts";
import type { SlotLook } from "./slot-look.ts";
import { SlotMinder } from "./slot-minder.ts";

const mib = 1024 ** 2;
const look = (restart: string, heldBytes = 0): SlotLook => ({
  wal: { heldBytes, safeBytes: 100 * mib - heldBytes, limitBytes: 100 * mib, status: "reserved" },
  restart,
  orphans: [],
  walSenderTimeoutMs: 60_000,
  advice: [],
});

function minder() {
  const { diagnostics, said } = remembering();
  const definition = postgres("shop", { url: "postgres://u@127.0.0.1:1/d", tables: ["t"] });
  return { said, minder: new SlotMinder({ definition, slot: "s", clock: systemClock, diagnostics }) };
}

test("where a slot begins counts when it was seen twice while the stream ran, and of no other server", () => {
  const { minder: one } = minder();
  const [before, streaming] = [{ streaming: false }, { streaming: true }];
  assert.equal(one.take(look("0/1"), before), null);
  assert.equal(one.take(look("0/1"), before), null);
  assert.equal(one.take(look("0/2"), streaming), null);
  assert.equal(one.take(look("0/3"), streaming), "0/2");
  // A connection was lost: which server answers now is not known until the stream begins.
  assert.equal(one.take(look("0/0"), before), null);
  assert.equal(one.take(look("0/4"), streaming), null);
  one.madeAnew();
  assert.equal(one.take(look("0/5"), streaming), null);
  assert.equal(one.take(look("0/6"), streaming), "0/5");
});

test("a warning is said once, however its numbers change, and again when it had passed", () => {
  const { minder: one, said } = minder();
  for (const held of [10, 60, 70, 80, 10, 10, 90]) one.take(look("0/1", held * mib), { streaming: true });
  assert.equal(said.length, 2);
  assert.match(said[0] ?? "", /holds 60 MiB/);
});

test("a stream is silent for too long when it outlasts what its server allows itself twice", () => {
  assert.equal(silenceFault("shop", 129_000, 60_000), null);
  assert.equal(silenceFault("shop", 131_000, 60_000)?.code, "SOURCE_SILENT");
  assert.equal(silenceFault("shop", 1e9, 0), null);
});

test("a slot that cannot be dropped stands in the warnings, with the SQL in the diagnostics", async () => {
  const { minder: one, said } = minder();
  await one.drop(true);
  assert.ok(one.dropFailed);
  assert.match(one.warnings().join(), /slot s could not be dropped/);
  assert.match(said.join(), /pg_drop_replication_slot\('s'\)/);
});
