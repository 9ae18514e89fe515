/** FROM of a query that is recomputed by key, as alternatives: tables, subqueries, functions, and joins of every kind. */
import type { JoinExpr, Node, RangeFunction, RangeSubselect, RangeVar } from "@pgsql/types";
import { validFrom, versionsTold } from "../as-of.ts";
import { type Bound, type Conjunct, compose, listed, plainColumn, printedSize, type RowsFunction } from "../bound.ts";
import { locationOf } from "../clauses.ts";
import { reachOf } from "../drift.ts";
import { functionName, nameOf, refuse } from "../expression.ts";
import { bindTable, converted, expressionCharactersMax, placeOf, renamed } from "../from.ts";
import { checkMeet, pinTables, usingNames } from "../natural-join.ts";
import type { Scope, ScopeColumn, ScopeTable } from "../scope.ts";
import { commonType, parseType, type SqlType, sameType, type, unknownType } from "../sql-type.ts";
import {
  type Alternative,
  alternativesMax,
  isOpaque,
  neverMet,
  nothing,
  nullableScope,
  nullScope,
  opaque,
  pair,
  pairs,
  tooMany,
} from "./alternative.ts";
import { bindTraced, bindTracedConjuncts, type Found, nothingFound, type TracedPlace } from "./expressions.ts";
import { distinctRows, recordFunctions, rowsFunctions } from "./functions.ts";
import { type FromFacts, type Gathered, gathers, nothingKnown, placeOfName, placeOfSubselect } from "./gathered.ts";
import type { RowFacts, RowSource } from "./rows-known.ts";
import { inner, note, noteTable, type QueryContext, type TracedQuery } from "./traced.ts";
import { untracedRows } from "./untraced.ts";

export interface TracedFrom {
  readonly alternatives: readonly Alternative[];
  readonly facts: FromFacts;
}

/** A list of FROM: each item may be LATERAL to those before it. */
export function bindItems(items: readonly Node[], context: QueryContext, found: Found): TracedFrom {
  let from: TracedFrom = { alternatives: [nothing], facts: nothingKnown() };
  items.forEach((item, i) => {
    from = joinInner(from, item, inner(context, `f${i}`), found);
  });
  return from;
}

function joinInner(left: TracedFrom, item: Node, context: QueryContext, found: Found): TracedFrom {
  const { binding } = context;
  if (!isLateral(item)) {
    const right = bindItem(item, context, found);
    return {
      alternatives: pairs(left.alternatives, right.alternatives, binding),
      facts: both(left.facts, right.facts),
    };
  }
  let facts = nothingKnown();
  const alternatives = left.alternatives.flatMap((one) => {
    const right = bindItem(item, inner(context, "l", [one.scope, ...context.outer]), found);
    facts = right.facts;
    return right.alternatives.flatMap((other) => pair(one, other, binding));
  });
  if (alternatives.length > alternativesMax) throw tooMany();
  return { alternatives, facts: both(left.facts, facts) };
}

function both(a: FromFacts, b: FromFacts): FromFacts {
  return {
    sources: [...a.sources, ...b.sources],
    equalities: [...a.equalities, ...b.equalities],
    implications: [...a.implications, ...b.implications],
    gathered: [...a.gathered, ...b.gathered],
  };
}

/** A function may always read what stands before it. */
function isLateral(item: Node): boolean {
  return "RangeFunction" in item || ("RangeSubselect" in item && item.RangeSubselect.lateral === true);
}

function bindItem(item: Node, context: QueryContext, found: Found): TracedFrom {
  const from = bindItemTraced(item, context, found);
  return context.binding.whole ? { ...from, alternatives: untracedRows(from.alternatives) } : from;
}

function bindItemTraced(item: Node, context: QueryContext, found: Found): TracedFrom {
  if ("RangeVar" in item) return bindNamed(item.RangeVar, context);
  if ("RangeSubselect" in item) return bindSubselect(item.RangeSubselect, context);
  if ("RangeFunction" in item) return bindFunctionItem(item.RangeFunction, context);
  if ("JoinExpr" in item) return bindJoin(item.JoinExpr, context, found);
  const { binding } = context;
  if ("RangeTableSample" in item) {
    throw refuse(
      binding,
      "a sample changes without a change of the data",
      item.RangeTableSample.location,
      "Filter by a hash of the key: hashtext(id::text) % 100 = 0.",
    );
  }
  throw refuse(binding, "this form of FROM is not read here", locationOf(item), "Use tables, joins and subqueries.");
}

function bindNamed(name: RangeVar, context: QueryContext): TracedFrom {
  const { binding, ctes, path } = context;
  const cte = name.schemaname === undefined ? ctes.get(name.relname ?? "") : undefined;
  if (cte !== undefined) {
    const query = cte.bound ?? binding.bindQuery(cte.query, { ...inner(cte.context, "c"), path: `${path}.c` });
    const names = renamed(renamed(query.names, cte.names), (name.alias?.colnames ?? []).map(nameOf));
    const label = name.alias?.aliasname ?? name.relname ?? "";
    const place = gathers(cte.query)
      ? { place: placeOfName(name, binding.source), inside: renamed(query.names, cte.names) }
      : null;
    return derived(query, label, names, context, place);
  }
  const { scope, occurrences } = bindTable(name, binding);
  const [occurrence] = occurrences;
  if (occurrence !== undefined) noteTable(binding, occurrence);
  const keyed = withKeys(scope, path);
  const keys = keyed.visible.map((column) => column.bound.key);
  const key = occurrence?.mirror.shape.key?.map((column) => `#${path}.${column}`) ?? null;
  const version = occurrence?.mirror.shape.history && [...occurrence.mirror.shape.history.key, validFrom];
  const tells = [key, version?.map((column) => `#${path}.${column}`)];
  const source: RowSource = { columns: keys, determinedBy: (known) => tells.some((one) => one?.every(known) === true) };
  const alternative: Alternative = { ...nothing, scope: keyed, occurrences, drivers: occurrences };
  return { alternatives: [alternative], facts: { ...nothingKnown(), sources: [source] } };
}

/** Columns of one table with keys that tell them from all others of the definition. */
function withKeys(scope: Scope, path: string): Scope {
  const columns = scope.visible.map((column) => ({
    ...column,
    bound: { ...column.bound, key: `#${path}.${plainColumn(column.bound)?.column ?? column.name}` },
  }));
  return { tables: scope.tables.map((table) => ({ ...table, columns })), visible: columns };
}

function bindSubselect(item: RangeSubselect, context: QueryContext): TracedFrom {
  const { binding } = context;
  const query = item.subquery;
  if (query === undefined || !("SelectStmt" in query))
    throw refuse(binding, "this form of FROM is not read here", undefined, "Use tables, joins and subqueries.");
  // What is not LATERAL sees what is around the whole query, and nothing that stands beside it.
  const traced = binding.bindQuery(query.SelectStmt, inner(context, "s"));
  const names = renamed(traced.names, (item.alias?.colnames ?? []).map(nameOf));
  // What is LATERAL is computed for the rows that stand before it.
  const gathered = item.lateral !== true && gathers(query.SelectStmt);
  const place = gathered ? { place: placeOfSubselect(item, binding.source), inside: traced.names } : null;
  return derived(traced, item.alias?.aliasname ?? "", names, context, place);
}

function derived(
  query: TracedQuery,
  alias: string,
  names: readonly string[],
  context: QueryContext,
  gathered: { readonly place: Gathered["place"]; readonly inside: readonly string[] } | null,
): TracedFrom {
  const key = (i: number) => `#${context.path}.${i}`;
  const alternatives = query.alternatives.map((one): Alternative => {
    const columns = one.outputs.map(
      (output, i): ScopeColumn => ({
        name: names[i] ?? "",
        qualifier: alias === "" ? null : alias,
        bound: { ...column(output), key: key(i) },
      }),
    );
    const table: ScopeTable = { alias, path: [], columns, label: alias, occurrence: null };
    const { occurrences, functions, conjuncts, drivers, present } = one;
    return { scope: { tables: [table], visible: columns }, occurrences, functions, conjuncts, drivers, present };
  });
  const source: RowSource = {
    columns: names.map((_, i) => key(i)),
    determinedBy: (known) => query.determines(new Set(names.flatMap((_, i) => (known(key(i)) ? [i] : [])))),
  };
  const facts = { ...nothingKnown(), sources: [source] };
  if (gathered === null) return { alternatives, facts };
  const columns = gathered.inside.flatMap((name, i) => {
    const traced = query.alternatives.every((one) => one.drivers.length === 0 || !isOpaque(one.outputs[i] as Bound));
    return traced ? [{ name, key: key(i) }] : [];
  });
  return { alternatives, facts: { ...facts, gathered: [{ label: alias, columns, place: gathered.place }] } };
}

/** A quoted constant becomes text where a subquery ends, as in PostgreSQL; what grows too large is not followed. */
function column(output: Bound): Bound {
  if (printedSize(output) > expressionCharactersMax) return opaque(output.type, output.key, output.notNull);
  return output.type.name === "literal" ? converted(output, type("text")) : output;
}

function bindFunctionItem(item: RangeFunction, context: QueryContext): TracedFrom {
  const { binding, path } = context;
  const [first, ...more] = item.functions ?? [];
  const parts = first !== undefined && "List" in first ? (first.List.items ?? []) : [];
  const [call] = parts;
  if (item.is_rowsfrom === true || more.length > 0 || call === undefined || !("FuncCall" in call)) {
    throw refuse(binding, "this form of function in FROM is not read here", locationOf(call), "Call one function.");
  }
  const name = functionName(call.FuncCall);
  const { columns, definition, types: given } = functionColumns(item, name, context, call.FuncCall.location);
  // Its arguments may read what stands before it, and nothing else.
  const [before = nothing.scope, ...outer] = context.outer;
  const place: TracedPlace = {
    context: { ...context, outer },
    scope: before,
    found: nothingFound(),
    windows: new Map(),
  };
  const nodes = call.FuncCall.args ?? [];
  const args = nodes.map((arg) => bindTraced(arg, place));
  const ordinality = item.ordinality === true ? " with ordinality" : "";
  const called = compose([`pg_catalog."${name}"(`, ...listed(args), `)${ordinality}`], { type: unknownType });
  const reach = reachOf(name, nodes, { call: called, definition }, placeOf(binding, before));
  const types = columns.map((column, i) => given[i] ?? elementType(name, args[0], column));
  const of: RowsFunction = { call: called, columns, types, definition, at: call.FuncCall.location, reach };
  note(binding, of.call);
  const alias = item.alias?.aliasname ?? name;
  const traceable = !isOpaque(of.call);
  const scoped = columns.map((column, i): ScopeColumn => {
    const key = `#${path}.${i}`;
    const is = types[i] ?? unknownType;
    const bound: Bound = { parts: [{ kind: "function", of, column: `c${i}` }], key, type: is, notNull: false };
    return { name: column, qualifier: alias, bound: traceable ? bound : opaque(is, key) };
  });
  const table: ScopeTable = { alias, path: [], columns: scoped, label: alias, occurrence: null };
  const scope: Scope = { tables: [table], visible: scoped };
  const source: RowSource = {
    columns: scoped.map((column) => column.bound.key),
    // One call has each ordinal (or number, or name) once; which call it is, the rows before it tell.
    determinedBy: (known) =>
      (item.ordinality === true && known(`#${path}.${columns.length - 1}`)) ||
      (distinctRows.has(name) && known(`#${path}.0`)),
  };
  const alternative: Alternative = { ...nothing, scope, functions: traceable ? [of] : [] };
  return { alternatives: [alternative], facts: { ...nothingKnown(), sources: [source] } };
}

function functionColumns(item: RangeFunction, name: string, context: QueryContext, at: number | undefined) {
  const { binding } = context;
  const alias = item.alias?.aliasname ?? name;
  const given = (item.alias?.colnames ?? []).map(nameOf);
  if (recordFunctions.has(name) && (item.coldeflist ?? []).length > 0) {
    const defined = (item.coldeflist ?? []).flatMap((one) => ("ColumnDef" in one ? [one.ColumnDef] : []));
    const texts = defined.map((one) => {
      const typeNames = (one.typeName?.names ?? []).map(nameOf);
      const text = typeNames.at(-1) ?? "text";
      return `${text}${(one.typeName?.arrayBounds ?? []).length > 0 ? "[]" : ""}`;
    });
    return {
      columns: defined.map((one) => one.colname ?? ""),
      definition: `(${texts.map((text, i) => `c${i} ${text}`).join(", ")})`,
      types: texts.map(parseType),
    };
  }
  if (!Object.hasOwn(rowsFunctions, name)) {
    throw refuse(
      binding,
      `the function ${name}() is not known in FROM`,
      at,
      `Known are ${[...Object.keys(rowsFunctions), ...recordFunctions].join(", ")}.`,
    );
  }
  const own = [...(rowsFunctions[name] ?? [alias]), ...(item.ordinality === true ? ["ordinality"] : [])];
  const columns = renamed(own, given);
  const types: (SqlType | undefined)[] = columns.map(() => undefined);
  if (item.ordinality === true) types[columns.length - 1] = type("int8");
  return { columns, definition: `(${columns.map((_, i) => `c${i}`).join(", ")})`, types };
}

function elementType(name: string, arg: Bound | undefined, column: string): SqlType {
  const of = arg?.type ?? unknownType;
  if (name === "unnest") return of.array ? { ...of, array: false } : unknownType;
  if (name === "generate_series") return of.name === "literal" ? unknownType : { ...of, modifier: null };
  if (name === "generate_subscripts") return type("int4");
  if (/_text$|_keys$|_table$/.test(name) || column === "key") return type("text");
  if (/^jsonb/.test(name)) return type("jsonb");
  return /^json/.test(name) ? type("json") : unknownType;
}

function bindJoin(join: JoinExpr, context: QueryContext, found: Found): TracedFrom {
  const { binding } = context;
  if (join.alias !== undefined || join.join_using_alias !== undefined)
    throw refuse(
      binding,
      "an alias of a join is not read here",
      locationOf(join.rarg),
      "Use the aliases of its tables.",
    );
  const kind = join.jointype ?? "JOIN_INNER";
  const left = bindItem(join.larg ?? ({} as Node), inner(context, "a"), found);
  const right = join.rarg ?? ({} as Node);
  if (!isLateral(right)) {
    const bound = bindItem(right, inner(context, "b"), found);
    return joined(join, kind, left, bound, context, found);
  }
  if (kind === "JOIN_RIGHT" || kind === "JOIN_FULL") {
    throw binding.source.refusal("VIEW_SQL_INVALID", "a right or full join cannot be lateral", {
      at: locationOf(right),
    });
  }
  let facts = left.facts;
  const alternatives = left.alternatives.flatMap((one) => {
    const bound = bindItem(right, inner(context, "b", [one.scope, ...context.outer]), found);
    const made = joined(join, kind, { alternatives: [one], facts: left.facts }, bound, context, found);
    facts = made.facts;
    return made.alternatives;
  });
  if (alternatives.length > alternativesMax) throw tooMany();
  return { alternatives, facts };
}

function joined(
  join: JoinExpr,
  kind: string,
  left: TracedFrom,
  right: TracedFrom,
  context: QueryContext,
  found: Found,
): TracedFrom {
  const { binding } = context;
  const [keepsLeft, keepsRight] = [
    kind === "JOIN_LEFT" || kind === "JOIN_FULL",
    kind === "JOIN_RIGHT" || kind === "JOIN_FULL",
  ];
  if (!keepsLeft && !keepsRight && kind !== "JOIN_INNER")
    throw refuse(
      binding,
      "this form of join is not read here",
      locationOf(join.rarg),
      "Use inner, left, right or full.",
    );
  if (left.alternatives.length * right.alternatives.length > alternativesMax) throw tooMany();
  if (join.isNatural === true) pinTables({ JoinExpr: join }, binding);
  const [leftScope, rightScope] = [left, right].map((side) => side.alternatives[0]?.scope ?? nothing.scope);
  const using = usingNames(join, leftScope ?? nothing.scope, rightScope ?? nothing.scope);
  const outer = keepsLeft || keepsRight;
  const facts: FromFacts = both(left.facts, right.facts);
  let learned = false;
  const alternatives: Alternative[] = [];
  const merge = (a: Scope, b: Scope) => mergeUsing(a, b, using, kind, context, join);
  for (const one of left.alternatives) {
    for (const other of right.alternatives) {
      const [met] = pair({ ...one, present: true }, { ...other, present: true }, binding);
      if (met === undefined) continue;
      const { scope, conjuncts: merged } = merge(one.scope, other.scope);
      const own: Found = outer ? nothingFound() : found;
      const rows: TracedPlace = { context, scope, found: own, windows: new Map(), ofRows: true };
      const place = outer ? rows : { ...rows, timed: met.occurrences };
      const conditions = [...merged, ...bindTracedConjuncts(join.quals, place)];
      const conjuncts = [...met.conjuncts, ...conditions];
      if (own !== found && own.subqueries.length > 0) {
        throw refuse(
          binding,
          "a subquery in ON of an outer join is not read here",
          locationOf(join.quals),
          "Join it in FROM.",
        );
      }
      // Those of joins inside of either side hold where that has met, and are told by its facts.
      if (!learned) learn(facts, conditions, left.facts, right.facts, kind);
      if (!learned && using.length > 0 && kind === "JOIN_FULL")
        facts.implications.push(metByUsing(scope, merged, using));
      learned = true;
      if (conjuncts.some(neverMet)) continue;
      const drivers = [...(other.present ? one.drivers : []), ...(one.present ? other.drivers : [])];
      const present = one.present && other.present;
      const seen = shown(one.scope, other.scope, keepsRight, keepsLeft, merge);
      if (drivers.length > 0 || present) alternatives.push({ ...met, scope: seen, conjuncts, drivers, present });
      // A row that gains or loses its partner is there without one, or was.
      const lone = { ...met, conjuncts, present: false };
      if (keepsLeft && one.present && other.drivers.length > 0)
        alternatives.push({ ...lone, scope: merge(one.scope, nullScope(other.scope)).scope, drivers: other.drivers });
      if (keepsRight && other.present && one.drivers.length > 0)
        alternatives.push({ ...lone, scope: merge(nullScope(one.scope), other.scope).scope, drivers: one.drivers });
    }
  }
  const [anyLeft, anyRight] = [left.alternatives[0], right.alternatives[0]];
  if (keepsLeft && anyRight)
    for (const one of left.alternatives)
      alternatives.push({ ...one, scope: merge(one.scope, nullScope(anyRight.scope)).scope });
  if (keepsRight && anyLeft)
    for (const other of right.alternatives)
      alternatives.push({ ...other, scope: merge(nullScope(anyLeft.scope), other.scope).scope });
  return { alternatives, facts };
}

/** The scope of rows that have met, with the columns that another row of the same join may have without a value. */
function shown(
  left: Scope,
  right: Scope,
  leftMayLack: boolean,
  rightMayLack: boolean,
  merge: (a: Scope, b: Scope) => { readonly scope: Scope },
): Scope {
  return merge(leftMayLack ? nullableScope(left) : left, rightMayLack ? nullableScope(right) : right).scope;
}

/** A row of a full join by USING shows its columns whichever side it has: they tell both. */
function metByUsing(scope: Scope, conjuncts: readonly Conjunct[], using: readonly string[]) {
  const given = scope.visible.slice(0, using.length).map((column) => column.bound.key);
  return { given, known: conjuncts.flatMap(({ equal }) => (equal ?? []).map((side) => side.key)) };
}

function learn(facts: RowFacts, conjuncts: readonly Conjunct[], left: RowFacts, right: RowFacts, kind: string): void {
  if (kind === "JOIN_FULL") return;
  const met = kind === "JOIN_INNER" ? [left, right] : [kind === "JOIN_LEFT" ? right : left];
  const columns = new Set(met.flatMap(({ sources }) => sources.flatMap((source) => source.columns)));
  facts.implications.push(...versionsTold(conjuncts, (column) => columns.has(column)));
  for (const { equal } of conjuncts) {
    if (equal === null) continue;
    const [a, b] = [equal[0].key, equal[1].key];
    if (kind === "JOIN_INNER") facts.equalities.push({ a, b, once: null });
    else {
      const once = kind === "JOIN_LEFT" ? left.sources : right.sources;
      facts.equalities.push({ a, b, once }, { a: b, b: a, once });
    }
  }
}

/** Columns of USING as one, first; which side they show depends on the join. */
function mergeUsing(
  left: Scope,
  right: Scope,
  using: readonly string[],
  kind: string,
  context: QueryContext,
  join: JoinExpr,
): { readonly scope: Scope; readonly conjuncts: readonly Conjunct[] } {
  const { binding, path } = context;
  const conjuncts: Conjunct[] = [];
  const merged = using.map((name): ScopeColumn => {
    const [a, b] = [left, right].map((side) => {
      const found = side.visible.filter((column) => column.name === name);
      if (found.length === 1 && found[0] !== undefined) return found[0].bound;
      const code = found.length === 0 ? "VIEW_UNKNOWN_COLUMN" : "VIEW_COLUMN_AMBIGUOUS";
      throw binding.source.refusal(
        code,
        `column "${name}" of ${join.isNatural === true ? "a natural join" : "using"} is ${found.length === 0 ? "not on" : "more than once on"} one side of the join`,
        { at: locationOf(join.rarg) },
      );
    });
    if (a === undefined || b === undefined) throw tooMany();
    checkMeet(name, a.type, b.type, join, binding.source);
    note(binding, a);
    note(binding, b);
    conjuncts.push({ bound: compose(["(", a, " = ", b, ")"], { type: type("bool") }), equal: [a, b] });
    const common = commonType([a.type, b.type]);
    const side = kind === "JOIN_RIGHT" ? b : a;
    const known = common.name === "?" || sameType(side.type, common) ? side : converted(side, common);
    if (kind !== "JOIN_FULL") return { name, qualifier: null, merges: side, bound: { ...known, key: side.key } };
    const bound = compose(["coalesce(", a, ", ", b, ")"], { type: common, notNull: a.notNull || b.notNull });
    return { name, qualifier: null, bound: { ...bound, key: `#${path}.using.${name}` } };
  });
  const rest = [...left.visible, ...right.visible].filter((column) => !using.includes(column.name));
  return { scope: { tables: [...left.tables, ...right.tables], visible: [...merged, ...rest] }, conjuncts };
}
