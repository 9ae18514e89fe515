/** Lines of a text that comes in pieces. Holds the line that is not whole yet, and no more. */
import { MillraceError } from "../base/errors.ts";

const newline = 0x0a;

export class LineSplitter {
  readonly #lineBytesMax: number;
  /** Of the line that is not whole yet. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #number = 0;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Of the last line that was answered, from 1 on. */
  get number(): number {
    return this.#number;
  }

  /** The lines that this piece makes whole, without their ends. Throws `RECORD_TOO_LARGE`, naming the line. */
  *push(piece: Buffer): Generator<Buffer> {
    let start = 0;
    for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, start)) {
      yield this.#line(piece.subarray(start, end));
      start = end + 1;
    }
    this.#keep(piece.subarray(start));
  }

  /** The last line, where its end is missing. */
  *end(): Generator<Buffer> {
    if (this.#restBytes > 0) yield this.#line(Buffer.alloc(0));
  }

  #line(last: Buffer): Buffer {
    this.#keep(last);
    this.#number++;
    const line = this.#rest.length === 1 ? (this.#rest[0] as Buffer) : Buffer.concat(this.#rest, this.#restBytes);
    this.#rest = [];
    this.#restBytes = 0;
    return line;
  }

  #keep(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#rest.push(piece);
    this.#restBytes += piece.length;
    if (this.#restBytes <= this.#lineBytesMax) return;
    const line = this.#number + 1;
    throw new MillraceError("RECORD_TOO_LARGE", `line ${line} is longer than ${this.#lineBytesMax} bytes`, {
      details: { line },
    });
  }
}
