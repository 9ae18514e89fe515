/**
 * Memory for reads of old segments, used again and again: fresh memory costs a fault for every page, and the collector a
 * search, which together is more than the read itself. Whoever has done with what it read may say so; what nobody gives
 * back is the collector's.
 */
const stepBytes = 64 * 1024;
/** Larger ones are rare, and are not kept. */
const keptBytesMax = 8 * 1024 * 1024;

export class ReadMemory {
  readonly #idleBytesMax: number;
  #idle: Buffer[] = [];
  #idleBytes = 0;
  /** The whole buffers by the memory that they are of, until they are given back. */
  readonly #lent = new WeakMap<ArrayBufferLike, Buffer>();

  constructor(idleBytesMax: number) {
    this.#idleBytesMax = idleBytesMax;
  }

  /** What is kept for the next ones. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** Of exactly that length; what is in it is anything. */
  take(bytes: number): Buffer {
    if (bytes > keptBytesMax) return Buffer.allocUnsafeSlow(bytes);
    const whole = this.#takeIdle(bytes) ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / stepBytes) * stepBytes);
    this.#lent.set(whole.buffer, whole);
    return whole.subarray(0, bytes);
  }

  /** Nobody looks at these any more, nor at what was taken together with them. Those that are not from here are passed over. */
  giveBack(parts: readonly Buffer[]): void {
    for (const { buffer } of parts) {
      const whole = this.#lent.get(buffer);
      if (!whole) continue;
      this.#lent.delete(buffer);
      if (this.#idleBytes + whole.length > this.#idleBytesMax) continue;
      this.#idle.push(whole);
      this.#idleBytes += whole.length;
    }
  }

  /** One that is not much too large. */
  #takeIdle(bytes: number): Buffer | undefined {
    const at = this.#idle.findLastIndex(({ length }) => length >= bytes && length <= 2 * Math.max(bytes, stepBytes));
    if (at < 0) return undefined;
    const [whole] = this.#idle.splice(at, 1);
    this.#idleBytes -= whole?.length ?? 0;
    return whole;
  }
}
