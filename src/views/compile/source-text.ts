/** The text of a definition: parsed by PostgreSQL's own parser, with the places that its errors point to. */
import type { SelectStmt } from "@pgsql/types";
import { hasSqlDetails, loadModule, parseSync, type ScanToken, scanSync } from "libpg-query";
import type { ErrorCode } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";

/** Longer definitions are refused before they reach the parser, whose stack is finite. */
const textBytesMax = 64 * 1024;

/** Levels of the parse tree, of which an operation takes two or three: what walks the tree may recurse. */
const treeDepthMax = 1000;

let loaded: Promise<void> | undefined;

/** The parser is a WebAssembly module: loaded once, about 15 ms. After it the compiler runs without waiting. */
export function loadParser(): Promise<void> {
  loaded ??= loadModule();
  return loaded;
}

export interface Refusal {
  /** A byte position in the text, as the parser's nodes carry it. */
  readonly at?: number | undefined;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What stands in place of a range of the text as it was written. Positions are bytes. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export class SourceText {
  readonly view: string;
  /** As it was written; places are shown in it. */
  readonly text: string;
  /** With its pieces in their places; every other position means this one. */
  readonly #bytes: Buffer;
  readonly #written: Buffer;
  readonly #pieces: readonly Piece[];
  readonly #tokens: readonly ScanToken[];
  readonly statement: SelectStmt;

  /** `pieces` in the order of their places. Throws `VIEW_SQL_INVALID`, `VIEW_UNSUPPORTED`. `loadParser` must have resolved. */
  constructor(view: string, text: string, pieces: readonly Piece[] = []) {
    this.view = view;
    this.text = text;
    this.#written = Buffer.from(text);
    this.#pieces = pieces;
    this.#bytes = withPieces(this.#written, pieces);
    if (this.#bytes.length > textBytesMax) {
      throw this.refusal(
        "VIEW_UNSUPPORTED",
        `its SQL has ${this.#bytes.length} bytes; at most ${textBytesMax} are read`,
        {
          hint: "Split the view.",
        },
      );
    }
    this.statement = this.#parse();
    if (isDeeper(this.statement, treeDepthMax)) throw this.tooDeep();
    this.#tokens = scanSync(this.#bytes.toString()).tokens;
  }

  #parse(): SelectStmt {
    let statements: ReturnType<typeof parseSync>["stmts"];
    const text = this.#bytes.toString();
    try {
      statements = parseSync(text).stmts ?? [];
    } catch (cause) {
      if (hasSqlDetails(cause)) {
        const position = cause.sqlDetails?.cursorPosition ?? 0;
        const at = Buffer.byteLength([...text].slice(0, Math.max(position, 0)).join(""));
        throw this.refusal("VIEW_SQL_INVALID", cause.message, { at });
      }
      if (cause instanceof RangeError) throw this.tooDeep();
      throw this.refusal("VIEW_SQL_INVALID", cause instanceof Error ? cause.message : String(cause));
    }
    const [first, second] = statements;
    if (first?.stmt === undefined) {
      throw this.refusal("VIEW_SQL_INVALID", "its SQL is empty", { hint: "Write one SELECT." });
    }
    if (second !== undefined) {
      throw this.refusal("VIEW_UNSUPPORTED", "it has more than one statement", {
        at: second.stmt_location,
        hint: "A view is one SELECT.",
      });
    }
    if (!("SelectStmt" in first.stmt)) {
      throw this.refusal("VIEW_UNSUPPORTED", "it is not a SELECT", {
        at: first.stmt_location,
        hint: "A view is one SELECT.",
      });
    }
    return first.stmt.SelectStmt;
  }

  tooDeep(): MillraceError {
    return this.refusal("VIEW_UNSUPPORTED", "its SQL is nested too deeply", {
      hint: "Split the view, or name parts of it in WITH.",
    });
  }

  refusal(code: ErrorCode, message: string, { at, hint, details }: Refusal = {}): MillraceError {
    const place = at === undefined || at < 0 ? undefined : this.place(at);
    const shown = place === undefined ? "" : `\n${place.shown}`;
    return new MillraceError(code, `view "${this.view}": ${message}${shown}`, {
      ...(hint === undefined ? {} : { hint }),
      details: {
        view: this.view,
        ...(place === undefined ? {} : { line: place.line, character: place.character }),
        ...details,
      },
    });
  }

  /** Line and character from 1 in the text as it was written, and the line with a caret under the place. */
  place(at: number): { line: number; character: number; shown: string } {
    const before = this.#written.subarray(0, this.#writtenAt(at)).toString();
    const line = before.split("\n").length;
    const character = [...before.slice(before.lastIndexOf("\n") + 1)].length + 1;
    const whole = (this.text.split("\n")[line - 1] ?? "").replace("\r", "");
    const label = `line ${line}: `;
    const indent = [...whole].slice(0, character - 1).map((one) => (one === "\t" ? "\t" : " "));
    return { line, character, shown: `${label}${whole}\n${" ".repeat(label.length)}${indent.join("")}^` };
  }

  /** A place inside of a piece is the place where the piece stands. */
  #writtenAt(at: number): number {
    let shift = 0;
    for (const { start, end, text } of this.#pieces) {
      const length = Buffer.byteLength(text);
      if (at < start + shift) break;
      if (at < start + shift + length) return start;
      shift += length - (end - start);
    }
    return at - shift;
  }

  /** Where a name of `parts` dotted parts ends that begins at the byte `at`. */
  endOfName(at: number, parts: number): number {
    const words = this.words();
    const start = words.findIndex((token) => token.start === at);
    return words[start + 2 * (parts - 1)]?.end ?? at;
  }

  /** Tokens without comments. */
  words(): readonly ScanToken[] {
    return this.#tokens.filter((token) => token.tokenName !== "SQL_COMMENT" && token.tokenName !== "C_COMMENT");
  }

  /** The text (of a range of it) without comments and a closing semicolon, with pieces replaced. Positions are bytes. */
  rewritten(
    replacements: ReadonlyMap<number, { readonly end: number; readonly text: string }>,
    { start, end } = { start: 0, end: this.#bytes.length },
  ): string {
    const pieces: string[] = [];
    let done = start;
    const copyTo = (until: number) => {
      pieces.push(this.#bytes.subarray(done, until).toString());
      done = until;
    };
    for (const token of this.#tokens) {
      if (token.start < done || token.start >= end) continue;
      const replacement = replacements.get(token.start);
      const comment = token.tokenName === "SQL_COMMENT" || token.tokenName === "C_COMMENT";
      const text = replacement?.text ?? (comment ? " " : token.text === ";" ? "" : undefined);
      if (text === undefined) continue;
      copyTo(token.start);
      pieces.push(text);
      done = replacement?.end ?? token.end;
    }
    copyTo(end);
    return pieces.join("").trim();
  }
}

function withPieces(written: Buffer, pieces: readonly Piece[]): Buffer {
  let done = 0;
  const parts = pieces.flatMap(({ start, end, text }) => {
    const before = written.subarray(done, start);
    done = end;
    return [before, Buffer.from(text)];
  });
  return Buffer.concat([...parts, written.subarray(done)]);
}

function isDeeper(root: object, levelsMax: number): boolean {
  const open: { node: object; level: number }[] = [{ node: root, level: 1 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next.level > levelsMax) return true;
    for (const child of Object.values(next.node)) {
      if (typeof child === "object" && child !== null) open.push({ node: child, level: next.level + 1 });
    }
  }
  return false;
}

/** Whether a token is this reserved word, and no name or text that is spelled so. */
function isWord(token: ScanToken, word: string): boolean {
  return token.tokenName !== "IDENT" && token.tokenName !== "SCONST" && token.text.toLowerCase() === word;
}

/** Whether the token at a place is one of these reserved words: behind a dot, and behind AS, every word is a name. */
export function isKeyword(tokens: readonly ScanToken[], at: number, ...words: readonly string[]): boolean {
  const [before, token] = [tokens[at - 1], tokens[at]];
  if (token === undefined || !words.some((word) => isWord(token, word))) return false;
  return before?.text !== "." && !(before !== undefined && isWord(before, "as") && tokens[at - 2]?.text !== ".");
}
