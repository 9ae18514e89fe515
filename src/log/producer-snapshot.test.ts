import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { attributeMask } from "../records/batch-header.ts";
import { crc32c } from "../records/crc32c.ts";
import type { StoredProducer } from "./producer.ts";
import { decodeProducerSnapshot, encodeProducerSnapshot } from "./producer-snapshot.ts";
import { ProducerTable } from "./producer-table.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`producer snapshot: seed ${seed}`);

const place = { topicId: "0b8e6a38-7a52-4c4e-9b0e-3d0f5a1c2b4d", partition: 3 };
const crcPosition = 8;

/** Three producers, two of them with an open transaction, one with a full ring. */
function filled(): ProducerTable {
  const table = new ProducerTable();
  const common = { producerEpoch: 2, attributes: 0, maxTimestamp: 1_700_000_000_000 };
  for (let i = 0; i < 8; i++) {
    table.apply({ ...common, producerId: 7, baseSequence: i, baseOffset: i, lastOffset: i }, 1_700_000_000_100 + i);
  }
  for (const producerId of [2 ** 50, 9]) {
    const baseOffset = 10 + (producerId % 10);
    const attributes = attributeMask.transactional;
    table.apply({ ...common, producerId, attributes, baseSequence: 0, baseOffset, lastOffset: baseOffset + 4 }, 5);
  }
  return table;
}

function decode(bytes: Buffer) {
  return decodeProducerSnapshot(bytes, place, "/log/x.producers");
}

function withRightChecksum(bytes: Buffer): Buffer {
  if (bytes.length < 12) return bytes;
  bytes.writeUInt32BE(crc32c(Buffer.concat([bytes.subarray(0, crcPosition), bytes.subarray(12)])), crcPosition);
  return bytes;
}

test("producers come back from their bytes, with the offset that they stand for", () => {
  const table = filled();
  const bytes = encodeProducerSnapshot(place, { offset: 40, table });
  const again = decode(bytes);
  assert.equal(again?.offset, 40);
  assert.deepEqual([...again.table.states()], [...table.states()]);
  assert.deepEqual(again.table.openTransactions(), table.openTransactions());
  assert.equal(again.table.firstOpenOffset(), table.firstOpenOffset());
  assert.deepEqual(encodeProducerSnapshot(place, again), bytes);
});

test("a partition without producers has a snapshot of its header alone", () => {
  const bytes = encodeProducerSnapshot(place, { offset: 12, table: new ProducerTable() });
  assert.equal(bytes.length, 48);
  assert.equal(decode(bytes)?.table.size, 0);
});

test("the snapshot of another partition, a short one and a damaged one are not used", () => {
  const bytes = encodeProducerSnapshot(place, { offset: 40, table: filled() });
  assert.equal(decodeProducerSnapshot(bytes, { ...place, partition: 4 }, "x"), undefined);
  const other = { ...place, topicId: "1b8e6a38-7a52-4c4e-9b0e-3d0f5a1c2b4d" };
  assert.equal(decodeProducerSnapshot(bytes, other, "x"), undefined);
  for (let end = 0; end < bytes.length; end++) assert.equal(decode(bytes.subarray(0, end)), undefined);
  assert.equal(decode(Buffer.concat([bytes, Buffer.alloc(1)])), undefined);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.equal(decode(damaged), undefined, `bit ${bit}`);
  }
});

test("a newer format is refused, an unknown older one is not used", () => {
  const bytes = encodeProducerSnapshot(place, { offset: 40, table: filled() });
  bytes.writeUInt32BE(2, 4);
  assert.equal(decode(bytes), undefined, "damaged, since its checksum is wrong");
  assert.throws(() => decode(withRightChecksum(bytes)), { code: "LOG_FORMAT_NEWER" });
  bytes.writeUInt32BE(0, 4);
  assert.equal(decode(withRightChecksum(bytes)), undefined);
});

test("a snapshot that cannot be of any table is not used, though its checksum is right", () => {
  const bytes = encodeProducerSnapshot(place, { offset: 40, table: filled() });
  const entry = 48;
  /** The second one with an open transaction. */
  const second = entry + 60 + 5 * 24 + 60 + 24;
  const changed = (change: (copy: Buffer) => void) => {
    const copy = Buffer.from(bytes);
    change(copy);
    return decode(withRightChecksum(copy));
  };
  assert.ok(changed(() => {}));
  const wrong: Record<string, (copy: Buffer) => void> = {
    "more entries than bytes": (copy) => copy.writeUInt32BE(0xffffffff, 40),
    "fewer entries than bytes": (copy) => copy.writeUInt32BE(2, 40),
    "an offset below what was seen": (copy) => copy.writeBigInt64BE(12n, 32),
    "an offset beyond 2^53": (copy) => copy.writeBigInt64BE(2n ** 60n, 32),
    "a producer id below 0": (copy) => copy.writeBigInt64BE(-1n, entry),
    "an epoch below -1": (copy) => copy.writeInt16BE(-2, entry + 8),
    "six batches": (copy) => copy.writeUInt16BE(6, entry + 58),
    "a negative sequence": (copy) => copy.writeInt32BE(-1, entry + 60),
    "batches out of order": (copy) => copy.writeBigInt64BE(6n, entry + 60 + 8),
    "transactions out of order": (copy) => copy.writeBigInt64BE(2n, second + 40),
    "an idle producer behind one with a transaction": (copy) => copy.fill(0xff, second + 40, second + 58),
    "the same producer twice": (copy) => copy.writeBigInt64BE(7n, entry + 60 + 5 * 24),
  };
  for (const [what, change] of Object.entries(wrong)) assert.equal(changed(change), undefined, what);
});

const mutation = fc.record({ at: fc.nat(), value: fc.nat(255), bytes: fc.constantFrom(1, 1, 2, 4, 8) });

test("bytes from anywhere are a snapshot or are not used, and cost no more memory than themselves", () => {
  const bytes = encodeProducerSnapshot(place, { offset: 40, table: filled() });
  let used = 0;
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), fc.nat(40), (mutations, cut) => {
      const copy = Buffer.from(cut > 30 ? bytes.subarray(0, bytes.length - cut) : bytes);
      for (const { at, value, bytes: width } of mutations)
        copy.fill(value, at % copy.length, Math.min((at % copy.length) + width, copy.length));
      try {
        const found = decode(withRightChecksum(copy));
        if (!found) return;
        used++;
        // What is used is whole: it encodes to itself.
        assert.deepEqual(encodeProducerSnapshot(place, found), copy);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "LOG_FORMAT_NEWER");
      }
    }),
    { seed, numRuns: 2000 },
  );
  assert.ok(used > 0);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400, size: "max" }), (noise) => {
      decode(Buffer.from(noise));
      const branded = Buffer.concat([bytes.subarray(0, 40), Buffer.from(noise)]);
      decode(withRightChecksum(branded));
    }),
    { seed, numRuns: 1000 },
  );
});

test("the example of the format's page is what it says", () => {
  const page = readFileSync(new URL("../../docs/internals/formats/producer-snapshot.md", import.meta.url), "utf8");
  const block = /```hex\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  const bytes = Buffer.from(block.replaceAll(/#.*$/gm, "").replaceAll(/\s/g, ""), "hex");
  const found = decodeProducerSnapshot(bytes, place, "x");
  assert.equal(found?.offset, 1010);
  const idle: StoredProducer = {
    producerId: 4,
    epoch: 1,
    endedEpoch: -1,
    coordinatorEpoch: -1,
    lastOffset: 1001,
    lastTimestamp: 1_767_225_600_000,
    lastSeenMs: 1_767_225_600_005,
    open: undefined,
    batches: [{ firstSequence: 0, lastSequence: 1, lastOffset: 1001, timestamp: 1_767_225_600_000 }],
  };
  const open: StoredProducer = {
    producerId: 5,
    epoch: 7,
    endedEpoch: 6,
    coordinatorEpoch: 0,
    lastOffset: 1009,
    lastTimestamp: 1_767_225_602_000,
    lastSeenMs: 1_767_225_602_001,
    open: { epoch: 7, firstOffset: 1003, startedMs: 1_767_225_601_000 },
    batches: [
      { firstSequence: 0, lastSequence: 4, lastOffset: 1007, timestamp: 1_767_225_601_000 },
      { firstSequence: 5, lastSequence: 6, lastOffset: 1009, timestamp: 1_767_225_602_000 },
    ],
  };
  assert.deepEqual([...found.table.states()], [idle, open]);
  assert.deepEqual(
    encodeProducerSnapshot(place, { offset: 1010, table: ProducerTable.restore([idle, open]) }).toString("hex"),
    bytes.toString("hex"),
  );
});
