import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { defaultTopicSettings, type Engine } from "../engine/engine.ts";
import { generationAfter } from "./group-owner.ts";
import { compareLsn } from "./group-waits.ts";
import { checkPositions, type StoredPosition } from "./positions.ts";
import { Retention } from "./retention.ts";

const log: Pick<Engine, "topic" | "offsets"> = {
  topic: (name) =>
    name === "t" ? { name, id: "id-1", settings: defaultTopicSettings, readOnly: true, createdMs: 0 } : undefined,
  offsets: () => ({ logStart: 0, lastStable: 10, highWatermark: 10, leaderEpoch: 2 }),
};
const at = (more: Partial<StoredPosition>): StoredPosition => {
  const nowhere = { topic: "t", topicId: "id-1", partition: 0, nextOffset: 10, leaderEpoch: 2 };
  return { ...nowhere, baseOffset: 0, latestEventMs: null, ...more };
};
const refusal = async (position: StoredPosition): Promise<string> => {
  try {
    await checkPositions([position], log);
    return "none";
  } catch (error) {
    return MillraceError.from(error).code;
  }
};

test("positions inside the log are accepted, and those that it does not have are refused", async () => {
  assert.equal(await refusal(at({})), "none");
  assert.equal(await refusal(at({ leaderEpoch: 1, nextOffset: 3 })), "none");
  assert.equal(await refusal(at({ nextOffset: 11 })), "STORE_AHEAD_OF_LOG");
  assert.equal(await refusal(at({ leaderEpoch: 3 })), "STORE_AHEAD_OF_LOG");
  assert.equal(await refusal(at({ topic: "gone" })), "STORE_AHEAD_OF_LOG");
  assert.equal(await refusal(at({ topicId: "id-0" })), "STORE_OF_ANOTHER_LOG");
});

test("a store that was lost or came back earlier goes on with a generation that nobody has seen", () => {
  assert.equal(generationAfter(null, null), 1);
  assert.equal(generationAfter(null, { generation: 7, batch: 3 }), 8);
  assert.equal(generationAfter({ generation: 7, batch: 9 }, { generation: 7, batch: 3 }), 7);
  assert.equal(generationAfter({ generation: 7, batch: 2 }, { generation: 7, batch: 3 }), 8);
  assert.equal(generationAfter({ generation: 6, batch: 99 }, { generation: 7, batch: 3 }), 8);
});

test("positions of a source are compared as the 64-bit numbers that they are", () => {
  assert.equal(compareLsn("0/A", "0/9"), 1);
  assert.equal(compareLsn("1/0", "0/FFFFFFFF"), 1);
  assert.equal(compareLsn("FFFFFFFF/1", "FFFFFFFF/2"), -1);
  assert.equal(compareLsn("0/16b3748", "0/16B3748"), 0);
  assert.throws(() => compareLsn("0", "0/1"), { code: "TOKEN_INVALID" });
});

test("change rows are kept for an hour or 256 MB, and those of the newest batch always", () => {
  const byTime = new Retention({ keepMs: 3_600_000, keepBytes: 1e9 });
  byTime.add(1, 10, 0);
  byTime.add(2, 10, 60_000);
  byTime.add(3, 10, 120_000);
  assert.equal(byTime.expire(3_600_000), null);
  assert.equal(byTime.expire(3_660_001), 2);
  assert.equal(byTime.expire(1e12), null);
  const bySize = new Retention({ keepMs: 3_600_000, keepBytes: 1_000 });
  for (let batch = 1; batch <= 5; batch++) bySize.add(batch, 300, batch);
  assert.equal(bySize.expire(5), 2);
});
