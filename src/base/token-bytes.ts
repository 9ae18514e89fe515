/**
 * The form of tokens: base64url (no padding) of a version byte, a kind byte and the kind's fields. Numbers are unsigned
 * LEB128 below 2^53, texts are their length in bytes and UTF-8. Who decodes prints again and compares: one position has
 * one spelling.
 */
export const tokenVersion = 1;

export class TokenWriter {
  readonly #bytes: number[];

  constructor(kind: number) {
    this.#bytes = [tokenVersion, kind];
  }

  number(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no position`);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes.push(rest);
    return this;
  }

  text(text: string): this {
    const bytes = Buffer.from(text);
    this.number(bytes.length);
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  print(): string {
    return Buffer.from(this.#bytes).toString("base64url");
  }
}

/** Past the end, and on what is no number, it goes on with zeros and has `failed`. */
export class TokenReader {
  failed = false;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) this.failed = true;
    return byte ?? 0;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 56 && !this.failed; scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) this.failed = true;
        return this.failed ? 0 : value;
      }
    }
    this.failed = true;
    return 0;
  }

  text(): string {
    const length = this.number();
    if (this.#at + length > this.#bytes.length) this.failed = true;
    if (this.failed) return "";
    this.#at += length;
    return this.#bytes.toString("utf8", this.#at - length, this.#at);
  }
}
