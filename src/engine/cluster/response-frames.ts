/**
 * Cuts what a broker sends into frames. A frame that came in one piece is a view of it; others are put together once, into
 * memory of their own.
 */
import { MillraceError } from "../../base/errors.ts";
import { frameLengthBytes } from "../../kafka/frames.ts";

/** A batch may have 256 MiB; nothing that is asked for is larger by much. */
const frameBytesMax = 300 * 1024 * 1024;

export class ResponseFrames {
  readonly #found: (frame: Buffer) => void;
  #length = 0;
  #lengthBytes = 0;
  #frame: Buffer | null = null;
  #filledBytes = 0;

  /** `found` gets each frame without its length. */
  constructor(found: (frame: Buffer) => void) {
    this.#found = found;
  }

  /** Throws `CLUSTER_UNREACHABLE` for a length that cannot be. */
  add(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#frame === null) {
        at = this.#readLength(chunk, at);
        if (this.#lengthBytes < frameLengthBytes) return;
        if (chunk.length - at >= this.#length) {
          const frame = chunk.subarray(at, at + this.#length);
          at += this.#length;
          this.#begin();
          this.#found(frame);
          continue;
        }
        this.#frame = Buffer.allocUnsafeSlow(this.#length);
      }
      const frame: Buffer = this.#frame;
      const taken = chunk.copy(frame, this.#filledBytes, at);
      at += taken;
      this.#filledBytes += taken;
      if (this.#filledBytes < frame.length) return;
      this.#begin();
      this.#found(frame);
    }
  }

  #readLength(chunk: Buffer, from: number): number {
    let at = from;
    for (; this.#lengthBytes < frameLengthBytes && at < chunk.length; at++, this.#lengthBytes++) {
      this.#length = this.#length * 256 + (chunk[at] as number);
    }
    if (this.#lengthBytes === frameLengthBytes && this.#length > frameBytesMax) {
      throw new MillraceError("CLUSTER_UNREACHABLE", `a broker sends an answer of ${this.#length} bytes`);
    }
    return at;
  }

  #begin(): void {
    this.#length = 0;
    this.#lengthBytes = 0;
    this.#frame = null;
    this.#filledBytes = 0;
  }
}
