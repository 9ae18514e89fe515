/**
 * The input side of a group: gathers what its sources wrote into work for the applier, ahead of it. While one batch
 * commits, the next one grows; it is handed over when it is asked for.
 *
 * Always true: work ends at the end of source transactions, and holds at most `changesMax` changes and `bytesMax`
 * bytes, or is a single step that is read in parts. What is gathered here is lost at `close`, and is read again from
 * the positions that the store has.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Engine } from "../engine/engine.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import type { Mark } from "./idle-marks.ts";
import { RecordsTail, type RecordsTailOptions } from "./inputs-records.ts";
import { type RowsBound, readParts, readStep, type Staged, stageRows, type TopicRange } from "./inputs-rows.ts";
import type { LifeEvent, TailStep } from "./inputs-step.ts";
import { TransactionTail, transactionTopic } from "./inputs-tail.ts";
import type { Mirror } from "./mirror.ts";
import { partitionOf, placeOf } from "./positions.ts";

/** Next offsets by place (`positions.ts`). */
export type Offsets = ReadonlyMap<string, number>;

/** How far work brings the group. */
export interface Advance {
  readonly from: Offsets;
  readonly to: Offsets;
  /** The newest position of each source that is reached. */
  readonly lsns: ReadonlyMap<string, string>;
  readonly progress: ReadonlyMap<string, { readonly rows: number; readonly rowsEstimated: number }>;
  /** The latest times of events before it and with it, by place. */
  readonly timesFrom: ReadonlyMap<string, number | null>;
  readonly times: ReadonlyMap<string, number>;
  /** When the latest of its transactions was committed, or the latest of its records written; null where nothing says so. */
  readonly changedMs: number | null;
  /** Events of transaction topics that are taken. */
  readonly events: number;
}

export type Work =
  | {
      readonly kind: "rows";
      readonly advance: Advance;
      readonly changes: number;
      /** Null for a step that is too large to be held: it is read in parts. */
      readonly staged: Staged | null;
    }
  | { readonly kind: "life"; readonly advance: Advance; readonly source: string; readonly event: LifeEvent }
  /** Reading failed; a `RowUnreadable` names the mirror. Nothing more comes. */
  | { readonly kind: "failed"; readonly error: unknown };

export interface InputsOptions {
  readonly engine: Engine;
  readonly wire: WireReader;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly sources: readonly string[];
  readonly offsets: Offsets;
  /** The latest times of events so far, by place. */
  readonly times: ReadonlyMap<string, number>;
  readonly mirrors: readonly Mirror[];
  /** What the log has of a partition. */
  marks?(topic: string, partition: number): readonly Mark[];
  /** Partitions of topics that are read as rows. */
  readonly records: readonly RecordsPlace[];
  readonly bound?: RowsBound;
  /** Topics whose transactions and records are work of their own each, for what they change has a history. */
  alone?(): ReadonlySet<string>;
  /** A topic that is read as rows is not the one that it was. */
  onOther?(): void;
}

export type RecordsPlace = Pick<RecordsTailOptions, "mirror" | "partition" | "partitions" | "topicId">;

export const defaultBound: RowsBound = { changesMax: 10_000, bytesMax: 32 * 1024 * 1024 };
/** Small steps: what was gathered can be handed over after each. */
const stepOffsetsMax = 2_000;

type Tail = TransactionTail | RecordsTail;

interface Open {
  from: Map<string, number>;
  to: Map<string, number>;
  lsns: Map<string, string>;
  progress: Map<string, { rows: number; rowsEstimated: number }>;
  timesFrom: Map<string, number | null>;
  times: Map<string, number>;
  changedMs: number | null;
  events: number;
  /** Nothing is gathered behind it. */
  alone: boolean;
  staged: Staged;
  changes: number;
  bytes: number;
}

export class Inputs {
  readonly #options: InputsOptions;
  readonly #bound: RowsBound;
  readonly #stepOffsetsMax: number;
  readonly #abort = new AbortController();
  readonly #offsets: Map<string, number>;
  readonly #times: Map<string, number>;
  readonly #tails: readonly Tail[];
  #byTopic = new Map<string, Mirror>();
  #open: Open | null = null;
  /** Work that nothing may be gathered behind before it is done. */
  #barrier: Work | null = null;
  /** The barrier was handed over: `resume` lifts it. */
  #paused = false;
  #turn = 0;
  /** Of which a step is being read. */
  #reading: Tail | null = null;
  #changed: () => void = () => {};
  #changes: Promise<void> = Promise.resolve();
  readonly #gathering: Promise<void>;

  constructor(options: InputsOptions) {
    this.#options = options;
    this.#bound = options.bound ?? defaultBound;
    this.#stepOffsetsMax = Math.min(stepOffsetsMax, this.#bound.changesMax);
    this.#offsets = new Map(options.offsets);
    this.#times = new Map(options.times);
    this.#useMirrors(options.mirrors);
    this.#renew();
    const { engine, clock, diagnostics } = options;
    const tools = { engine, clock, diagnostics, signal: this.#abort.signal, onMore: () => this.#notify() };
    const fromOf = (topic: string, partition?: number) => this.#offsets.get(placeOf(topic, partition)) ?? 0;
    this.#tails = [
      ...options.sources.map(
        (source) => new TransactionTail({ ...tools, source, from: fromOf(transactionTopic(source)) }),
      ),
      ...options.records.map((place) => {
        const from = fromOf(place.mirror.shape.topic, place.partition);
        return new RecordsTail({ ...tools, ...place, from, onOther: () => options.onOther?.() });
      }),
    ];
    this.#gathering = this.#gather();
  }

  /** Waits for work. A `life` event, and rows to be read in parts, are to be followed by `resume`. Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<Work> {
    for (;;) {
      signal.throwIfAborted();
      const work = this.poll();
      if (work) return work;
      await untilOrAborted(this.#changes, signal);
    }
  }

  /** The same of work that is there already; null when there is none. */
  poll(): Work | null {
    const open = this.#open;
    if (open) {
      this.#open = null;
      this.#notify();
      return { kind: "rows", advance: open, changes: open.changes, staged: open.staged };
    }
    if (this.#barrier === null || this.#paused) return null;
    this.#paused = true;
    return this.#barrier;
  }

  /** Goes on behind a barrier; with other mirrors when they changed. */
  resume(mirrors?: readonly Mirror[]): void {
    if (mirrors) this.#useMirrors(mirrors);
    this.#barrier = null;
    this.#paused = false;
    this.#notify();
  }

  /** The rows of an advance once more, in parts of at most `changesMax`. */
  parts(advance: Advance, changesMax: number = this.#bound.changesMax): AsyncGenerator<Staged> {
    const ranges = this.#ranges(advance.from, advance.to, advance.timesFrom);
    return readParts(this.#options, ranges, { ...this.#bound, changesMax }, this.#abort.signal);
  }

  /**
   * Does something while a partition stands still, given the offset that it is read up to; no record from there on is read
   * before it is done. Null, and nothing done, when there are records that are to be read.
   */
  async whileStill<T>(topic: string, partition: number, act: (offset: number) => Promise<T>): Promise<T | null> {
    const tail = this.#tails.find(
      (one): one is RecordsTail => one instanceof RecordsTail && one.isThrough(topic, partition),
    );
    if (tail === undefined || tail === this.#reading) return null;
    tail.hold(true);
    try {
      return await act(this.#offsets.get(placeOf(topic, partition)) ?? 0);
    } finally {
      tail.hold(false);
      this.#notify();
    }
  }

  async close(): Promise<void> {
    this.#abort.abort(new Error("the inputs are closed"));
    this.#notify();
    await Promise.all([this.#gathering, ...this.#tails.map((tail) => tail.stopped())]);
  }

  async #gather(): Promise<void> {
    const { signal } = this.#abort;
    try {
      while (!signal.aborted) {
        const changes = this.#changes;
        const progressed = this.#barrier === null && (await this.#gatherStep());
        if (!progressed) await untilOrAborted(changes, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#barrier = { kind: "failed", error };
      this.#notify();
    }
  }

  /** False when there is nothing to gather before something changes. */
  async #gatherStep(): Promise<boolean> {
    if (this.#open?.alone) return false;
    for (let n = 0; n < this.#tails.length; n++) {
      const tail = this.#tails[(this.#turn + n) % this.#tails.length] as Tail;
      const step = this.#plan(tail);
      if (step.kind === "none") continue;
      if (step.kind === "life" || step.offsets > this.#bound.changesMax) {
        if (this.#open) return false;
        this.#stop(tail, step);
        return true;
      }
      if (this.#open && (step.alone || this.#open.changes + step.offsets > this.#bound.changesMax)) return false;
      const ranges = this.#ranges(this.#offsets, step.reached, this.#times);
      // A single record is held however large it is: it was when it was appended.
      const isOne = tail instanceof RecordsTail && step.offsets === 1;
      const bound = isOne ? { ...this.#bound, bytesMax: Number.POSITIVE_INFINITY } : this.#bound;
      this.#reading = tail;
      const read = await readStep(this.#options, ranges, bound, this.#abort.signal);
      this.#reading = null;
      if (tail instanceof RecordsTail && !tail.isSame()) {
        this.#options.onOther?.();
        return false;
      }
      if (read === null && tail instanceof RecordsTail) {
        tail.shorten(step.offsets);
        return true;
      }
      if (read === null || (this.#open && this.#open.bytes + read.bytes > this.#bound.bytesMax)) {
        if (this.#open) return false;
        this.#stop(tail, step);
        return true;
      }
      this.#open ??= newOpen();
      stageRows(this.#open.staged, read);
      this.#open.changes += read.rows.length;
      this.#open.bytes += read.bytes;
      this.#open.alone = step.alone;
      if (read.changedMs !== null) this.#open.changedMs = Math.max(this.#open.changedMs ?? 0, read.changedMs);
      this.#passTimes(this.#open, ranges);
      this.#advance(this.#open, tail, step);
      this.#turn = (this.#turn + n + 1) % this.#tails.length;
      this.#notify();
      return true;
    }
    return false;
  }

  /** A step that nothing is gathered behind. */
  #stop(tail: Tail, step: Exclude<TailStep, { kind: "none" }>): void {
    const advance = newOpen();
    this.#advance(advance, tail, step);
    this.#barrier =
      step.kind === "life"
        ? { kind: "life", advance, source: step.source, event: step.event }
        : { kind: "rows", advance, changes: step.offsets, staged: null };
    this.#notify();
  }

  #advance(open: Open, tail: Tail, step: Exclude<TailStep, { kind: "none" }>): void {
    for (const [place, offset] of step.reached) {
      const from = this.#offsets.get(place) ?? 0;
      const to = Math.max(from, offset);
      if (!open.from.has(place)) open.from.set(place, from);
      open.to.set(place, to);
      this.#offsets.set(place, to);
    }
    if (step.kind === "rows" && step.source !== null) {
      if (step.lsn !== null) open.lsns.set(step.source, step.lsn);
      if (step.progress !== null) open.progress.set(step.source, step.progress);
      if (step.changedMs !== null) open.changedMs = Math.max(open.changedMs ?? 0, step.changedMs);
    }
    open.events += step.events;
    tail.take(step);
  }

  #plan(tail: Tail): TailStep {
    const alone = this.#options.alone?.() ?? new Set();
    if (tail instanceof RecordsTail) return tail.plan(this.#stepOffsetsMax, alone);
    return tail.plan((topic) => this.#readFrom(topic), this.#stepOffsetsMax, alone);
  }

  #readFrom(topic: string): number | undefined {
    return this.#byTopic.has(topic) ? (this.#offsets.get(placeOf(topic)) ?? 0) : undefined;
  }

  /** What was read moved them on. */
  #passTimes(open: Open, ranges: readonly TopicRange[]): void {
    for (const { mirror, partition, times } of ranges) {
      if (times.latestMs === null) continue;
      const place = placeOf(mirror.shape.topic, partition);
      if (!open.timesFrom.has(place)) open.timesFrom.set(place, this.#times.get(place) ?? null);
      this.#times.set(place, times.latestMs);
      open.times.set(place, times.latestMs);
    }
  }

  #ranges(from: Offsets, to: Offsets, times: ReadonlyMap<string, number | null>): TopicRange[] {
    const ranges: TopicRange[] = [];
    for (const [place, end] of to) {
      const { topic, partition } = partitionOf(place);
      const mirror = this.#byTopic.get(topic);
      const begin = from.get(place) ?? 0;
      if (mirror && begin < end) {
        const marks = this.#options.marks?.(topic, partition) ?? [];
        ranges.push({ mirror, partition, from: begin, to: end, times: { latestMs: times.get(place) ?? null }, marks });
      }
    }
    return ranges;
  }

  #useMirrors(mirrors: readonly Mirror[]): void {
    this.#byTopic = new Map(mirrors.map((mirror) => [mirror.shape.topic, mirror]));
  }

  #notify(): void {
    const changed = this.#changed;
    this.#renew();
    changed();
  }

  #renew(): void {
    this.#changes = new Promise((resolve) => {
      this.#changed = resolve;
    });
  }
}

function newOpen(): Open {
  return {
    from: new Map(),
    to: new Map(),
    lsns: new Map(),
    progress: new Map(),
    timesFrom: new Map(),
    times: new Map(),
    changedMs: null,
    events: 0,
    alone: false,
    staged: new Map(),
    changes: 0,
    bytes: 0,
  };
}

function untilOrAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason);
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    promise.then(() => {
      signal.removeEventListener("abort", aborted);
      resolve();
    });
  });
}
