/**
 * The last offset of each key of one partition, for appends that expect one (`If-Match`). Nothing is held until the first
 * of them comes: then the partition is read once, while what is appended meanwhile is noted as it comes.
 *
 * Always true: while it is open, it has taken in every batch that the partition gave offsets to; an expectation is
 * compared in the same turn in which the batch gets its offsets, so that nobody's append comes between.
 */
import { MillraceError } from "../../base/errors.ts";
import { batchLastOffset } from "../../records/batch-header.ts";
import { type AbortedBatches, forEachCommittedBatch } from "../../records/committed-batches.ts";
import type { PartitionPlace } from "../log-context.ts";
import type { KeyHolder, KeyMemory } from "./key-memory.ts";
import { hashOfKey } from "./key-offset-table.ts";
import { KnownKeys } from "./known-keys.ts";

/** What must be so of a key: the offset of its last record, null for none, or any. */
export interface ExpectedKey {
  readonly key: Uint8Array;
  readonly offset: number | null | "any";
}

/** The partition, as far as it is read here. */
export interface KeyedPartition {
  readonly place: PartitionPlace;
  readonly logStart: number;
  readonly lastStable: number;
  readonly nextOffset: number;
  readonly cleanedTo: number;
  durable(offset: number): Promise<void>;
  readable(offset: number, committed: boolean, waitMs: number, signal: AbortSignal | undefined): Promise<void>;
  read(offset: number, committed: boolean, bytesMax: number): Promise<AbortedBatches>;
}

const readBytesMax = 256 * 1024;
/** How long the reading waits for transactions that were open when it began. */
const openWaitMs = 2_000;

export class PartitionKeys implements KeyHolder {
  readonly #partition: KeyedPartition;
  readonly #memory: KeyMemory;
  readonly #giveBack: (batches: readonly Buffer[]) => void;
  #known: KnownKeys | undefined;
  #opening: Promise<void> | undefined;
  /** How the partition was when its keys were too many. */
  #full: { readonly logStart: number; readonly cleanedTo: number } | undefined;

  constructor(partition: KeyedPartition, memory: KeyMemory, giveBack: (batches: readonly Buffer[]) => void) {
    this.#partition = partition;
    this.#memory = memory;
    this.#giveBack = giveBack;
  }

  get keyBytes(): number {
    return this.#known?.bytes ?? 0;
  }

  /**
   * Undefined when `unlike` can be asked in this turn. Else what resolves when it can, or could before it was let go again: then
   * this is asked again. Throws `KEY_OFFSETS_FULL`, `KEY_OFFSET_UNDECIDED` while a transaction is open that began before this, and
   * what reading throws.
   */
  opening(): Promise<void> | undefined {
    if (this.#known && !this.#opening) {
      this.#memory.used(this);
      return undefined;
    }
    this.#opening ??= this.#read().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Why the expectation does not hold; undefined when it does. */
  unlike({ key, offset: expected }: ExpectedKey): MillraceError | undefined {
    if (!this.#known) throw new Error("the keys of the partition are not open");
    const hash = hashOfKey(key);
    const open = this.#known.undecided(hash);
    if (open !== undefined) return this.#undecided(open);
    const last = this.#known.lastOffset(hash, this.#partition.logStart);
    if (expected === "any" ? last !== null : last === expected) return undefined;
    return this.#mismatch(last, expected);
  }

  /** A batch that was just given its offsets. Never throws: what cannot be read here is read again by the next who expects something. */
  note(batch: Buffer): void {
    if (!this.#known) return;
    try {
      this.#known.note(batch, this.#partition.logStart);
      this.#grown();
    } catch {
      this.letGo();
    }
  }

  letGo(): void {
    this.#known = undefined;
    this.#memory.forget(this);
  }

  async #read(): Promise<void> {
    const { logStart, cleanedTo, nextOffset: end } = this.#partition;
    if (this.#full?.logStart === logStart && this.#full.cleanedTo === cleanedTo) throw this.#tooMany();
    const known = new KnownKeys();
    this.#known = known;
    this.#full = undefined;
    this.#memory.used(this);
    try {
      await this.#readUpTo(end, known);
    } catch (error) {
      if (this.#known === known) this.letGo();
      throw error;
    }
  }

  async #readUpTo(end: number, known: KnownKeys): Promise<void> {
    const partition = this.#partition;
    this.#grown();
    if (this.#full) throw this.#tooMany();
    if (end <= partition.logStart) return;
    await partition.durable(end);
    await partition.readable(end - 1, true, openWaitMs, undefined);
    if (partition.lastStable < end) throw this.#undecided(partition.lastStable);
    for (let offset = partition.logStart; offset < end; ) {
      const read = await this.#readAt(offset);
      if (this.#full) throw this.#tooMany();
      if (!read) {
        offset = Math.max(offset, partition.logStart);
        continue;
      }
      const last = read.batches.at(-1);
      if (!last) return;
      forEachCommittedBatch(read, (batch) => {
        if (batchLastOffset(batch) < end) known.noteCommitted(batch, partition.logStart);
      });
      offset = batchLastOffset(last) + 1;
      this.#giveBack(read.batches);
      this.#grown();
    }
  }

  /** Undefined when what is asked for was retired meanwhile. */
  async #readAt(offset: number): Promise<AbortedBatches | undefined> {
    try {
      return await this.#partition.read(offset, true, readBytesMax);
    } catch (error) {
      if (MillraceError.is(error, "OFFSET_OUT_OF_RANGE") && offset < this.#partition.logStart) return undefined;
      throw error;
    }
  }

  #grown(): void {
    if (!this.#known || this.#memory.grown(this)) return;
    const { logStart, cleanedTo } = this.#partition;
    this.#full = { logStart, cleanedTo };
    this.letGo();
  }

  get #words(): string {
    const { topic, partition } = this.#partition.place;
    return `partition ${partition} of topic "${topic}"`;
  }

  #mismatch(offset: number | null, expected: ExpectedKey["offset"]): MillraceError {
    const { topic, partition } = this.#partition.place;
    const is = offset === null ? "has no record" : `has its last record at offset ${offset}`;
    const wanted = expected === null ? "none" : expected === "any" ? "one" : `offset ${expected}`;
    return new MillraceError("KEY_OFFSET_MISMATCH", `the key ${is} in ${this.#words}, and ${wanted} was expected`, {
      hint: "Read what the key has now, decide anew, and expect the offset that was read.",
      details: { topic, partition, offset },
    });
  }

  #undecided(offset: number): MillraceError {
    const { topic, partition } = this.#partition.place;
    const message = `a transaction is open in ${this.#words} that may have the last record of the key`;
    return new MillraceError("KEY_OFFSET_UNDECIDED", message, {
      hint: "Send it again when the transaction has ended.",
      details: { topic, partition, offset },
    });
  }

  #tooMany(): MillraceError {
    const { topic, partition } = this.#partition.place;
    return new MillraceError("KEY_OFFSETS_FULL", `${this.#words} has more keys than may be held in memory`, {
      hint: "Give the log more memory (MILLRACE_LOG_MEMORY), or let the topic have more partitions.",
      details: { topic, partition },
    });
  }
}
