/**
 * Subqueries of FROM that gather rows: groups, windows, DISTINCT. The planner computes them whole, because it follows a
 * join into a plain subquery only. Where a column of one equals a column of the key, the keys are put into its text.
 */
import type { RangeSubselect, RangeVar, SelectStmt } from "@pgsql/types";
import { quote } from "../../../catalog/definitions.ts";
import { closing } from "../block-text.ts";
import { isKeyword, type SourceText } from "../source-text.ts";
import { noFacts, type RowFacts } from "./rows-known.ts";

export interface Gathered {
  /** As the author calls it. */
  readonly label: string;
  /** Columns that its rows can be traced by: what they are called inside, and by their keys. */
  readonly columns: readonly { readonly name: string; readonly key: string }[];
  /** Null where its text cannot be told apart. */
  readonly place: Place | null;
}

interface Place {
  /** Byte positions; what stands there is `before`, the condition and `after` around it. */
  readonly open: Piece & { readonly named?: string };
  readonly close: Piece | null;
  readonly row: string;
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** What is known of a FROM clause. */
export interface FromFacts extends RowFacts {
  readonly gathered: readonly Gathered[];
}

export function nothingKnown(): FromFacts {
  return { ...noFacts(), gathered: [] };
}

export type Replacements = Map<number, { readonly end: number; readonly text: string }>;

/** A query whose rows are more than rows of its FROM. */
export function gathers(select: SelectStmt): boolean {
  if (select.op !== undefined && select.op !== "SETOP_NONE")
    return !(select.op === "SETOP_UNION" && select.all === true);
  return (
    select.groupClause !== undefined ||
    select.havingClause !== undefined ||
    select.distinctClause !== undefined ||
    select.windowClause !== undefined ||
    holdsCall(select.targetList)
  );
}

/** Aggregates and window functions make a SELECT gather; subqueries in it are their own. */
function holdsCall(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(holdsCall);
  if ("SubLink" in value) return false;
  if ("FuncCall" in value && typeof value.FuncCall === "object" && value.FuncCall !== null && "over" in value.FuncCall)
    return true;
  return Object.values(value).some(holdsCall);
}

const row = quote("_millrace_gathered");

export function placeOfSubselect(item: RangeSubselect, source: SourceText): Place | null {
  const query = item.subquery;
  if (query === undefined || !("SelectStmt" in query) || (query.SelectStmt.op ?? "SETOP_NONE") !== "SETOP_NONE")
    return null;
  const words = source.words();
  const first = words.findIndex((token) => token.start === firstLocation(query));
  for (let at = outerParenthesis(words, first); at >= 0; at = outerParenthesis(words, at)) {
    if (!isKeyword(words, at + 1, "select", "with")) continue;
    const end = closing(words, at);
    const [open, close] = [words[at], words[end]];
    if (open === undefined || close === undefined) return null;
    return {
      open: { start: open.start, end: open.end, text: "(select * from (" },
      close: { start: close.start, end: close.end, text: `) ${row} where ` },
      row,
    };
  }
  return null;
}

/** A name of WITH. */
export function placeOfName(name: RangeVar, source: SourceText): Place | null {
  if (name.location === undefined) return null;
  const written = quote(name.relname ?? "");
  const text = `(select * from ${written} ${row} where `;
  const named = name.alias === undefined ? ` as ${written}` : "";
  return { open: { start: name.location, end: source.endOfName(name.location, 1), text, named }, close: null, row };
}

type Word = ReturnType<SourceText["words"]>[number];

function firstLocation(value: unknown): number {
  if (typeof value !== "object" || value === null) return Number.POSITIVE_INFINITY;
  const own =
    "location" in value && typeof value.location === "number" && value.location >= 0
      ? value.location
      : Number.POSITIVE_INFINITY;
  return Math.min(own, ...Object.values(value).map(firstLocation));
}

/** The parenthesis that is open at a word. */
function outerParenthesis(words: readonly Word[], from: number): number {
  let depth = 0;
  for (let i = from - 1; i >= 0; i--) {
    const text = words[i]?.text;
    if (text === ")") depth++;
    if (text === "(" && depth-- === 0) return i;
  }
  return -1;
}

export interface Restricted {
  /** For the text of the query, when it is run for keys. */
  readonly replacements: Replacements;
  /** Those that stay whole. */
  readonly whole: readonly Gathered[];
}

/** The condition that a value is among those of a column of the key, by its place in the key. */
export type Among = (value: string, column: number) => string;

export function unrestricted(): Restricted {
  return { replacements: new Map(), whole: [] };
}

/** `keys` are those of the key's columns. */
export function restrict(
  gathered: readonly Gathered[],
  facts: RowFacts,
  keys: readonly string[],
  among: Among,
): Restricted {
  const replacements: Replacements = new Map();
  const whole: Gathered[] = [];
  const reached = keys.map((key) => equalTo(key, facts));
  for (const one of gathered) {
    const conditions = one.columns.flatMap(({ name, key }) => {
      const column = reached.findIndex((keysOf) => keysOf.has(key));
      return column < 0 || one.place === null ? [] : [among(`${one.place.row}.${quote(name)}`, column)];
    });
    if (conditions.length === 0 || one.place === null) {
      whole.push(one);
      continue;
    }
    const { open, close } = one.place;
    const condition = conditions.join(" and ");
    if (close === null)
      replacements.set(open.start, { end: open.end, text: `${open.text}${condition})${open.named ?? ""}` });
    else {
      replacements.set(open.start, { end: open.end, text: open.text });
      replacements.set(close.start, { end: close.end, text: `${close.text}${condition})` });
    }
  }
  return { replacements, whole };
}

/** Columns that have the value of this one wherever both are there. */
function equalTo(key: string, { equalities }: RowFacts): ReadonlySet<string> {
  const found = new Set([key]);
  for (const one of found)
    for (const { a, b } of equalities) {
      if (a === one && b.startsWith("#")) found.add(b);
      if (b === one && a.startsWith("#")) found.add(a);
    }
  return found;
}
