/**
 * A topic pattern as a program that is run over a name in all its states at once (Thompson's construction): the time is
 * bounded by the length of the name times the length of the program, whatever the expression says.
 */
import { type Assertion, type PatternNode, parsePattern } from "./consumer-pattern.ts";
import { type CharacterSet, hasCharacter } from "./consumer-pattern-set.ts";

/** A longer one is refused. */
export const instructionsMax = 5_000;
/** Of copies of nothing, as in `(){1000}`, there is no instruction. */
const visitsMax = 20 * instructionsMax;

type Instruction =
  | { readonly kind: "set"; readonly set: CharacterSet }
  | { readonly kind: "assertion"; readonly assertion: Assertion }
  /** Goes on at both. */
  | { readonly kind: "fork"; first: number; second: number }
  | { readonly kind: "end" };

export class TopicPattern {
  readonly source: string;
  /** How many states all matching so far went through. */
  steps = 0;
  readonly #program: readonly Instruction[];
  readonly #seen: Uint32Array;
  #round = 0;

  private constructor(source: string, program: readonly Instruction[]) {
    this.source = source;
    this.#program = program;
    this.#seen = new Uint32Array(program.length);
  }

  static compile(source: string): TopicPattern | { readonly fault: string } {
    const parsed = parsePattern(source);
    if ("fault" in parsed) return parsed;
    const program = new Compiler().compile(parsed.root);
    return program ? new TopicPattern(source, program) : { fault: "expression too large" };
  }

  /** Does the whole name match? */
  matches(name: string): boolean {
    let states: number[] = [];
    let next: number[] = [];
    this.#nextRound();
    this.#follow(0, name, 0, states);
    for (let i = 0; i < name.length; i++) {
      const code = name.charCodeAt(i);
      if (code > 127 || states.length === 0) return false;
      this.#nextRound();
      for (const at of states) {
        const instruction = this.#program[at];
        if (instruction?.kind === "set" && hasCharacter(instruction.set, code)) this.#follow(at + 1, name, i + 1, next);
      }
      [states, next] = [next, states];
      next.length = 0;
    }
    return states.some((at) => this.#program[at]?.kind === "end");
  }

  /** Adds the states that are reached from here without a character. */
  #follow(from: number, name: string, position: number, states: number[]): void {
    const open = [from];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (this.#seen[at] === this.#round) continue;
      this.#seen[at] = this.#round;
      this.steps++;
      const instruction = this.#program[at] as Instruction;
      if (instruction.kind === "fork") open.push(instruction.second, instruction.first);
      else if (instruction.kind !== "assertion") states.push(at);
      else if (holds(instruction.assertion, name, position)) open.push(at + 1);
    }
  }

  #nextRound(): void {
    if (this.#round === 0xffffffff) {
      this.#seen.fill(0);
      this.#round = 0;
    }
    this.#round++;
  }
}

function holds(assertion: Assertion, name: string, position: number): boolean {
  switch (assertion) {
    case "begin-text":
      return position === 0;
    case "end-text":
      return position === name.length;
    case "begin-line":
      return position === 0 || name[position - 1] === "\n";
    case "end-line":
      return position === name.length || name[position] === "\n";
    case "word-edge":
      return isWord(name, position - 1) !== isWord(name, position);
    case "no-word-edge":
      return isWord(name, position - 1) === isWord(name, position);
  }
}

function isWord(name: string, position: number): boolean {
  return /^\w$/.test(name[position] ?? "");
}

class Compiler {
  readonly #program: Instruction[] = [];
  #visits = 0;

  /** Undefined when it is too long. */
  compile(root: PatternNode): readonly Instruction[] | undefined {
    if (!this.#add(root)) return undefined;
    this.#program.push({ kind: "end" });
    return this.#program;
  }

  #add(node: PatternNode): boolean {
    if (++this.#visits > visitsMax || this.#program.length >= instructionsMax) return false;
    switch (node.kind) {
      case "set":
      case "assertion":
        this.#program.push(node);
        return true;
      case "all":
        return node.nodes.every((part) => this.#add(part));
      case "any":
        return this.#addAny(node.nodes);
      case "repeat":
        return this.#addRepeat(node.node, node.min, node.max);
    }
  }

  #addAny(nodes: readonly PatternNode[]): boolean {
    const ends: (Instruction & { kind: "fork" })[] = [];
    for (const [i, node] of nodes.entries()) {
      if (i === nodes.length - 1) {
        if (!this.#add(node)) return false;
        continue;
      }
      const fork = this.#fork();
      if (!this.#add(node)) return false;
      ends.push(this.#fork());
      fork.second = this.#program.length;
    }
    for (const end of ends) end.first = end.second = this.#program.length;
    return true;
  }

  #addRepeat(node: PatternNode, min: number, max: number | null): boolean {
    for (let i = 0; i < min; i++) if (!this.#add(node)) return false;
    if (max === null) {
      const start = this.#program.length;
      const fork = this.#fork();
      if (!this.#add(node)) return false;
      const back = this.#fork();
      back.first = back.second = start;
      fork.second = this.#program.length;
      return true;
    }
    const forks: (Instruction & { kind: "fork" })[] = [];
    for (let i = min; i < max; i++) {
      forks.push(this.#fork());
      if (!this.#add(node)) return false;
    }
    for (const fork of forks) fork.second = this.#program.length;
    return true;
  }

  /** Goes on behind itself; `second` is filled in later. */
  #fork(): Instruction & { kind: "fork" } {
    const fork = { kind: "fork" as const, first: this.#program.length + 1, second: this.#program.length + 1 };
    this.#program.push(fork);
    return fork;
  }
}
