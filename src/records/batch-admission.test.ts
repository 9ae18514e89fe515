import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { type AdmissionSettings, admitBatch, type RecordError } from "./batch-admission.ts";
import { encodeBatch } from "./batch-builder.ts";
import {
  attributeMask,
  batchAttributes,
  batchCodec,
  batchField,
  batchMaxTimestamp,
  readBatchHeader,
  writeBatchChecksum,
} from "./batch-header.ts";
import { decodeBatch } from "./batch-records.ts";
import { checkBatchWhole } from "./batch-validator.ts";
import { codec } from "./compression.ts";
import { readInt64, writeInt64 } from "./int64.ts";

const nowMs = Date.UTC(2026, 0, 1);
const hourMs = 3_600_000;
const place = { topic: "t", partition: 3, isOwn: false };
const defaults: AdmissionSettings = {
  cleanup: "delete",
  batchBytesMax: 100_000,
  timestampType: "create",
  timestampBeforeMaxMs: null,
  timestampAfterMaxMs: hourMs,
  compression: "producer",
};
const allCodecs = Object.values(codec);

function batchAt(times: readonly number[], attributes = 0): Buffer {
  return encodeBatch(
    times.map((timestamp, i) => ({ key: Buffer.from(`k${i}`), value: Buffer.from("value ".repeat(20)), timestamp })),
    nowMs,
    attributes,
  );
}

/** With other bytes in its header, as a writer with a mind of its own makes it. */
function changed(batch: Buffer, change: (batch: Buffer) => void): Buffer {
  change(batch);
  writeBatchChecksum(batch);
  return batch;
}

function admit(batch: Buffer, settings: Partial<AdmissionSettings> = {}, at = place): Buffer {
  return admitBatch(batch, at, { ...defaults, ...settings }, nowMs);
}

function refusal(code: ErrorCode, act: () => unknown): readonly RecordError[] {
  try {
    act();
  } catch (error) {
    assert.ok(MillraceError.is(error, code), `expected ${code}, not ${error}`);
    return (error.details.recordErrors ?? []) as readonly RecordError[];
  }
  assert.fail("it was taken");
}

test("by default a batch is kept as it came, and its records are not looked into", () => {
  for (const codecNumber of allCodecs) {
    const batch = batchAt([nowMs - 50 * 365 * 24 * hourMs, nowMs + hourMs], codecNumber);
    if (codecNumber !== codec.none) changed(batch, (bytes) => bytes.fill(0xee, 61));
    const before = Buffer.from(batch);
    assert.equal(admit(batch), batch);
    assert.deepEqual(batch, before);
  }
});

test("a time that is too far ahead is refused, and every such record is named", () => {
  for (const codecNumber of allCodecs) {
    const batch = batchAt([nowMs, nowMs + hourMs + 1, nowMs + hourMs, nowMs + 2 * hourMs], codecNumber);
    const errors = refusal("RECORD_TIMESTAMP_INVALID", () => admit(batch));
    assert.deepEqual(
      errors.map(({ batchIndex }) => batchIndex),
      [1, 3],
    );
    // As Kafka says it, whose bound "never" is 2^63 - 1.
    assert.equal(
      errors[0]?.message,
      `Timestamp ${nowMs + hourMs + 1} of message with offset 1 is out of range. ` +
        `The timestamp should be within [${BigInt(nowMs) - 9223372036854775807n}, ${nowMs + hourMs}]`,
    );
    admit(batchAt([nowMs + 2 * hourMs], codecNumber), { timestampAfterMaxMs: null });
  }
});

test("a time that is too long ago is refused where that is bounded, and no time at all is not", () => {
  const settings = { timestampBeforeMaxMs: 1000 };
  const errors = refusal("RECORD_TIMESTAMP_INVALID", () => admit(batchAt([nowMs, nowMs - 1001, -2]), settings));
  assert.deepEqual(
    errors.map(({ batchIndex }) => batchIndex),
    [1, 2],
  );
  admit(batchAt([nowMs - 1000, -1]), settings);
  admit(batchAt([-1, -2, -5_000]));
});

test("the bounds are not for what this process writes by the clocks of its sources", () => {
  admit(batchAt([nowMs + 2 * hourMs]), {}, { ...place, isOwn: true });
  admit(batchAt([5]), { timestampBeforeMaxMs: 0 }, { ...place, isOwn: true });
});

test("what a header says of the latest time is corrected where records are looked at", () => {
  const batch = changed(batchAt([nowMs - 5, nowMs - 9]), (bytes) =>
    writeInt64(bytes, batchField.maxTimestamp, nowMs + 5 * hourMs),
  );
  assert.equal(batchMaxTimestamp(admit(batch)), nowMs - 5);
  checkBatchWhole(batch);
});

test("the time of the append is that of all records, and the base of their times stays", () => {
  for (const codecNumber of allCodecs) {
    const batch = batchAt([nowMs + 900 * hourMs, 7], codecNumber);
    const admitted = admit(batch, { timestampType: "append" });
    assert.equal(admitted, batch);
    checkBatchWhole(admitted);
    const { attributes, maxTimestamp, baseTimestamp } = readBatchHeader(admitted);
    assert.deepEqual([attributes, maxTimestamp, baseTimestamp], [codecNumber | 0x08, nowMs, nowMs + 900 * hourMs]);
    assert.deepEqual(
      decodeBatch(admitted).map(({ timestamp }) => timestamp),
      [nowMs, nowMs],
    );
  }
});

test("a writer does not say that the log gave the time", () => {
  const claiming = () =>
    changed(batchAt([nowMs, nowMs]), (bytes) => bytes.writeInt16BE(attributeMask.logAppendTime, batchField.attributes));
  const errors = refusal("RECORD_TIMESTAMP_INVALID", () => admit(claiming(), { timestampType: "append" }));
  assert.deepEqual(
    errors.map(({ batchIndex }) => batchIndex),
    [0, 1],
  );
  assert.match(errors[0]?.message ?? "", /Producer should not set timestamp type to LogAppendTime/);
  // Where times are the writer's Kafka takes the claim back.
  const admitted = admit(claiming());
  assert.equal(batchAttributes(admitted), 0);
  checkBatchWhole(admitted);
});

test("records without a key are named in Kafka's words, each of them", () => {
  const records = [null, Buffer.from("k"), null].map((key) => ({ key, value: Buffer.from("v"), timestamp: nowMs }));
  const batch = encodeBatch(records, nowMs);
  const message = "Compacted topic cannot accept message without key in topic partition t-3";
  assert.deepEqual(
    refusal("RECORD_INVALID", () => admit(batch, { cleanup: "compact,delete" })),
    [0, 2].map((batchIndex) => ({ batchIndex, message })),
  );
});

test("a wrong time is the reason where keys are missing too, and a refusal names a hundred records at most", () => {
  const records = Array.from({ length: 300 }, (_, i) => ({
    key: null,
    value: null,
    timestamp: i === 200 ? nowMs + 2 * hourMs : nowMs,
  }));
  const mixed = encodeBatch(
    records.map((one, i) => (i === 200 ? { ...one, key: Buffer.from("k") } : one)),
    nowMs,
  );
  assert.equal(refusal("RECORD_TIMESTAMP_INVALID", () => admit(mixed, { cleanup: "compact" })).length, 100);
});

test("records are compressed by the topic's codec, and nothing else of the batch changes", () => {
  for (const from of allCodecs) {
    for (const [name, to] of Object.entries(codec)) {
      const batch = changed(batchAt([nowMs, nowMs - 4, nowMs + 7], from), (bytes) => {
        bytes.writeInt16BE(from | attributeMask.transactional, batchField.attributes);
        writeInt64(bytes, batchField.producerId, 77);
        bytes.writeInt16BE(2, batchField.producerEpoch);
        bytes.writeInt32BE(40, batchField.baseSequence);
      });
      const [header, records] = [readBatchHeader(batch), decodeBatch(batch)];
      const compression = name === "none" ? "uncompressed" : (name as AdmissionSettings["compression"]);
      const admitted = admit(batch, { compression });
      assert.equal(batchCodec(admitted), to);
      assert.equal(admitted === batch, from === to);
      checkBatchWhole(admitted);
      assert.deepEqual(decodeBatch(admitted), records);
      const { sizeBytes: _, attributes, ...rest } = readBatchHeader(admitted);
      const { sizeBytes: __, attributes: wanted, ...restWanted } = header;
      assert.deepEqual(rest, restWanted);
      assert.equal(attributes & ~attributeMask.codec, wanted & ~attributeMask.codec);
      assert.equal(attributes & attributeMask.codec, to);
    }
  }
});

test("the topic's codec and the time of the append go together", () => {
  const admitted = admit(batchAt([5, 6], codec.gzip), { compression: "lz4", timestampType: "append" });
  checkBatchWhole(admitted);
  assert.equal(batchAttributes(admitted), codec.lz4 | attributeMask.logAppendTime);
  assert.deepEqual([batchMaxTimestamp(admitted), readInt64(admitted, batchField.baseTimestamp)], [nowMs, 5]);
});

test("a batch that is too large when it is not compressed is refused before it is unpacked whole", () => {
  const bomb = encodeBatch([{ key: null, value: Buffer.alloc(50_000_000) }], nowMs, codec.zstd);
  assert.ok(bomb.length < 100_000);
  refusal("RECORD_TOO_LARGE", () => admit(bomb, { compression: "uncompressed" }));
  refusal("RECORD_TOO_LARGE", () => admitBatch(bomb, place, { ...defaults, compression: "lz4" }, nowMs, 1_000_000));
});

test("records that are damaged behind a right checksum are refused for good where they are looked at", () => {
  for (const from of [codec.gzip, codec.snappy, codec.lz4]) {
    const batch = changed(batchAt([nowMs], from), (bytes) => bytes.fill(0xee, 61));
    refusal("RECORD_INVALID", () => admit(batch, { compression: "zstd" }));
  }
  const misplaced = batchAt([nowMs, nowMs]);
  const records = misplaced.subarray(61);
  const second = records.indexOf("k1");
  changed(misplaced, () => {
    records[second - 2] = 0;
  });
  refusal("RECORD_INVALID", () => admit(misplaced, { cleanup: "compact" }));
});

test("counts, sequences and markers that a writer may not send are refused for good", () => {
  const wrong: ((batch: Buffer) => void)[] = [
    (bytes) => bytes.writeInt32BE(0, batchField.recordCount),
    (bytes) => bytes.writeInt32BE(3, batchField.recordCount),
    (bytes) => bytes.writeInt32BE(-1, batchField.lastOffsetDelta),
    (bytes) => bytes.writeInt32BE(7, batchField.lastOffsetDelta),
    (bytes) => bytes.writeInt16BE(attributeMask.control, batchField.attributes),
    (bytes) => bytes.writeInt16BE(attributeMask.transactional, batchField.attributes),
    (bytes) => writeInt64(bytes, batchField.producerId, 5),
  ];
  for (const change of wrong) refusal("RECORD_INVALID", () => admit(changed(batchAt([nowMs, nowMs]), change)));
  const damaged = batchAt([nowMs]);
  damaged.writeInt32BE(0, batchField.recordCount);
  refusal("BATCH_CORRUPT", () => admit(damaged));
});
