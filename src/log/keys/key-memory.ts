/** What the last offsets of keys take of memory, all partitions together: when it is too much, those go that were asked for longest ago. */
export interface KeyHolder {
  readonly keyBytes: number;
  /** It is to hold nothing more. */
  letGo(): void;
}

export class KeyMemory {
  readonly #bytesMax: number;
  /** In the order in which they were asked for last, with what each took when it was looked at last. */
  readonly #holders = new Map<KeyHolder, number>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** It was asked for. */
  used(holder: KeyHolder): void {
    this.forget(holder);
    this.#count(holder);
  }

  forget(holder: KeyHolder): void {
    this.#bytes -= this.#holders.get(holder) ?? 0;
    this.#holders.delete(holder);
  }

  /** It may have grown. False when it cannot be held, not even alone. */
  grown(holder: KeyHolder): boolean {
    if (holder.keyBytes > this.#bytesMax) return false;
    this.#count(holder);
    for (const oldest of this.#holders.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      if (oldest === holder) continue;
      this.forget(oldest);
      oldest.letGo();
    }
    return true;
  }

  #count(holder: KeyHolder): void {
    this.#bytes += holder.keyBytes - (this.#holders.get(holder) ?? 0);
    this.#holders.set(holder, holder.keyBytes);
  }
}
