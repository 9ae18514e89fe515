import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import type { AppendRequest } from "../engine/engine.ts";
import type { Ownership } from "../ownership/become-owner.ts";
import { BatchRecords } from "../records/batch-records.ts";
import { TopicWriter } from "./topic-writer.ts";

/** An owner who keeps what is appended, and how often a transaction was begun. */
function openOwner() {
  const appended: AppendRequest[] = [];
  const ends: string[] = [];
  let begun = 0;
  const transaction = {
    async append(request: AppendRequest) {
      appended.push(request);
      return { ...request, baseOffset: 0, lastOffset: 0, leaderEpoch: 0 };
    },
    commit: async () => void ends.push("commit"),
    abort: async () => void ends.push("abort"),
  };
  const begin = () => {
    begun++;
    return transaction;
  };
  const progressBatch = () => ({ topic: "progress", partition: 0, batch: Buffer.alloc(1) });
  const owner = { begin, progressBatch } as unknown as Ownership;
  return { owner, appended, ends, begun: () => begun };
}

function keysOf({ batch }: AppendRequest): string[] {
  const records = new BatchRecords().open(batch);
  const keys: string[] = [];
  while (records.next()) keys.push(String(records.key));
  return keys;
}

test("what waits to be appended is bounded, over all partitions; progress comes last, in the same transaction", async () => {
  const { owner, appended, ends, begun } = openOwner();
  const writer = new TopicWriter(owner, new VirtualClock(), { name: "t", partitions: 64, batchBytesMax: 1_000_000 });
  writer.at({ generation: 1, batch: 2 });
  const bytes = 100_000;
  const given = new Map<number, string[]>();
  let added = 0;
  for (let i = 0; i < 300; i++) {
    const key = Buffer.from(`${i}`);
    const partition = writer.partitionOf(key);
    given.set(partition, [...(given.get(partition) ?? []), String(key)]);
    await writer.add(key, Buffer.alloc(bytes));
    added += bytes;
    const written = appended.reduce((sum, { batch }) => sum + batch.length, 0);
    assert.ok(added - written <= 4.3 * 1024 * 1024, `${added - written} bytes wait`);
  }
  await writer.commit({});
  assert.equal(appended.pop()?.topic, "progress");
  assert.deepEqual([begun(), ends], [1, ["commit"]]);
  assert.ok(appended.every(({ batch }) => batch.length <= 1_000_000));
  for (const [partition, keys] of given) {
    assert.deepEqual(appended.filter((one) => one.partition === partition).flatMap(keysOf), keys);
  }
});

test("nothing is begun in the log for what was refused before anything was written", async () => {
  const { owner, ends, begun } = openOwner();
  const writer = new TopicWriter(owner, new VirtualClock(), { name: "t", partitions: 1, batchBytesMax: 1_000 });
  await assert.rejects(writer.add(Buffer.from("k"), Buffer.alloc(1_000)), /key "k" takes \d+ bytes/);
  await writer.abort();
  assert.deepEqual([begun(), ends], [0, []]);
});
