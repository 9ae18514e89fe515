/** Where the clauses of a SELECT stand in its text, which the parser's nodes do not say. */
import type { ScanToken } from "libpg-query";
import { isKeyword, type SourceText } from "./source-text.ts";

type Replacements = ReadonlyMap<number, { readonly end: number; readonly text: string }>;

/** What the text of a SELECT is changed by, so that its rows meet one more condition; `at` is where a table stands in its FROM. */
export function conditionAdded(source: SourceText, at: number, condition: string): Replacements {
  const words = source.words();
  const from = beginOfFrom(words, at);
  const end = endOfClause(words, from + 1);
  const next = words[end];
  const where = next !== undefined && isKeyword(words, end, "where") ? next : null;
  if (where === null) return new Map([after(words[end - 1], ` where ${condition}`)]);
  const last = words[endOfClause(words, end + 1) - 1];
  return new Map([[where.start, { end: where.end, text: `where ${condition} and (` }], after(last, ")")]);
}

function after(token: ScanToken | undefined, text: string) {
  if (token === undefined) throw new Error("a clause without words");
  return [token.start, { end: token.end, text: `${token.text}${text}` }] as const;
}

/** The word FROM before a table; what stands in parentheses between the two is passed over. */
function beginOfFrom(words: readonly ScanToken[], at: number): number {
  let closed = 0;
  for (let i = words.findIndex((token) => token.start === at) - 1; i >= 0; i--) {
    const text = words[i]?.text;
    if (text === ")") closed++;
    // One that was not closed is that of joins in parentheses.
    else if (text === "(") closed = Math.max(0, closed - 1);
    else if (closed === 0 && isKeyword(words, i, "from") && !isKeyword(words, i - 1, "distinct")) return i;
  }
  throw new Error("a table without FROM");
}

const clausesBehind = ["where", "group", "having", "window", "union", "intersect", "except"];
const clausesLast = ["order", "limit", "offset", "fetch", "for"];

/** The first word behind a clause whose words begin at `start`. */
function endOfClause(words: readonly ScanToken[], start: number): number {
  let open = 0;
  for (let i = start; i < words.length; i++) {
    const text = words[i]?.text;
    if (text === "(") open++;
    else if (text === ")") open--;
    if (open < 0 || text === ";" || (open === 0 && isKeyword(words, i, ...clausesBehind, ...clausesLast))) return i;
  }
  return words.length;
}
