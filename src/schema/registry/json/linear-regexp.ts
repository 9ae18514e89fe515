/**
 * Regular expressions of JSON Schemas, matched in time that grows with the pattern times the text, whatever the pattern
 * is: V8's matcher tries alternatives one after the other and can take longer than anybody lives. All states are
 * followed side by side instead (Thompson 1968; Cox, "Regular Expression Matching: the Virtual Machine Approach").
 *
 * The syntax is ECMAScript's with the flag `u`, or without it where a pattern is only valid so. Single characters and
 * classes are given to V8, one character at a time. Back references, lookbehind and modifiers are refused.
 */
import type { WorkBudget } from "../schema-limits.ts";

/** Where it jumps to is told from the instruction itself, so that pieces can be placed anywhere. */
type Instruction =
  | { readonly op: "char"; readonly fits: (char: string) => boolean }
  | { readonly op: "split"; readonly first: number; readonly second: number }
  | { readonly op: "jump"; readonly to: number }
  | { readonly op: "begin" | "end" | "word" | "notWord" | "match" }
  | { readonly op: "look"; readonly program: Program; readonly negated: boolean };

type Program = readonly Instruction[];

const instructionsMax = 20_000;
const nestingMax = 100;

export class LinearRegExp {
  readonly source: string;
  /** How many states the pattern has, those of lookaheads too. */
  readonly states: number;
  readonly #program: Program;
  readonly #unicode: boolean;

  /** Throws `SyntaxError` when the pattern is wrong, too large or uses what has no linear match. */
  constructor(source: string) {
    this.source = source;
    this.#unicode = isPattern(source, "u");
    if (!this.#unicode && !isPattern(source, "")) throw new SyntaxError("it is no regular expression of ECMAScript");
    this.#program = new Compiler(source, this.#unicode ? "u" : "").compile();
    this.states = statesOf(this.#program);
  }

  /** True when the pattern matches somewhere in the text. Throws `WorkExceeded`. */
  test(text: string, budget: WorkBudget): boolean {
    return this.#run(this.#program, text, 0, false, budget);
  }

  #run(program: Program, text: string, start: number, anchored: boolean, budget: WorkBudget): boolean {
    budget.spend(1 + (program.length >> 3));
    let now = new ThreadList(program.length);
    let next = new ThreadList(program.length);
    for (let at = start; ; ) {
      if ((at === start || !anchored) && this.#add(now, program, 0, text, at, budget)) return true;
      if (now.size === 0 && anchored) return false;
      if (at >= text.length) return false;
      const char = this.#unicode ? String.fromCodePoint(text.codePointAt(at) as number) : text.charAt(at);
      budget.spend(1 + now.size);
      for (let i = 0; i < now.size; i++) {
        const counter = now.at(i);
        const instruction = program[counter] as Instruction;
        if (instruction.op !== "char" || !instruction.fits(char)) continue;
        if (this.#add(next, program, counter + 1, text, at + char.length, budget)) return true;
      }
      [now, next] = [next, now];
      next.clear();
      at += char.length;
    }
  }

  /** Follows everything that takes no character; true when that reaches the end of the pattern. */
  #add(list: ThreadList, program: Program, from: number, text: string, at: number, budget: WorkBudget): boolean {
    const todo = [from];
    for (let counter = todo.pop(); counter !== undefined; counter = todo.pop()) {
      if (!list.mark(counter)) continue;
      budget.spend(1);
      const instruction = program[counter] as Instruction;
      switch (instruction.op) {
        case "match":
          return true;
        case "char":
          list.push(counter);
          break;
        case "jump":
          todo.push(counter + instruction.to);
          break;
        case "split":
          todo.push(counter + instruction.second, counter + instruction.first);
          break;
        case "look":
          if (this.#run(instruction.program, text, at, true, budget) !== instruction.negated) todo.push(counter + 1);
          break;
        default:
          if (holds(instruction.op, text, at)) todo.push(counter + 1);
      }
    }
    return false;
  }
}

function statesOf(program: Program): number {
  return program.reduce((sum, one) => sum + (one.op === "look" ? 1 + statesOf(one.program) : 1), 0);
}

/** The states that are alive at one place of the text. */
class ThreadList {
  readonly #marks: Uint32Array;
  readonly #counters: number[] = [];
  #round = 1;

  constructor(size: number) {
    this.#marks = new Uint32Array(size);
  }

  get size(): number {
    return this.#counters.length;
  }

  at(index: number): number {
    return this.#counters[index] as number;
  }

  /** False when the state was there before. */
  mark(counter: number): boolean {
    if (this.#marks[counter] === this.#round) return false;
    this.#marks[counter] = this.#round;
    return true;
  }

  push(counter: number): void {
    this.#counters.push(counter);
  }

  clear(): void {
    this.#counters.length = 0;
    this.#round++;
  }
}

function holds(op: "begin" | "end" | "word" | "notWord", text: string, at: number): boolean {
  if (op === "begin") return at === 0;
  if (op === "end") return at === text.length;
  const boundary = /\w/.test(text.charAt(at - 1)) !== /\w/.test(text.charAt(at));
  return boundary === (op === "word");
}

function isPattern(source: string, flags: string): boolean {
  try {
    return new RegExp(source, flags) !== null;
  } catch {
    return false;
  }
}

/** Of a pattern that V8 has found to be valid: only its structure is looked at here. */
class Compiler {
  readonly #source: string;
  readonly #flags: string;
  readonly #atoms = new Map<string, (char: string) => boolean>();
  #at = 0;
  #depth = 0;

  constructor(source: string, flags: string) {
    this.#source = source;
    this.#flags = flags;
  }

  compile(): Program {
    return [...this.#alternatives(), { op: "match" }];
  }

  #alternatives(): Instruction[] {
    if (++this.#depth > nestingMax) throw new SyntaxError("its groups are nested too deep");
    let piece = this.#sequence();
    while (this.#accept("|")) {
      const other = this.#sequence();
      piece = concat([
        [{ op: "split", first: 1, second: piece.length + 2 }],
        piece,
        [{ op: "jump", to: other.length + 1 }],
        other,
      ]);
    }
    this.#depth--;
    return piece;
  }

  #sequence(): Instruction[] {
    const pieces: Instruction[][] = [];
    while (this.#at < this.#source.length && this.#peek() !== "|" && this.#peek() !== ")") {
      pieces.push(this.#quantified(this.#term()));
    }
    return concat(pieces);
  }

  #quantified(piece: Instruction[]): Instruction[] {
    const quantifier = /(?:([*+?])|\{(\d+)(,(\d*))?\})\??/y;
    quantifier.lastIndex = this.#at;
    const found = quantifier.exec(this.#source);
    if (found === null) return piece;
    this.#at = quantifier.lastIndex;
    const [, sign, low, range, high] = found;
    if (sign === "*") return star(piece);
    if (sign === "+") return concat([piece, star(piece)]);
    if (sign === "?") return optional(piece);
    const least = Number(low);
    const most =
      range === undefined ? least : high === "" || high === undefined ? Number.POSITIVE_INFINITY : Number(high);
    const copies = Number.isFinite(most) ? most : least + 1;
    if (copies * (piece.length + 1) > instructionsMax) throw new SyntaxError("its repetitions are too many");
    const pieces: Instruction[][] = new Array(least).fill(piece);
    if (!Number.isFinite(most)) pieces.push(star(piece));
    else for (let i = least; i < most; i++) pieces.push(optional(piece));
    return concat(pieces);
  }

  #term(): Instruction[] {
    const start = this.#at;
    const char = this.#peek();
    if (char === "(") return this.#group();
    if (char === "^" || char === "$") {
      this.#at++;
      return [{ op: char === "^" ? "begin" : "end" }];
    }
    if (char === "[") this.#at = this.#endOfClass();
    else if (char === "\\") {
      const word = this.#source.charAt(start + 1);
      if (word === "b" || word === "B") {
        this.#at += 2;
        return [{ op: word === "b" ? "word" : "notWord" }];
      }
      if (/[1-9k]/.test(word)) throw new SyntaxError("it has a back reference, which cannot be matched in linear time");
      this.#at = this.#endOfEscape();
    } else this.#at += this.#flags === "u" ? String.fromCodePoint(this.#source.codePointAt(start) as number).length : 1;
    return [{ op: "char", fits: this.#atom(this.#source.slice(start, this.#at)) }];
  }

  #group(): Instruction[] {
    const opening = /\((?:\?(?::|=|!|<=|<!|<[^>]*>))?/y;
    opening.lastIndex = this.#at;
    const text = opening.exec(this.#source)?.[0] ?? "";
    this.#at += text.length;
    if (text === "(" && this.#peek() === "?") throw new SyntaxError("it has modifiers, which are not supported");
    if (text === "(?<=" || text === "(?<!") throw new SyntaxError("it has a lookbehind, which is not supported");
    const inner = this.#alternatives();
    if (!this.#accept(")")) throw new SyntaxError("a group has no end");
    if (text !== "(?=" && text !== "(?!") return inner;
    return [{ op: "look", program: [...inner, { op: "match" }], negated: text === "(?!" }];
  }

  #endOfClass(): number {
    let at = this.#at + 1;
    while (this.#source[at] !== "]") at += this.#source[at] === "\\" ? 2 : 1;
    return at + 1;
  }

  #endOfEscape(): number {
    const form =
      this.#flags === "u"
        ? /\\(?:u\{[0-9a-fA-F]+\}|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|[pP]\{[^}]*\}|.)/suy
        : /\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|0[0-7]{0,2}|.)/sy;
    form.lastIndex = this.#at;
    form.exec(this.#source);
    return Math.max(form.lastIndex, this.#at + 1);
  }

  #atom(text: string): (char: string) => boolean {
    const known = this.#atoms.get(text);
    if (known !== undefined) return known;
    const native = new RegExp(`^(?:${text})$`, this.#flags);
    const ascii = new Int8Array(128);
    const fits = (char: string): boolean => {
      const code = char.length === 1 ? char.charCodeAt(0) : 128;
      if (code >= 128) return native.test(char);
      if (ascii[code] === 0) ascii[code] = native.test(char) ? 1 : -1;
      return ascii[code] === 1;
    };
    this.#atoms.set(text, fits);
    return fits;
  }

  #peek(): string {
    return this.#source.charAt(this.#at);
  }

  #accept(char: string): boolean {
    if (this.#peek() !== char) return false;
    this.#at++;
    return true;
  }
}

function star(piece: Instruction[]): Instruction[] {
  return concat([
    [{ op: "split", first: 1, second: piece.length + 2 }],
    piece,
    [{ op: "jump", to: -piece.length - 1 }],
  ]);
}

function optional(piece: Instruction[]): Instruction[] {
  return concat([[{ op: "split", first: 1, second: piece.length + 1 }], piece]);
}

function concat(pieces: readonly Instruction[][]): Instruction[] {
  const all = pieces.flat();
  if (all.length > instructionsMax) throw new SyntaxError("it is too large");
  return all;
}
