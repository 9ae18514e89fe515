import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBatch, encodeControlBatch } from "../../records/batch-builder.ts";
import { placeBatch, stampTransaction } from "../../records/batch-header.ts";
import { encodeGroupRecord, type GroupRecord } from "./group-records.ts";
import { OffsetFold, placeKey } from "./offset-fold.ts";

const topicId = "0f8fad5b-d9cb-469f-a165-70867728950e";

function committing(offset: number, group = "g", partition = 0): GroupRecord {
  const value = { offset, leaderEpoch: -1, metadata: "", committedMs: 0, topicId };
  return { kind: "offset", group, topic: "t", partition, value };
}

const removing: GroupRecord = { kind: "offset", group: "g", topic: "t", partition: 0, value: null };

/** A partition as a list of batches; a producer's epoch is always 0. */
class Written {
  readonly batches: Buffer[] = [];
  #next = 0;

  plain(...records: GroupRecord[]): this {
    return this.#add(encodeBatch(records.map(encodeGroupRecord), 0), records.length);
  }

  in(producerId: number, ...records: GroupRecord[]): this {
    const batch = encodeBatch(records.map(encodeGroupRecord), 0);
    stampTransaction(batch, producerId, 0, 0);
    return this.#add(batch, records.length);
  }

  end(producerId: number, kind: "commit" | "abort"): this {
    return this.#add(encodeControlBatch(kind, { producerId, epoch: 0 }, 0), 1);
  }

  #add(batch: Buffer, records: number): this {
    placeBatch(batch, this.#next, 0);
    this.#next += records;
    this.batches.push(batch);
    return this;
  }
}

function folded(written: Written): OffsetFold {
  const fold = new OffsetFold();
  fold.add(written.batches, 0);
  return fold;
}

function offsetIn(fold: OffsetFold, group = "g", partition = 0): number | undefined {
  return fold.groups.get(group)?.offsets.get(placeKey("t", partition))?.offset;
}

test("the last commit of a partition holds, and a removal ends it", () => {
  const written = new Written().plain(committing(1)).plain(committing(5)).plain(committing(3));
  assert.equal(offsetIn(folded(written)), 3);
  const fold = folded(written.plain(removing));
  assert.equal(fold.groups.size, 0);
  assert.equal(fold.sizeBytes, 0);
});

test("what a transaction commits is pending until its marker, and gone when it is aborted", () => {
  const written = new Written().plain(committing(1)).in(9, committing(2));
  const fold = folded(written);
  assert.equal(offsetIn(fold), 1);
  assert.ok(fold.groups.get("g")?.pending.has("t/0"));
  assert.equal(offsetIn(folded(new Written().plain(committing(1)).in(9, committing(2)).end(9, "abort"))), 1);
  const committed = folded(written.end(9, "commit"));
  assert.equal(offsetIn(committed), 2);
  assert.equal(committed.groups.get("g")?.pending.size, 0);
});

test("of two open transactions each ends by itself", () => {
  const written = new Written().in(1, committing(10), committing(11, "g", 1)).in(2, committing(20, "h"));
  const fold = folded(written.end(2, "commit"));
  assert.deepEqual([offsetIn(fold), offsetIn(fold, "h")], [undefined, 20]);
  const ended = folded(written.end(1, "abort"));
  assert.deepEqual([...ended.groups.keys()], ["h"]);
});

test("a commit that stands behind a transaction's holds although the transaction ends later", () => {
  const fold = folded(new Written().in(1, committing(10)).plain(committing(20)).end(1, "commit"));
  assert.equal(offsetIn(fold), 20);
});

test("a removal holds against a transaction that had written before it", () => {
  const fold = folded(new Written().plain(committing(1)).in(1, committing(10)).plain(removing).end(1, "commit"));
  assert.equal(fold.groups.size, 0);
  assert.equal(fold.sizeBytes, 0);
});

test("a later transaction of the same producer is another one", () => {
  const fold = folded(
    new Written().in(1, committing(10)).end(1, "abort").in(1, committing(11)).end(1, "commit").in(1, committing(12)),
  );
  assert.equal(offsetIn(fold), 11);
  assert.ok(fold.groups.get("g")?.pending.has("t/0"));
});

test("what is decided is the same whether it is read as it came or as committed", () => {
  const written = new Written()
    .in(1, committing(10))
    .in(2, committing(11))
    .plain(committing(5, "h"))
    .end(1, "abort")
    .end(2, "commit")
    .in(1, committing(30, "h"))
    .end(1, "commit");
  const fold = new OffsetFold();
  fold.addCommitted(written.batches, [{ producerId: 1, firstOffset: 0 }], 0);
  const expected = folded(written);
  assert.deepEqual(fold.groups, expected.groups);
  assert.equal(fold.sizeBytes, expected.sizeBytes);
});

test("records below the offset that was asked for are passed over", () => {
  const fold = new OffsetFold();
  fold.add(new Written().plain(committing(1), committing(2, "h")).batches, 1);
  assert.deepEqual([...fold.groups.keys()], ["h"]);
});

test("what is about to be appended is expected until the fold has reached it", () => {
  const fold = new OffsetFold();
  const expected = fold.expect("g", new Set(["t/0"]), true);
  fold.reached(1000);
  assert.equal(fold.groups.get("g")?.expected.size, 1);
  expected.endOffset = 1001;
  fold.reached(1000);
  assert.equal(fold.groups.size, 1);
  fold.reached(1001);
  assert.equal(fold.groups.size, 0);
  assert.equal(fold.sizeBytes, 0);
});
