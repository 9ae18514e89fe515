/** What the last offsets of keys take of memory, all partitions together: when it is too much, those go that were asked for longest ago. */
export interface KeyHolder {
  readonly keyBytes: number;
  /** It is to hold nothing more. */
  letGo(): void;
}

export class KeyMemory {
  readonly #bytesMax: number;
  /** In the order in which they were asked for last. */
  readonly #holders = new Set<KeyHolder>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    let bytes = 0;
    for (const { keyBytes } of this.#holders) bytes += keyBytes;
    return bytes;
  }

  /** It was asked for. */
  used(holder: KeyHolder): void {
    this.#holders.delete(holder);
    this.#holders.add(holder);
  }

  forget(holder: KeyHolder): void {
    this.#holders.delete(holder);
  }

  /** It may have grown. False when it cannot be held, not even alone. */
  grown(holder: KeyHolder): boolean {
    if (holder.keyBytes > this.#bytesMax) return false;
    let { bytes } = this;
    for (const oldest of [...this.#holders]) {
      if (bytes <= this.#bytesMax) break;
      if (oldest === holder) continue;
      bytes -= oldest.keyBytes;
      this.#holders.delete(oldest);
      oldest.letGo();
    }
    return true;
  }
}
