import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseLsn, printLsn } from "./lsn.ts";
import {
  type CaptureProgress,
  decideStart,
  readProgress,
  type ServerPlace,
  type SlotFacts,
  type StartWish,
  witnessed,
} from "./progress.ts";

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
  restart: parseLsn("0/100"),
  plugin: "pgoutput",
  database: "shop",
  lost: false,
  lostReason: null,
  activePid: null,
};
const server: ServerPlace = {
  systemId: "700",
  timeline: 1,
  standby: false,
  history: [],
  database: "shop",
  walEnd: parseLsn("0/300"),
  slot,
};

function decided(
  of: Partial<CaptureProgress> | null,
  more: Partial<ServerPlace> & { slotFacts?: Partial<SlotFacts> } = {},
  asked: Partial<StartWish> = {},
): string {
  const { slotFacts, ...place } = more;
  const decision = decideStart(
    "shop",
    of === null ? null : { ...progress, ...of },
    { ...server, ...(slotFacts ? { slot: { ...slot, ...slotFacts } } : {}), ...place },
    { resnapshot: false, ...asked },
  );
  if (decision.kind === "refuse") {
    const way = decision.error.code === "SOURCE_STANDBY_BEHIND" ? /by itself/ : /resnapshot shop/;
    assert.match(decision.error.hint ?? "", way, "a refusal has a way out");
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
  assert.equal(decided({}, { slot: null }, { resnapshot: true }), "snapshot");
  assert.equal(decided({ refused: { code: "SOURCE_RESTORED", message: "" } }, {}, { resnapshot: true }), "snapshot");
});

test("a slot that lost changes or gave them to somebody else is refused", () => {
  assert.equal(decided({}, { slot: null }), "SOURCE_SLOT_LOST");
  assert.equal(decided({}, { slotFacts: { lost: true } }), "SOURCE_SLOT_LOST");
  assert.equal(decided({}, { slotFacts: { plugin: "wal2json" } }), "SOURCE_SLOT_FOREIGN");
  assert.equal(decided({}, { slotFacts: { plugin: null, database: null } }), "SOURCE_SLOT_FOREIGN");
  assert.equal(decided({}, { slotFacts: { database: "other" } }), "SOURCE_SLOT_FOREIGN");
  assert.equal(decided({}, { slotFacts: { confirmed: parseLsn("0/201") } }), "SOURCE_SLOT_AHEAD");
});

test("another server, another database and a restored backup are refused", () => {
  assert.equal(decided({}, { systemId: "701" }), "SOURCE_REPLACED");
  assert.equal(decided({}, { database: "other" }), "SOURCE_REPLACED");
  assert.equal(decided({}, { walEnd: parseLsn("0/1FF") }), "SOURCE_RESTORED");
  assert.equal(decided({ slotRestart: "0/101" }), "SOURCE_RESTORED");
  assert.equal(decided({ slotRestart: "0/100" }), "resume");
  // A standby that was promoted behind our position has the slot as it was when it looked at it last.
  const history = [{ timeline: 1, leftAt: parseLsn("0/280") }];
  assert.equal(decided({ slotRestart: "0/101" }, { timeline: 2, history }), "resume");
  // Even when the slot is gone too: who it is comes first.
  assert.equal(decided({}, { systemId: "701", slot: null }), "SOURCE_REPLACED");
});

test("where a slot was seen to begin is never forgotten for an earlier place", () => {
  assert.equal(witnessed(progress, "0/100").slotRestart, "0/100");
  assert.equal(witnessed({ ...progress, slotRestart: "0/100" }, "0/101").slotRestart, "0/101");
  assert.equal(witnessed({ ...progress, slotRestart: "0/F0000" }, "0/101").slotRestart, "0/F0000");
});

test("a promoted standby is followed when our position lies before it left, and refused when it lies behind", () => {
  const history = (leftAt: string) => [{ timeline: 1, leftAt: parseLsn(leftAt) }];
  assert.equal(decided({}, { timeline: 2, history: history("0/200") }), "resume");
  assert.equal(decided({}, { timeline: 2, history: history("0/1FF") }), "SOURCE_DIVERGED");
  assert.equal(decided({}, { timeline: 2 }), "SOURCE_DIVERGED");
  assert.equal(decided({}, { timeline: 2, history: history("0/200"), slot: null }), "SOURCE_SLOT_LOST");
  assert.equal(decided({ timeline: 3 }, { timeline: 2, history: history("0/200") }), "SOURCE_RESTORED");
});

test("a standby that has not replayed our position is waited for", () => {
  assert.equal(decided({}, { standby: true, walEnd: parseLsn("0/1FF") }), "SOURCE_STANDBY_BEHIND");
});

test("a refusal whose cause has passed from sight stays until somebody decides", () => {
  const refused = { code: "SOURCE_RESTORED", message: "it was restored" } as const;
  assert.equal(decided({ refused }), "SOURCE_RESTORED");
  // Not at our position, which may lie on the way that was lost: at the slot's.
  assert.equal(decided({ refused }, {}, { adopt: true }), "adopt");
});

test("what is missing can be adopted, and what is another server's or somebody else's cannot", () => {
  const adopt = { adopt: true };
  assert.equal(decided({}, { slot: null }, adopt), "adopt");
  assert.equal(decided({}, { slotFacts: { lost: true } }, adopt), "adopt");
  assert.equal(decided({}, { slotFacts: { confirmed: parseLsn("0/201") } }, adopt), "adopt");
  assert.equal(decided({}, { walEnd: parseLsn("0/1FF") }, adopt), "adopt");
  assert.equal(decided({}, { timeline: 2 }, adopt), "adopt");
  assert.equal(decided({}, {}, adopt), "resume");
  assert.equal(decided({}, { systemId: "701" }, adopt), "SOURCE_REPLACED");
  assert.equal(decided({}, { slotFacts: { plugin: "wal2json" } }, adopt), "SOURCE_SLOT_FOREIGN");
  assert.equal(decided({}, { standby: true, walEnd: parseLsn("0/1FF") }, adopt), "SOURCE_STANDBY_BEHIND");
});

test("wherever the server is, the stream goes on only where the slot and the log still hold our position", () => {
  const place = fc.nat({ max: 64 });
  fc.assert(
    fc.property(
      place,
      fc.record({ confirmed: place, restart: place, lost: fc.boolean() }),
      place,
      fc.constantFrom(1, 2),
      fc.option(place),
      fc.boolean(),
      (position, slotFacts, walEnd, timeline, leftAt, adopt) => {
        const history = leftAt === null ? [] : [{ timeline: 1, leftAt }];
        const of = { ...progress, lsn: printLsn(position) };
        const at = { ...server, walEnd, timeline, history, slot: { ...slot, ...slotFacts, lostReason: null } };
        const decision = decideStart("shop", of, at, { resnapshot: false, adopt });
        if (decision.kind !== "resume") return;
        assert.equal(decision.position, position);
        assert.ok(slotFacts.confirmed <= position && !slotFacts.lost && walEnd >= position);
        assert.ok(timeline === 1 || (leftAt !== null && position <= leftAt));
      },
    ),
  );
});

test("what another version wrote is not taken for progress", () => {
  assert.equal(readProgress(undefined), null);
  assert.equal(readProgress("text"), null);
  assert.equal(readProgress({ ...progress, version: 2 }), null);
  assert.deepEqual(readProgress(progress), progress);
});
