import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeBatch, encodeControlBatch } from "./batch-builder.ts";
import {
  attributeMask,
  batchAttributes,
  batchCodec,
  batchDeleteHorizonMs,
  batchField,
  placeBatch,
  readBatchHeader,
  stampTransaction,
  writeBatchChecksum,
} from "./batch-header.ts";
import { controlKind, decodeBatch } from "./batch-records.ts";
import { BatchRewriter, rebuildBatch } from "./batch-rewriter.ts";
import { checkBatchWhole } from "./batch-validator.ts";
import { codec } from "./compression.ts";
import { writeInt64 } from "./int64.ts";
import type { NewRecord } from "./record.ts";
import { recordedBatches, recordedFiltered } from "./recorded-batches.fixture.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`batch rewriter: seed ${seed}`);
fc.configureGlobal({ seed });

const bytes = fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array));
const record: fc.Arbitrary<NewRecord> = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(fc.record({ key: fc.string(), value: fc.option(bytes) }, { noNullPrototype: true }), {
    maxLength: 2,
  }),
  timestamp: fc.integer({ min: -1, max: 2 ** 45 }),
});
const anyCodec = fc.constantFrom(codec.none, codec.gzip, codec.snappy, codec.lz4, codec.zstd);
const choice = fc.array(fc.tuple(record, fc.boolean()), { minLength: 1, maxLength: 200 });

const recorded = (table: Readonly<Record<string, string>>, name: string) =>
  Buffer.from(table[name] as string, "base64");
const horizonMs = 1_700_086_900_000;

test("a rewritten batch is, byte for byte, what Kafka's compaction makes of it", () => {
  const batch = recorded(recordedBatches, "java-none-short");
  const keeping = (indexes: readonly number[], horizon?: number) =>
    rebuildBatch(batch, (records) => indexes.includes(records.offset - 7), horizon);
  assert.deepEqual(keeping([0, 3, 4]), recorded(recordedFiltered, "no-tombstone"));
  assert.deepEqual(keeping([1, 2, 4], horizonMs), recorded(recordedFiltered, "horizon"));
  assert.deepEqual(keeping([], horizonMs), recorded(recordedFiltered, "empty"));
});

test("a delete horizon that Kafka wrote is read, and the times of the records are as before", () => {
  for (const [name, source] of [
    ["horizon", "java-none-short"],
    ["all-horizon", "java-gzip-short"],
  ] as const) {
    const batch = recorded(recordedFiltered, name);
    checkBatchWhole(batch);
    assert.equal(batchDeleteHorizonMs(batch), horizonMs);
    const times = new Map(decodeBatch(recorded(recordedBatches, source)).map((one) => [one.offset, one.timestamp]));
    for (const { offset, timestamp } of decodeBatch(batch)) assert.equal(timestamp, times.get(offset));
  }
  assert.equal(batchDeleteHorizonMs(recorded(recordedBatches, "java-none-short")), undefined);
});

test("kept records are as they were, and all that identifies the batch stays", () => {
  const rewriter = new BatchRewriter();
  const producer = fc.option(fc.record({ id: fc.nat(), epoch: fc.nat(30000), sequence: fc.nat() }));
  fc.assert(
    fc.property(choice, anyCodec, producer, fc.option(fc.nat(2 ** 31)), (chosen, codecNumber, by, horizon) => {
      const batch = encodeBatch(
        chosen.map(([one]) => one),
        5,
        codecNumber,
      );
      placeBatch(batch, 1000, 3);
      if (by) stampTransaction(batch, by.id, by.epoch, by.sequence);
      rewriter.open(batch);
      for (const [, kept] of chosen) {
        assert.ok(rewriter.records.next());
        if (kept) rewriter.keep();
      }
      assert.ok(!rewriter.records.next());
      const rewritten = rewriter.finish(horizon ?? undefined);
      checkBatchWhole(rewritten);
      const wanted = decodeBatch(batch).filter((_, i) => chosen[i]?.[1]);
      assert.deepEqual(decodeBatch(rewritten), wanted);
      const before = readBatchHeader(batch);
      const after = readBatchHeader(rewritten);
      for (const field of ["baseOffset", "lastOffset", "leaderEpoch", "maxTimestamp"] as const) {
        assert.equal(after[field], before[field], field);
      }
      for (const field of ["producerId", "producerEpoch", "baseSequence"] as const) {
        assert.equal(after[field], before[field], field);
      }
      assert.equal(after.recordCount, wanted.length);
      assert.equal(batchCodec(rewritten), wanted.length === 0 ? codec.none : codecNumber);
      const marks = attributeMask.transactional | attributeMask.control | attributeMask.logAppendTime;
      assert.equal(after.attributes & marks, before.attributes & marks);
      assert.equal(batchDeleteHorizonMs(rewritten), wanted.length === 0 ? undefined : (horizon ?? undefined));
    }),
  );
});

test("a batch in which nothing changes is handed back itself", () => {
  for (const codecNumber of [codec.none, codec.lz4]) {
    const batch = encodeBatch([{ key: Buffer.from("k"), value: null }], 1, codecNumber);
    assert.equal(
      rebuildBatch(batch, () => true),
      batch,
    );
    const marked = rebuildBatch(batch, () => true, 99);
    assert.notEqual(marked, batch);
    assert.equal(
      rebuildBatch(marked, () => true, 500),
      marked,
    );
    assert.equal(batchDeleteHorizonMs(marked), 99);
  }
});

test("a horizon that a batch has stays when it is rewritten again", () => {
  const records = ["a", "b", "c"].map((key, i) => ({ key: Buffer.from(key), value: null, timestamp: 1000 + i }));
  const first = rebuildBatch(encodeBatch(records, 1), () => true, 5_000);
  const second = rebuildBatch(first, (one) => one.offset !== 1, 9_000);
  checkBatchWhole(second);
  assert.equal(batchDeleteHorizonMs(second), 5_000);
  assert.deepEqual(
    decodeBatch(second).map(({ offset, timestamp }) => [offset, timestamp]),
    [
      [0, 1000],
      [2, 1002],
    ],
  );
});

test("an empty batch keeps its offsets and its producer, and can be rewritten as empty again", () => {
  const batch = encodeBatch([{ key: Buffer.from("k"), value: Buffer.from("v") }], 1, codec.zstd);
  placeBatch(batch, 50, 1);
  stampTransaction(batch, 7, 2, 100);
  const empty = rebuildBatch(batch, () => false);
  assert.equal(empty.length, 61);
  checkBatchWhole(empty);
  assert.deepEqual(decodeBatch(empty), []);
  const { baseOffset, producerId, producerEpoch, baseSequence } = readBatchHeader(empty);
  assert.deepEqual([baseOffset, producerId, producerEpoch, baseSequence], [50, 7, 2, 100]);
  assert.deepEqual(
    rebuildBatch(empty, () => true),
    empty,
  );
});

test("a marker gets its delete horizon and stays a marker", () => {
  const marker = encodeControlBatch("commit", { producerId: 9, epoch: 1 }, 1_000);
  const marked = rebuildBatch(marker, () => true, 5_000);
  checkBatchWhole(marked);
  assert.equal(controlKind(marked), "commit");
  assert.equal(batchDeleteHorizonMs(marked), 5_000);
  assert.equal(batchAttributes(marked), 0x70);
  assert.equal(decodeBatch(marked)[0]?.timestamp, 1_000);
});

test("where the log gave the time, it is that of every record, and stays so", () => {
  const records = ["a", "b"].map((key, i) => ({ key: Buffer.from(key), value: null, timestamp: i }));
  const batch = encodeBatch(records, 1, attributeMask.logAppendTime);
  writeInt64(batch, batchField.maxTimestamp, 777);
  writeBatchChecksum(batch);
  for (const one of [batch, rebuildBatch(batch, (record) => record.offset === 1, 5_000)]) {
    for (const { timestamp } of decodeBatch(one)) assert.equal(timestamp, 777);
  }
});

test("times at the end of what a number holds do not stop a rewrite", () => {
  const batch = encodeBatch([{ key: null, value: null, timestamp: Number.MIN_SAFE_INTEGER }], 1);
  const marked = rebuildBatch(batch, () => true, horizonMs);
  checkBatchWhole(marked);
  const [record] = decodeBatch(marked);
  assert.ok(record && record.timestamp < 0);
});
