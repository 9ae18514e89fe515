/**
 * What all subscribers of one view with one shape of filter share who are shown the same rows: each batch is read from the store once and encoded
 * once, and the last of them are held in a ring. A small snapshot is shared as well.
 *
 * Always true: the ring has every batch with changes in (floor, position]; whoever stands below the floor reads from the
 * store by itself. Ring and snapshot are bounded, over all hubs of the process by `budget`.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { Caller } from "../views/policy/caller.ts";
import type { ChangeBatch, GroupPosition, ViewsReader } from "../views/view-info.ts";
import type { Frame } from "./feed.ts";
import { changesFrames, progressFrame, snapshotFrames } from "./feed-frames.ts";
import type { FilterShape } from "./filter-shape.ts";
import type { SharedReads } from "./shared-reads.ts";

export interface HubOptions {
  readonly reader: ViewsReader;
  readonly clock: Clock;
  readonly view: string;
  readonly shape: FilterShape;
  readonly caller: Caller;
  /** Of all hubs. */
  readonly reads: SharedReads;
  readonly budget: RingBudget;
  readonly limits: HubLimits;
}

export interface HubLimits {
  readonly ringBytesMax: number;
  readonly snapshotBytesMax: number;
  /** Positions without changes are told this often at most. */
  readonly progressMs: number;
  readonly retryMs: number;
}

/** Characters held by all rings. */
export class RingBudget {
  readonly max: number;
  used = 0;

  constructor(max: number) {
    this.max = max;
  }
}

export type HubAnswer =
  /** The next batch; `frames` is null when it must be read by pages. */
  | { readonly kind: "batch"; readonly position: GroupPosition; readonly frames: readonly Frame[] | null }
  | { readonly kind: "progress"; readonly position: GroupPosition; readonly frame: Frame }
  | { readonly kind: "nothing" }
  /** Not in the ring any more. */
  | { readonly kind: "behind" }
  | { readonly kind: "gap"; readonly reason: string; readonly current: GroupPosition };

interface Entry {
  readonly batch: number;
  readonly frames: readonly Frame[] | null;
  readonly size: number;
}

export interface FeedSnapshot {
  readonly position: GroupPosition;
  readonly frames: AsyncIterator<Frame, undefined>;
}

interface SharedSnapshot {
  readonly position: GroupPosition;
  readonly frames: readonly Frame[];
  readonly size: number;
}

export class ViewHub {
  readonly #options: HubOptions;
  readonly #subscribers = new Set<() => void>();
  readonly #unsubscribe: () => void;
  #position: GroupPosition;
  #floor: number;
  #ring: Entry[] = [];
  #ringSize = 0;
  /** Batches are told up to here, by changes or by progress. */
  #toldBatch: number;
  #progress: { readonly batch: number; readonly frame: Frame } | undefined;
  #progressTimer: Timer | undefined;
  #retryTimer: Timer | undefined;
  #gapReason = "";
  #reading = false;
  #proven = false;
  #closed = false;
  #error: MillraceError | undefined;
  #snapshot: SharedSnapshot | undefined;
  #snapshotComing: Promise<SharedSnapshot | undefined> | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#position = options.reader.position(options.view);
    this.#floor = this.#position.batch;
    this.#toldBatch = this.#position.batch;
    this.#unsubscribe = options.reader.onChange(() => this.#moved());
  }

  /** Calls `wake` whenever `after` may answer something else. The last one to leave closes the hub. */
  join(wake: () => void): () => void {
    this.#subscribers.add(wake);
    return () => void this.#subscribers.delete(wake);
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** The position up to which the ring is complete. */
  get position(): GroupPosition {
    return this.#position;
  }

  /** Whether "nothing" is what the store would say: the hub has read with this filter, and has passed the position. */
  covers({ group, generation, batch }: GroupPosition): boolean {
    const { group: ourGroup, generation: ours, batch: upTo } = this.#position;
    return this.#proven && group === ourGroup && generation === ours && batch >= this.#floor && batch <= upTo;
  }

  /** What comes after this position. Throws what ends all feeds of the hub (`VIEW_FAILED`, `VIEW_UNKNOWN`, `COLUMN_UNKNOWN`). */
  after(position: GroupPosition): HubAnswer {
    if (this.#error) throw this.#error;
    const { group, generation, batch } = this.#position;
    // Where it moved to, or came from, the store says.
    if (position.group !== group) return { kind: "behind" };
    // Ahead of the ring: a snapshot was newer, and the hub is about to read.
    if (position.generation > generation) return { kind: "nothing" };
    if (position.generation !== generation) return { kind: "gap", reason: this.#gapReason, current: this.#position };
    if (position.batch < this.#floor) return { kind: "behind" };
    const next = this.#ring[this.#firstAfter(position.batch)];
    if (next) return { kind: "batch", position: { ...this.#position, batch: next.batch }, frames: next.frames };
    if (this.#progress && this.#progress.batch > position.batch && this.#progress.batch <= batch) {
      return {
        kind: "progress",
        position: { ...this.#position, batch: this.#progress.batch },
        frame: this.#progress.frame,
      };
    }
    return { kind: "nothing" };
  }

  /** A fresh snapshot, or one that the ring still continues and that costs less than a read. */
  async openSnapshot(): Promise<FeedSnapshot> {
    let shared = this.#usableSnapshot();
    // Who comes while one is being read waits for it; who comes first must not wait, or all would come first.
    if (!shared && this.#snapshotComing) shared = await this.#snapshotComing.catch(() => undefined);
    if (shared && this.#continues(shared)) return { position: shared.position, frames: replay(shared.frames) };
    const reading = this.#readSnapshot();
    const coming = reading.then((one) => one.shared);
    coming.catch(() => {});
    this.#snapshotComing ??= coming;
    try {
      return (await reading).snapshot;
    } finally {
      if (this.#snapshotComing === coming) this.#snapshotComing = undefined;
    }
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    this.#progressTimer?.cancel();
    this.#stopRetry();
    this.#clearRing();
  }

  async #readSnapshot(): Promise<{ snapshot: FeedSnapshot; shared: SharedSnapshot | undefined }> {
    const { reader, view, shape, limits } = this.#options;
    const { position, pages } = await reader.snapshot(view, shape.filter, shape.select);
    this.#proven = true;
    const rest = snapshotFrames(position, reader.info(view).key, pages);
    const frames: Frame[] = [];
    let size = 0;
    for (;;) {
      const { done, value } = await rest.next();
      if (done === true) break;
      frames.push(value);
      size += value.data.length;
      if (size > limits.snapshotBytesMax)
        return { snapshot: { position, frames: replay(frames, rest) }, shared: undefined };
    }
    const shared = { position, frames, size };
    this.#snapshot = shared;
    return { snapshot: { position, frames: replay(frames) }, shared };
  }

  #usableSnapshot(): SharedSnapshot | undefined {
    const shared = this.#snapshot;
    if (!shared || !this.#continues(shared)) return undefined;
    let size = 0;
    for (let i = this.#firstAfter(shared.position.batch); i < this.#ring.length; i++) size += this.#ring[i]?.size ?? 0;
    return size <= Math.max(65_536, shared.size) ? shared : undefined;
  }

  #continues({ position }: SharedSnapshot): boolean {
    const { group, generation } = this.#position;
    return position.group === group && position.generation === generation && position.batch >= this.#floor;
  }

  #moved(): void {
    if (this.#closed) return;
    this.#error = undefined;
    try {
      const { state } = this.#options.reader.info(this.#options.view);
      if (state.kind === "failed") throw state.error;
    } catch (error) {
      this.#fail(MillraceError.from(error));
      return;
    }
    void this.#read();
  }

  #fail(error: MillraceError): void {
    this.#error = error;
    this.#notify();
  }

  async #read(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    this.#stopRetry();
    const { reader, view, shape, caller, reads, clock, limits } = this.#options;
    try {
      while (!this.#closed && isBehind(this.#position, reader.position(view))) {
        const answer = this.#proven
          ? await reads.changesSince(view, this.#position, shape, caller)
          : await reads.alone(view, this.#position, shape, caller);
        if (this.#closed) return;
        this.#proven = true;
        if (answer.outcome === "gap") this.#beginAnew(answer.reason, answer.current);
        else this.#extend(answer.batches, answer.upTo);
        this.#notify();
      }
    } catch (error) {
      // A view that is being built tells when it is done; a store that is gone is tried again. Columns may be gone with a version.
      if (MillraceError.is(error) && (error.code === "VIEW_FAILED" || error.action === "fix-request"))
        this.#fail(error);
      else if (!this.#closed) this.#retryTimer = clock.after(limits.retryMs, () => void this.#read());
    } finally {
      this.#reading = false;
    }
    // A batch that was told between the last look and the end of this read.
    if (!this.#closed && !this.#retryTimer && !this.#error && isBehind(this.#position, reader.position(view)))
      void this.#read();
  }

  #stopRetry(): void {
    this.#retryTimer?.cancel();
    this.#retryTimer = undefined;
  }

  #extend(batches: readonly ChangeBatch[], upTo: GroupPosition): void {
    for (const batch of batches) {
      const frames = batch.large ? null : changesFrames(batch);
      const size = frames?.reduce((sum, frame) => sum + frame.data.length, 0) ?? 0;
      this.#ring.push({ batch: batch.position.batch, frames, size });
      this.#ringSize += size;
      this.#options.budget.used += size;
      this.#toldBatch = batch.position.batch;
    }
    this.#position = upTo;
    this.#trim();
    if (this.#toldBatch < upTo.batch) this.#tellProgressSoon();
  }

  #trim(): void {
    const { budget, limits } = this.#options;
    let drop = 0;
    while (
      drop < this.#ring.length &&
      (this.#ringSize > limits.ringBytesMax || budget.used > budget.max || this.#ring.length - drop > ringEntriesMax)
    ) {
      const entry = this.#ring[drop++];
      if (!entry) break;
      this.#ringSize -= entry.size;
      budget.used -= entry.size;
      this.#floor = entry.batch;
    }
    if (drop > 0) this.#ring = this.#ring.slice(drop);
  }

  #tellProgressSoon(): void {
    if (this.#progressTimer) return;
    this.#progressTimer = this.#options.clock.after(this.#options.limits.progressMs, () => {
      this.#progressTimer = undefined;
      if (this.#closed || this.#position.batch <= this.#toldBatch) return;
      this.#toldBatch = this.#position.batch;
      this.#progress = { batch: this.#position.batch, frame: progressFrame(this.#position) };
      this.#notify();
    });
  }

  #beginAnew(reason: string, current: GroupPosition): void {
    this.#clearRing();
    this.#position = current;
    this.#floor = current.batch;
    this.#toldBatch = current.batch;
    this.#progress = undefined;
    this.#gapReason = reason;
    this.#snapshot = undefined;
  }

  #clearRing(): void {
    this.#options.budget.used -= this.#ringSize;
    this.#ringSize = 0;
    this.#ring = [];
  }

  /** Binary search: the ring is in the order of batches. */
  #firstAfter(batch: number): number {
    let [low, high] = [0, this.#ring.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ring[middle]?.batch ?? 0) > batch) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #notify(): void {
    for (const wake of this.#subscribers) wake();
  }
}

const ringEntriesMax = 4_096;

function isBehind(position: GroupPosition, current: GroupPosition): boolean {
  const isSame = position.group === current.group && position.generation === current.generation;
  return !isSame || position.batch < current.batch;
}

/** Frames that are there, then those of `rest`, whose `return` is passed on. */
function replay(frames: readonly Frame[], rest?: AsyncIterator<Frame, undefined>): AsyncIterator<Frame, undefined> {
  let next = 0;
  return {
    async next() {
      const frame = frames[next];
      if (frame) {
        next++;
        return { done: false, value: frame };
      }
      return rest ? rest.next() : { done: true, value: undefined };
    },
    async return() {
      next = frames.length;
      await rest?.return?.();
      return { done: true, value: undefined };
    },
  };
}
