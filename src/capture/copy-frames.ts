/**
 * The frames of a connection that copies, straight from its socket: one that replicates, or answers COPY. While it does,
 * nearly all of them carry data, at hundreds of thousands a second: they are handed on where they lie, without an object.
 * Every other frame goes, whole, to the client's own reader.
 *
 * A frame is: its kind (1 byte), the length of what follows with these 4 bytes, the body.
 */
import type { Duplex } from "node:stream";

export interface FrameListener {
  /** The body of a CopyData frame, from `start` to `end`; valid during the call only. */
  data(bytes: Buffer, start: number, end: number): void;
}

type DataListener = (chunk: Buffer) => void;

const copyData = 0x64;
const headerBytes = 5;

/**
 * Takes the socket's bytes over from the client. To be called between two messages: the client's reader must hold no
 * part of one. Answers how to give them back, at any time.
 */
export function readFrames(stream: Duplex, listener: FrameListener): () => void {
  const theirs = stream.listeners("data") as DataListener[];
  const splitter = new FrameSplitter(listener, (bytes) => {
    for (const listen of theirs) listen(bytes);
  });
  const ours: DataListener = (chunk) => splitter.push(chunk);
  for (const listen of theirs) stream.off("data", listen);
  stream.on("data", ours);
  return () => {
    stream.off("data", ours);
    for (const listen of theirs) stream.on("data", listen);
    splitter.end();
  };
}

export class FrameSplitter {
  readonly #listener: FrameListener;
  readonly #other: (bytes: Buffer) => void;
  /** Parts of a frame that is not whole yet. */
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Of that frame; its header's until that is whole. */
  #wanted = headerBytes;
  #pushing = false;
  #ended = false;

  constructor(listener: FrameListener, other: (bytes: Buffer) => void) {
    this.#listener = listener;
    this.#other = other;
  }

  push(chunk: Buffer): void {
    this.#pushing = true;
    const at = this.#complete(chunk);
    if (at < chunk.length) {
      const rest = at + this.#split(chunk, at);
      if (rest < chunk.length) this.#keep(chunk.subarray(rest));
    }
    this.#pushing = false;
    if (this.#ended) this.#letGo();
  }

  /** No more comes: what there is of a frame that is not whole goes to who has the bytes from now on. */
  end(): void {
    this.#ended = true;
    if (!this.#pushing) this.#letGo();
  }

  /** Of a frame that was cut: only that is put together, not all that came with its end. Answers where it ends in the chunk. */
  #complete(chunk: Buffer): number {
    let at = 0;
    while (this.#bytes > 0 && at < chunk.length) {
      const end = Math.min(chunk.length, at + this.#wanted - this.#bytes);
      this.#keep(chunk.subarray(at, end));
      at = end;
      if (this.#bytes < this.#wanted) break;
      const frame = Buffer.concat(this.#parts, this.#bytes);
      this.#parts = [];
      this.#bytes = 0;
      // Perhaps that was its header, and says how long the frame is.
      if (this.#split(frame, 0) === 0) this.#keep(frame);
    }
    return at;
  }

  #keep(part: Buffer): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  #letGo(): void {
    for (const part of this.#parts.splice(0)) this.#other(part);
    this.#bytes = 0;
    this.#wanted = headerBytes;
  }

  /** Hands whole frames on; answers how many bytes they take. */
  #split(bytes: Buffer, from: number): number {
    let at = from;
    while (at + headerBytes <= bytes.length) {
      const end = at + 1 + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) {
        this.#wanted = end - at;
        return at - from;
      }
      if (bytes[at] === copyData) this.#listener.data(bytes, at + headerBytes, end);
      else this.#other(bytes.subarray(at, end));
      // A length that is less than its own four bytes is no frame: the client's reader has it, and says so.
      at = Math.max(end, at + headerBytes);
    }
    this.#wanted = headerBytes;
    return at - from;
  }
}
