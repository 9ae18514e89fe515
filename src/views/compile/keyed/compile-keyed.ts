/**
 * Queries that are recomputed by key. Any SELECT of which the rows that a change reaches can be named by columns of the
 * result: those rows are taken out, and the query is run again for them.
 */
import type { SelectStmt } from "@pgsql/types";
import type { ViewDefinition } from "../../../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "../../compiled-view.ts";
import { probedAsOf } from "../as-of.ts";
import { type Bound, type Conjunct, type Occurrence, plainColumn } from "../bound.ts";
import { locationOf } from "../clauses.ts";
import { refuse } from "../expression.ts";
import { viewHash } from "../hash.ts";
import { type JoinStep, joinOrder } from "../join-order.ts";
import { nearestName } from "../nearest.ts";
import { checkNames } from "../plan.ts";
import { shortList } from "../scope.ts";
import type { SourceText } from "../source-text.ts";
import { hasEquality } from "../sql-type.ts";
import { stateTables } from "../state.ts";
import { tableLabel } from "../tables.ts";
import { clockOf, indexesByTime } from "../temporal.ts";
import { isOpaque, tooMany, Untraceable } from "./alternative.ts";
import { explainKeyed } from "./explain-keyed.ts";
import type { Among, Restricted } from "./gathered.ts";
import { hiddenKey } from "./hidden-key.ts";
import { nearRows } from "./near-rows.ts";
import { printClockWays, printWay } from "./print-ways.ts";
import { bindQuery } from "./queries.ts";
import { queryParts } from "./set-parts.ts";
import { makeKeyedState } from "./state.ts";
import { chooseTraceKey, type TraceKey } from "./trace-key.ts";
import type { TracedBinding, TracedQuery } from "./traced.ts";

export type ProbedIndex = CompiledView["mirrorIndexes"][number];

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
  const query = bind(source.statement);
  checkNames(query.names, binding);
  return { query, binding, bind };
}

/** Throws as `compileView` does, and `Untraceable`. */
export function compileKeyed({ view, version, source, mirrors }: KeyedRequest): CompiledView {
  const { query: plain, binding, bind } = bindWhole({ source, mirrors });
  const keyless = view.key === null && derivedKey(plain) === null;
  const hidden =
    keyless || chooseTraceKey(plain, null) === null
      ? // What is only tried is not read.
        hiddenKey(source.statement, plain, source, (select) => bind(select, { ...binding, used: new Map() }))
      : null;
  const query = hidden === null ? plain : bind(hidden.select);
  if (chooseTraceKey(query, null) === null) throw new Untraceable("no column tells which rows a change reaches");
  const rowKey = chooseRowKey(plain, view, binding);
  const traced = chooseTraceKey(query, rowKey);
  if (traced === null) throw new Untraceable("the key tells no rows");
  const required = query.names.filter((_, i) => query.alternatives.every((one) => one.outputs[i]?.notNull === true));
  const names = rowKey?.map((i) => query.names[i] ?? "") ?? null;
  const traceKey = traced.positions.map((i) => ({ name: query.names[i] ?? "", nullable: traced.nullable(i) }));
  const written = { ...binding, replacements: new Map([...binding.replacements, ...(hidden?.replacements ?? [])]) };
  const { deltaTable } = stateTables({ view: view.name, version });
  const near = nearRows(query, traced.positions, binding, deltaTable);
  const restricted = (among: Among): Restricted => {
    const inside = query.restricted(traced.positions, among);
    return { ...inside, replacements: new Map([...inside.replacements, ...(near?.replacements ?? [])]) };
  };
  const { deltaTarget, ...state } = makeKeyedState(
    {
      names: query.names,
      shown: plain.names,
      required,
      query: queryParts(source.statement, query.names, written, restricted),
      rowKey: names,
      traceKey,
    },
    { view: view.name, version },
  );
  const uses = tablesUsed(query, binding);
  return {
    name: view.name,
    version,
    hash: viewHash(view, source, uses, hidden?.labels),
    class: "keyed",
    query: source.rewritten(binding.replacements),
    key: names,
    publicColumns: plain.names,
    uses: uses.map(({ mirror, columns }) => ({ mirrorId: mirror.id, columns })),
    ...state,
    terms: traced.ways.map((way) => printWay(way, deltaTarget, binding.used)),
    ...clockOf(
      traced.ways.flatMap(({ conjuncts }) => conjuncts),
      () => traced.ways.flatMap((way) => printClockWays(way, deltaTarget)),
    ),
    mirrorIndexes: [...indexesOf(query, traced), ...(near === null ? [] : [near.index])],
    scans: scansOf(traced),
    explanation: explainKeyed({
      rowKey: names,
      traceKey: traced.positions.map((i) => plain.names[i] ?? hidden?.labels[i - plain.names.length] ?? ""),
      uses,
      ways: traced.ways,
    }),
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

function derivedKey(query: TracedQuery): number[] | null {
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

/** What the ways probe, and what the query for some keys probes: its key's own columns, and the joins from there. */
function indexesOf(query: TracedQuery, { positions, ways }: TraceKey): ProbedIndex[] {
  const found: ProbedIndex[] = [];
  const probe = (steps: readonly JoinStep[], conjuncts: readonly Conjunct[]) => {
    for (const { occurrence, probes, byPrimaryKey } of steps) {
      if (probes.length > 0 && !byPrimaryKey)
        found.push({ mirrorId: occurrence.mirror.id, columns: probedAsOf(occurrence, probes, conjuncts) });
    }
  };
  for (const way of ways) {
    found.push(...indexesByTime(way.conjuncts));
    probe(way.steps, way.conjuncts);
  }
  for (const alternative of query.alternatives) {
    const conjuncts = alternative.conjuncts.filter(({ bound }) => !isOpaque(bound) && !readsFunction(bound));
    const byTable = new Map<Occurrence, string[]>();
    for (const position of positions) {
      const column = plainColumn(alternative.outputs[position] as Bound);
      if (column === null) continue;
      byTable.set(column.occurrence, [...(byTable.get(column.occurrence) ?? []), column.column]);
    }
    for (const [occurrence, columns] of byTable) {
      found.push({ mirrorId: occurrence.mirror.id, columns });
      if (alternative.occurrences.includes(occurrence))
        probe(joinOrder({ ...alternative, conjuncts }, occurrence), conjuncts);
    }
  }
  return found;
}

function readsFunction(bound: Bound): boolean {
  return bound.parts.some((part) => typeof part !== "string" && part.kind === "function");
}

function scansOf({ ways, whole }: TraceKey): CompiledView["scans"] {
  const changed = [...new Set(ways.map((way) => tableLabel(way.driver.mirror)))].join(", ");
  const gathered = whole.map(({ label }) => ({ changed, read: `the subquery "${label}"` }));
  return ways
    .flatMap((way) =>
      way.steps
        .filter((step) => step.probes.length === 0)
        .map((step) => ({ changed: tableLabel(way.driver.mirror), read: tableLabel(step.occurrence.mirror) })),
    )
    .concat(gathered);
}
