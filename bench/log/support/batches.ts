/** Record batches of random bytes, made before anything is measured. */
import { systemRandom } from "../../../src/base/random.ts";
import { BatchBuilder } from "../../../src/records/batch-builder.ts";

export function randomBatch(records: number, recordBytes: number): Buffer {
  const builder = new BatchBuilder(records * recordBytes + 1024);
  for (let i = 0; i < records; i++) builder.add(null, systemRandom.bytes(recordBytes), 0);
  return builder.finish();
}

/** A buffer of its own: what is appended belongs to the log, and is written to by it. */
export function copyOf(batch: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(batch.length);
  batch.copy(copy);
  return copy;
}
