/**
 * What is kept within a bound of bytes, and what goes when it is full: SIEVE (Zhang et al., NSDI 2024). A hand passes from
 * the oldest entry to the newest; one that was used since the hand's last visit stays where it is, another one goes. A hit
 * sets a flag and moves nothing, and entries that are asked for once leave before those that are asked for again.
 */
export interface SieveEntry {
  readonly bytes: number;
  /** Set by whoever uses the entry. */
  visited: boolean;
  /** Of the sieve alone. */
  older: this | null;
  newer: this | null;
}

export class Sieve<Entry extends SieveEntry> {
  readonly #bytesMax: number;
  readonly #onLeave: (entry: Entry) => void;
  #oldest: Entry | null = null;
  #newest: Entry | null = null;
  #hand: Entry | null = null;
  #bytes = 0;

  /** `onLeave` is called for each entry that leaves, evicted or deleted. */
  constructor(bytesMax: number, onLeave: (entry: Entry) => void) {
    this.#bytesMax = bytesMax;
    this.#onLeave = onLeave;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The entry itself may be what goes, when all others were used. */
  add(entry: Entry): void {
    entry.older = this.#newest;
    if (this.#newest) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
    this.#bytes += entry.bytes;
    while (this.#bytes > this.#bytesMax) this.#evict();
  }

  /** An entry that is in the sieve. */
  delete(entry: Entry): void {
    if (this.#hand === entry) this.#hand = entry.newer;
    if (entry.older) entry.older.newer = entry.newer;
    else this.#oldest = entry.newer;
    if (entry.newer) entry.newer.older = entry.older;
    else this.#newest = entry.older;
    entry.older = null;
    entry.newer = null;
    this.#bytes -= entry.bytes;
    this.#onLeave(entry);
  }

  #evict(): void {
    let candidate = this.#hand ?? this.#oldest;
    while (candidate?.visited) {
      candidate.visited = false;
      candidate = candidate.newer ?? this.#oldest;
    }
    if (!candidate) return;
    this.#hand = candidate.newer;
    this.delete(candidate);
  }
}
