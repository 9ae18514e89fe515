/**
 * Columns that a query is recomputed by and does not show: what its windows are partitioned by, or DISTINCT ON names, need
 * not stand in the select list. The state has them under names of its own; the public view and the change rows do not.
 */
import type { Node, SelectStmt } from "@pgsql/types";
import { quote } from "../../../catalog/definitions.ts";
import { blockText } from "../block-text.ts";
import { hiddenPrefix } from "../plan.ts";
import type { SourceText } from "../source-text.ts";
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
  const from = blockText(source)?.from;
  const columns = query.unselected().slice(0, columnsMax);
  if (from === undefined || columns.length === 0) return null;
  const shown = query.names.length;
  const withColumns = (names: readonly ColumnName[]) =>
    hiddenColumns(
      select,
      names.map(columnNode),
      from,
      names.map((name) => name.map(quote).join(".")),
    );
  const all = attempt(withColumns(columns).select);
  const positions = chooseTraceKey(all, null)?.positions ?? [];
  const needed = columns.filter((_, i) => positions.includes(shown + i));
  if (needed.length === 0) return null;
  return { ...withColumns(needed), labels: needed.map((column) => column.join(".")) };
}

/** Behind the select list, which ends at `from`; `texts` are what the nodes are in SQL. */
export function hiddenColumns(
  select: SelectStmt,
  nodes: readonly Node[],
  from: { readonly start: number; readonly end: number },
  texts: readonly string[],
): Pick<HiddenKey, "select" | "replacements"> {
  const targets = nodes.map((val, i): Node => ({ ResTarget: { name: hiddenName(i), val } }));
  const listed = texts.map((text, i) => `, ${text} as ${quote(hiddenName(i))}`).join("");
  return {
    select: { ...select, targetList: [...(select.targetList ?? []), ...targets] },
    replacements: new Map([[from.start, { end: from.end, text: `${listed} from` }]]),
  };
}

function columnNode(name: ColumnName): Node {
  return { ColumnRef: { fields: name.map((sval): Node => ({ String: { sval } })) } };
}

function hiddenName(index: number): string {
  return `${hiddenPrefix}k${index}`;
}
