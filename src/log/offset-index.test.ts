import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { indexIntervalBytes, OffsetIndex } from "./offset-index.ts";

interface Batch {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly position: number;
  readonly maxTimestamp: number;
}

const startBytes = 40;

/** An index over batches of many sizes, and the batches. */
function filled(seed: number): { readonly index: OffsetIndex; readonly batches: Batch[] } {
  const random = seededRandom(seed);
  const index = new OffsetIndex(1000, startBytes);
  const batches: Batch[] = [];
  let position = startBytes;
  let baseOffset = 1000;
  for (let i = 0; i < 2000; i++) {
    const lastOffset = baseOffset + random.below(20);
    const sizeBytes = 70 + random.below(3 * indexIntervalBytes * (random.below(10) === 0 ? 1 : 0) + 500);
    const maxTimestamp = 5000 + i * 10 + random.below(500);
    index.add(baseOffset, lastOffset, sizeBytes, maxTimestamp);
    batches.push({ baseOffset, lastOffset, position, maxTimestamp });
    position += sizeBytes;
    baseOffset = lastOffset + 1;
  }
  return { index, batches };
}

function check(index: OffsetIndex, batches: readonly Batch[]): void {
  for (const { baseOffset, lastOffset, position } of batches) {
    for (const offset of [baseOffset, lastOffset]) {
      const found = index.positionOf(offset) ?? startBytes;
      assert.ok(found <= position, `offset ${offset} is at ${position}, before ${found}`);
      assert.ok(batches.some((batch) => batch.position === found));
      const between = batches.filter((batch) => batch.position > found && batch.position <= position);
      assert.ok((between.at(-2)?.position ?? found) - found < indexIntervalBytes, `too far before offset ${offset}`);
    }
  }
}

test("the index leads to a batch at or shortly before the one with the offset", () => {
  const { index, batches } = filled(1);
  assert.ok(index.length > 50);
  check(index, batches);
});

test("the index leads to a place before which everything is older than the time", () => {
  const { index, batches } = filled(2);
  for (let timestamp = 4000; timestamp < 27_000; timestamp += 37) {
    const found = index.positionOfTime(timestamp) ?? startBytes;
    const first = batches.find(({ maxTimestamp }) => maxTimestamp >= timestamp);
    assert.ok(found <= (first?.position ?? Number.POSITIVE_INFINITY), `time ${timestamp}`);
  }
  assert.equal(index.maxTimestamp, Math.max(...batches.map(({ maxTimestamp }) => maxTimestamp)));
});

test("an index comes back from its bytes, and not from damaged ones", () => {
  const { index, batches } = filled(3);
  const bytes = index.encode();
  const again = OffsetIndex.decode(bytes, 1000);
  assert.ok(again);
  check(again, batches);
  assert.deepEqual(
    [again.endBytes, again.endOffset, again.maxTimestamp],
    [index.endBytes, index.endOffset, index.maxTimestamp],
  );
  assert.equal(OffsetIndex.decode(bytes, 1001), undefined);
  assert.equal(OffsetIndex.decode(bytes.subarray(0, -1), 1000), undefined);
  assert.equal(OffsetIndex.decode(Buffer.alloc(0), 1000), undefined);
  for (let at = 0; at < bytes.length; at += 7) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ 0x10;
    assert.equal(OffsetIndex.decode(damaged, 1000), undefined, `byte ${at}`);
  }
});
