/**
 * The tail of one partition of a topic that views read as rows. It knows how far the partition can be read; the rows
 * are read when a step is taken.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import { PositionRetired } from "./inputs-rows.ts";
import type { TailReach, TailStep } from "./inputs-step.ts";
import type { Mirror } from "./mirror.ts";
import { placeOf } from "./positions.ts";

export interface RecordsTailOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly mirror: Mirror;
  readonly partition: number;
  /** The topic's id, when it is known already. */
  readonly topicId: string | null;
  /** How many partitions the topic is known to have. */
  readonly partitions: number;
  readonly from: number;
  readonly signal: AbortSignal;
  /** Called when there is more to take, and when the tail has failed. */
  onMore(): void;
  /** The topic is not there, is another one of that name, or has more partitions than it had. */
  onOther(): void;
}

const waitMs = 10_000;
const topicPauseMs = 100;
const retryPauseMs = 1_000;

export class RecordsTail {
  readonly #options: RecordsTailOptions;
  #topicId: string | null;
  /** Everything below is taken. */
  #from: number;
  /** Everything below can be read. */
  #end: number;
  #offsetsMax = Number.POSITIVE_INFINITY;
  #failure: unknown = null;
  #taken: (() => void) | undefined;
  #held = false;
  readonly #running: Promise<void>;

  constructor(options: RecordsTailOptions) {
    this.#options = options;
    this.#topicId = options.topicId;
    this.#from = options.from;
    this.#end = options.from;
    this.#running = this.#run();
  }

  /** Throws `PositionRetired`. */
  plan(offsetsMax: number, topicsAlone: ReadonlySet<string>): TailStep {
    if (this.#failure !== null) throw this.#failure;
    if (this.#held) return { kind: "none" };
    const alone = topicsAlone.has(this.#options.mirror.shape.topic);
    const offsets = Math.min(this.#end - this.#from, alone ? 1 : offsetsMax, this.#offsetsMax);
    if (offsets === 0) return { kind: "none" };
    const next = this.#from + offsets;
    const { mirror, partition } = this.#options;
    const reached = new Map([[placeOf(mirror.shape.topic, partition), next]]);
    return {
      kind: "rows",
      source: null,
      events: 1,
      offsets,
      reached,
      lsn: null,
      progress: null,
      changedMs: null,
      alone,
    };
  }

  /** A step's rows were too many bytes: the next one is smaller. */
  shorten(offsets: number): void {
    this.#offsetsMax = Math.ceil(offsets / 2);
  }

  take({ offsets }: TailReach): void {
    this.#from += offsets;
    this.#offsetsMax *= 2;
    if (this.#from === this.#end) this.#taken?.();
  }

  /** Whether it is of this partition, and all that can be read of it is taken. */
  isThrough(topic: string, partition: number): boolean {
    const { mirror, partition: own } = this.#options;
    return mirror.shape.topic === topic && own === partition && this.#from === this.#end && !this.#held;
  }

  /** Nothing is taken while it is held. */
  hold(isHeld: boolean): void {
    this.#held = isHeld;
  }

  /** Whether what is read is of the topic that it was, in as many partitions. */
  isSame(): boolean {
    const { engine, mirror, partitions } = this.#options;
    const info = engine.topic(mirror.shape.topic);
    if (info === undefined) return this.#topicId === null;
    this.#topicId ??= info.id;
    return info.id === this.#topicId && info.settings.partitions === partitions;
  }

  /** After the signal was aborted: resolves when nothing is being read any more. */
  async stopped(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, diagnostics, signal, mirror, partition, onMore } = this.#options;
    while (!signal.aborted) {
      try {
        if (!this.isSame()) return this.#options.onOther();
        await this.#lookOnce();
      } catch (error) {
        if (signal.aborted) return;
        if (MillraceError.is(error, "OFFSET_OUT_OF_RANGE") && this.isSame()) {
          this.#failure = new PositionRetired(mirror, partition, this.#from, error);
          return onMore();
        }
        const { topic } = mirror.shape;
        diagnostics.warn("a topic cannot be read; trying again", { topic, partition, error });
        await clock.sleep(retryPauseMs, signal).catch(() => {});
      }
    }
  }

  async #lookOnce(): Promise<void> {
    const { engine, clock, signal, mirror, partition, onMore } = this.#options;
    const { topic } = mirror.shape;
    if (!engine.topic(topic)) return clock.sleep(topicPauseMs, signal);
    // One batch at least is answered: how far the partition goes stands beside it.
    const { lastStable } = await engine.read({
      topic,
      partition,
      offset: this.#end,
      isolation: "read_committed",
      bytesMax: 1,
      waitMs,
      signal,
    });
    if (lastStable <= this.#end || signal.aborted) return;
    this.#end = lastStable;
    const taken = this.#untilTaken();
    onMore();
    await taken;
  }

  #untilTaken(): Promise<void> {
    const { signal } = this.#options;
    return new Promise((resolve) => {
      const done = () => {
        this.#taken = undefined;
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#taken = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
