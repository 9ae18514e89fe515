/** Reads a range of a partition, committed records only (KIP-98: aborted ones are there and are passed over). */
import type { AbortedTransaction, Engine } from "../engine/engine.ts";
import {
  batchAttributes,
  batchBaseOffset,
  batchLastOffset,
  batchProducerId,
  isControl,
  isTransactional,
} from "../records/batch-header.ts";
import { BatchRecords, controlKind } from "../records/batch-records.ts";

export interface RangeRequest {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  /** Records from here on are not handed out. Waits until they could be read up to here. */
  readonly to: number;
  readonly signal: AbortSignal;
  /** What has to be waited for before the record is handed out; null: nothing. */
  before?(record: BatchRecords): Promise<void> | null;
  /** The cursor is valid during the call only. False ends the reading behind this record. */
  onRecord(record: BatchRecords): boolean;
  /** Of a batch that a writer broke (its codec, its lengths): what could be read of it was handed out. Without it that is thrown. */
  onBroken?(baseOffset: number, cause: unknown): void;
}

const readBytesMax = 1024 * 1024;
const readWaitMs = 1_000;

/** Answers the offset to go on from: `to`, or the one behind the record that `onRecord` stopped at. */
export async function readRange(engine: Engine, request: RangeRequest): Promise<number> {
  const { topic, partition, to, signal } = request;
  const cursor = new BatchRecords();
  let offset = request.from;
  while (offset < to) {
    signal.throwIfAborted();
    const result = await engine.read({
      topic,
      partition,
      offset,
      isolation: "read_committed",
      bytesMax: readBytesMax,
      waitMs: readWaitMs,
      signal,
    });
    const visible = new VisibleBatches(result.aborted);
    for (const batch of result.batches) {
      const last = batchLastOffset(batch);
      if (visible.has(batch)) {
        const stopped = await readBatch(cursor, batch, offset, request);
        if (stopped !== null) return stopped;
      }
      offset = Math.max(offset, last + 1);
      if (offset >= to) break;
    }
  }
  return to;
}

/** Null at the end of the batch, else where the reading ends. */
async function readBatch(
  cursor: BatchRecords,
  batch: Buffer,
  from: number,
  request: RangeRequest,
): Promise<number | null> {
  const next = openBatch(cursor, batch, request);
  while (next()) {
    if (cursor.offset < from) continue;
    if (cursor.offset >= request.to) return request.to;
    const awaited = request.before?.(cursor) ?? null;
    if (awaited !== null) await awaited;
    if (!request.onRecord(cursor)) return cursor.offset + 1;
  }
  return null;
}

/** Goes to the next record; false behind the last one that can be read. */
function openBatch(cursor: BatchRecords, batch: Buffer, { onBroken }: RangeRequest): () => boolean {
  const unlessBroken = (step: () => boolean) => () => {
    try {
      return step();
    } catch (cause) {
      if (onBroken === undefined) throw cause;
      onBroken(batchBaseOffset(batch), cause);
      return false;
    }
  };
  const isOpen = unlessBroken(() => cursor.open(batch) === cursor)();
  return isOpen ? unlessBroken(() => cursor.next()) : () => false;
}

/** Which batches of an answer hold records that count. Batches are asked about in their order, each once. */
export class VisibleBatches {
  readonly #aborted: AbortedTransaction[];
  readonly #producers = new Set<number>();

  constructor(aborted: readonly AbortedTransaction[]) {
    this.#aborted = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  }

  has(batch: Buffer): boolean {
    const last = batchLastOffset(batch);
    for (let first = this.#aborted[0]; first && first.firstOffset <= last; first = this.#aborted[0]) {
      this.#producers.add(first.producerId);
      this.#aborted.shift();
    }
    const attributes = batchAttributes(batch);
    const producer = batchProducerId(batch);
    if (isControl(attributes)) {
      if (this.#producers.size > 0 && controlKind(batch) === "abort") this.#producers.delete(producer);
      return false;
    }
    return !(isTransactional(attributes) && this.#producers.has(producer));
  }
}
