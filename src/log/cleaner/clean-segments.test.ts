import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import {
  batchField,
  batchHeaderBytes,
  placeBatch,
  readBatchHeader,
  writeBatchChecksum,
} from "../../records/batch-header.ts";
import { codec } from "../../records/compression.ts";
import { segmentHeaderBytes } from "../segment.ts";
import {
  batchesOn,
  batchOf,
  clean,
  hasHorizon,
  markerOf,
  place,
  put,
  recordsOn,
  segmentsOn,
  writeSegment,
} from "./cleaner.fixture.ts";

async function diskOf(segments: readonly (readonly [baseOffset: number, batches: readonly Buffer[]])[]) {
  const disk = new SimulatedDisk(seededRandom(5));
  for (const [baseOffset, batches] of segments) await writeSegment(disk, baseOffset, batches);
  return disk;
}

test("of each key the latest record stays, with its offset, in its order", async () => {
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", "1"), put("b", "1")]), batchOf(2, [put("a", "2")])]],
    [3, [batchOf(3, [put("c", "1"), put("b", "2"), put("d", "1")])]],
    [6, [batchOf(6, [put("c", "2")])]],
  ]);
  const { cleanedTo, stats } = await clean(disk, { end: 7 });
  assert.equal(cleanedTo, 7);
  assert.deepEqual(await recordsOn(disk), ["2 a=2", "4 b=2", "5 d=1", "6 c=2"]);
  assert.deepEqual([stats.recordsRead, stats.recordsKept, stats.keys], [7, 4, 4]);
});

test("neighbours that fit become one segment, named by the first offset and the next generation", async () => {
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", "1")])]],
    [1, [batchOf(1, [put("a", "2")])]],
    [2, [batchOf(2, [put("b", "1")])]],
  ]);
  await clean(disk, { end: 2 });
  assert.deepEqual(await disk.list(place.directory), ["00000000000000000000.1.log", "00000000000000000002.log"]);
  await clean(disk, { end: 3, firstDirtyOffset: 2 });
  // Nothing would go from them: they are left as they are.
  assert.equal((await segmentsOn(disk)).length, 2);
});

test("nothing at the end of the cleanable part or behind it changes", async () => {
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", "1")]), batchOf(1, [put("b", "1")])]],
    [2, [batchOf(2, [put("b", "2"), put("b", "3")])]],
    [4, [batchOf(4, [put("a", "2")])]],
  ]);
  const before = (await batchesOn(disk)).slice(2);
  await clean(disk, { end: 2 });
  assert.deepEqual((await batchesOn(disk)).slice(2), before);
  assert.deepEqual(await recordsOn(disk), ["0 a=1", "1 b=1", "2 b=2", "3 b=3", "4 a=2"]);
});

test("a batch that loses nothing is copied byte by byte", async () => {
  const whole = batchOf(1, [put("b", "1"), put("c", "1")], { codec: codec.gzip });
  const disk = await diskOf([[0, [batchOf(0, [put("a", "1")]), whole, batchOf(3, [put("a", "2")])]]]);
  await clean(disk, { end: 4 });
  assert.deepEqual((await batchesOn(disk))[0], whole);
});

test("segments from which nothing would go are only read", async () => {
  const disk = await diskOf([
    [0, [batchOf(0, [put("a"), put("b")])]],
    [2, [batchOf(2, [put("c")])]],
  ]);
  const before = disk.operations;
  const { replacements } = await clean(disk, { end: 3 });
  assert.deepEqual(replacements, []);
  assert.equal(disk.operations, before);
});

for (const [name, codecNumber] of Object.entries(codec)) {
  test(`a batch of codec ${name} that loses records keeps its codec, its offsets and its producer`, async () => {
    const puts = [put("a", "1"), put("b", "1"), put("a", "2"), put("c", "1")];
    const batch = batchOf(0, puts, { codec: codecNumber, producerId: 7, epoch: 2, sequence: 40 });
    const disk = await diskOf([[0, [batch, batchOf(4, [put("c", "2")])]]]);
    await clean(disk, { end: 5 });
    const [found] = (await batchesOn(disk)).map((bytes) => readBatchHeader(bytes));
    const { sizeBytes: _, recordCount, ...rest } = readBatchHeader(batch);
    const { sizeBytes: __, recordCount: foundCount, ...foundRest } = found as ReturnType<typeof readBatchHeader>;
    assert.deepEqual(foundRest, rest);
    assert.deepEqual([recordCount, foundCount], [4, 2]);
    assert.deepEqual(await recordsOn(disk), ["1 b=1", "2 a=2", "4 c=2"]);
  });
}

test("a tombstone stays until its delete horizon, and what it deletes goes at once", async () => {
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", "1"), put("b", "1", 900)])]],
    [2, [batchOf(2, [put("a", null, 1100), put("c", "1", 1200)])]],
  ]);
  await clean(disk, { end: 4, nowMs: 10_000 });
  assert.deepEqual(await recordsOn(disk), ["1 b=1", "2 a=null", "3 c=1"]);
  assert.ok(hasHorizon((await batchesOn(disk))[1] as Buffer));
  await clean(disk, { end: 4, firstDirtyOffset: 4, nowMs: 10_999 });
  assert.deepEqual(await recordsOn(disk), ["1 b=1", "2 a=null", "3 c=1"]);
  const { stats } = await clean(disk, { end: 4, firstDirtyOffset: 4, nowMs: 11_000 });
  assert.deepEqual(await recordsOn(disk), ["1 b=1", "3 c=1"]);
  assert.equal(stats.tombstonesDropped, 1);
});

test("records keep their times when their batch gets a delete horizon", async () => {
  const { committedIn } = await import("./cleaner.fixture.ts");
  const disk = await diskOf([[0, [batchOf(0, [put("a", null, 1100), put("b", "1", 900), put("c", "1", 1300)])]]]);
  await clean(disk, { end: 3 });
  assert.deepEqual(
    committedIn(await batchesOn(disk)).map(({ timestamp }) => timestamp),
    [1100, 900, 1300],
  );
});

test("records of aborted transactions go, and supersede nothing", async () => {
  const transactional = { producerId: 9, transactional: true };
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", "1")]), batchOf(1, [put("a", "aborted")], transactional)]],
    [2, [batchOf(2, [put("b", "aborted")], transactional), markerOf(3, "abort", 9)]],
    [4, [batchOf(4, [put("a", null)], { ...transactional, epoch: 1 }), markerOf(5, "abort", 9, 1)]],
  ]);
  await clean(disk, { end: 6 });
  assert.deepEqual(await recordsOn(disk), ["0 a=1"]);
});

test("a marker stays while there was data, then for its horizon, and then goes", async () => {
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", "1")], { producerId: 9, transactional: true }), markerOf(1, "commit", 9)]],
    [2, [batchOf(2, [put("a", "2")])]],
  ]);
  const markers = async () => (await batchesOn(disk)).filter((batch) => readBatchHeader(batch).attributes & 0x20);
  await clean(disk, { end: 3, nowMs: 1000 });
  assert.equal((await markers()).length, 1);
  assert.ok(!hasHorizon((await markers())[0] as Buffer), "its data was there when the cleaning began");
  await clean(disk, { end: 3, firstDirtyOffset: 3, nowMs: 2000 });
  const [marker] = await markers();
  assert.ok(marker && hasHorizon(marker));
  await clean(disk, { end: 3, firstDirtyOffset: 3, nowMs: 2999 });
  assert.equal((await markers()).length, 1);
  const { stats } = await clean(disk, { end: 3, firstDirtyOffset: 3, nowMs: 3000 });
  assert.equal((await markers()).length, 0);
  assert.equal(stats.markersDropped, 1);
});

test("the last batch of a live producer stays without records, with its sequence", async () => {
  const idempotent = { producerId: 4, epoch: 1 };
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", "1"), put("a", "2")], { ...idempotent, sequence: 10 })]],
    [2, [batchOf(2, [put("a", "3")], { ...idempotent, sequence: 12 }), batchOf(3, [put("a", "4")])]],
  ]);
  const isLastBatch = (producerId: number, lastOffset: number) => producerId === 4 && lastOffset === 2;
  await clean(disk, { end: 4, isLastBatch });
  const [kept] = await batchesOn(disk);
  const { recordCount, baseSequence, producerEpoch, baseOffset, lastOffset } = readBatchHeader(kept as Buffer);
  assert.deepEqual([recordCount, baseSequence, producerEpoch, baseOffset, lastOffset], [0, 12, 1, 2, 2]);
  assert.deepEqual(await recordsOn(disk), ["3 a=4"]);
  await clean(disk, { end: 4, firstDirtyOffset: 4 });
  assert.equal((await batchesOn(disk)).length, 1);
});

test("a segment ends where the next one begins even when all of its records went", async () => {
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", "1")]), batchOf(1, [put("a", "2"), put("a", "3")])]],
    [3, [batchOf(3, [put("a", "4")])]],
  ]);
  await clean(disk, { end: 4, settings: { segmentBytesMax: 1024, tombstoneRetentionMs: 0 }, chunkBytes: 128 });
  // `batchesOn` looks at the ends.
  assert.equal((await batchesOn(disk, 4)).length, 1);
  const one = await diskOf([
    [0, [batchOf(0, [put("a", "1".repeat(900))])]],
    [1, [batchOf(1, [put("a", "2".repeat(900))])]],
  ]);
  await clean(one, { end: 2, settings: { segmentBytesMax: 1024, tombstoneRetentionMs: 0 } });
  const [first] = await batchesOn(one, 2);
  assert.deepEqual(
    (await segmentsOn(one)).map(({ sizeBytes }) => sizeBytes).at(0),
    segmentHeaderBytes + batchHeaderBytes,
  );
  assert.equal(readBatchHeader(first as Buffer).recordCount, 0);
});

test("a record without a key goes from a compacted topic, and is counted", async () => {
  const disk = await diskOf([[0, [batchOf(0, [put(null, "1"), put("a", "1"), put("", "1")])]]]);
  const { stats } = await clean(disk, { end: 3 });
  assert.deepEqual(await recordsOn(disk), ["1 a=1", "2 =1"]);
  assert.equal(stats.recordsWithoutKey, 1);
});

test("a batch that is larger than a chunk is cleaned like any other", async () => {
  const large = "x".repeat(20_000);
  const disk = await diskOf([
    [0, [batchOf(0, [put("a", large), put("b", large)]), batchOf(2, [put("c", "1")])]],
    [3, [batchOf(3, [put("a", large)]), batchOf(4, [put("c", "2")])]],
  ]);
  await clean(disk, { end: 5, chunkBytes: 512 });
  assert.deepEqual(await recordsOn(disk), [`1 b=${large}`, `3 a=${large}`, "4 c=2"]);
});

test("more keys than the map holds take several rounds, and end right", async () => {
  const values = Array.from({ length: 900 }, (_, i) => put(`key ${i % 300}`, `${i}`));
  const segments = Array.from({ length: 9 }, (_, s) => {
    const batches = Array.from({ length: 20 }, (__, b) =>
      batchOf(s * 100 + b * 5, values.slice(s * 100 + b * 5, s * 100 + b * 5 + 5)),
    );
    return [s * 100, batches] as const;
  });
  const disk = await diskOf(segments);
  let firstDirtyOffset = 0;
  let rounds = 0;
  while (firstDirtyOffset < 900) {
    // The chunks take all of it but the smallest map.
    const { cleanedTo, stats } = await clean(disk, { end: 900, firstDirtyOffset, memoryBytesMax: 8 * 4096 + 20 * 64 });
    assert.ok(cleanedTo > firstDirtyOffset);
    assert.ok(stats.mapBytes <= 20 * 64);
    firstDirtyOffset = cleanedTo;
    rounds++;
  }
  assert.ok(rounds > 10);
  assert.deepEqual(
    await recordsOn(disk),
    values.slice(600).map(({ key, value }, i) => `${600 + i} ${key}=${value}`),
  );
});

for (const [what, damage, bytePosition] of [
  ["a flipped bit in a record", (disk: SimulatedDisk, file: string) => disk.corrupt(file, 40 + 65), 40],
  ["a damaged length of a batch", (disk: SimulatedDisk, file: string) => disk.corrupt(file, 40 + 11, 0x04), 40],
  ["a damaged segment header", (disk: SimulatedDisk, file: string) => disk.corrupt(file, 20), 0],
  ["a file that is cut short", (disk: SimulatedDisk, file: string) => disk.cutShort(file, 150), 150],
] as const) {
  test(`${what} stops the cleaning with its place, and nothing was touched`, async () => {
    const disk = await diskOf([
      [0, [batchOf(0, [put("a", "1")])]],
      [1, [batchOf(1, [put("a", "2")]), batchOf(2, [put("a", "3")])]],
    ]);
    const segments = await segmentsOn(disk);
    const file = (segments[1] as (typeof segments)[0]).path;
    const before = disk.operations;
    damage(disk, file);
    await assert.rejects(clean(disk, { end: 3, segments, abortedIn: () => [] }), (error: unknown) => {
      assert.ok(MillraceError.is(error, "PARTITION_DAMAGED"));
      assert.deepEqual([error.details.path, error.details.bytePosition], [file, bytePosition]);
      return true;
    });
    assert.equal(disk.operations, before);
    assert.equal(disk.openFiles, 0);
  });
}

test("damage behind the place where the map was full is found when a cleaning comes there", async () => {
  const keys = Array.from({ length: 30 }, (_, i) => batchOf(i, [put(`key ${i}`)]));
  const disk = await diskOf([[0, keys]]);
  disk.corrupt((await segmentsOn(disk))[0]?.path as string, 40 + 20 * (keys[0] as Buffer).length + 16);
  const memoryBytesMax = 8 * 4096 + 16 * 20;
  await assert.rejects(clean(disk, { end: 30, memoryBytesMax }), { code: "PARTITION_DAMAGED" });
  assert.equal(disk.openFiles, 0);
});

test("records that cannot be read stop the cleaning, whatever they are", async () => {
  const random = seededRandom(8);
  for (let i = 0; i < 300; i++) {
    const bad = batchOf(1, [put("a", "2"), put("b", null), put("c", "x".repeat(40))], { codec: random.below(5) });
    const flips = 1 + random.below(3);
    for (let k = 0; k < flips; k++) {
      const at = batchHeaderBytes + random.below(bad.length - batchHeaderBytes);
      bad[at] = random.below(256);
    }
    // A writer's checksum is right, whatever it says.
    writeBatchChecksum(bad);
    const disk = await diskOf([[0, [batchOf(0, [put("a", "1")]), bad]]]);
    const outcome = await clean(disk, { end: 4 }).then(
      () => "cleaned",
      (error: unknown) => {
        assert.ok(MillraceError.is(error, "PARTITION_DAMAGED"), String(error));
        return "refused";
      },
    );
    if (outcome === "refused") assert.deepEqual(await disk.list(place.directory), ["00000000000000000000.log"]);
  }
});

test("offsets that go back, or into the next segment, are damage", async () => {
  const back = await diskOf([[0, [batchOf(0, [put("a")]), batchOf(0, [put("a")])]]]);
  await assert.rejects(clean(back, { end: 2 }), { code: "PARTITION_DAMAGED" });
  const far = batchOf(0, [put("a"), put("b")]);
  placeBatch(far, 1, 0);
  const beyond = await diskOf([
    [0, [batchOf(0, [put("a")]), far]],
    [2, [batchOf(2, [put("a")])]],
  ]);
  await assert.rejects(clean(beyond, { end: 3 }), { code: "PARTITION_DAMAGED" });
});

test("an aborted signal ends a cleaning between two chunks and leaves no draft", async () => {
  const batches = Array.from({ length: 200 }, (_, i) => batchOf(i, [put(`key ${i % 7}`, "x".repeat(100))]));
  const disk = await diskOf([[0, batches]]);
  const stop = new AbortController();
  let chunks = 0;
  const throttle = async () => {
    if (++chunks === 20) stop.abort(new Error("enough"));
  };
  await assert.rejects(clean(disk, { end: 200, chunkBytes: 512, signal: stop.signal, throttle }), /enough/);
  assert.deepEqual(await disk.list(place.directory), ["00000000000000000000.log"]);
  assert.equal(disk.openFiles, 0);
});

test("a full disk ends a cleaning and leaves no draft", async () => {
  const segments = [0, 50].map(
    (base) =>
      [base, Array.from({ length: 50 }, (_, i) => batchOf(base + i, [put(`key ${i % 7}`, "x".repeat(100))]))] as const,
  );
  for (let operation = 1; operation < 20; operation++) {
    const disk = await diskOf(segments);
    disk.failAt(disk.operations + operation, "ENOSPC");
    // Drafts are collected, so that those of earlier groups must go too.
    const settings = { segmentBytesMax: 1024, tombstoneRetentionMs: 0 };
    const outcome = await clean(disk, { end: 100, settings, replace: undefined as never }).then(
      ({ replacements }) => replacements.length,
      (error: NodeJS.ErrnoException) => error.code,
    );
    if (outcome === 2) break;
    assert.equal(outcome, "ENOSPC");
    assert.deepEqual(await disk.list(place.directory), ["00000000000000000000.log", "00000000000000000050.log"]);
    assert.equal(disk.openFiles, 0);
  }
});

test("bytes are read and written through the throttle", async () => {
  const batches = Array.from({ length: 100 }, (_, i) => batchOf(i, [put(`key ${i % 7}`, "x".repeat(100))]));
  const disk = await diskOf([[0, batches]]);
  let bytes = 0;
  const throttle = async (count: number) => {
    bytes += count;
  };
  const { stats } = await clean(disk, { end: 100, throttle });
  const written = stats.bytesAfter - segmentHeaderBytes;
  assert.equal(bytes, 2 * stats.bytesBefore + written);
});

test("a control batch of an unknown kind stays", async () => {
  const odd = markerOf(1, "commit", 9);
  odd.writeInt16BE(5, odd.length - 1 - 1 - 6 - 1 - 2);
  writeBatchChecksum(odd);
  assert.equal(odd.readInt32BE(batchField.recordCount), 1);
  const disk = await diskOf([[0, [batchOf(0, [put("a", "1")]), odd, batchOf(2, [put("a", "2")])]]]);
  for (const nowMs of [1000, 5000, 9000]) await clean(disk, { end: 3, nowMs });
  assert.deepEqual((await batchesOn(disk))[0], odd);
});
