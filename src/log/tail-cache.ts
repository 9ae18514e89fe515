/**
 * The newest batches of all partitions, in memory, up to a number of bytes: readers at the tail never touch the disk.
 * The oldest batch of all goes first when there is no room.
 *
 * A transaction that would take more than half of it is not held: readers of what is committed come when it has ended, and
 * begin at its beginning, which had been driven out by then, with the newest batches of all others.
 */
import {
  batchAttributes,
  batchBaseOffset,
  batchLastOffset,
  isControl,
  isTransactional,
} from "../records/batch-header.ts";

interface Entry {
  readonly batch: Buffer;
  readonly baseOffset: number;
  readonly lastOffset: number;
}

/** What an entry takes beside its bytes. */
const entryOverheadBytes = 200;

export class TailCache {
  readonly #bytesMax: number;
  #bytes = 0;
  /** The tails that own the cached batches, oldest first; holes at the front are skipped by `#head`. */
  #order: PartitionTail[] = [];
  #head = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  tail(): PartitionTail {
    return new PartitionTail(
      (tail, sizeBytes) => this.#added(tail, sizeBytes),
      (sizeBytes) => {
        this.#bytes -= sizeBytes + entryOverheadBytes;
      },
      this.#bytesMax / 2,
    );
  }

  #added(tail: PartitionTail, sizeBytes: number): void {
    this.#bytes += sizeBytes + entryOverheadBytes;
    this.#order.push(tail);
    while (this.#bytes > this.#bytesMax && this.#head < this.#order.length)
      (this.#order[this.#head++] as PartitionTail).dropOldest();
    if (this.#head > 4096 && this.#head * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** The cached end of one partition: batches without a gap, up to the last one written. */
export class PartitionTail {
  readonly #onAdd: (tail: PartitionTail, sizeBytes: number) => void;
  readonly #onDrop: (sizeBytes: number) => void;
  readonly #transactionBytesMax: number;
  /** Of batches in transactions, since one ended here. */
  #transactionBytes = 0;
  #entries: Entry[] = [];
  #head = 0;

  constructor(
    onAdd: (tail: PartitionTail, sizeBytes: number) => void,
    onDrop: (sizeBytes: number) => void,
    transactionBytesMax: number,
  ) {
    this.#onAdd = onAdd;
    this.#onDrop = onDrop;
    this.#transactionBytesMax = transactionBytesMax;
  }

  /** The batch after the last one given; it may not be kept, and then nothing is that lies before it. */
  add(batch: Buffer): void {
    const attributes = batchAttributes(batch);
    if (isControl(attributes)) this.#transactionBytes = 0;
    else if (isTransactional(attributes)) {
      this.#transactionBytes += batch.length;
      if (this.#transactionBytes > this.#transactionBytesMax) {
        this.clear();
        return;
      }
    }
    this.#entries.push({ batch, baseOffset: batchBaseOffset(batch), lastOffset: batchLastOffset(batch) });
    this.#onAdd(this, batch.length);
  }

  dropOldest(): void {
    const entry = this.#entries[this.#head];
    if (!entry) return;
    this.#entries[this.#head++] = undefined as unknown as Entry;
    if (this.#head > 64 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    this.#onDrop(entry.batch.length);
  }

  /** What is retired, or stands otherwise in the segments now. */
  dropBelow(offset: number): void {
    for (;;) {
      const entry = this.#entries[this.#head];
      if (!entry || entry.lastOffset >= offset) return;
      this.dropOldest();
    }
  }

  clear(): void {
    while (this.#head < this.#entries.length) this.dropOldest();
  }

  /**
   * Batches from the one that holds `offset` on, all below `end` and together at most `bytesMax` (the first one in
   * any case); undefined when the offset is older than the cache.
   */
  read(offset: number, end: number, bytesMax: number): Buffer[] | undefined {
    const first = this.#entries[this.#head];
    if (!first || offset < first.baseOffset) return undefined;
    let low = this.#head;
    for (let high = this.#entries.length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((this.#entries[middle] as Entry).lastOffset < offset) low = middle + 1;
      else high = middle;
    }
    const batches: Buffer[] = [];
    let bytes = 0;
    for (let i = low; i < this.#entries.length; i++) {
      const { batch, baseOffset } = this.#entries[i] as Entry;
      if (baseOffset >= end || (batches.length > 0 && bytes + batch.length > bytesMax)) break;
      batches.push(batch);
      bytes += batch.length;
    }
    return batches;
  }
}
