/**
 * Reads of one place that wait for one answer: callers who want the same records of the same partition share what is
 * fetched, each cut to what it asked for.
 */
import type { AbortedTransaction, Isolation, ReadResult } from "../engine.ts";

export interface PlaceOfRead {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
  readonly isolation: Isolation;
}

export interface FetchedPart {
  readonly batches: readonly Buffer[];
  readonly aborted: readonly AbortedTransaction[];
  readonly logStart: number;
  readonly lastStable: number;
  readonly highWatermark: number;
  readonly leaderEpoch: number;
}

interface Reader {
  /** Whose answer it waits for. */
  owner: PendingRead;
  readonly bytesMax: number;
  /** It is answered by then, with nothing if need be. */
  readonly endMs: number;
  readonly resolve: (result: ReadResult) => void;
  readonly reject: (error: unknown) => void;
}

export class PendingRead {
  readonly place: PlaceOfRead;
  readonly key: string;
  readonly #readers = new Set<Reader>();
  /** When it was asked for first: it is given up some time after. */
  readonly sinceMs: number;
  /** Failed attempts. */
  failures = 0;

  constructor(place: PlaceOfRead, sinceMs: number) {
    this.place = place;
    this.key = keyOf(place);
    this.sinceMs = sinceMs;
  }

  get isEmpty(): boolean {
    return this.#readers.size === 0;
  }

  get bytesMax(): number {
    let most = 1;
    for (const { bytesMax } of this.#readers) most = Math.max(most, bytesMax);
    return most;
  }

  /** When the first of them has to be answered. */
  get endMs(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { endMs } of this.#readers) first = Math.min(first, endMs);
    return first;
  }

  /** Its promise rejects with the signal's reason when that is aborted first. */
  join(bytesMax: number, endMs: number, signal: AbortSignal | undefined): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        reader.owner.#readers.delete(reader);
        reject(signal?.reason);
      };
      const done = () => signal?.removeEventListener("abort", onAbort);
      const reader: Reader = {
        owner: this,
        bytesMax,
        endMs,
        resolve: (result) => {
          done();
          resolve(result);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      };
      this.#readers.add(reader);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Those of another one of the same place come over. */
  take(other: PendingRead): void {
    for (const reader of other.#readers) {
      reader.owner = this;
      this.#readers.add(reader);
    }
    other.#readers.clear();
  }

  answer(part: FetchedPart): void {
    for (const reader of this.#drain())
      reader.resolve({ ...part, batches: cut(part.batches, reader.bytesMax), throttleMs: 0 });
  }

  /** There is nothing: whose time is over is told so, the others wait on. */
  answerOverdue(part: FetchedPart, nowMs: number): void {
    for (const reader of [...this.#readers]) {
      if (reader.endMs > nowMs) continue;
      this.#readers.delete(reader);
      reader.resolve({ ...part, batches: [], throttleMs: 0 });
    }
  }

  reject(error: unknown): void {
    for (const reader of this.#drain()) reader.reject(error);
  }

  #drain(): Reader[] {
    const readers = [...this.#readers];
    this.#readers.clear();
    return readers;
  }
}

export function keyOf({ topicId, partition, offset, isolation }: PlaceOfRead): string {
  return `${isolation}/${topicId}/${partition}/${offset}`;
}

/** The first batch always, however large. */
function cut(batches: readonly Buffer[], bytesMax: number): readonly Buffer[] {
  let bytes = 0;
  let count = 0;
  for (const batch of batches) {
    bytes += batch.length;
    if (count > 0 && bytes > bytesMax) break;
    count++;
  }
  return count === batches.length ? batches : batches.slice(0, count);
}
