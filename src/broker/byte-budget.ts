/**
 * A bound on bytes that all connections hold together, of requests or of answers. Who does not fit waits in turn; one that is
 * larger than all passes when nothing else is held.
 */
export class ByteBudget {
  readonly #bytesMax: number;
  #heldBytes = 0;
  readonly #waiting: { readonly bytes: number; readonly resume: () => void }[] = [];

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get freeBytes(): number {
    return Math.max(0, this.#bytesMax - this.#heldBytes);
  }

  /** False when they do not fit. */
  take(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  /** Takes them whether they fit or not. */
  hold(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** Runs `resume` when the bytes have been taken; the answer takes the wish back. */
  whenFree(bytes: number, resume: () => void): () => void {
    const wish = { bytes, resume };
    this.#waiting.push(wish);
    return () => {
      const at = this.#waiting.indexOf(wish);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      if (at === 0) this.#wake();
    };
  }

  giveBack(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#wake();
  }

  #fits(bytes: number): boolean {
    return this.#heldBytes === 0 || this.#heldBytes + bytes <= this.#bytesMax;
  }

  #wake(): void {
    for (let next = this.#waiting[0]; next && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#heldBytes += next.bytes;
      next.resume();
    }
  }
}
