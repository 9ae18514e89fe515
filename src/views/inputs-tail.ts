/**
 * The tail of one source's transaction topic: reads ahead with long polls into a bounded queue. Records that are no
 * transaction event are passed over and reported; the stream goes on.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Engine } from "../engine/engine.ts";
import { batchLastOffset } from "../records/batch-header.ts";
import { BatchRecords } from "../records/batch-records.ts";
import type { TransactionEvent } from "../schema/transaction-events.ts";
import { VisibleBatches } from "./inputs-read.ts";
import { type InputEvent, planStep, type TailReach, type TailStep } from "./inputs-step.ts";
import { placeOf } from "./positions.ts";

export interface TailOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly source: string;
  readonly from: number;
  readonly signal: AbortSignal;
  /** Called when there is more to take, and when the tail has failed. */
  onMore(): void;
}

export function transactionTopic(source: string): string {
  return `${source}.transaction`;
}

const queueMax = 10_000;
const waitMs = 10_000;
const topicPauseMs = 100;
const retryPauseMs = 1_000;

export class TransactionTail {
  readonly source: string;
  readonly #options: TailOptions;
  readonly #queue: InputEvent[] = [];
  #offset: number;
  #room: (() => void) | undefined;
  readonly #running: Promise<void>;

  constructor(options: TailOptions) {
    this.source = options.source;
    this.#options = options;
    this.#offset = options.from;
    this.#running = this.#run();
  }

  get queue(): readonly InputEvent[] {
    return this.#queue;
  }

  plan(readFrom: (topic: string) => number | undefined, offsetsMax: number, alone: ReadonlySet<string>): TailStep {
    const step = planStep(this.#queue, readFrom, offsetsMax, alone);
    if (step.kind === "none") return step;
    const frontier = step.kind === "life" ? step.event.frontier : step.frontier;
    const reached = new Map(Object.entries(frontier).map(([topic, offset]) => [placeOf(topic), offset]));
    reached.set(placeOf(transactionTopic(this.source)), step.next);
    return { offsets: 0, ...step, source: this.source, reached };
  }

  take({ events }: TailReach): void {
    this.#queue.splice(0, events);
    if (this.#queue.length < queueMax) this.#room?.();
  }

  /** After the signal was aborted: resolves when nothing is being read any more. */
  async stopped(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, diagnostics, signal, source } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#readOnce();
      } catch (error) {
        if (signal.aborted) return;
        diagnostics.warn("the transaction topic cannot be read; trying again", { source, error });
        await clock.sleep(retryPauseMs, signal).catch(() => {});
      }
    }
  }

  async #readOnce(): Promise<void> {
    const { engine, clock, signal, source } = this.#options;
    const topic = transactionTopic(source);
    if (!engine.topic(topic)) return clock.sleep(topicPauseMs, signal);
    if (this.#queue.length >= queueMax) return this.#untilRoom();
    const result = await engine.read({
      topic,
      partition: 0,
      offset: this.#offset,
      isolation: "read_committed",
      bytesMax: 1024 * 1024,
      waitMs,
      signal,
    });
    const visible = new VisibleBatches(result.aborted);
    const before = this.#queue.length;
    for (const batch of result.batches) {
      if (visible.has(batch)) this.#takeBatch(batch);
      this.#offset = Math.max(this.#offset, batchLastOffset(batch) + 1);
    }
    if (this.#queue.length > before) this.#options.onMore();
  }

  #takeBatch(batch: Buffer): void {
    const records = new BatchRecords().open(batch);
    while (records.next()) {
      if (records.offset < this.#offset || records.value === null) continue;
      const event = parseEvent(records.value);
      if (event === null) {
        const { diagnostics, source } = this.#options;
        diagnostics.error("a record of the transaction topic is no event; it is passed over", {
          source,
          offset: records.offset,
        });
      } else if (event.status !== "BEGIN") this.#queue.push({ event, next: records.offset + 1 });
    }
  }

  #untilRoom(): Promise<void> {
    const { signal } = this.#options;
    return new Promise((resolve) => {
      const done = () => {
        this.#room = undefined;
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#room = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

const statuses = new Set([
  "BEGIN",
  "END",
  "SNAPSHOT_BEGIN",
  "SNAPSHOT_CHUNK",
  "SNAPSHOT_END",
  "TABLE_BEGIN",
  "TABLE_CHUNK",
  "TABLE_END",
  "SCHEMA",
  "HEARTBEAT",
  "GAP",
]);

/** Null for what is no event of a form that is known. */
export function parseEvent(value: Buffer): TransactionEvent | null {
  let event: unknown;
  try {
    event = JSON.parse(value.toString("utf8"));
  } catch {
    return null;
  }
  if (event === null || typeof event !== "object" || !("status" in event)) return null;
  if (typeof event.status !== "string" || !statuses.has(event.status)) return null;
  const { status } = event;
  const bare = status === "BEGIN" || status === "HEARTBEAT" || status === "GAP";
  if (!bare && !isFrontier((event as { frontier?: unknown }).frontier)) return null;
  return event as TransactionEvent;
}

function isFrontier(value: unknown): boolean {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return false;
  return Object.values(value).every((offset) => Number.isSafeInteger(offset) && (offset as number) >= 0);
}
