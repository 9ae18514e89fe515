import assert from "node:assert/strict";
import { test } from "node:test";
import { fetch } from "../kafka/apis/fetch.ts";
import { zeroUuid } from "../kafka/fields.ts";
import { batchBaseOffset, hasRightChecksum } from "../records/batch-header.ts";
import { batchOf, openDoor } from "./door.fixture.ts";

const batchBytes = 5_000_000;
const batches = 6;
/** Nothing is answered from memory, and what was read into is used again at once. */
const logLimits = { tailCacheBytes: 0, readAheadBytes: 2 * batchBytes, segmentBytesMax: 64 * 1024 * 1024 };

function fetchOf(fetchOffset: number) {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: batchBytes }];
  return {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 64 * 1024 * 1024,
    isolationLevel: 0,
    topics: [{ topic: "old", topicId: zeroUuid, partitions }],
  };
}

test("what an answer holds is not read into before the client has taken all of it", async () => {
  await using open = await openDoor({}, {}, {}, logLimits);
  await open.engine.createTopic("old", { batchBytesMax: 2 * batchBytes });
  for (let i = 0; i < batches; i++) {
    await open.engine.append({ topic: "old", partition: 0, batch: batchOf(`${i}`.repeat(batchBytes)) });
  }
  const [slow, quick] = [await open.client(), await open.client()];
  const readAt = async (client: typeof slow, offset: number) => {
    const { responses } = await client.ask(fetch, 12, fetchOf(offset));
    const batch = responses[0]?.partitions[0]?.records as Buffer;
    assert.equal(batchBaseOffset(batch), offset);
    assert.ok(hasRightChecksum(batch), `the batch at ${offset} is as it was written`);
  };
  slow.socket.pause();
  const taken = readAt(slow, 0);
  for (let round = 0; round < 3; round++) {
    for (let offset = 1; offset < batches; offset++) await readAt(quick, offset);
  }
  slow.socket.resume();
  await taken;
});
