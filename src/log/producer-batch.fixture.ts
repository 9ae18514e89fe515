/** Headers of batches and markers, as a producer table sees them. */
import { attributeMask } from "../records/batch-header.ts";
import type { ProducerBatch } from "./producer.ts";

export const sequences = 2 ** 31;
export const maxSequence = sequences - 1;

export type Fields = Partial<ProducerBatch> & { readonly count?: number; readonly transactional?: boolean };

/** One record at offset 0 of producer 1, epoch 0, unless told otherwise. */
export function batch({ count = 1, transactional = false, ...fields }: Fields = {}): ProducerBatch {
  const baseOffset = fields.baseOffset ?? 0;
  return {
    producerId: 1,
    producerEpoch: 0,
    baseSequence: 0,
    attributes: transactional ? attributeMask.transactional : 0,
    maxTimestamp: 1000 + baseOffset,
    ...fields,
    baseOffset,
    lastOffset: fields.lastOffset ?? baseOffset + count - 1,
  };
}

export function marker(fields: Fields = {}): ProducerBatch {
  return batch({ attributes: attributeMask.transactional | attributeMask.control, baseSequence: -1, ...fields });
}
