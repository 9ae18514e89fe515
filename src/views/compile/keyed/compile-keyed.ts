/**
 * Queries that are recomputed by key. Any SELECT of which the rows that a change reaches can be named by columns of the
 * result: those rows are taken out, and the query is run again for them.
 */
import type { SelectStmt } from "@pgsql/types";
import type { ViewDefinition } from "../../../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "../../compiled-view.ts";
import type { Bound } from "../bound.ts";
import { locationOf } from "../clauses.ts";
import { refuse } from "../expression.ts";
import { viewHash } from "../hash.ts";
import { nearestName } from "../nearest.ts";
import { checkNames } from "../plan.ts";
import { shortList } from "../scope.ts";
import type { SourceText } from "../source-text.ts";
import { hasEquality } from "../sql-type.ts";
import { isOpaque, tooMany } from "./alternative.ts";
import { explainKeyed } from "./explain-keyed.ts";
import { bindQuery } from "./queries.ts";
import { keyedTables, makeKeyedState } from "./state.ts";
import { traceRows } from "./trace-rows.ts";
import type { TracedBinding, TracedQuery } from "./traced.ts";

const queriesMax = 1_000;

export interface KeyedRequest {
  readonly view: ViewDefinition;
  readonly version: number;
  readonly source: SourceText;
  readonly mirrors: readonly MirrorBinding[];
}

/** The query bound, with what its parts share. */
export function bindWhole({ source, mirrors }: Pick<KeyedRequest, "source" | "mirrors">) {
  let queries = 0;
  // A CTE is bound wherever it is read: CTEs that read each other twice would be bound without end.
  const bindOne: TracedBinding["bindQuery"] = (select, context) => {
    if (++queries > queriesMax) throw tooMany();
    return bindQuery(select, context);
  };
  const binding: TracedBinding = { source, mirrors, replacements: new Map(), used: new Map(), bindQuery: bindOne };
  refuseOrder(source.statement, binding);
  const bind = (select: SelectStmt, into = binding) =>
    bindOne(select, { binding: into, ctes: new Map(), outer: [], path: "q", depth: 0 });
  return { query: bind(source.statement), binding, bind };
}

/** Throws as `compileView` does, and `Untraceable`. */
export function compileKeyed({ view, version, source, mirrors }: KeyedRequest): CompiledView {
  const { query: plain, binding, bind } = bindWhole({ source, mirrors });
  checkNames(plain.names, binding);
  const names = { view: view.name, version };
  const rows = traceRows({
    source,
    plain,
    binding,
    bind,
    keyless: view.key === null && derivedKey(plain) === null,
    rowKey: () => chooseRowKey(plain, view, binding),
    nameColumns: (all) => all,
    tables: keyedTables(names),
  });
  const key = rows.rowKey?.map((i) => plain.names[i] ?? "") ?? null;
  const uses = tablesUsed(rows.query, binding);
  return {
    name: view.name,
    version,
    hash: viewHash(view, source, uses, rows.hidden),
    class: "keyed",
    query: source.rewritten(binding.replacements),
    key,
    publicColumns: plain.names,
    uses: uses.map(({ mirror, columns }) => ({ mirrorId: mirror.id, columns })),
    ...makeKeyedState({ rows, shown: plain.names, rowKey: key }, names),
    terms: rows.terms,
    ...rows.clock,
    mirrorIndexes: rows.mirrorIndexes,
    scans: rows.scans,
    explanation: explainKeyed({ rowKey: key, rows, uses }),
  };
}

export function refuseOrder(select: SelectStmt, binding: TracedBinding): void {
  if (select.sortClause === undefined || select.distinctClause !== undefined || select.limitCount !== undefined) return;
  const at = locationOf(select.sortClause[0]);
  throw refuse(binding, "order by has no meaning in a view", at, "Order the rows when reading.");
}

/** Null where rows have no key. */
export function chooseRowKey(query: TracedQuery, view: ViewDefinition, { source }: TracedBinding): number[] | null {
  if (view.key === null) return derivedKey(query);
  const positions = view.key.map((name) => {
    const i = query.names.indexOf(name);
    if (i >= 0) return i;
    const nearest = nearestName(name, query.names);
    throw source.refusal("VIEW_KEY_INVALID", `its key names "${name}", which is not in the select list`, {
      hint: nearest === null ? `The columns are ${shortList(query.names)}.` : `Did you mean "${nearest}"?`,
      details: { column: name },
    });
  });
  if (new Set(positions).size !== positions.length)
    throw source.refusal("VIEW_KEY_INVALID", "its key names a column twice");
  if (query.determines(new Set(positions))) return positions;
  throw source.refusal("VIEW_KEY_NOT_UNIQUE", `its key (${view.key.join(", ")}) is not known to identify a row`, {
    hint: keyHint,
  });
}

export function derivedKey(query: TracedQuery): number[] | null {
  const types = query.names.map((_, i) => query.alternatives[0]?.outputs[i]?.type);
  const comparable = query.names.flatMap((_, i) => (types[i] !== undefined && hasEquality(types[i]) ? [i] : []));
  const plain = (i: number) => query.alternatives.every((one) => !isOpaque(one.outputs[i] as Bound));
  // What can be computed from the others goes first, what stands first in the select list stays longest.
  const order = [...comparable.filter(plain), ...comparable.filter((i) => !plain(i))];
  if (!query.determines(new Set(order))) return null;
  let key = order;
  for (const position of [...order].reverse()) {
    const without = key.filter((one) => one !== position);
    if (query.determines(new Set(without))) key = without;
  }
  return key.sort((a, b) => a - b);
}

const keyHint =
  "Select the primary key of each table in FROM, all columns of GROUP BY (with grouping sets also grouping(…) of them), or what DISTINCT ON names. Without a key it keeps rows as often as they are there.";

export function tablesUsed(query: TracedQuery, { used, mirrors }: TracedBinding) {
  const read = new Set(query.alternatives.flatMap((one) => one.occurrences.map(({ mirror }) => mirror.id)));
  return mirrors
    .filter(({ id }) => read.has(id) || used.has(id))
    .sort((a, b) => a.id - b.id)
    .map((mirror) => {
      const names = mirror.shape.columns.map((column) => column.name);
      return { mirror, columns: names.filter((name) => used.get(mirror.id)?.has(name) === true) };
    });
}
