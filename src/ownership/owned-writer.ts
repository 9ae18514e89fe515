/**
 * The owner of a unit who writes what many callers hand in. While one group is made durable, what comes in gathers for the
 * next, so that many calls share a sync.
 *
 * Always true: a caller is answered when its group is committed; groups follow each other, and keep the order of the calls.
 * An item that the log refuses fails alone: its group is aborted, and the others are written again. When it is not
 * known whether a group is in the log, the unit is taken over anew, and what the log has is read, before another is written.
 * Who has been fenced commits nothing. Not here: what an item is, and whether it is new.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { nextTurn } from "../base/turn.ts";
import type { Engine, Transaction } from "../engine/engine.ts";
import { becomeOwner, type Ownership } from "./become-owner.ts";
import type { ProgressTable } from "./progress-table.ts";

export type OwnedWriterState =
  /** Takes the unit over and reads what the log has. */
  | { readonly kind: "connecting" }
  | { readonly kind: "streaming" }
  | { readonly kind: "waiting"; readonly error: MillraceError; readonly retryAtMs: number }
  | { readonly kind: "stopped" };

export interface OwnedWriterLimits {
  /** What waits for its group, in bytes; past it nothing more is taken. */
  readonly pendingBytesMax: number;
  readonly groupBytesMax: number;
  readonly retryMsMin: number;
  readonly retryMsMax: number;
}

/** What a group is made of, and what follows from it. */
export interface OwnedWork<Item, Result> {
  /** Reads what the log has by now; the unit has just been taken over. */
  catchUp(): Promise<void>;
  /** Appends the items in one transaction that is not committed yet. Answers what each is answered with once it is. */
  write(transaction: Transaction, items: readonly Item[]): Promise<readonly Result[]>;
  /** They are committed; nobody has been answered yet. */
  committed(items: readonly Item[], results: readonly Result[]): void;
  /** These were not written, or nobody knows whether they were. */
  refused(items: readonly Item[]): void;
  /**
   * What callers are told in place of an error of the log, which is undefined while the log is read. Of an `unknown` group it
   * is not known whether the log has it; of a `refused` one nothing is there.
   */
  refusal(error: MillraceError | undefined, outcome: "refused" | "unknown"): MillraceError;
  /** More waits than may. */
  busy(): MillraceError;
}

export interface OwnedWriterOptions<Item, Result> {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly progress: ProgressTable;
  readonly unit: string;
  readonly work: OwnedWork<Item, Result>;
  readonly limits?: Partial<OwnedWriterLimits>;
}

interface Pending<Item, Result> {
  readonly item: Item;
  readonly sizeBytes: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
  isSettled: boolean;
}

const defaultLimits: OwnedWriterLimits = {
  pendingBytesMax: 64 * 1024 * 1024,
  groupBytesMax: 8 * 1024 * 1024,
  retryMsMin: 500,
  retryMsMax: 15_000,
};

export class OwnedWriter<Item, Result> {
  readonly #options: OwnedWriterOptions<Item, Result>;
  readonly #limits: OwnedWriterLimits;
  #queue: Pending<Item, Result>[] = [];
  #pendingBytes = 0;
  #owner: Ownership | undefined;
  #state: OwnedWriterState = { kind: "connecting" };
  #retryMs = 0;
  #timer: { cancel(): void } | undefined;
  #working: Promise<void> | undefined;
  #takingOver: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: OwnedWriterOptions<Item, Result>) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  get state(): OwnedWriterState {
    return this.#state;
  }

  /** Takes the unit over, and tries again by itself where that may pass. */
  start(): void {
    this.#kick();
  }

  /** Resolves when it serves, or the taking over that is under way has failed. Never rejects. */
  async settled(): Promise<void> {
    while (this.#takingOver) await this.#takingOver;
  }

  /** Throws what `write` throws while it takes nothing. */
  assertServing(): void {
    if (this.#isClosed || !this.#owner) throw this.#notServing();
  }

  /** Throws what `write` throws for an item of this size. */
  assertRoom(sizeBytes: number): void {
    if (this.#pendingBytes === 0 || this.#pendingBytes + sizeBytes <= this.#limits.pendingBytesMax) return;
    throw this.#options.work.busy();
  }

  /** Resolves when the item is committed. Throws at once when it takes nothing, or when too much waits. */
  write(item: Item, sizeBytes: number): Promise<Result> {
    this.assertServing();
    this.assertRoom(sizeBytes);
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    promise.catch(() => {});
    this.#queue.push({ item, sizeBytes, resolve, reject, isSettled: false });
    this.#pendingBytes += sizeBytes;
    this.#kick();
    return promise;
  }

  /** Lets what waits be committed. True when it was the owner to the end. */
  async close(): Promise<boolean> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#working;
    this.#state = { kind: "stopped" };
    return this.#owner !== undefined;
  }

  #kick(): void {
    if (this.#working) return;
    this.#working = this.#work().finally(() => {
      this.#working = undefined;
      // What came in while it ended.
      if (this.#queue.length > 0) this.#kick();
    });
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    if (!this.#owner && !this.#isClosed) await this.#takeOver();
    while (this.#owner && this.#queue.length > 0) {
      // Those who call in this turn are in this group.
      await nextTurn();
      const group = this.#takeGroup();
      try {
        await this.#writeGroup(this.#owner, group);
      } catch (error) {
        // Whether it is in the log is only known when the log is read again.
        this.#owner = undefined;
        const refusal = this.#options.work.refusal(MillraceError.from(error), "unknown");
        this.#refuse([...group, ...this.#queue.splice(0)], refusal);
        if (!this.#isClosed) await this.#takeOver();
        return;
      }
    }
    if (!this.#owner) this.#refuse(this.#queue.splice(0), this.#notServing());
  }

  #takeOver(): Promise<void> {
    this.#state = { kind: "connecting" };
    this.#takingOver = this.#tryTakeOver().finally(() => {
      this.#takingOver = undefined;
    });
    return this.#takingOver;
  }

  /** Fences whoever was the owner, and reads what the log has by now. */
  async #tryTakeOver(): Promise<void> {
    const { engine, unit, progress, clock, work, diagnostics } = this.#options;
    try {
      const owner = await becomeOwner(engine, unit, { progress });
      await work.catchUp();
      if (this.#isClosed) return;
      this.#owner = owner;
      this.#retryMs = 0;
      this.#state = { kind: "streaming" };
    } catch (thrown) {
      const error = MillraceError.from(thrown);
      if (this.#isClosed) return;
      this.#retryMs = Math.min(this.#limits.retryMsMax, Math.max(this.#limits.retryMsMin, this.#retryMs * 2));
      this.#state = { kind: "waiting", error, retryAtMs: clock.now() + this.#retryMs };
      diagnostics.warn("what a unit owns cannot be written; it is taken over again", { unit, error });
      this.#timer = clock.after(this.#retryMs, () => {
        if (!this.#isClosed) this.#kick();
      });
    }
  }

  #takeGroup(): Pending<Item, Result>[] {
    let bytes = 0;
    let count = 0;
    for (const { sizeBytes } of this.#queue) {
      if (count > 0 && bytes + sizeBytes > this.#limits.groupBytesMax) break;
      bytes += sizeBytes;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** Throws when it is not known what the log has of it. */
  async #writeGroup(owner: Ownership, group: readonly Pending<Item, Result>[]): Promise<void> {
    const refused = await this.#commit(owner, group);
    if (refused === undefined) return;
    if (group.length === 1) this.#refuse(group, refused);
    else for (const one of group) await this.#writeGroup(owner, [one]);
  }

  /** What the log refuses it with, when nothing of it is there. */
  async #commit(owner: Ownership, group: readonly Pending<Item, Result>[]): Promise<MillraceError | undefined> {
    const { work } = this.#options;
    const items = group.map(({ item }) => item);
    const transaction = owner.begin();
    let results: readonly Result[];
    try {
      results = await work.write(transaction, items);
    } catch (error) {
      // Who was fenced cannot abort either, and is no owner any more.
      await transaction.abort();
      return work.refusal(MillraceError.from(error), "refused");
    }
    await transaction.commit();
    work.committed(items, results);
    group.forEach((pending, i) => {
      this.#leave(pending);
      pending.resolve(results[i] as Result);
    });
    return undefined;
  }

  #refuse(group: readonly Pending<Item, Result>[], reason: MillraceError): void {
    const open = group.filter(({ isSettled }) => !isSettled);
    this.#options.work.refused(open.map(({ item }) => item));
    for (const pending of open) {
      this.#leave(pending);
      pending.reject(reason);
    }
  }

  #leave(pending: Pending<Item, Result>): void {
    pending.isSettled = true;
    this.#pendingBytes -= pending.sizeBytes;
  }

  #notServing(): MillraceError {
    if (this.#isClosed) return new MillraceError("SHUTTING_DOWN", "Millrace is stopping");
    return this.#options.work.refusal("error" in this.#state ? this.#state.error : undefined, "refused");
  }
}
