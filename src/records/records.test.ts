import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { BatchBuilder, encodeBatch, encodeControlBatch } from "./batch-builder.ts";
import {
  batchField,
  batchHeaderBytes,
  hasRightChecksum,
  placeBatch,
  readBatchHeader,
  stampTransaction,
  writeBatchChecksum,
} from "./batch-header.ts";
import { BatchRecords, controlKind, decodeBatch } from "./batch-records.ts";
import { checkAppendable, checkBatch, checkBatchWhole, splitBatches } from "./batch-validator.ts";
import { crc32c, crc32cSliced } from "./crc32c.ts";
import { crc32cShift } from "./crc32c-shift.ts";
import { readInt64, writeInt64 } from "./int64.ts";
import type { NewRecord } from "./record.ts";
import { VarintReader, varintBytes, writeVarint } from "./varint.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`records: seed ${seed}`);
fc.configureGlobal({ seed });

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const header = fc.record({ key: fc.string(), value: fc.option(bytes) }, { noNullPrototype: true });
const record: fc.Arbitrary<NewRecord> = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(header, { maxLength: 3 }),
  timestamp: fc.integer({ min: -1, max: 2 ** 45 }),
});
const records = fc.array(record, { minLength: 1, maxLength: 20 });

test("the checksum follows a change of the header as if it were computed anew, and carries damage along", () => {
  fc.assert(
    fc.property(records, fc.nat(2 ** 31 - 1), fc.option(fc.nat()), (of, sequence, flip) => {
      const batch = encodeBatch(of, 1);
      const at = flip === null ? -1 : batchHeaderBytes + (flip % (batch.length - batchHeaderBytes));
      if (at >= 0) batch[at] = (batch[at] as number) ^ 0x20;
      stampTransaction(batch, sequence * 4096, sequence & 0x7fff, sequence);
      const carried = batch.readUInt32BE(batchField.crc);
      assert.equal(hasRightChecksum(batch), at < 0);
      if (at >= 0) batch[at] = (batch[at] as number) ^ 0x20;
      writeBatchChecksum(batch);
      assert.equal(batch.readUInt32BE(batchField.crc), carried);
    }),
  );
});

test("what is appended behind a message shifts the difference of two checksums, whatever its length", () => {
  for (const length of [0, 1, 7, 8, 255, 4096, 1_000_003, 64 * 1024 * 1024 + 5]) {
    const [one, other] = [Buffer.alloc(20 + length, 1), Buffer.alloc(20 + length, 1)];
    other.write("something else", 3);
    const before = crc32c(one.subarray(0, 20)) ^ crc32c(other.subarray(0, 20));
    assert.equal(crc32cShift(before >>> 0, length), (crc32c(one) ^ crc32c(other)) >>> 0, `${length} bytes`);
  }
});

test("CRC-32C has the check value of its specification, native and our own", () => {
  for (const checksum of [crc32c, crc32cSliced]) {
    assert.equal(checksum(Buffer.from("123456789")), 0xe3069283);
    // RFC 3720, appendix B.4.
    assert.equal(checksum(Buffer.alloc(32)), 0x8a9136aa);
    assert.equal(checksum(Buffer.alloc(32, 0xff)), 0x62a8ab43);
    assert.equal(checksum(Buffer.alloc(0)), 0);
  }
  fc.assert(fc.property(bytes, (input) => crc32c(input) === crc32cSliced(input)));
});

test("64-bit numbers come back as they were, and are refused beyond 2^53", () => {
  const buffer = Buffer.alloc(8);
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      writeInt64(buffer, 0, value);
      assert.equal(buffer.readBigInt64BE(0), BigInt(value));
      return readInt64(buffer, 0) === value;
    }),
  );
  buffer.writeBigInt64BE(2n ** 53n);
  assert.ok(Number.isNaN(readInt64(buffer, 0)));
});

test("varints are zig-zag, and take the bytes that they say", () => {
  const buffer = Buffer.alloc(16);
  const known: readonly [number, string][] = [
    [0, "00"],
    [-1, "01"],
    [1, "02"],
    [63, "7e"],
    [-64, "7f"],
    [64, "8001"],
    [300, "d804"],
    [2147483647, "feffffff0f"],
    [-2147483648, "ffffffff0f"],
  ];
  for (const [value, hex] of known) {
    const end = writeVarint(buffer, 0, value);
    assert.equal(buffer.toString("hex", 0, end), hex);
    assert.equal(new VarintReader(buffer, 0, end).int(), value);
  }
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      const end = writeVarint(buffer, 0, value);
      const reader = new VarintReader(buffer, 0, end);
      assert.equal(reader.long(), value);
      assert.equal(reader.position, end);
      assert.equal(varintBytes(value), end);
      return !reader.failed;
    }),
  );
  for (const bad of ["", "80", "ffffffffff", "ffffffffffffffffffff01"]) {
    const reader = new VarintReader(Buffer.from(bad, "hex"));
    reader.int();
    assert.ok(reader.failed, bad);
  }
});

test("records come out of a batch as they went in", () => {
  fc.assert(
    fc.property(records, fc.nat(), (input, baseOffset) => {
      const batch = encodeBatch(input, 5);
      placeBatch(batch, baseOffset, 3);
      checkBatchWhole(batch);
      assert.deepEqual(
        decodeBatch(batch),
        input.map((one, i) => ({ ...one, offset: baseOffset + i })),
      );
    }),
  );
});

test("a batch has the layout of KIP-98", () => {
  const batch = encodeBatch([{ key: Buffer.from("k"), value: Buffer.from("value"), timestamp: 0x0102030405 }], 0);
  placeBatch(batch, 9, 2);
  const parts = [
    "0000000000000009", // base offset
    "0000003f", // length behind this field
    "00000002", // leader epoch
    "02", // magic
    batch.toString("hex", 17, 21), // checksum
    "0000", // attributes
    "00000000", // last offset delta
    "0000000102030405", // base timestamp
    "0000000102030405", // max timestamp
    "ffffffffffffffff", // producer id
    "ffff", // producer epoch
    "ffffffff", // base sequence
    "00000001", // count
    "18", // record length 12
    "00", // attributes
    "00", // timestamp delta
    "00", // offset delta
    "026b", // key
    "0a76616c7565", // value
    "00", // headers
  ];
  const expected = parts.join("");
  batch.writeInt32BE(batch.length - 12, 8);
  assert.equal(batch.toString("hex"), expected.replace("0000003f", (batch.length - 12).toString(16).padStart(8, "0")));
});

test("offset and leader epoch are written without touching what the checksum covers", () => {
  const batch = encodeBatch([{ key: null, value: Buffer.from("v") }], 1);
  placeBatch(batch, 2 ** 40 + 7, 12);
  checkBatch(batch);
  const { baseOffset, lastOffset, leaderEpoch } = readBatchHeader(batch);
  assert.deepEqual([baseOffset, lastOffset, leaderEpoch], [2 ** 40 + 7, 2 ** 40 + 7, 12]);
  stampTransaction(batch, 2 ** 35, 4, 10);
  checkBatch(batch);
  const stamped = readBatchHeader(batch);
  assert.deepEqual([stamped.producerId, stamped.producerEpoch, stamped.baseSequence], [2 ** 35, 4, 10]);
  assert.equal(stamped.attributes, 0x10);
});

test("a builder makes one batch after the other, and what it handed out stays as it was", () => {
  const builder = new BatchBuilder(64);
  for (let i = 0; i < 100; i++) builder.add(null, Buffer.from(`first ${i}`), i);
  const first = builder.finish();
  const copy = Buffer.from(first);
  for (let i = 0; i < 100; i++) builder.add(Buffer.from("k"), Buffer.from(`second ${i}`), 1000 - i);
  const second = builder.finish();
  assert.deepEqual(first, copy);
  checkBatchWhole(second);
  assert.equal(readBatchHeader(second).maxTimestamp, 1000);
  assert.equal(String(decodeBatch(second)[99]?.value), "second 99");
});

test("a marker says what it ends", () => {
  for (const kind of ["commit", "abort"] as const) {
    const marker = encodeControlBatch(kind, { producerId: 77, epoch: 5 }, 9);
    checkBatchWhole(marker);
    assert.equal(controlKind(marker), kind);
    const { producerId, producerEpoch, attributes } = readBatchHeader(marker);
    assert.deepEqual([producerId, producerEpoch, attributes], [77, 5, 0x30]);
  }
});

test("batches that lie one behind the other are told apart, and the rest is cut", () => {
  const batches = ["a", "b", "c"].map((value) => encodeBatch([{ key: null, value: Buffer.from(value) }], 1));
  assert.deepEqual(splitBatches(Buffer.concat(batches)), batches);
  assert.deepEqual(splitBatches(Buffer.concat(batches).subarray(0, -1)), batches.slice(0, 2));
  assert.deepEqual(splitBatches(Buffer.alloc(5)), []);
});

const refusals = new Set(["BATCH_CORRUPT", "RECORD_TOO_LARGE", "RECORD_INVALID"]);

/** Everything that reads untrusted bytes; throws what it may, and asserts on anything else. */
function readAll(input: Buffer): void {
  for (const read of [() => checkBatch(input), () => checkBatchWhole(input), () => checkAppendable(input, 1000, "t")]) {
    try {
      read();
    } catch (error) {
      assert.ok(MillraceError.is(error) && refusals.has(error.code), String(error));
    }
  }
}

test("whatever the bytes are, checking them only ever answers or refuses", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (input) => readAll(Buffer.from(input))));
  const random = seededRandom(seed);
  for (let round = 0; round < 5_000; round++) {
    const headers = [{ key: "h", value: Buffer.from("x") }];
    const batch = encodeBatch(
      Array.from({ length: 1 + random.below(5) }, () => ({
        key: random.bytes(random.below(9)),
        value: random.bytes(random.below(40)),
        headers,
      })),
      1,
    );
    const changed = Buffer.from(
      batch.subarray(0, random.below(4) === 0 ? random.below(batch.length + 1) : batch.length),
    );
    for (let i = 0; i <= random.below(4); i++)
      if (changed.length > 0) changed[random.below(changed.length)] = random.below(256);
    readAll(changed);
    // Past the checksum, as a hostile writer would go.
    if (changed.length > 61) {
      writeBatchChecksum(changed);
      readAll(changed);
    }
  }
});

test("every flipped bit that the checksum covers is noticed", () => {
  const batch = encodeBatch([{ key: Buffer.from("key"), value: Buffer.from("value") }], 1);
  for (let at = 16; at < batch.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = Buffer.from(batch);
      changed[at] = (changed[at] as number) ^ (1 << bit);
      assert.throws(
        () => checkBatch(changed),
        (error) => MillraceError.is(error, "BATCH_CORRUPT"),
        `byte ${at}`,
      );
    }
  }
});

test("one reader goes through many batches", () => {
  const reader = new BatchRecords();
  for (const values of [["a"], ["b", "c"]]) {
    const batch = encodeBatch(
      values.map((value) => ({ key: null, value: Buffer.from(value), headers: [{ key: "h", value: null }] })),
      1,
    );
    reader.open(batch);
    const seen: string[] = [];
    while (reader.next()) {
      assert.equal(reader.headers[0]?.key, "h");
      seen.push(String(reader.value));
    }
    assert.deepEqual(seen, values);
  }
});
