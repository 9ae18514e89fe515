import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBatch, encodeControlBatch } from "../records/batch-builder.ts";
import { isControl, placeBatch, readBatchHeader, stampTransaction } from "../records/batch-header.ts";
import { controlKind } from "../records/batch-records.ts";
import { splitBatches } from "../records/batch-validator.ts";
import type { ProducerBatch, ProducerDecision, TransactionVersion } from "./producer.ts";
import { batch, type Fields, marker, maxSequence } from "./producer-batch.fixture.ts";
import { ProducerTable } from "./producer-table.ts";

function tableOf(...batches: ProducerBatch[]): ProducerTable {
  const table = new ProducerTable();
  for (const each of batches) table.apply(each, 0);
  return table;
}

function outcomeOf(table: ProducerTable, fields: Fields, nextOffset = 100, version: TransactionVersion = 1) {
  return table.decide(batch(fields), nextOffset, version).outcome;
}

test("a batch without a producer is always appended, and leaves nothing behind", () => {
  const table = tableOf(batch({ producerId: -1, baseSequence: -1, producerEpoch: -1 }));
  assert.equal(outcomeOf(table, { producerId: -1, baseSequence: -1, producerEpoch: -1 }, 0), "append");
  table.marker("abort", marker({ producerId: -1 }), 0);
  assert.equal(table.size, 0);
});

test("the batch that follows in sequence is appended, and no other", () => {
  const table = tableOf(batch({ count: 3 }));
  assert.equal(outcomeOf(table, { baseSequence: 3 }), "append");
  for (const baseSequence of [2, 4, 1, maxSequence, -1]) {
    assert.deepEqual(table.decide(batch({ baseSequence }), 100, 1), { outcome: "out-of-order", expected: 3 });
  }
});

test("a batch sent again is answered with its first offsets, as long as it is one of the last five", () => {
  const table = new ProducerTable();
  for (let i = 0; i < 7; i++) {
    table.apply(batch({ baseSequence: i * 2, count: 2, baseOffset: 100 + i * 10, maxTimestamp: 5000 + i }), 0);
  }
  for (let i = 2; i < 7; i++) {
    assert.deepEqual(table.decide(batch({ baseSequence: i * 2, count: 2 }), 200, 1), {
      outcome: "duplicate",
      baseOffset: 100 + i * 10,
      lastOffset: 101 + i * 10,
      timestamp: 5000 + i,
    });
  }
  assert.equal(outcomeOf(table, { baseSequence: 2, count: 2 }), "out-of-order");
  assert.equal(outcomeOf(table, { baseSequence: 12, count: 1 }), "out-of-order");
  assert.equal(outcomeOf(table, { baseSequence: 12, count: 2, producerEpoch: 1 }), "out-of-order");
});

test("sequences go on at 0 behind 2^31 - 1, also within a batch", () => {
  const table = tableOf(batch({ baseSequence: maxSequence - 1, count: 2, baseOffset: 10 }));
  assert.equal(outcomeOf(table, { baseSequence: 0 }), "append");
  const across = tableOf(batch({ baseSequence: maxSequence - 1, count: 5, baseOffset: 10 }));
  assert.equal(outcomeOf(across, { baseSequence: 3 }), "append");
  assert.deepEqual(across.decide(batch({ baseSequence: maxSequence - 1, count: 5 }), 100, 1), {
    outcome: "duplicate",
    baseOffset: 10,
    lastOffset: 14,
    timestamp: 1010,
  });
});

test("a lower epoch is fenced, and a higher one begins at sequence 0", () => {
  const table = tableOf(batch({ producerEpoch: 4, count: 3 }));
  assert.deepEqual(table.decide(batch({ producerEpoch: 3, baseSequence: 3 }), 100, 1), { outcome: "fenced", epoch: 4 });
  assert.equal(outcomeOf(table, { producerEpoch: -1, baseSequence: 3 }), "fenced");
  assert.deepEqual(table.decide(batch({ producerEpoch: 5, baseSequence: 3 }), 100, 1), {
    outcome: "out-of-order",
    expected: 0,
  });
  assert.equal(outcomeOf(table, { producerEpoch: 5 }), "append");
});

test("a producer that is not known begins where it wants, but at 0 where no record was ever held", () => {
  const table = new ProducerTable();
  assert.equal(outcomeOf(table, { baseSequence: 17 }, 1), "append");
  assert.equal(outcomeOf(table, { baseSequence: 17 }, 0), "out-of-order");
  assert.equal(outcomeOf(table, { baseSequence: 0 }, 0), "append");
  assert.equal(outcomeOf(table, { baseSequence: -1 }, 1), "out-of-order");
  assert.equal(outcomeOf(table, { producerEpoch: -1 }, 1), "fenced");
});

test("a transaction of version 2 begins at sequence 0 for a producer that is not known", () => {
  const table = new ProducerTable();
  assert.equal(outcomeOf(table, { baseSequence: 17, transactional: true }, 1, 2), "out-of-order");
  assert.equal(outcomeOf(table, { baseSequence: 0, transactional: true }, 1, 2), "append");
  assert.equal(outcomeOf(table, { baseSequence: 17, transactional: true }, 1, 1), "append");
  assert.equal(outcomeOf(table, { baseSequence: 17 }, 1, 2), "append");
});

test("a marker of a higher epoch fences the older ones, and a transaction of version 2 begins at 0", () => {
  const table = tableOf(batch({ transactional: true, count: 3 }));
  assert.equal(table.marker("commit", marker({ producerEpoch: 1, baseOffset: 3 }), 0), undefined);
  assert.equal(outcomeOf(table, { transactional: true, baseSequence: 3 }), "fenced");
  const next = { transactional: true, producerEpoch: 1 };
  assert.equal(outcomeOf(table, { ...next, baseSequence: 3 }, 100, 2), "out-of-order");
  for (const version of [1, 2] as const) assert.equal(outcomeOf(table, next, 100, version), "append");
});

test("a producer of which only the marker of its epoch is left goes on where it is, under version 1", () => {
  const table = new ProducerTable();
  table.marker("commit", marker({ producerEpoch: 1, baseOffset: 3 }), 0);
  assert.equal(outcomeOf(table, { transactional: true, producerEpoch: 1, baseSequence: 17 }), "append");
  assert.equal(outcomeOf(table, { transactional: true, producerEpoch: 2, baseSequence: 17 }), "out-of-order");
  assert.equal(outcomeOf(table, { transactional: true, producerEpoch: 1, baseSequence: -1 }), "out-of-order");
});

test("what has no sequence is held against epochs and open transactions only", () => {
  const unnumbered = batch({ transactional: true, producerEpoch: 1, baseSequence: -1, baseOffset: 20 });
  const decide = (table: ProducerTable, more: Partial<ProducerBatch> = {}, version: TransactionVersion = 1) =>
    table.decide({ ...unnumbered, ...more }, 100, version, false).outcome;
  const table = new ProducerTable();
  assert.equal(decide(table), "append");
  table.apply(unnumbered, 0);
  assert.equal(table.firstOpenOffset(), 20);
  assert.equal(decide(table), "append", "it is no repeated one");
  assert.equal(decide(table, { producerEpoch: 0 }), "fenced");
  assert.equal(decide(table, { producerEpoch: 2 }), "invalid-transaction-state");
  table.marker("commit", marker({ producerEpoch: 1, baseOffset: 21 }), 0);
  assert.equal(decide(table), "append");
  assert.equal(decide(table, {}, 2), "fenced");
});

test("a marker of the same epoch keeps what a repeated batch is known by", () => {
  const table = tableOf(batch({ transactional: true, count: 3 }));
  table.marker("commit", marker({ baseOffset: 3 }), 0);
  assert.equal(outcomeOf(table, { transactional: true, count: 3 }, 100, 2), "duplicate");
  assert.equal(outcomeOf(table, { transactional: true, baseSequence: 3 }, 100, 1), "append");
});

test("under version 2 a batch that was late for its transaction begins no other one", () => {
  const table = tableOf(batch({ transactional: true, producerEpoch: 6, count: 3 }));
  table.marker("abort", marker({ producerEpoch: 6, baseOffset: 3 }), 0);
  assert.equal(outcomeOf(table, { transactional: true, producerEpoch: 6, baseSequence: 3 }, 100, 2), "fenced");
  assert.equal(outcomeOf(table, { transactional: true, producerEpoch: 7 }, 100, 2), "append");
});

test("a marker of a lower epoch is fenced; it is taken from a producer that is not known", () => {
  const table = tableOf(batch({ producerEpoch: 4 }));
  assert.equal(table.decide(marker({ producerEpoch: 3 }), 100, 2).outcome, "fenced");
  assert.equal(table.decide(marker({ producerEpoch: 4 }), 100, 2).outcome, "append");
  assert.equal(table.decide(marker({ producerId: 9 }), 100, 2).outcome, "append");
});

test("while a producer has a transaction open nothing of it goes beside the transaction", () => {
  const table = tableOf(batch({ transactional: true, count: 3, baseOffset: 20 }));
  const refused: ProducerDecision = { outcome: "invalid-transaction-state", firstOffset: 20 };
  assert.deepEqual(table.decide(batch({ baseSequence: 3 }), 100, 1), refused);
  assert.deepEqual(table.decide(batch({ producerEpoch: 1, transactional: true }), 100, 1), refused);
  assert.equal(outcomeOf(table, { baseSequence: 3, transactional: true }), "append");
  table.marker("abort", marker({ baseOffset: 23 }), 0);
  assert.equal(outcomeOf(table, { baseSequence: 3 }), "append");
});

test("an abort marker answers the range that it ended, a commit and an empty transaction nothing", () => {
  const table = tableOf(
    batch({ transactional: true, baseOffset: 5 }),
    batch({ transactional: true, baseOffset: 6, baseSequence: 1 }),
  );
  assert.deepEqual(table.marker("abort", marker({ baseOffset: 9 }), 0), {
    producerId: 1,
    firstOffset: 5,
    lastOffset: 9,
  });
  assert.equal(table.marker("abort", marker({ baseOffset: 10 }), 0), undefined);
  table.apply(batch({ transactional: true, producerEpoch: 1, baseOffset: 11 }), 0);
  assert.equal(table.marker("commit", marker({ producerEpoch: 1, baseOffset: 12 }), 0), undefined);
  assert.equal(table.firstOpenOffset(), Number.POSITIVE_INFINITY);
});

test("the earliest open transaction is known whatever the order in which they end", () => {
  const table = new ProducerTable();
  for (let i = 0; i < 4; i++) table.apply(batch({ producerId: i, transactional: true, baseOffset: i * 10 }), 70 + i);
  assert.equal(table.firstOpenOffset(), 0);
  table.marker("commit", marker({ producerId: 1, baseOffset: 40 }), 0);
  assert.equal(table.firstOpenOffset(), 0);
  table.marker("commit", marker({ producerId: 0, baseOffset: 41 }), 0);
  assert.equal(table.firstOpenOffset(), 20);
  assert.deepEqual(table.openTransactions(), [
    { producerId: 2, epoch: 0, firstOffset: 20, startedMs: 72 },
    { producerId: 3, epoch: 0, firstOffset: 30, startedMs: 73 },
  ]);
  assert.equal(table.isOpen(2), true);
  assert.equal(table.isOpen(1), false);
});

test("producers are described as DescribeProducers asks", () => {
  const table = tableOf(batch({ transactional: true, count: 4, baseOffset: 8, producerEpoch: 3, maxTimestamp: 77 }));
  const known = { producerId: 1, epoch: 3, lastTimestamp: 77 };
  assert.deepEqual(table.describe(), [
    { ...known, lastSequence: 3, coordinatorEpoch: -1, currentTransactionStartOffset: 8 },
  ]);
  table.marker("commit", marker({ producerEpoch: 4, baseOffset: 12, maxTimestamp: 99 }), 0, 6);
  assert.deepEqual(table.describe(), [
    {
      producerId: 1,
      epoch: 4,
      lastTimestamp: 99,
      lastSequence: -1,
      coordinatorEpoch: 6,
      currentTransactionStartOffset: -1,
    },
  ]);
});

test("the last batch of a producer's epoch is known to the cleaner, or the marker that began the epoch", () => {
  const table = tableOf(batch({ transactional: true, count: 4 }), batch({ producerId: 2, baseOffset: 4 }));
  table.marker("commit", marker({ baseOffset: 5 }), 0);
  assert.deepEqual(
    [3, 5].map((offset) => table.isLastBatch(1, offset)),
    [true, false],
  );
  assert.equal(table.isLastBatch(2, 4), true);
  assert.equal(table.isLastBatch(3, 4), false);
  table.marker("abort", marker({ producerEpoch: 1, baseOffset: 6 }), 0);
  assert.deepEqual(
    [3, 6].map((offset) => table.isLastBatch(1, offset)),
    [false, true],
  );
});

test("idle producers expire, those with an open transaction do not", () => {
  const table = new ProducerTable();
  table.apply(batch({ producerId: 1 }), 1000);
  table.apply(batch({ producerId: 2, transactional: true, baseOffset: 1 }), 1000);
  table.apply(batch({ producerId: 3, baseOffset: 2 }), 1500);
  assert.equal(table.expire(1999, 1000), 0);
  assert.equal(table.expire(2000, 1000), 1);
  assert.equal(outcomeOf(table, { producerId: 1, baseSequence: 50 }), "append");
  assert.equal(outcomeOf(table, { producerId: 3, baseSequence: 50 }), "out-of-order");
  assert.equal(table.expire(10 ** 9, 1000), 1);
  assert.equal(table.size, 1);
});

test("a clock that went back keeps no producer for ever", () => {
  const table = new ProducerTable();
  table.apply(batch(), 10 ** 12);
  assert.equal(table.expire(5000, 1000), 0);
  assert.equal(table.expire(6000, 1000), 1);
});

test("of too many producers the least recently seen goes, but none with an open transaction", () => {
  const table = new ProducerTable(3);
  table.apply(batch({ producerId: 1, transactional: true }), 0);
  table.apply(batch({ producerId: 2, baseOffset: 1 }), 0);
  table.apply(batch({ producerId: 3, baseOffset: 2 }), 0);
  table.apply(batch({ producerId: 2, baseOffset: 3, baseSequence: 1 }), 0);
  table.apply(batch({ producerId: 4, baseOffset: 4 }), 0);
  assert.deepEqual(
    table.describe().map(({ producerId }) => producerId),
    [1, 2, 4],
  );
  for (const producerId of [5, 6]) table.apply(batch({ producerId, baseOffset: producerId, transactional: true }), 0);
  assert.equal(outcomeOf(table, { producerId: 7 }), "full");
  assert.equal(outcomeOf(table, { producerId: 6, transactional: true, baseSequence: 1 }), "append");
  // What stands in the log is taken in all the same.
  table.apply(batch({ producerId: 7, baseOffset: 7, transactional: true }), 0);
  assert.equal(table.openTransactions().length, 4);
  table.marker("abort", marker({ producerId: 1, baseOffset: 8 }), 0);
  table.apply(batch({ producerId: 8, baseOffset: 9 }), 0);
  assert.equal(table.isOpen(5) && table.isOpen(6) && table.isOpen(7), true);
});

test("transactions of this process pass, and reading back what they wrote gives the same table", () => {
  const appended = new ProducerTable();
  const written: Buffer[] = [];
  let offset = 0;
  for (let epoch = 0; epoch < 20; epoch++) {
    // Each has an epoch of its own, and counts from 0 in every partition.
    for (let sequence = 0; sequence < 12; sequence += 3) {
      const bytes = encodeBatch(Array(3).fill({ key: null, value: Buffer.from("v") }), 1000 + offset);
      stampTransaction(bytes, 8, epoch, sequence);
      assert.equal(appended.decide(readBatchHeader(bytes), offset, 2).outcome, "append");
      placeBatch(bytes, offset, 0);
      appended.apply(readBatchHeader(bytes), 50);
      written.push(bytes);
      offset += 3;
    }
    if (epoch === 19) break;
    const kind = epoch % 2 === 0 ? "commit" : "abort";
    const end = encodeControlBatch(kind, { producerId: 8, epoch }, 2000 + offset);
    placeBatch(end, offset, 0);
    assert.equal(appended.decide(readBatchHeader(end), offset, 2).outcome, "append");
    const range = appended.marker(kind, readBatchHeader(end), 50);
    const expected = { producerId: 8, firstOffset: offset - 12, lastOffset: offset };
    assert.deepEqual(range, kind === "abort" ? expected : undefined);
    written.push(end);
    offset++;
  }
  const readBack = new ProducerTable();
  for (const bytes of splitBatches(Buffer.concat(written))) {
    const header = readBatchHeader(bytes);
    if (isControl(header.attributes)) readBack.marker(controlKind(bytes) ?? "commit", header, 50);
    else readBack.apply(header, 50);
  }
  assert.deepEqual([...readBack.states()], [...appended.states()]);
  assert.equal(readBack.firstOpenOffset(), offset - 12);
});
