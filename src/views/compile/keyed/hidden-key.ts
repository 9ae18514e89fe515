/**
 * Columns that a query is recomputed by and does not show: what its windows are partitioned by, or DISTINCT ON names, need
 * not stand in the select list. The state has them under names of its own; the public view and the change rows do not.
 */
import type { Node, SelectStmt } from "@pgsql/types";
import { quote } from "../../../catalog/definitions.ts";
import { hiddenPrefix } from "../plan.ts";
import { isWord, type SourceText } from "../source-text.ts";
import type { Replacements } from "./gathered.ts";
import { chooseTraceKey } from "./trace-key.ts";
import type { ColumnName, TracedQuery } from "./traced.ts";

/** More are not tried. */
const columnsMax = 32;

export interface HiddenKey {
  /** With the hidden columns behind those of the select list. */
  readonly select: SelectStmt;
  /** As the author calls them. */
  readonly labels: readonly string[];
  /** For the text of the query that has them. */
  readonly replacements: Replacements;
}

/** Null when no column of FROM helps either. `attempt` binds another select list over the same FROM. */
export function hiddenKey(
  select: SelectStmt,
  query: TracedQuery,
  source: SourceText,
  attempt: (select: SelectStmt) => TracedQuery,
): HiddenKey | null {
  const from = fromWord(source);
  const columns = query.unselected().slice(0, columnsMax);
  if (from === null || columns.length === 0) return null;
  const shown = query.names.length;
  const all = attempt(withColumns(select, columns));
  const positions = chooseTraceKey(all, null)?.positions ?? [];
  const needed = columns.filter((_, i) => positions.includes(shown + i));
  if (needed.length === 0) return null;
  const listed = needed.map((column, i) => `, ${column.map(quote).join(".")} as ${quote(hiddenName(i))}`).join("");
  return {
    select: withColumns(select, needed),
    labels: needed.map((column) => column.join(".")),
    replacements: new Map([[from.start, { end: from.end, text: `${listed} from` }]]),
  };
}

function hiddenName(index: number): string {
  return `${hiddenPrefix}k${index}`;
}

function withColumns(select: SelectStmt, columns: readonly ColumnName[]): SelectStmt {
  const targets = columns.map((column, i): Node => {
    const fields = column.map((sval): Node => ({ String: { sval } }));
    return { ResTarget: { name: hiddenName(i), val: { ColumnRef: { fields } } } };
  });
  return { ...select, targetList: [...(select.targetList ?? []), ...targets] };
}

/** The word FROM of the outermost SELECT: `is distinct from` has one too, functions have theirs in parentheses. */
function fromWord(source: SourceText) {
  const words = source.words();
  const outermost = words.findIndex((word) => word.text !== "(");
  let depth = outermost;
  let inSelect = false;
  for (const [i, word] of words.entries()) {
    if (i < outermost) continue;
    if (word.text === "(") depth++;
    if (word.text === ")") depth--;
    if (depth !== outermost) continue;
    if (isWord(word, "select")) inSelect = true;
    const before = words[i - 1];
    if (inSelect && isWord(word, "from") && !(before !== undefined && isWord(before, "distinct"))) return word;
  }
  return null;
}
