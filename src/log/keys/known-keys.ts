/**
 * What batches say of keys: the last offset of each, and which keys are in transactions that are open. A fold in memory;
 * batches come in the order of their offsets, but for those of before it began, which may come later and decided.
 */
import { batchAttributes, batchProducerId, isControl, isTransactional } from "../../records/batch-header.ts";
import { BatchRecords, controlKind } from "../../records/batch-records.ts";
import { hashOfKey, KeyOffsetTable } from "./key-offset-table.ts";

/** What a record in an open transaction takes of memory, about, when it is the only one of its key. */
const openBytes = 400;

interface OpenRecord {
  readonly hash: Buffer;
  readonly offset: number;
  readonly isTombstone: boolean;
}

export class KnownKeys {
  readonly #table = new KeyOffsetTable();
  readonly #records = new BatchRecords();
  /** By producer, in the order of their offsets. */
  readonly #open = new Map<number, OpenRecord[]>();
  /** By key, the producers whose open transactions have it, each with its first record of the key; the first of all comes first. */
  readonly #undecided = new Map<string, Map<number, number>>();
  #openCount = 0;

  get bytes(): number {
    return this.#table.bytes + this.#openCount * openBytes;
  }

  /** A batch that was just given its offsets; nothing below `start` is there any more. */
  note(batch: Buffer, start: number): void {
    const attributes = batchAttributes(batch);
    const producerId = batchProducerId(batch);
    if (isControl(attributes)) {
      const kind = controlKind(batch);
      if (kind === "commit" || kind === "abort") this.#decide(producerId, kind === "commit", start);
    } else this.#each(batch, isTransactional(attributes) ? (one) => this.#add(producerId, one) : this.#keep(start));
  }

  /** A batch that is committed, of before the fold began. */
  noteCommitted(batch: Buffer, start: number): void {
    this.#each(batch, this.#keep(start));
  }

  /** Where the first record of the key in an open transaction is; undefined when it is in none. */
  undecided(hash: Buffer): number | undefined {
    return this.#undecided.get(hash.toString("latin1"))?.values().next().value;
  }

  /** Of the key's last record; null when there is none at `start` or behind it, or a tombstone. */
  lastOffset(hash: Buffer, start: number): number | null {
    const found = this.#table.find(hash);
    return found && !found.isTombstone && found.offset >= start ? found.offset : null;
  }

  #keep(start: number): (record: OpenRecord) => void {
    return ({ hash, offset, isTombstone }) => this.#table.note(hash, offset, isTombstone, start);
  }

  #each(batch: Buffer, take: (record: OpenRecord) => void): void {
    const records = this.#records.open(batch);
    while (records.next()) {
      const { key, offset, isTombstone } = records;
      if (key) take({ hash: hashOfKey(key), offset, isTombstone });
    }
  }

  #add(producerId: number, record: OpenRecord): void {
    const open = this.#open.get(producerId);
    if (open) open.push(record);
    else this.#open.set(producerId, [record]);
    this.#openCount++;
    const name = record.hash.toString("latin1");
    const producers = this.#undecided.get(name);
    if (!producers) this.#undecided.set(name, new Map([[producerId, record.offset]]));
    else if (!producers.has(producerId)) producers.set(producerId, record.offset);
  }

  #decide(producerId: number, isCommit: boolean, start: number): void {
    const keep = this.#keep(start);
    for (const record of this.#open.get(producerId) ?? []) {
      if (isCommit) keep(record);
      this.#openCount--;
      const name = record.hash.toString("latin1");
      const producers = this.#undecided.get(name);
      if (producers?.delete(producerId) && producers.size === 0) this.#undecided.delete(name);
    }
    this.#open.delete(producerId);
  }
}
