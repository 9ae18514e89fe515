/** JSON read without loss: numbers keep their text, so that int8 beyond 2^53 stays exact. */

export type JsonToken =
  | { readonly kind: "null" }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "number"; readonly text: string }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "array"; readonly items: readonly JsonToken[] }
  | { readonly kind: "object"; readonly members: ReadonlyMap<string, JsonToken> };

const nullToken: JsonToken = { kind: "null" };
const trueToken: JsonToken = { kind: "boolean", value: true };
const falseToken: JsonToken = { kind: "boolean", value: false };

/** A place in JSON text, moved on by each read. Throws `SyntaxError` where the text is not JSON. */
export class JsonCursor {
  readonly text: string;
  position = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** The next character that is no white space, without taking it; NaN at the end. */
  peek(): number {
    const { text } = this;
    for (;;) {
      const code = text.charCodeAt(this.position);
      if (code > 0x20 || Number.isNaN(code)) return code;
      this.position++;
    }
  }

  /** Takes the character when it is the next one. */
  accept(code: number): boolean {
    if (this.peek() !== code) return false;
    this.position++;
    return true;
  }

  expect(code: number): void {
    if (!this.accept(code)) this.fail();
  }

  string(): string {
    this.expect(quoteCode);
    const { text } = this;
    const start = this.position;
    const end = text.indexOf('"', start);
    if (end < 0) this.fail();
    const plain = text.slice(start, end);
    if (!plain.includes("\\")) {
      this.position = end + 1;
      return plain;
    }
    this.position = this.#endOfString(start);
    return JSON.parse(text.slice(start - 1, this.position)) as string;
  }

  /** A number's own text. */
  number(): string {
    const { text } = this;
    this.peek();
    const start = this.position;
    let at = start;
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      const inNumber =
        (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2b || code === 0x2e || (code | 0x20) === 0x65;
      if (!inNumber) break;
    }
    if (at === start) this.fail();
    this.position = at;
    return text.slice(start, at);
  }

  /** Moves past one value of any kind. */
  skip(): void {
    const code = this.peek();
    if (code === quoteCode) {
      this.position = this.#endOfString(this.position + 1);
    } else if (code === braceOpen || code === bracketOpen) {
      this.#skipNested();
    } else if (code === 0x74 || code === 0x6e) {
      this.position += 4;
    } else if (code === 0x66) {
      this.position += 5;
    } else {
      this.number();
    }
  }

  value(): JsonToken {
    switch (this.peek()) {
      case quoteCode:
        return { kind: "string", value: this.string() };
      case braceOpen:
        return this.#object();
      case bracketOpen:
        return this.#array();
      case 0x74:
        return this.#word("true", trueToken);
      case 0x66:
        return this.#word("false", falseToken);
      case 0x6e:
        return this.#word("null", nullToken);
      default:
        return { kind: "number", text: this.number() };
    }
  }

  fail(): never {
    throw new SyntaxError(`not JSON at character ${this.position}`);
  }

  #word(word: string, token: JsonToken): JsonToken {
    if (!this.text.startsWith(word, this.position)) this.fail();
    this.position += word.length;
    return token;
  }

  #array(): JsonToken {
    this.expect(bracketOpen);
    const items: JsonToken[] = [];
    if (this.accept(bracketClose)) return { kind: "array", items };
    do items.push(this.value());
    while (this.accept(comma));
    this.expect(bracketClose);
    return { kind: "array", items };
  }

  #object(): JsonToken {
    this.expect(braceOpen);
    const members = new Map<string, JsonToken>();
    if (this.accept(braceClose)) return { kind: "object", members };
    do {
      const name = this.string();
      this.expect(colon);
      members.set(name, this.value());
    } while (this.accept(comma));
    this.expect(braceClose);
    return { kind: "object", members };
  }

  #skipNested(): void {
    const { text } = this;
    let depth = 0;
    do {
      const code = this.peek();
      if (code === quoteCode) {
        this.position = this.#endOfString(this.position + 1);
        continue;
      }
      if (Number.isNaN(code)) this.fail();
      if (code === braceOpen || code === bracketOpen) depth++;
      else if (code === braceClose || code === bracketClose) depth--;
      this.position++;
    } while (depth > 0 && this.position < text.length);
    if (depth > 0) this.fail();
  }

  /** The place after the closing quote of the string whose first character is at `start`. */
  #endOfString(start: number): number {
    let at = start;
    for (;;) {
      const end = this.text.indexOf('"', at);
      if (end < 0) this.fail();
      let backslashes = 0;
      while (end - backslashes > start && this.text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
      if (backslashes % 2 === 0) return end + 1;
      at = end + 1;
    }
  }
}

export const quoteCode = 0x22;
export const comma = 0x2c;
export const colon = 0x3a;
export const braceOpen = 0x7b;
export const braceClose = 0x7d;
const bracketOpen = 0x5b;
const bracketClose = 0x5d;

/** One whole JSON text. */
export function readJson(text: string): JsonToken {
  const cursor = new JsonCursor(text);
  const token = cursor.value();
  if (!Number.isNaN(cursor.peek())) cursor.fail();
  return token;
}
