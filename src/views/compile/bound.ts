/**
 * A bound expression: SQL text with holes where columns go, so that the same expression can be printed over mirrors,
 * over a delta or over a view's state. Text between holes is complete: operations stand in parentheses.
 */
import type { MirrorBinding } from "../compiled-view.ts";
import type { Reach } from "./drift.ts";
import type { SqlType } from "./sql-type.ts";
import type { TimeFilter } from "./temporal.ts";

/** One appearance of a mirror in a branch of a query. Compared by identity. */
export interface Occurrence {
  readonly mirror: MirrorBinding;
  /** As the author calls it, for explanations. */
  readonly alias: string;
}

/** A function of FROM, which makes rows out of columns that stand before it. Compared by identity. */
export interface RowsFunction {
  /** As it is called, with WITH ORDINALITY and the list of columns that it is given. */
  readonly call: Bound;
  readonly columns: readonly string[];
  readonly types: readonly SqlType[];
  /** What comes after the alias: `(a, b)`, or `(a int, b text)` where the types are given. */
  readonly definition: string;
  /** Where the call stands: a byte position. */
  readonly at: number | undefined;
  /** Between what the values of its first column lie; null where that is not known before it is called. */
  readonly reach: Reach | null;
}

export type Hole =
  | { readonly kind: "column"; readonly occurrence: Occurrence; readonly column: string }
  | { readonly kind: "function"; readonly of: RowsFunction; readonly column: string }
  | { readonly kind: "opaque" }
  /** Where the group's clock stands; with a topic, where its watermark does. */
  | { readonly kind: "clock"; readonly topic?: string }
  | { readonly kind: "group"; readonly index: number }
  | { readonly kind: "aggregate"; readonly index: number };

export interface Bound {
  readonly parts: readonly (string | Hole)[];
  /**
   * Equal for expressions that are the same in terms of the FROM clause where they stand, whatever lies beneath it:
   * what GROUP BY compares. Column references in it begin with `#`.
   */
  readonly key: string;
  readonly type: SqlType;
  readonly notNull: boolean;
}

/** A condition of WHERE or ON; the pair when it is an equality. */
export interface Conjunct {
  readonly bound: Bound;
  readonly equal: readonly [Bound, Bound] | null;
  /** When it asks the clock. */
  readonly time?: TimeFilter;
}

/** One conjunctive query: what is left of a linear query when subqueries are dissolved and unions are taken apart. */
export interface Branch {
  readonly occurrences: readonly Occurrence[];
  readonly conjuncts: readonly Conjunct[];
  readonly outputs: readonly Bound[];
}

export function textBound(text: string, type: SqlType, notNull: boolean): Bound {
  return { parts: [text], key: text, type, notNull };
}

/** An expression made of text and other expressions. */
export function compose(
  pieces: readonly (string | Bound)[],
  made: { readonly type: SqlType; readonly notNull?: boolean },
): Bound {
  return {
    parts: joined(pieces.flatMap((piece) => (typeof piece === "string" ? [piece] : piece.parts))),
    key: pieces.map((piece) => (typeof piece === "string" ? piece : piece.key)).join(""),
    type: made.type,
    notNull: made.notNull ?? false,
  };
}

function joined(parts: readonly (string | Hole)[]): (string | Hole)[] {
  const out: (string | Hole)[] = [];
  for (const part of parts) {
    const last = out.at(-1);
    if (typeof part === "string" && typeof last === "string") out[out.length - 1] = last + part;
    else out.push(part);
  }
  return out;
}

/** The expressions with `separator` between them. */
export function listed(bounds: readonly Bound[], separator = ", "): (string | Bound)[] {
  return bounds.flatMap((bound, i) => (i === 0 ? [bound] : [separator, bound]));
}

export function print(bound: Bound, hole: (hole: Hole) => string): string {
  return bound.parts.map((part) => (typeof part === "string" ? part : hole(part))).join("");
}

export type ColumnHole = Extract<Hole, { kind: "column" }>;

export function columnsOf(bound: Bound): ColumnHole[] {
  return bound.parts.filter((part): part is ColumnHole => typeof part !== "string" && part.kind === "column");
}

/** Those of what functions of FROM are called with as well. */
export function columnsBeneath(bound: Bound): ColumnHole[] {
  return bound.parts.flatMap((part) => {
    if (typeof part === "string") return [];
    if (part.kind === "function") return columnsBeneath(part.of.call);
    return part.kind === "column" ? [part] : [];
  });
}

type FunctionHole = Extract<Hole, { kind: "function" }>;

export function functionsOf(bound: Bound): FunctionHole[] {
  return bound.parts.filter((part): part is FunctionHole => typeof part !== "string" && part.kind === "function");
}

/** The column, when the expression is nothing else. */
export function plainColumn(bound: Bound): ColumnHole | null {
  const [part, ...rest] = bound.parts;
  return part !== undefined && typeof part !== "string" && part.kind === "column" && rest.length === 0 ? part : null;
}

/** The column of a function of FROM, when the expression is nothing else. */
export function plainFunction(bound: Bound): FunctionHole | null {
  const [part, ...rest] = bound.parts;
  return part !== undefined && typeof part !== "string" && part.kind === "function" && rest.length === 0 ? part : null;
}

/** True when no column is read, as the author wrote it. */
export function isConstant(bound: Bound): boolean {
  return bound.parts.every((part) => typeof part === "string");
}

/** About how many characters it takes in print. */
export function printedSize(bound: Bound): number {
  return bound.parts.reduce((sum, part) => sum + (typeof part === "string" ? part.length : 20), 0);
}
