import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import { placeBatch } from "../../records/batch-header.ts";
import { SegmentBytes } from "./segment-bytes.ts";
import { scanTolerantly, type TolerantScan } from "./tolerant-scan.ts";

function batchOf(offset: number, value: Buffer | string, count = 1): Buffer {
  const records = Array.from({ length: count }, () => ({ key: null, value: Buffer.from(value as string) }));
  const batch = encodeBatch(records, 1000);
  placeBatch(batch, offset, 0);
  return batch;
}

async function scan(
  bytes: Buffer,
  more: { offset?: number; gaps?: boolean; endOffsetMax?: number } = {},
): Promise<TolerantScan> {
  const disk = new SimulatedDisk(seededRandom(1));
  const file = await disk.open("/s", "create");
  await file.write([bytes], 0);
  const from = { bytePosition: 0, offset: 0, gaps: false, endOffsetMax: Number.MAX_SAFE_INTEGER, ...more };
  return await scanTolerantly(new SegmentBytes(file, bytes.length), from, () => undefined);
}

const offsets = ({ runs }: TolerantScan) => runs.map(({ firstOffset, endOffset }) => [firstOffset, endOffset]);

test("what stands between two faults is found, whatever the faults look like", async () => {
  const pieces = [
    batchOf(0, "a"),
    Buffer.alloc(700),
    batchOf(5, "b", 3),
    Buffer.alloc(99, 2),
    batchOf(9, "c"),
    batchOf(10, "d"),
  ];
  const found = await scan(Buffer.concat(pieces));
  assert.deepEqual(offsets(found), [
    [0, 1],
    [5, 8],
    [9, 11],
  ]);
  assert.deepEqual(
    found.faults.map(({ offset, zeros }) => [offset, zeros && zeros.toBytes - zeros.fromBytes >= 700]),
    [
      [1, true],
      [8, undefined],
    ],
  );
});

test("a batch that is a record's value is not taken for one of the segment", async () => {
  const outer = batchOf(1, batchOf(2, "inner"));
  outer[outer.length - 1] = (outer.at(-1) as number) ^ 1;
  const found = await scan(Buffer.concat([batchOf(0, "a"), outer, batchOf(2, "right")]));
  assert.deepEqual(offsets(found), [
    [0, 1],
    [2, 3],
  ]);
  assert.equal(found.faults.length, 1);
});

test("a jump of offsets with nothing lost before it and nothing behind it is a wrong offset", async () => {
  const wild = batchOf(1_000_000, "wild");
  const alone = await scan(Buffer.concat([batchOf(0, "a"), wild]));
  assert.deepEqual([offsets(alone), alone.faults[0]?.isRightBatch], [[[0, 1]], true]);
  const between = await scan(Buffer.concat([batchOf(0, "a"), wild, batchOf(2, "b")]));
  assert.deepEqual(offsets(between), [
    [0, 1],
    [2, 3],
  ]);
  const confirmed = await scan(Buffer.concat([batchOf(0, "a"), batchOf(50, "b"), batchOf(51, "c")]));
  assert.deepEqual(offsets(confirmed), [
    [0, 1],
    [50, 52],
  ]);
  const closing = await scan(Buffer.concat([batchOf(0, "a"), batchOf(7, "b")]), { endOffsetMax: 8 });
  assert.deepEqual(offsets(closing).at(-1), [7, 8]);
});

test("batches behind the first offset of the next segment are not taken", async () => {
  const found = await scan(Buffer.concat([batchOf(0, "a"), batchOf(1, "b"), batchOf(2, "c")]), { endOffsetMax: 2 });
  assert.deepEqual([offsets(found), found.faults.length], [[[0, 2]], 1]);
});

test("gaps are no fault of a cleaned segment, and part no run", async () => {
  const found = await scan(Buffer.concat([batchOf(3, "a"), batchOf(9, "b"), batchOf(100, "c")]), { gaps: true });
  assert.deepEqual([offsets(found), found.faults], [[[3, 101]], []]);
});

test("headers that are made up cost no more than reading the file a few times", async () => {
  const header = batchOf(0, "x".repeat(20)).subarray(0, 61);
  header.writeInt32BE(50_000, 8);
  const bytes = Buffer.concat(Array.from({ length: 4000 }, () => header));
  let read = 0;
  const disk = new SimulatedDisk(seededRandom(1));
  const file = await disk.open("/s", "create");
  await file.write([bytes], 0);
  const source = new SegmentBytes(file, bytes.length, {
    onRead: (count) => {
      read += count;
    },
  });
  const from = { bytePosition: 0, offset: 0, gaps: false, endOffsetMax: 10 };
  const { runs, faults } = await scanTolerantly(source, from, () => undefined);
  assert.equal(runs.length, 0);
  assert.ok(faults.length <= 1000);
  assert.ok(read < 100 * 1024 * 1024, `${read}`);
});
