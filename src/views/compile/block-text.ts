/** Where the clauses of a SELECT stand in its text: PostgreSQL's AST does not say where anything ends. */
import type { ScanToken } from "libpg-query";
import { isKeyword, type SourceText } from "./source-text.ts";

/** Of the outermost SELECT, as tokens. */
export interface BlockText {
  /** All tokens before it: WITH and its queries. */
  readonly before: readonly ScanToken[];
  readonly select: ScanToken;
  /** The items of the select list, each with its alias. */
  readonly items: readonly (readonly ScanToken[])[];
  readonly from: ScanToken;
  /** What stands in FROM. */
  readonly tables: readonly ScanToken[];
  readonly where: ScanToken | null;
  /** What stands behind WHERE. */
  readonly filters: readonly ScanToken[];
  readonly group: ScanToken | null;
  /** What stands behind GROUP BY. */
  readonly groups: readonly ScanToken[];
  readonly last: ScanToken;
}

const clauses = ["where", "group", "having", "window", "order", "limit", "offset", "fetch", "for"];
const operations = ["union", "intersect", "except"];

/** Null for set operations, and for what reads no table. */
export function blockText(source: SourceText): BlockText | null {
  const words = unwrapped(source.words().filter(({ text }) => text !== ";"));
  const depths = depthsOf(words);
  const outer = words.filter((_, i) => depths[i] === 0);
  const found = (...names: readonly string[]) => outer.filter((_, i) => isKeyword(outer, i, ...names));
  const [select] = found("select");
  const from = outer.find((_, i) => isKeyword(outer, i, "from") && !isKeyword(outer, i - 1, "distinct"));
  if (select === undefined || from === undefined || from.start < select.start) return null;
  if (found(...operations).length > 0) return null;
  const marks = found(...clauses).filter(({ start }) => start > from.start);
  const clause = (name: string) => marks.find(({ text }) => text.toLowerCase() === name) ?? null;
  /** Behind one word, up to the clause that comes next. */
  const behind = (word: ScanToken) => {
    const next = marks.find(({ start }) => start > word.start);
    return words.filter(({ start }) => start > word.start && (next === undefined || start < next.start));
  };
  const [where, group] = [clause("where"), clause("group")];
  return {
    select,
    before: words.filter(({ start }) => start < select.start),
    items: listed(words.filter(({ start }) => start > select.start && start < from.start)),
    from,
    tables: behind(from),
    where,
    filters: where === null ? [] : behind(where),
    group,
    groups: group === null ? [] : behind(group).slice(1),
    last: words.at(-1) ?? from,
  };
}

/** Without parentheses around the whole. */
export function unwrapped(words: readonly ScanToken[]): readonly ScanToken[] {
  return words[0]?.text === "(" && closing(words, 0) === words.length - 1 ? unwrapped(words.slice(1, -1)) : words;
}

/** What commas outside of parentheses part. */
export function listed(words: readonly ScanToken[]): ScanToken[][] {
  const items: ScanToken[][] = words.length === 0 ? [] : [[]];
  const depths = depthsOf(words);
  words.forEach((word, i) => {
    if (word.text === "," && depths[i] === 0) items.push([]);
    else items.at(-1)?.push(word);
  });
  return items;
}

/** Where the parenthesis at `open` closes; -1 when it does not. */
export function closing(words: readonly ScanToken[], open: number): number {
  const depths = depthsOf(words);
  return words.findIndex((_, i) => i > open && depths[i] === depths[open]);
}

/** How many parentheses are open around each; both ends of a pair are as deep as what is around them. */
function depthsOf(words: readonly ScanToken[]): number[] {
  let depth = 0;
  return words.map(({ text }) => {
    if (text === ")" || text === "]") return --depth;
    return text === "(" || text === "[" ? depth++ : depth;
  });
}
