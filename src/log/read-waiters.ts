/** Readers at the end of a partition, woken when it grows. Nothing polls. */
import type { Clock } from "../base/clock.ts";

interface Waiter {
  readonly offset: number;
  readonly committed: boolean;
  readonly wake: () => void;
  readonly fail: (reason: unknown) => void;
}

export class ReadWaiters {
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** Resolves when something at `offset` can be read, or after `waitMs`. Rejects with the signal's reason, or that of `fail`. */
  wait(offset: number, committed: boolean, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const done = () => {
        timer.cancel();
        signal?.removeEventListener("abort", onAbort);
        this.#waiting.delete(waiter);
      };
      const waiter: Waiter = {
        offset,
        committed,
        wake: () => {
          done();
          resolve();
        },
        fail: (reason) => {
          done();
          reject(reason);
        },
      };
      const onAbort = () => waiter.fail(signal?.reason);
      const timer = this.#clock.after(waitMs, waiter.wake);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(waiter);
    });
  }

  /** Wakes once, when something at `offset` can be read or nothing ever can; the answer takes the wish back. */
  watch(offset: number, committed: boolean, wake: () => void): () => void {
    const done = () => this.#waiting.delete(waiter);
    const once = () => {
      done();
      wake();
    };
    const waiter: Waiter = { offset, committed, wake: once, fail: once };
    this.#waiting.add(waiter);
    return done;
  }

  /** The partition can be read up to here now. */
  advanced(highWatermark: number, lastStable: number): void {
    for (const waiter of this.#waiting)
      if (waiter.offset < (waiter.committed ? lastStable : highWatermark)) waiter.wake();
  }

  fail(reason: unknown): void {
    for (const waiter of this.#waiting) waiter.fail(reason);
  }
}
