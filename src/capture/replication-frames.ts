/**
 * The frames of a replicating connection, straight from its socket. While it streams nearly all of them carry data, at
 * hundreds of thousands a second: they are handed on where they lie, without an object. Every other frame goes, whole,
 * to the client's own reader.
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
 * part of one. Answers how to give them back.
 */
export function readFrames(stream: Duplex, listener: FrameListener): () => void {
  const theirs = stream.listeners("data") as DataListener[];
  const splitter = new FrameSplitter(listener, (frame) => {
    for (const listen of theirs) listen(frame);
  });
  const ours: DataListener = (chunk) => splitter.push(chunk);
  for (const listen of theirs) stream.off("data", listen);
  stream.on("data", ours);
  return () => {
    stream.off("data", ours);
    for (const listen of theirs) stream.on("data", listen);
  };
}

export class FrameSplitter {
  readonly #listener: FrameListener;
  readonly #other: (frame: Buffer) => void;
  /** Parts of a frame that is not whole yet. */
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Of that frame; its header's until that is whole. */
  #wanted = headerBytes;

  constructor(listener: FrameListener, other: (frame: Buffer) => void) {
    this.#listener = listener;
    this.#other = other;
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    if (this.#bytes > 0) {
      this.#parts.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes < this.#wanted) return;
      rest = Buffer.concat(this.#parts, this.#bytes);
      this.#parts = [];
      this.#bytes = 0;
    }
    const at = this.#split(rest);
    if (at === rest.length) return;
    this.#parts.push(at === 0 ? rest : rest.subarray(at));
    this.#bytes = rest.length - at;
  }

  /** Hands whole frames on; answers where the first that is not whole begins. */
  #split(bytes: Buffer): number {
    let at = 0;
    while (at + headerBytes <= bytes.length) {
      const end = at + 1 + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) {
        this.#wanted = end - at;
        return at;
      }
      if (bytes[at] === copyData) this.#listener.data(bytes, at + headerBytes, end);
      else this.#other(bytes.subarray(at, end));
      // A length that is less than its own four bytes is no frame: the client's reader has it, and says so.
      at = Math.max(end, at + headerBytes);
    }
    this.#wanted = headerBytes;
    return at;
  }
}
