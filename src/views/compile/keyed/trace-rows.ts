/**
 * The rows of a query that is recomputed by key, however they are kept: by which columns of theirs a change is traced, the
 * statements that find those, and the query for what was found.
 */
import type { SelectStmt } from "@pgsql/types";
import { quote } from "../../../catalog/definitions.ts";
import type { CompiledView, DeltaTerm } from "../../compiled-view.ts";
import { probedAsOf } from "../as-of.ts";
import { type Bound, type Conjunct, functionsOf, type Occurrence, plainColumn } from "../bound.ts";
import { type JoinStep, joinOrder } from "../join-order.ts";
import type { SourceText } from "../source-text.ts";
import { tableLabel } from "../tables.ts";
import { clockOf, indexesByTime } from "../temporal.ts";
import { isOpaque, Untraceable } from "./alternative.ts";
import type { Among, Replacements, Restricted } from "./gathered.ts";
import { bitsOf, type GroupedKey, groupedKey, leftOut, membersOf } from "./grouped.ts";
import { type HiddenKey, hiddenKey } from "./hidden-key.ts";
import { nearRows } from "./near-rows.ts";
import { printClockWays, printWay } from "./print-ways.ts";
import { queryParts } from "./set-parts.ts";
import { printQuery, reached, type Slice, slicesOf, type TraceColumn, valuesOf } from "./slices.ts";
import { combinations, printTotals, type TotalsPlan } from "./totals.ts";
import { chooseTraceKey, type TraceKey } from "./trace-key.ts";
import type { GroupingSet, TracedBinding, TracedQuery } from "./traced.ts";
import { waysOf } from "./ways.ts";

export type ProbedIndex = CompiledView["mirrorIndexes"][number];

/** The tables that its statements name, quoted and qualified. */
export interface RowsTables {
  readonly stateTable: string;
  readonly freshTable: string;
  /** Takes the keys that a batch reaches. */
  readonly deltaTable: string;
}

export interface RowsRequest {
  readonly source: SourceText;
  readonly plain: TracedQuery;
  readonly binding: TracedBinding;
  readonly bind: (select: SelectStmt, into?: TracedBinding) => TracedQuery;
  /** Whether its rows are known to have no key; what is asked for a key may throw. */
  readonly keyless: boolean;
  /** Positions of the columns that identify a row; null where none do. */
  readonly rowKey: () => readonly number[] | null;
  /** What its columns are called where they are kept. */
  readonly nameColumns: (names: readonly string[]) => readonly string[];
  readonly tables: RowsTables;
}

export interface TracedRows {
  readonly rowKey: readonly number[] | null;
  /** With the hidden columns. */
  readonly query: TracedQuery;
  readonly columns: readonly string[];
  /** Columns that are never NULL. */
  readonly required: readonly string[];
  /** The query over the mirrors. */
  readonly whole: string;
  readonly traceKey: readonly string[];
  readonly slices: readonly Slice[];
  /** Rows that are put together from those of the slices, as a select. */
  readonly totals: string | null;
  readonly terms: readonly DeltaTerm[];
  readonly clock: Pick<CompiledView, "clock">;
  readonly mirrorIndexes: readonly ProbedIndex[];
  readonly scans: CompiledView["scans"];
  readonly ways: TraceKey["ways"];
  /** As the author calls the columns of the trace key. */
  readonly labels: readonly string[];
  /** Columns that are not shown; undefined where there are none. */
  readonly hidden: readonly string[] | undefined;
  /** How many grouping sets there are; 1 where it has none. */
  readonly sets: number;
}

/** Throws `Untraceable`, and `VIEW_UNSUPPORTED` for the row of all rows that does not follow from others. */
export function traceRows(request: RowsRequest): TracedRows {
  return request.plain.sets === undefined ? plainRows(request) : groupedRows(request, request.plain.sets);
}

function plainRows(request: RowsRequest): TracedRows {
  const { source, plain, binding, bind, keyless, tables } = request;
  const hidden =
    keyless || chooseTraceKey(plain, null) === null
      ? // What is only tried is not read.
        hiddenKey(source.statement, plain, source, (select) => bind(select, { ...binding, used: new Map() }))
      : null;
  const query = hidden === null ? plain : bind(hidden.select);
  if (chooseTraceKey(query, null) === null) throw new Untraceable("no column tells which rows a change reaches");
  const rowKey = request.rowKey();
  const traced = chooseTraceKey(query, rowKey);
  if (traced === null) throw new Untraceable("the key tells no rows");
  const columns = request.nameColumns(query.names);
  const named = { ...query, names: columns };
  const written = { ...binding, replacements: new Map([...binding.replacements, ...(hidden?.replacements ?? [])]) };
  const near = nearRows(named, traced.positions, binding, tables.deltaTable);
  const restricted = (among: Among): Restricted => {
    const inside = query.restricted(traced.positions, among);
    return { ...inside, replacements: new Map([...inside.replacements, ...(near?.replacements ?? [])]) };
  };
  const text = queryParts(source.statement, columns, written, restricted);
  const traceKey = traced.positions.map((i) => ({ name: columns[i] ?? "", nullable: traced.nullable(i) }));
  return {
    ...traceOf(request, query, hidden, traced),
    rowKey,
    whole: printQuery(text, null),
    slices: slicesOf(traceKey, text, tables.deltaTable),
    totals: null,
    mirrorIndexes: [...indexesOf(query, traced), ...(near === null ? [] : [near.index])],
    sets: 1,
  };
}

function groupedRows(request: RowsRequest, shown: readonly GroupingSet[]): TracedRows {
  const { source, plain, binding, bind } = request;
  const grouped = groupedKey(source, plain, binding.replacements);
  const query = bind(grouped.select);
  const sets = query.sets ?? shown;
  const members = membersOf(sets);
  const place = plain.names.length;
  const positions = [place, ...members.map(({ position }) => position)];
  const ways = waysOf(query.alternatives, positions);
  if (ways === null || positions.some((position) => position < 0))
    throw new Untraceable("the columns of its grouping sets tell no rows");
  const nullable = (i: number) => query.alternatives.some((one) => one.outputs[i]?.notNull !== true);
  const { whole } = query.restricted(positions, () => "");
  const traced: TraceKey = { positions, nullable, ways, whole };
  const columns = request.nameColumns(query.names);
  const written: Replacements = new Map([...binding.replacements, ...grouped.replacements]);
  const context = { request, query, columns, grouped, written, bits: columns[place] ?? "" };
  // One that is there several times is asked for once, and gives its rows as often.
  const distinct = [...new Map(sets.map((set) => [bitsOf(members, set.members), set]))];
  const made = distinct.map(([bits, set]) => setSlices(context, set, bits));
  return {
    ...traceOf(request, query, grouped, traced),
    rowKey: request.rowKey(),
    whole: source.rewritten(written),
    slices: made.flatMap(({ slices }) => slices),
    totals: totalsOf(context, sets),
    mirrorIndexes: [...indexesOf(query, traced), ...made.flatMap(({ indexes }) => indexes)],
    sets: sets.length,
  };
}

interface GroupedContext {
  readonly request: RowsRequest;
  readonly query: TracedQuery;
  readonly columns: readonly string[];
  readonly grouped: GroupedKey;
  readonly written: Replacements;
  /** The column that has the `grouping()`. */
  readonly bits: string;
}

/** What is reached of one grouping set, with the keys inside of the query's WHERE. */
function setSlices(context: GroupedContext, set: GroupingSet, bits: number) {
  const { query, columns, grouped, written, request } = context;
  const { deltaTable } = request.tables;
  const ofSet = (alias: string) => isOfSet(context, set, bits, alias);
  const rows = `${quote(context.bits)} = ${bits}`;
  if (set.members.length === 0) {
    const any = `(select exists (select from ${deltaTable} where ${rows}))`;
    return { slices: [{ where: (alias: string) => `${any} and ${ofSet(alias)}`, query: null }], indexes: [] };
  }
  const key = keyOf(context, set);
  const positions = set.members.map(({ position }) => position);
  const inside = query.restricted(
    positions,
    (value, column) => `${value} = ${valuesOf(key[column]?.name ?? "", deltaTable, rows)}`,
  );
  const near = nearRows({ ...query, names: columns, ...set }, positions, request.binding, deltaTable);
  const slices = reached(key, deltaTable, rows).map((condition, i): Slice => {
    const filter = condition(({ name }) => grouped.texts.get(memberOf(context, set, name)) ?? "");
    const without: Replacements = i === 0 ? inside.replacements : new Map();
    const pieces = [...written, ...without, ...((i === 0 && near?.replacements) || []), ...grouped.filtered(filter)];
    return {
      where: (alias) => `${ofSet(alias)} and ${condition(({ name }) => `${alias}.${quote(name)}`)}`,
      query: request.source.rewritten(new Map(pieces)),
    };
  });
  return { slices, indexes: near === null ? [] : [near.index] };
}

function keyOf({ columns, query }: GroupedContext, { members, alternatives }: GroupingSet): TraceColumn[] {
  const rows = alternatives.length === 0 ? query.alternatives : alternatives;
  return members.map(({ position }) => ({
    name: columns[position] ?? "",
    nullable: rows.some((one) => one.outputs[position]?.notNull !== true),
  }));
}

function memberOf({ columns }: GroupedContext, { members }: GroupingSet, name: string): string {
  return members.find(({ position }) => columns[position] === name)?.key ?? "";
}

/** By all that an index over the trace key has: what the set leaves out is NULL. */
function isOfSet({ columns, query, bits: column }: GroupedContext, set: GroupingSet, bits: number, alias: string) {
  const absent = leftOut(membersOf(query.sets ?? []), set.members);
  const nulls = absent.map(({ position }) => `${alias}.${quote(columns[position] ?? "")} is null`);
  return [`${alias}.${quote(column)} = ${bits}`, ...nulls].join(" and ");
}

/** Null where no set is of all rows. */
function totalsOf(context: GroupedContext, sets: readonly GroupingSet[]): string | null {
  const { request, query, columns, grouped, written } = context;
  const members = membersOf(sets);
  const numbered = sets.map((set) => [bitsOf(members, set.members), set] as const);
  const all = numbered.find(([, set]) => set.members.length === 0);
  // The fewest expressions make the fewest groups.
  const [parts] = numbered
    .filter(([, set]) => set.members.length > 0)
    .sort(([, a], [, b]) => a.members.length - b.members.length);
  if (all === undefined || parts === undefined) return null;
  const { deltaTable } = request.tables;
  const named = { ...query, names: columns };
  const combine = combinations(grouped.select, named, request.binding);
  const conditions = reached(keyOf(context, parts[1]), deltaTable, `${quote(context.bits)} = ${parts[0]}`);
  const isReached = (alias: string) =>
    conditions.map((one) => `(${one(({ name }) => `${alias}.${quote(name)}`)})`).join(" or ");
  const plan: TotalsPlan = {
    columns: columns.map((name, i) => ({ name: quote(name), sql: combine[i] ?? null })),
    empty: request.source.rewritten(new Map([...written, ...grouped.filtered("false")])),
    parts: {
      names: parts[1].members.map(({ position }) => quote(columns[position] ?? "")),
      repeated: numbered.filter(([bits]) => bits === parts[0]).length > 1,
    },
    ofParts: (alias) => isOfSet(context, parts[1], parts[0], alias),
    isReached,
    ofAll: (alias) => isOfSet(context, all[1], all[0], alias),
  };
  return printTotals(plan, request.tables);
}

function traceOf(
  { binding, plain, nameColumns, tables }: RowsRequest,
  query: TracedQuery,
  hidden: Pick<HiddenKey, "labels"> | null,
  { positions, ways, whole }: TraceKey,
) {
  const columns = nameColumns(query.names);
  const traceKey = positions.map((i) => columns[i] ?? "");
  const target = `${tables.deltaTable} (${traceKey.map(quote).join(", ")})`;
  return {
    query,
    columns,
    required: columns.filter((_, i) => query.alternatives.every((one) => one.outputs[i]?.notNull === true)),
    traceKey,
    terms: ways.map((way) => printWay(way, target, binding.used)),
    clock: clockOf(
      ways.flatMap(({ conjuncts }) => conjuncts),
      () => ways.flatMap((way) => printClockWays(way, target)),
    ),
    scans: scansOf(ways, whole),
    ways,
    labels: positions.map((i) => plain.names[i] ?? hidden?.labels[i - plain.names.length] ?? ""),
    hidden: hidden?.labels,
  };
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
    const conjuncts = alternative.conjuncts.filter(({ bound }) => !isOpaque(bound) && functionsOf(bound).length === 0);
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

function scansOf(ways: TraceKey["ways"], whole: TraceKey["whole"]): CompiledView["scans"] {
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
