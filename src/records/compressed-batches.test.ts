import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { admitBatch } from "./batch-admission.ts";
import { BatchBuilder, encodeBatch } from "./batch-builder.ts";
import { attributeMask, batchCodec, batchField, writeBatchChecksum } from "./batch-header.ts";
import { BatchRecords, decodeBatch } from "./batch-records.ts";
import { rebuildBatch } from "./batch-rewriter.ts";
import { checkAppendable, checkBatchWhole } from "./batch-validator.ts";
import { codec } from "./compression.ts";
import type { NewRecord } from "./record.ts";
import { recordedBatches, recordedLong, recordedShort } from "./recorded-batches.fixture.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`compressed batches: seed ${seed}`);

const codecs = [codec.gzip, codec.snappy, codec.lz4, codec.zstd];
const keyed = {
  cleanup: "compact",
  batchBytesMax: 100_000,
  timestampType: "create",
  timestampBeforeMaxMs: null,
  timestampAfterMaxMs: null,
  compression: "producer",
} as const;
const place = { topic: "t", partition: 0, isOwn: false };

function refusal(check: () => unknown): MillraceError | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    assert.ok(MillraceError.is(error), String(error));
    return error;
  }
}

test("batches of other clients are read, whatever their codec", () => {
  for (const [name, base64] of Object.entries(recordedBatches)) {
    const batch = Buffer.from(base64, "base64");
    checkBatchWhole(batch);
    checkAppendable(batch, 1_000_000, "t");
    const wanted = name.endsWith("long") ? recordedLong : recordedShort;
    assert.deepEqual(
      decodeBatch(batch),
      wanted.map((record, i) => ({ ...record, offset: 7 + i })),
      name,
    );
  }
});

test("a builder compresses one batch after the other with the codec that it is told", () => {
  const builder = new BatchBuilder(64);
  const handedOut: Buffer[] = [];
  for (const codecNumber of [codec.zstd, codec.none, codec.snappy, codec.lz4, codec.gzip]) {
    for (let i = 0; i < 50; i++) builder.add(Buffer.from(`k${i}`), Buffer.from(`${codecNumber} `.repeat(20)), i);
    const batch = builder.finish(codecNumber | attributeMask.transactional);
    assert.equal(batchCodec(batch), codecNumber);
    handedOut.push(batch);
  }
  for (const batch of handedOut) {
    checkBatchWhole(batch);
    const records = decodeBatch(batch);
    assert.equal(records.length, 50);
    assert.equal(String(records[49]?.value), `${batchCodec(batch)} `.repeat(20));
  }
});

test("one reader goes through batches of every codec", () => {
  const reader = new BatchRecords();
  for (const codecNumber of [codec.lz4, codec.none, codec.gzip, codec.zstd, codec.none, codec.snappy]) {
    reader.open(encodeBatch(recordedShort, 0, codecNumber));
    let count = 0;
    while (reader.next()) {
      const { key, value } = recordedShort[count++] as NewRecord;
      assert.deepEqual([reader.key, reader.value, reader.isTombstone], [key, value, value === null]);
      assert.equal(reader.keyBytes, key?.length ?? -1);
      if (key) assert.ok(key.equals(reader.bytes.subarray(reader.keyStart, reader.keyStart + reader.keyBytes)));
    }
    assert.equal(count, 5);
  }
});

test("codecs that do not exist, and delete horizons, are not taken from a writer", () => {
  for (const attributes of [5, 6, 7, attributeMask.deleteHorizon]) {
    const batch = encodeBatch(recordedShort, 0);
    batch.writeInt16BE(attributes, batchField.attributes);
    writeBatchChecksum(batch);
    assert.equal(refusal(() => checkAppendable(batch, 100_000, "t"))?.code, "RECORD_INVALID");
  }
});

test("compressed records stay unopened unless they are to be looked at", () => {
  for (const codecNumber of codecs) {
    const batch = encodeBatch([{ key: Buffer.from("k"), value: Buffer.alloc(100) }], 0, codecNumber);
    batch.fill(0xee, 61);
    writeBatchChecksum(batch);
    checkAppendable(batch, 100_000, "t");
    assert.equal(refusal(() => admitBatch(batch, place, keyed, 0))?.code, "RECORD_INVALID");
  }
});

test("a compacted topic takes no record without a key, and the refusal names the record", () => {
  for (const codecNumber of [codec.none, ...codecs]) {
    const error = refusal(() => admitBatch(encodeBatch(recordedShort, 0, codecNumber), place, keyed, 0));
    assert.equal(error?.code, "RECORD_INVALID");
    assert.equal(error?.details.recordIndex, 3);
    const withKeys = recordedShort.filter(({ key }) => key !== null);
    admitBatch(encodeBatch(withKeys, 0, codecNumber), place, keyed, 0);
  }
});

test("a batch with fewer or more records than its header says is refused where records are looked at", () => {
  const withKeys = recordedShort.filter(({ key }) => key !== null);
  for (const codecNumber of [codec.none, ...codecs]) {
    for (const count of [withKeys.length - 1, withKeys.length + 1]) {
      const batch = encodeBatch(withKeys, 0, codecNumber);
      batch.writeInt32BE(count, batchField.recordCount);
      batch.writeInt32BE(count - 1, batchField.lastOffsetDelta);
      writeBatchChecksum(batch);
      assert.equal(refusal(() => admitBatch(batch, place, keyed, 0))?.code, "RECORD_INVALID");
      assert.equal(refusal(() => checkBatchWhole(batch))?.code, "BATCH_CORRUPT");
    }
  }
});

test("records that decompress beyond the limit are refused where they are looked at", () => {
  for (const codecNumber of codecs) {
    const batch = encodeBatch([{ key: Buffer.from("k"), value: Buffer.alloc(100_000) }], 0, codecNumber);
    checkAppendable(batch, 100_000, "t");
    assert.equal(refusal(() => admitBatch(batch, place, keyed, 0, 50_000))?.code, "RECORD_TOO_LARGE");
    assert.equal(refusal(() => checkBatchWhole(batch, 50_000))?.code, "RECORD_TOO_LARGE");
  }
});

test("whatever a compressed batch is, checking and rewriting it only ever answers or refuses", () => {
  const random = seededRandom(seed);
  const refusals = new Set([undefined, "BATCH_CORRUPT", "RECORD_TOO_LARGE", "RECORD_INVALID"]);
  const batches = Object.values(recordedBatches).map((base64) => Buffer.from(base64, "base64"));
  for (let round = 0; round < 4_000; round++) {
    const batch = batches[random.below(batches.length)] as Buffer;
    const changed = Buffer.from(batch.subarray(0, random.below(6) === 0 ? random.below(batch.length) : undefined));
    for (let i = 0; i <= random.below(3); i++) {
      const at = random.below(3) === 0 ? random.below(61) : random.below(changed.length + 1);
      if (at < changed.length) changed[at] = random.below(256);
    }
    if (changed.length < 61) continue;
    // Past the length and the checksum, as a hostile writer would go.
    changed.writeInt32BE(changed.length - 12, batchField.batchLength);
    writeBatchChecksum(changed);
    const checks = [
      () => checkBatchWhole(changed, 300_000),
      () => admitBatch(Buffer.from(changed), place, keyed, 0, 300_000),
      () => admitBatch(Buffer.from(changed), place, { ...keyed, compression: "zstd" }, 0, 300_000),
      () => {
        checkBatchWhole(changed, 300_000);
        checkBatchWhole(rebuildBatch(changed, (records) => records.offset % 2 === 0, 1_800_000_000_000));
      },
    ];
    for (const check of checks) assert.ok(refusals.has(refusal(check)?.code));
  }
});
