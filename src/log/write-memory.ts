/**
 * Counts the bytes of appended batches that no segment has yet, over all partitions, and keeps them within a bound: those
 * that have waited longest are flushed first, and at twice the bound appends wait.
 */
export interface Flushable {
  /** Writes what it can to its segment. Never rejects. */
  flush(): Promise<void>;
}

export class WriteMemory {
  readonly #bytesMax: number;
  #bytes = 0;
  /** By owner, those with the oldest bytes first. */
  readonly #owners = new Map<Flushable, number>();
  #relieving = false;
  #waiting: (() => void)[] = [];

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Undefined while there is room; else resolves when there may be again. */
  room(): Promise<void> | undefined {
    if (this.#bytes <= 2 * this.#bytesMax) return undefined;
    if (!this.#relieving) void this.#relieve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  added(owner: Flushable, bytes: number): void {
    this.#bytes += bytes;
    this.#owners.set(owner, (this.#owners.get(owner) ?? 0) + bytes);
    if (this.#bytes > this.#bytesMax && !this.#relieving) void this.#relieve();
  }

  removed(owner: Flushable, bytes: number): void {
    this.#bytes -= bytes;
    const left = (this.#owners.get(owner) ?? 0) - bytes;
    if (left > 0) this.#owners.set(owner, left);
    else this.#owners.delete(owner);
    if (this.#waiting.length > 0 && this.#bytes <= 2 * this.#bytesMax) {
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  forget(owner: Flushable): void {
    const bytes = this.#owners.get(owner);
    if (bytes !== undefined) this.removed(owner, bytes);
  }

  async #relieve(): Promise<void> {
    this.#relieving = true;
    // While somebody waits nothing more may be added, so that nothing else would begin another round.
    while ((await this.#relieveOnce()) && this.#waiting.length > 0);
    this.#relieving = false;
  }

  /** False when nothing became less. */
  async #relieveOnce(): Promise<boolean> {
    let isLess = false;
    // Each once at most in a round: what cannot be flushed now is tried again when more is added.
    for (const [owner, bytes] of [...this.#owners]) {
      if (this.#bytes <= (this.#bytesMax * 3) / 4) break;
      await owner.flush();
      // What was added meanwhile is younger than that of others.
      const left = this.#owners.get(owner);
      isLess ||= left === undefined || left < bytes;
      if (left === undefined || left >= bytes) continue;
      this.#owners.delete(owner);
      this.#owners.set(owner, left);
    }
    return isLess;
  }
}
