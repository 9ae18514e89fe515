import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLsn } from "./lsn.ts";
import { type CaptureProgress, decideStart, readProgress, type ServerPlace, type SlotFacts } from "./progress.ts";

const progress: CaptureProgress = {
  version: 1,
  state: "streaming",
  systemId: "700",
  timeline: 1,
  database: "shop",
  slot: "millrace_shop_00000000",
  lsn: "0/200",
  oids: {},
  shapesAt: [0],
};
const slot: SlotFacts = {
  confirmed: parseLsn("0/200"),
  plugin: "pgoutput",
  database: "shop",
  lost: false,
  activePid: null,
};
const server: ServerPlace = { systemId: "700", timeline: 1, database: "shop", walEnd: parseLsn("0/300"), slot };

function decided(
  of: Partial<CaptureProgress> | null,
  more: Partial<ServerPlace> & { slotFacts?: Partial<SlotFacts> } = {},
  resnapshot = false,
): string {
  const { slotFacts, ...place } = more;
  const decision = decideStart(
    "shop",
    of === null ? null : { ...progress, ...of },
    { ...server, ...(slotFacts ? { slot: { ...slot, ...slotFacts } } : {}), ...place },
    { resnapshot },
  );
  if (decision.kind === "refuse") {
    assert.match(decision.error.hint ?? "", /resnapshot shop/, "a refusal has a way out");
    return decision.error.code;
  }
  return decision.kind;
}

test("a source goes on where the log is, when the slot is there or behind it", () => {
  assert.equal(decided({}), "resume");
  assert.equal(decided({}, { slotFacts: { confirmed: parseLsn("0/100") } }), "resume");
});

test("nothing captured, a broken snapshot, a slot given up, and a wish each lead to a snapshot", () => {
  assert.equal(decided(null), "snapshot");
  assert.equal(decided({ state: "snapshotting" }), "snapshot");
  assert.equal(decided({ state: "released" }, { slot: null }), "snapshot");
  assert.equal(decided({}, { slot: null }, true), "snapshot");
});

test("a slot that lost changes or gave them to somebody else is refused", () => {
  assert.equal(decided({}, { slot: null }), "SOURCE_SLOT_LOST");
  assert.equal(decided({}, { slotFacts: { lost: true } }), "SOURCE_SLOT_LOST");
  assert.equal(decided({}, { slotFacts: { plugin: "wal2json" } }), "SOURCE_SLOT_LOST");
  assert.equal(decided({}, { slotFacts: { database: "other" } }), "SOURCE_SLOT_LOST");
  assert.equal(decided({}, { slotFacts: { confirmed: parseLsn("0/201") } }), "SOURCE_SLOT_AHEAD");
});

test("another server, another database, another timeline and a restored backup are refused", () => {
  assert.equal(decided({}, { systemId: "701" }), "SOURCE_REPLACED");
  assert.equal(decided({}, { database: "other" }), "SOURCE_REPLACED");
  assert.equal(decided({}, { timeline: 2 }), "SOURCE_REPLACED");
  assert.equal(decided({}, { walEnd: parseLsn("0/1FF") }), "SOURCE_REPLACED");
  // Even when the slot is gone too: who it is comes first.
  assert.equal(decided({}, { systemId: "701", slot: null }), "SOURCE_REPLACED");
});

test("what another version wrote is not taken for progress", () => {
  assert.equal(readProgress(undefined), null);
  assert.equal(readProgress("text"), null);
  assert.equal(readProgress({ ...progress, version: 2 }), null);
  assert.deepEqual(readProgress(progress), progress);
});
