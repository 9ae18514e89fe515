import assert from "node:assert/strict";
import { test } from "node:test";
import type { Engine, ReadResult } from "../engine/engine.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { attributeMask, batchField } from "../records/batch-header.ts";
import { readRange } from "./inputs-read.ts";

/** One batch of each text; `broken` ones say that they are compressed, and are not. */
function logOf(...texts: readonly string[]): Engine {
  const batches = texts.map((text, offset) => {
    const batch = encodeBatch([{ key: null, value: Buffer.from(text) }], 0);
    batch.writeBigInt64BE(BigInt(offset), batchField.baseOffset);
    if (text === "broken") batch.writeInt16BE(attributeMask.codec & 2, batchField.attributes);
    return batch;
  });
  const result = { batches, aborted: [], logStart: 0, lastStable: texts.length, highWatermark: texts.length };
  return { read: () => Promise.resolve(result as unknown as ReadResult) } as unknown as Engine;
}

function read(engine: Engine, onBroken?: (baseOffset: number) => void): Promise<string[]> {
  const values: string[] = [];
  return readRange(engine, {
    topic: "t",
    partition: 0,
    from: 0,
    to: 3,
    signal: new AbortController().signal,
    onRecord: ({ value }) => values.push(String(value)) > 0,
    ...(onBroken && { onBroken }),
  }).then(() => values);
}

test("a batch that a writer broke is told and passed over, and what is behind it is read", async () => {
  const broken: number[] = [];
  assert.deepEqual(await read(logOf("a", "broken", "b"), (offset) => broken.push(offset)), ["a", "b"]);
  assert.deepEqual(broken, [1]);
  await assert.rejects(read(logOf("a", "broken", "b")));
});
