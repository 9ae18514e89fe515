/** The words of a `.proto` file, with where they stand. */
import { refuseSchema } from "../schema-limits.ts";

export interface ProtoToken {
  /** A quoted string keeps its quotes; `end` has no text. */
  readonly kind: "name" | "number" | "string" | "symbol" | "end";
  readonly text: string;
  readonly at: string;
  /** Something stands between it and the word before. */
  readonly spaced: boolean;
}

const form =
  /(?<space>\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)|(?<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)f?(?![A-Za-z_]))|(?<name>[A-Za-z_][A-Za-z0-9_]*)|(?<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')|(?<symbol>[{}[\]()<>;,=.\-+:/])/y;

export class ProtoTokens {
  readonly #text: string;
  readonly #origin: string;
  #position = 0;
  #line = 1;
  #lineStart = 0;
  #next: ProtoToken;

  /** `origin` stands before every place: the path of an imported file, or empty. */
  constructor(text: string, origin: string) {
    this.#text = text.startsWith("\ufeff") ? text.slice(1) : text;
    this.#origin = origin;
    this.#next = this.#read();
  }

  peek(): ProtoToken {
    return this.#next;
  }

  next(): ProtoToken {
    const token = this.#next;
    this.#next = this.#read();
    return token;
  }

  accept(text: string): boolean {
    if (this.#next.text !== text || this.#next.kind === "string") return false;
    this.next();
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) this.fail(this.#next, `"${text}" is expected, and ${described(this.#next)} stands here`);
  }

  name(): string {
    const token = this.next();
    if (token.kind !== "name") this.fail(token, `a name is expected, and ${described(token)} stands here`);
    return token.text;
  }

  /** `a.b.C`, or `.a.b.C`. */
  path(): string {
    let text = this.accept(".") ? "." : "";
    text += this.name();
    while (this.accept(".")) text += `.${this.name()}`;
    return text;
  }

  /** Neighbouring strings are one. */
  string(): string {
    let text = "";
    do {
      const token = this.next();
      if (token.kind !== "string") this.fail(token, `a string is expected, and ${described(token)} stands here`);
      text += unquoted(token.text);
    } while (this.#next.kind === "string");
    return text;
  }

  integer(): number {
    const negative = this.accept("-");
    const token = this.next();
    const value = /^0[0-7]+$/.test(token.text) ? Number.parseInt(token.text, 8) : Number(token.text);
    if (token.kind !== "number" || !Number.isSafeInteger(value)) {
      this.fail(token, `a whole number is expected, and ${described(token)} stands here`);
    }
    return negative ? -value : value;
  }

  fail(token: ProtoToken, reason: string): never {
    refuseSchema("PROTOBUF", token.at, reason);
  }

  #read(): ProtoToken {
    let spaced = false;
    for (;;) {
      const at = `${this.#origin}${this.#origin === "" ? "" : ":"}${this.#line}:${this.#position - this.#lineStart + 1}`;
      if (this.#position >= this.#text.length) return { kind: "end", text: "", at, spaced };
      form.lastIndex = this.#position;
      const found = form.exec(this.#text);
      if (found === null)
        refuseSchema("PROTOBUF", at, `${JSON.stringify(this.#text.charAt(this.#position))} is no word`);
      const [text] = found;
      this.#position += text.length;
      const groups = found.groups ?? {};
      if (groups.space !== undefined) {
        spaced = true;
        for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) {
          this.#line++;
          this.#lineStart = this.#position - text.length + end + 1;
        }
        continue;
      }
      for (const kind of ["number", "name", "string", "symbol"] as const) {
        if (groups[kind] !== undefined) return { kind, text, at, spaced };
      }
    }
  }
}

function described(token: ProtoToken): string {
  return token.kind === "end" ? "the end" : JSON.stringify(token.text.slice(0, 60));
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b", f: "\f", v: "\v" };

function unquoted(text: string): string {
  return text
    .slice(1, -1)
    .replace(/\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|([0-7]{1,3})|(.))/g, (_, hex, unicode, octal, char) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      if (unicode !== undefined) return String.fromCharCode(Number.parseInt(unicode, 16));
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
      return escapes[char as string] ?? (char as string);
    });
}
