/**
 * A fold of a topic of one partition, kept up to date: reads what is committed, in order, and goes on as more comes. Readings
 * follow each other, so that who reads to the end finds all that was committed before.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Engine } from "./engine.ts";
import { forEachCommitted, nextOffsetOf } from "./records.ts";

export interface TopicTailOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly topic: string;
  /** For people: `the catalogue`. */
  readonly what: string;
  /** A committed record. Throws nothing. */
  readonly take: (key: Buffer | null, value: Buffer | null) => void;
}

const readBytesMax = 1024 * 1024;
/** How long one look waits for something new. */
const waitMs = 60_000;
/** After a look that failed. */
const retryMs = 1_000;

export class TopicTail {
  readonly #options: TopicTailOptions;
  readonly #closing = new AbortController();
  #nextOffset = 0;
  #following: Promise<void> = Promise.resolve();
  #reading: Promise<unknown> = Promise.resolve();

  constructor(options: TopicTailOptions) {
    this.#options = options;
  }

  /** Behind the last record that was taken. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  get isStopped(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Reads everything committed so far. Throws what reading throws. */
  readToEnd(): Promise<void> {
    const done = this.#reading.then(() => this.#read());
    this.#reading = done.catch(() => undefined);
    return done;
  }

  /** Resolves when there may be more than has been read, or after `waitMs`. Throws what reading throws. */
  async more(waitMs: number): Promise<void> {
    const { engine, topic } = this.#options;
    const { signal } = this.#closing;
    const place = { topic, partition: 0, offset: this.#nextOffset, isolation: "read_committed" } as const;
    await engine.read({ ...place, bytesMax: 1, waitMs, signal });
  }

  /** From now on what comes is read when it comes. */
  follow(): void {
    this.#following = this.#follow();
  }

  /** Nothing is waited for any more. */
  stop(): void {
    this.#closing.abort();
  }

  /** Before the engine is closed. */
  async close(): Promise<void> {
    this.stop();
    await this.#following;
    await this.#reading;
  }

  async #follow(): Promise<void> {
    const { clock, diagnostics, what } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.more(waitMs);
        await this.readToEnd();
      } catch (cause) {
        if (signal.aborted || MillraceError.is(cause, "LOG_CLOSED")) return;
        diagnostics.warn(`${what} cannot be followed; it is tried again`, { cause: String(cause) });
        await clock.sleep(retryMs, signal).catch(() => undefined);
      }
    }
  }

  async #read(): Promise<void> {
    const { engine, topic, take } = this.#options;
    const { lastStable, logStart } = await engine.offsets(topic, 0);
    this.#nextOffset = Math.max(this.#nextOffset, logStart);
    while (this.#nextOffset < lastStable) {
      const offset = this.#nextOffset;
      const place = { topic, partition: 0, offset, isolation: "read_committed" } as const;
      const result = await engine.read({ ...place, bytesMax: readBytesMax });
      if (result.batches.length === 0) break;
      forEachCommitted(result, offset, (_at, _timestamp, key, value) => take(key, value));
      this.#nextOffset = nextOffsetOf(result, offset);
    }
  }
}
