/** Record batches for scripts: always the same bytes for the same words. */

import { BatchBuilder } from "../../../../src/records/batch-builder.ts";
import { attributeMask, batchField, writeBatchChecksum } from "../../../../src/records/batch-header.ts";
import { writeInt64 } from "../../../../src/records/int64.ts";

export const batchTimeMs = 1_750_000_000_000;

export interface BatchOptions {
  readonly producerId?: number;
  readonly epoch?: number;
  readonly sequence?: number;
  readonly transactional?: boolean;
  readonly codec?: number;
  readonly timeMs?: number;
  readonly keyless?: boolean;
}

export function batchOf(values: readonly string[], options: BatchOptions = {}): Buffer {
  const {
    producerId = -1,
    epoch = -1,
    sequence = -1,
    transactional = false,
    codec = 0,
    timeMs = batchTimeMs,
    keyless = false,
  } = options;
  const builder = new BatchBuilder(256);
  for (const [index, value] of values.entries())
    builder.add(keyless ? null : Buffer.from(`k${index}`), Buffer.from(value), timeMs + index);
  const batch = Buffer.from(builder.finish(codec | (transactional ? attributeMask.transactional : 0)));
  writeInt64(batch, batchField.producerId, producerId);
  batch.writeInt16BE(epoch, batchField.producerEpoch);
  batch.writeInt32BE(sequence, batchField.baseSequence);
  writeBatchChecksum(batch);
  return batch;
}

/** One bit is not as its checksum says. */
export function corruptBatch(): Buffer {
  const batch = batchOf(["corrupt"]);
  batch[batch.length - 2] = (batch[batch.length - 2] as number) ^ 1;
  return batch;
}
