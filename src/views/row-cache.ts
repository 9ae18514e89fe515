/**
 * Rows by their key, in memory, kept right by the change rows of their views; that there is no such row is kept as well.
 *
 * A view's shelf is *current* up to a position: each of its entries is the row at that position. Nothing is read ahead of
 * need: a read that has to see more than its shelf reads the keys that changed since, once for all who wait, and drops
 * their entries. A view that nobody reads costs nothing.
 *
 * Always true: an answer is the row at the position that it states, which is not older than any position that this
 * process had told before the read began, be it by its group or by another answer. What is kept is bounded by `bytesMax`.
 * Not here: which spellings of a key are one key (`row-key.ts`), and SQL.
 */
import { Sieve, type SieveEntry } from "./row-sieve.ts";
import type { EncodedRow, GroupPosition, RowAnswer, RowCacheFigures } from "./view-info.ts";

/** What the cache stands on. `Version` is one version of a view, compared by identity. */
export interface RowSource<Version> {
  /** Of the last batch that the group has told this process. */
  position(): GroupPosition;
  row(version: Version, key: readonly string[]): Promise<RowAnswer>;
  changedKeys(version: Version, after: GroupPosition): Promise<ChangedKeys>;
}

export interface ChangedKeys {
  readonly position: GroupPosition;
  /** All keys that changed after the position that was asked for, up to this one; null when they are too many or no longer kept. */
  readonly keys: readonly { readonly key: string; readonly batch: number }[] | null;
}

interface Entry extends SieveEntry {
  readonly shelf: Shelf;
  readonly key: string;
  readonly row: EncodedRow | null;
  /** Of the snapshot that it was read from. */
  readonly batch: number;
}

/** A row that is being read. */
interface Fill {
  readonly answer: Promise<RowAnswer>;
  /** A row of an earlier snapshot than this is not kept: the key has changed since, or may have. */
  keptFromBatch: number;
}

interface Shelf {
  /** Entries are rows of this version, and of the generation of `current`. */
  readonly version: unknown;
  readonly counts: { hits: number; misses: number; bytes: number };
  readonly entries: Map<string, Entry>;
  readonly fills: Map<string, Fill>;
  current: GroupPosition;
  catchingUp: Promise<void> | null;
  /** Another version has taken its place: what still reads from it keeps nothing. */
  retired: boolean;
}

/** An entry beside its key and its row, about. */
const entryBytes = 200;
/** Reads of others that were waited for in vain, before one goes to the store by itself. */
const attemptsMax = 4;

export class RowCache<Version> {
  readonly #source: RowSource<Version>;
  readonly #shelves = new Map<string, Shelf>();
  readonly #sieve: Sieve<Entry>;
  readonly #rowBytesMax: number;
  /** The newest position that an answer of the store has stated. */
  #seen: GroupPosition = { generation: 0, batch: 0 };

  constructor(source: RowSource<Version>, bytesMax: number) {
    this.#source = source;
    this.#sieve = new Sieve(bytesMax, (entry) => this.#remove(entry));
    this.#rowBytesMax = bytesMax / 8;
  }

  /** Every position that is answered to anybody is told here, so that no later read goes behind it. */
  saw(position: GroupPosition): void {
    if (!isReached(this.#seen, position)) this.#seen = position;
  }

  /** The row, if it is there and needs no look at the store. `key` is of the one spelling. */
  find(view: string, version: Version, key: string): RowAnswer | undefined {
    const shelf = this.#shelves.get(view);
    const entry = shelf?.version === version ? shelf.entries.get(key) : undefined;
    return entry && this.#answerOf(entry, this.#needed());
  }

  /** Throws what the source throws. */
  async read(view: string, version: Version, key: string, parts: readonly string[]): Promise<RowAnswer> {
    const needed = this.#needed();
    const shelf = this.#shelfOf(view, version, needed);
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const entry = shelf.entries.get(key);
      if (entry) {
        const answer = this.#answerOf(entry, needed);
        if (answer) return answer;
        shelf.catchingUp ??= this.#catchUp(shelf).finally(() => {
          shelf.catchingUp = null;
        });
        await shelf.catchingUp;
        continue;
      }
      const answer = await (shelf.fills.get(key)?.answer ?? this.#fill(shelf, key, parts));
      if (isReached(answer.position, needed)) {
        shelf.counts.misses++;
        return answer;
      }
    }
    shelf.counts.misses++;
    return await this.#source.row(version, parts);
  }

  figures(): RowCacheFigures[] {
    return [...this.#shelves].map(([view, { counts }]) => ({ view, ...counts }));
  }

  #needed(): GroupPosition {
    const told = this.#source.position();
    return isReached(told, this.#seen) ? told : this.#seen;
  }

  /** Without entries a shelf is current up to any position. */
  #shelfOf(view: string, version: Version, needed: GroupPosition): Shelf {
    const found = this.#shelves.get(view);
    if (found?.version === version) return found;
    if (found) {
      this.#empty(found);
      found.retired = true;
    }
    const shelf: Shelf = {
      version,
      counts: found?.counts ?? { hits: 0, misses: 0, bytes: 0 },
      entries: new Map(),
      fills: new Map(),
      current: needed,
      catchingUp: null,
      retired: false,
    };
    this.#shelves.set(view, shelf);
    return shelf;
  }

  #answerOf(entry: Entry, needed: GroupPosition): RowAnswer | undefined {
    const { current, counts } = entry.shelf;
    const position = entry.batch <= current.batch ? current : { generation: current.generation, batch: entry.batch };
    if (!isReached(position, needed)) return undefined;
    entry.visited = true;
    counts.hits++;
    return { row: entry.row, position };
  }

  async #catchUp(shelf: Shelf): Promise<void> {
    const from = shelf.current;
    const { position, keys } = await this.#source.changedKeys(shelf.version as Version, from);
    this.saw(position);
    // A fill of another generation has moved the shelf meanwhile.
    if (shelf.current !== from) return;
    if (keys === null || position.generation !== from.generation || position.batch < from.batch) {
      this.#beginAnew(shelf, position);
      return;
    }
    for (const { key, batch } of keys) {
      const entry = shelf.entries.get(key);
      if (entry && entry.batch < batch) this.#sieve.delete(entry);
      const fill = shelf.fills.get(key);
      if (fill && fill.keptFromBatch < batch) fill.keptFromBatch = batch;
    }
    shelf.current = position;
  }

  #fill(shelf: Shelf, key: string, parts: readonly string[]): Promise<RowAnswer> {
    const answer = this.#source.row(shelf.version as Version, parts).then(
      (found) => {
        shelf.fills.delete(key);
        this.saw(found.position);
        this.#keep(shelf, key, found, fill);
        return found;
      },
      (error) => {
        shelf.fills.delete(key);
        throw error;
      },
    );
    const fill: Fill = { answer, keptFromBatch: shelf.current.batch };
    shelf.fills.set(key, fill);
    return answer;
  }

  #keep(shelf: Shelf, key: string, { row, position }: RowAnswer, fill: Fill): void {
    const { generation, batch } = position;
    if (generation > shelf.current.generation) this.#beginAnew(shelf, position);
    else if (generation < shelf.current.generation || batch < fill.keptFromBatch) return;
    if (shelf.retired) return;
    const bytes = entryBytes + sizeOf(key) + (row === null ? 0 : sizeOf(row.body, row.bytes));
    if (bytes > this.#rowBytesMax) return;
    const entry: Entry = { shelf, key, row, batch, bytes, visited: false, older: null, newer: null };
    shelf.entries.set(key, entry);
    shelf.counts.bytes += bytes;
    this.#sieve.add(entry);
  }

  /** From a position on, without what was before: of the rows that are being read those are kept that have it. */
  #beginAnew(shelf: Shelf, position: GroupPosition): void {
    this.#empty(shelf);
    for (const fill of shelf.fills.values()) fill.keptFromBatch = position.batch;
    shelf.current = position;
  }

  #empty(shelf: Shelf): void {
    for (const entry of shelf.entries.values()) this.#sieve.delete(entry);
  }

  /** Called by the sieve for whatever leaves it. */
  #remove({ shelf, key, bytes }: Entry): void {
    shelf.entries.delete(key);
    shelf.counts.bytes -= bytes;
  }
}

/** Whether a position has what another one has. */
function isReached(position: GroupPosition, wanted: GroupPosition): boolean {
  if (position.generation !== wanted.generation) return position.generation > wanted.generation;
  return position.batch >= wanted.batch;
}

/** In memory a text takes one byte a character, or two where one of them is beyond Latin-1. */
function sizeOf(text: string, utf8Bytes = Buffer.byteLength(text)): number {
  return utf8Bytes === text.length ? text.length : 2 * text.length;
}
