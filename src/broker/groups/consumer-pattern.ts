/**
 * The regular expression of a subscription, in the syntax of RE2 as Kafka has it, read into a tree. There is nothing in it
 * that needs backtracking: no references back, no looking around. `consumer-pattern-program.ts` matches it.
 *
 * Faults are worded as RE2's. Beyond RE2 an expression is refused when it is longer than `patternLengthMax`.
 */
import {
  addRange,
  addSet,
  type CharacterSet,
  emptySet,
  negated,
  perlSet,
  posixSet,
  unicodeSet,
} from "./consumer-pattern-set.ts";

export const patternLengthMax = 4_096;
const repeatMax = 1_000;
const depthMax = 500;

export type Assertion = "begin-text" | "end-text" | "begin-line" | "end-line" | "word-edge" | "no-word-edge";

export type PatternNode =
  | { readonly kind: "set"; readonly set: CharacterSet }
  | { readonly kind: "assertion"; readonly assertion: Assertion }
  | { readonly kind: "all"; readonly nodes: readonly PatternNode[] }
  | { readonly kind: "any"; readonly nodes: readonly PatternNode[] }
  /** `max` null is unbounded. */
  | { readonly kind: "repeat"; readonly node: PatternNode; readonly min: number; readonly max: number | null };

export type ParsedPattern = { readonly root: PatternNode } | { readonly fault: string };

interface Flags {
  readonly isFolding: boolean;
  readonly isMultiLine: boolean;
  readonly dotIsAny: boolean;
}

class Fault extends Error {}

export function parsePattern(text: string): ParsedPattern {
  try {
    if (text.length > patternLengthMax) throw new Fault("expression too long");
    return { root: new Parser(text).parse() };
  } catch (error) {
    if (error instanceof Fault) return { fault: error.message };
    throw error;
  }
}

class Parser {
  readonly #text: string;
  readonly #names = new Set<string>();
  #position = 0;
  #depth = 0;
  #flags: Flags = { isFolding: false, isMultiLine: false, dotIsAny: false };

  constructor(text: string) {
    this.#text = text;
  }

  parse(): PatternNode {
    const root = this.#alternatives();
    if (this.#position < this.#text.length) throw new Fault("unexpected )");
    return root;
  }

  #alternatives(): PatternNode {
    const nodes = [this.#sequence()];
    while (this.#take("|")) nodes.push(this.#sequence());
    return nodes.length === 1 ? (nodes[0] as PatternNode) : { kind: "any", nodes };
  }

  #sequence(): PatternNode {
    const nodes: PatternNode[] = [];
    let isRepeated = false;
    while (this.#position < this.#text.length && !this.#looksAt("|") && !this.#looksAt(")")) {
      const repeat = this.#repeat();
      if (!repeat) {
        isRepeated = false;
        this.#item(nodes);
        continue;
      }
      const node = nodes.pop();
      if (!node) throw new Fault("missing argument to repetition operator");
      if (isRepeated) throw new Fault("invalid nested repetition operator");
      isRepeated = true;
      nodes.push({ kind: "repeat", node, ...repeat });
    }
    return nodes.length === 1 ? (nodes[0] as PatternNode) : { kind: "all", nodes };
  }

  /** Undefined, and nothing taken, when there is none here. */
  #repeat(): { readonly min: number; readonly max: number | null } | undefined {
    const simple = { "*": { min: 0, max: null }, "+": { min: 1, max: null }, "?": { min: 0, max: 1 } };
    const character = this.#text[this.#position] as keyof typeof simple;
    let repeat: { readonly min: number; readonly max: number | null };
    if (Object.hasOwn(simple, character)) {
      repeat = simple[character];
      this.#position++;
    } else {
      const counted = this.#matching(/\{(0|[1-9]\d*)(,(0|[1-9]\d*)?)?\}/y);
      if (!counted) return undefined;
      const [, least, comma, most] = counted;
      const min = Number(least);
      const max = comma === undefined ? min : most === undefined ? null : Number(most);
      if (min > repeatMax || (max !== null && (max > repeatMax || max < min))) throw new Fault("invalid repeat count");
      repeat = { min, max };
    }
    // Greedy or not: it is the same whether the whole name matches.
    this.#take("?");
    return repeat;
  }

  #item(nodes: PatternNode[]): void {
    switch (this.#text[this.#position]) {
      case "(":
        this.#group(nodes);
        break;
      case "[":
        nodes.push(setNode(this.#characterClass()));
        break;
      case ".": {
        this.#position++;
        const set = negated(emptySet());
        if (!this.#flags.dotIsAny) set[0] = (set[0] as number) & ~(1 << 10);
        nodes.push(setNode(set));
        break;
      }
      case "^":
        this.#position++;
        nodes.push(assertionNode(this.#flags.isMultiLine ? "begin-line" : "begin-text"));
        break;
      case "$":
        this.#position++;
        nodes.push(assertionNode(this.#flags.isMultiLine ? "end-line" : "end-text"));
        break;
      case "\\":
        this.#escaped(nodes);
        break;
      default:
        nodes.push(this.#literal(this.#character()));
    }
  }

  #group(nodes: PatternNode[]): void {
    const before = this.#flags;
    if (this.#text.startsWith("(?", this.#position)) {
      const named = this.#matching(/\(\?P?<([^>]*)>/y);
      if (named) {
        const name = named[1] as string;
        if (!/^\w+$/.test(name)) throw new Fault("invalid named capture");
        if (this.#names.has(name)) throw new Fault("duplicate capture group name");
        this.#names.add(name);
      } else {
        const flags = this.#matching(/\(\?([imsU]*)(-[imsU]+)?([:)])/y);
        if (!flags) throw new Fault("invalid or unsupported Perl syntax");
        this.#flags = withFlags(withFlags(before, flags[1] as string, true), flags[2] ?? "", false);
        // Without a group of its own it is for the rest of this one.
        if (flags[3] === ")") return;
      }
    } else {
      this.#position++;
    }
    if (++this.#depth > depthMax) throw new Fault("expression nests too deeply");
    const node = this.#alternatives();
    if (!this.#take(")")) throw new Fault("missing closing )");
    this.#depth--;
    this.#flags = before;
    nodes.push(node);
  }

  #escaped(nodes: PatternNode[]): void {
    const quoted = this.#matching(/\\Q(.*?)(?:\\E|$)/sy);
    if (quoted) {
      for (const character of quoted[1] as string) nodes.push(this.#literal(character.codePointAt(0) as number));
      return;
    }
    const assertion = this.#matching(/\\([AzbB])/y);
    if (assertion) {
      const names = { A: "begin-text", z: "end-text", b: "word-edge", B: "no-word-edge" } as const;
      nodes.push(assertionNode(names[assertion[1] as keyof typeof names]));
      return;
    }
    const set = this.#escapedSet();
    nodes.push(set ? setNode(set) : this.#literal(this.#escapedCharacter()));
  }

  /** `\d`, `\pL`; undefined, and nothing taken, when there is none here. */
  #escapedSet(): CharacterSet | undefined {
    const { isFolding } = this.#flags;
    const perl = this.#matching(/\\([dswDSW])/y);
    if (perl) {
      const letter = perl[1] as string;
      const set = perlSet(letter.toLowerCase(), isFolding) as CharacterSet;
      return letter === letter.toLowerCase() ? set : negated(set);
    }
    if (!this.#text.startsWith("\\p", this.#position) && !this.#text.startsWith("\\P", this.#position))
      return undefined;
    const unicode = this.#matching(/\\([pP])(?:\{(\^?)([^}]*)\}|([^{]))/y);
    const set = unicode && unicodeSet((unicode[3] ?? unicode[4]) as string, isFolding);
    if (!set) throw new Fault("invalid character class range");
    return (unicode[1] === "P") === (unicode[2] === "^") ? set : negated(set);
  }

  #escapedCharacter(): number {
    if (this.#position + 1 >= this.#text.length) throw new Fault("trailing backslash at end of expression");
    // One digit that is not zero would be a reference back.
    const octal = this.#matching(/\\(0[0-7]{0,2}|[1-7][0-7]{1,2})/y);
    if (octal) return Number.parseInt(octal[1] as string, 8);
    const hex = this.#matching(/\\x(?:([\dA-Fa-f]{2})|\{([\dA-Fa-f]+)\})/y);
    if (hex) {
      const code = Number.parseInt((hex[1] ?? hex[2]) as string, 16);
      if (code > 0x10ffff) throw new Fault("invalid escape sequence");
      return code;
    }
    const control = this.#matching(/\\([aftnrv])/y);
    if (control) return { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }[control[1] as string] as number;
    const itself = this.#text.charCodeAt(this.#position + 1);
    if (itself > 0x7f || /[0-9A-Za-z]/.test(String.fromCharCode(itself))) throw new Fault("invalid escape sequence");
    this.#position += 2;
    return itself;
  }

  #characterClass(): CharacterSet {
    const { isFolding } = this.#flags;
    const set = emptySet();
    this.#position++;
    const isNegated = this.#take("^");
    for (let isFirst = true; isFirst || !this.#looksAt("]"); isFirst = false) {
      if (this.#position >= this.#text.length) throw new Fault("missing closing ]");
      const named = this.#matching(/\[:(\^?)((?:(?!:\]).)*):\]/sy);
      if (named) {
        const members = posixSet(named[2] as string, isFolding);
        if (!members) throw new Fault("invalid character class range");
        addSet(set, members, named[1] === "^");
        continue;
      }
      const members = this.#looksAt("\\") ? this.#escapedSet() : undefined;
      if (members) {
        addSet(set, members, false);
        continue;
      }
      const first = this.#classCharacter();
      const isRange = this.#looksAt("-") && this.#position + 1 < this.#text.length && !this.#looksAt("-]");
      if (isRange) this.#position++;
      const last = isRange ? this.#classCharacter() : first;
      if (last < first) throw new Fault("invalid character class range");
      addRange(set, first, last, isFolding);
    }
    this.#position++;
    return isNegated ? negated(set) : set;
  }

  #classCharacter(): number {
    return this.#looksAt("\\") ? this.#escapedCharacter() : this.#character();
  }

  #literal(code: number): PatternNode {
    const set = emptySet();
    addRange(set, code, code, this.#flags.isFolding);
    return setNode(set);
  }

  #character(): number {
    const code = this.#text.codePointAt(this.#position) as number;
    this.#position += code > 0xffff ? 2 : 1;
    return code;
  }

  #looksAt(text: string): boolean {
    return this.#text.startsWith(text, this.#position);
  }

  #take(text: string): boolean {
    if (!this.#looksAt(text)) return false;
    this.#position += text.length;
    return true;
  }

  /** `pattern` is sticky; it is taken when it is here. */
  #matching(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#text);
    if (found) this.#position += found[0].length;
    return found;
  }
}

function withFlags(flags: Flags, letters: string, value: boolean): Flags {
  return {
    isFolding: letters.includes("i") ? value : flags.isFolding,
    isMultiLine: letters.includes("m") ? value : flags.isMultiLine,
    dotIsAny: letters.includes("s") ? value : flags.dotIsAny,
  };
}

function setNode(set: CharacterSet): PatternNode {
  return { kind: "set", set };
}

function assertionNode(assertion: Assertion): PatternNode {
  return { kind: "assertion", assertion };
}
