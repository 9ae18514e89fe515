/**
 * Cuts what a connection sends into frames: four bytes of length, then so many bytes. A frame that came in one chunk is a
 * view of it; one that came in several is put together once.
 *
 * Always true: memory grows with what has been received, not with what a length announces.
 */
export type FrameStep =
  /** All that was given has been taken; more is needed. */
  | { readonly kind: "more" }
  | { readonly kind: "frame"; readonly frame: Buffer }
  /** The length that was sent cannot be; nothing after it can be read. */
  | { readonly kind: "invalid"; readonly length: number };

const lengthBytes = 4;
/**
 * A frame up to this size gets its room at once: the system gives pages when they are written to, so what is announced
 * and does not come costs addresses and no memory.
 */
const roomAtOnceBytesMax = 4 * 1024 * 1024;

export class FrameReader {
  readonly #frameBytesMax: number;
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;
  /** The frame that is put together: its length, its room and how much of that is filled. */
  #length = -1;
  #room: Buffer | undefined;
  #filled = 0;
  readonly #lengthField = Buffer.alloc(lengthBytes);
  #lengthFilled = 0;
  #invalid: FrameStep | undefined;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** True between the first byte of a frame and its last. */
  get isInside(): boolean {
    return this.#length >= 0 || this.#lengthFilled > 0;
  }

  /** What is held of a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#filled;
  }

  /** Only when the last step was `more`. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#position = 0;
  }

  next(): FrameStep {
    if (this.#invalid) return this.#invalid;
    if (this.#length < 0 && !this.#takeLength()) return { kind: "more" };
    if (this.#length < 0 || this.#length > this.#frameBytesMax) {
      this.#invalid = { kind: "invalid", length: this.#length };
      return this.#invalid;
    }
    const available = this.#chunk.length - this.#position;
    if (!this.#room && available >= this.#length) {
      const frame = this.#chunk.subarray(this.#position, this.#position + this.#length);
      this.#position += this.#length;
      return this.#whole(frame);
    }
    this.#fill(Math.min(available, this.#length - this.#filled));
    if (this.#filled < this.#length) return { kind: "more" };
    return this.#whole((this.#room as Buffer).subarray(0, this.#length));
  }

  #takeLength(): boolean {
    const available = this.#chunk.length - this.#position;
    if (this.#lengthFilled === 0 && available >= lengthBytes) {
      this.#length = this.#chunk.readInt32BE(this.#position);
      this.#position += lengthBytes;
      return true;
    }
    const taken = Math.min(available, lengthBytes - this.#lengthFilled);
    this.#chunk.copy(this.#lengthField, this.#lengthFilled, this.#position, this.#position + taken);
    this.#position += taken;
    this.#lengthFilled += taken;
    if (this.#lengthFilled < lengthBytes) return false;
    this.#lengthFilled = 0;
    this.#length = this.#lengthField.readInt32BE(0);
    return true;
  }

  #fill(bytes: number): void {
    const needed = this.#filled + bytes;
    if (!this.#room || this.#room.length < needed) {
      const roomBytes = Math.min(this.#length, Math.max(roomAtOnceBytesMax, needed * 2));
      const room = Buffer.allocUnsafeSlow(roomBytes);
      this.#room?.copy(room, 0, 0, this.#filled);
      this.#room = room;
    }
    this.#chunk.copy(this.#room, this.#filled, this.#position, this.#position + bytes);
    this.#position += bytes;
    this.#filled = needed;
  }

  #whole(frame: Buffer): FrameStep {
    this.#length = -1;
    this.#room = undefined;
    this.#filled = 0;
    return { kind: "frame", frame };
  }
}
