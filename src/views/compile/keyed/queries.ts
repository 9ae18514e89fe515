/**
 * A whole query that is recomputed by key: which of its columns a change can be traced by, and through which
 * alternatives. A column can be traced by when all rows that share a value of it depend only on rows of FROM that give
 * that value: every column of a plain query; group expressions; what all windows are partitioned by; DISTINCT ON.
 */
import type { CommonTableExpr, Node, SelectStmt, WindowDef } from "@pgsql/types";
import { versionsTold } from "../as-of.ts";
import { type Bound, textBound } from "../bound.ts";
import { locationOf } from "../clauses.ts";
import { nameOf, refuse } from "../expression.ts";
import { converted, withoutNulls } from "../from.ts";
import { groupingSets } from "../grouping-sets.ts";
import { groupNode } from "../groups.ts";
import { expandTargets, type Target } from "../linear.ts";
import { isKeyword } from "../source-text.ts";
import { commonType, hasOneSpelling, unknownType } from "../sql-type.ts";
import { typedNull } from "../typed-null.ts";
import { type Alternative, alternativesMax, isOpaque, neverMet, nothing, opaque, tooMany } from "./alternative.ts";
import {
  bindTraced,
  bindTracedConjuncts,
  type Found,
  nothingFound,
  type TracedPlace,
  withSubquery,
} from "./expressions.ts";
import { bindItems } from "./from-items.ts";
import { restrict, unrestricted } from "./gathered.ts";
import { bindRecursive, readsItself } from "./recursive.ts";
import { allRowsKnown, closure, remembered } from "./rows-known.ts";
import {
  type ColumnName,
  type Ctes,
  type GroupingMember,
  inner,
  note,
  type QueryContext,
  type TracedAlternative,
  type TracedBinding,
  type TracedQuery,
} from "./traced.ts";

export function bindQuery(select: SelectStmt, outer: QueryContext): TracedQuery {
  const context = { ...outer, ctes: withCtes(select, outer) };
  refuseWriting(select, context);
  if (select.op !== undefined && select.op !== "SETOP_NONE") return bindSetOperation(select, context);
  if (select.valuesLists !== undefined) return bindValues(select, context);
  return new Block(select, context).bind();
}

function refuseWriting(select: SelectStmt, { binding }: QueryContext): void {
  if (select.lockingClause !== undefined)
    throw refuse(binding, "a view locks nothing", undefined, "Leave out FOR UPDATE and the like.");
  if (select.intoClause !== undefined) throw refuse(binding, "a view writes nothing", undefined, "Leave INTO out.");
}

function withCtes(select: SelectStmt, context: QueryContext): Ctes {
  if (select.withClause === undefined) return context.ctes;
  const { binding } = context;
  const recursive = select.withClause.recursive === true;
  if (recursive && !binding.whole) {
    throw refuse(
      binding,
      "recursive queries cannot be kept up to date yet",
      select.withClause.location,
      "Read trees step by step, or keep the path in the source's table.",
    );
  }
  const ctes = new Map(context.ctes);
  for (const node of select.withClause.ctes ?? []) {
    if (!("CommonTableExpr" in node)) continue;
    const { ctename = "", ctequery, aliascolnames, location } = node.CommonTableExpr;
    if (ctequery === undefined || !("SelectStmt" in ctequery)) {
      throw refuse(binding, `"${ctename}" in WITH is not a SELECT`, location, "A view only reads.");
    }
    const around = { ...inner(context, `w${location}`), ctes: new Map(ctes) };
    if (recursive && readsItself(node.CommonTableExpr)) {
      ctes.set(ctename, bindRecursive(node.CommonTableExpr, around));
      continue;
    }
    if (!binding.whole) inlined(node.CommonTableExpr, binding);
    // Bound where it is read; here too, because the query over the mirrors has it even when nothing reads it.
    binding.bindQuery(ctequery.SelectStmt, around);
    ctes.set(ctename, { query: ctequery.SelectStmt, names: (aliascolnames ?? []).map(nameOf), context: around });
  }
  return ctes;
}

/** A CTE that is read twice would be computed whole, whatever keys are asked for. */
function inlined({ ctematerialized, location }: CommonTableExpr, { source, replacements }: TracedBinding): void {
  if (ctematerialized !== undefined && ctematerialized !== "CTEMaterializeDefault") return;
  const words = source.words();
  const name = words.findIndex((token) => token.start === location);
  const as = words.findIndex((_, i) => i > name && isKeyword(words, i, "as"));
  const token = words[as];
  if (name >= 0 && token !== undefined) replacements.set(token.start, { end: token.end, text: "as not materialized" });
}

function bindSetOperation(select: SelectStmt, context: QueryContext): TracedQuery {
  const { binding } = context;
  const [left, right] = [select.larg, select.rarg].map((side, i) =>
    binding.bindQuery(side ?? {}, inner(context, `u${i}`)),
  );
  if (left === undefined || right === undefined || left.names.length !== right.names.length) {
    throw binding.source.refusal(
      "VIEW_SQL_INVALID",
      `the parts of ${operation(select)} have ${left?.names.length} and ${right?.names.length} columns`,
      { at: locationOf(select.rarg?.targetList?.[0]) },
    );
  }
  const limited = select.limitCount !== undefined || select.limitOffset !== undefined;
  const alternatives = [...left.alternatives, ...right.alternatives];
  if (alternatives.length > alternativesMax) throw tooMany();
  const types = left.names.map((_, i) => commonType(alternatives.map((one) => one.outputs[i]?.type ?? unknownType)));
  const notNull = left.names.map((_, i) => alternatives.every((one) => one.outputs[i]?.notNull === true));
  const outputs = (one: TracedAlternative) =>
    one.outputs.map((output, i): Bound => {
      const to = types[i] ?? unknownType;
      const key = `#${context.path}.${i}`;
      if (limited || isOpaque(output)) return opaque(to, key, notNull[i]);
      return { ...(to.name === "?" ? output : converted(output, to)), key, notNull: notNull[i] === true };
    });
  const all = select.all === true;
  const every = (positions: ReadonlySet<number>) => left.names.every((_, i) => positions.has(i));
  const determines = (positions: ReadonlySet<number>) => {
    if (select.op === "SETOP_UNION") return !all && every(positions);
    // What is left of the first part has its keys.
    return left.determines(positions) || (!all && every(positions));
  };
  const made = alternatives.map((one) => ({ ...one, outputs: outputs(one) }));
  return { names: left.names, alternatives: made, determines, restricted: unrestricted, unselected: () => [] };
}

function operation(select: SelectStmt): string {
  return (select.op ?? "").replace("SETOP_", "").toLowerCase();
}

function bindValues(select: SelectStmt, context: QueryContext): TracedQuery {
  const place: TracedPlace = { context, scope: nothing.scope, found: nothingFound(), windows: new Map() };
  const rows = (select.valuesLists ?? []).map((list) =>
    ("List" in list ? (list.List.items ?? []) : []).map((node) => bindTraced(node, place)),
  );
  const names = (rows[0] ?? []).map((_, i) => `column${i + 1}`);
  const outputs = names.map((_, i) => {
    const common = commonType(rows.map((row) => row[i]?.type ?? unknownType));
    return opaque(
      common,
      `#${context.path}.${i}`,
      rows.every((row) => row[i]?.notNull === true),
    );
  });
  const { occurrences, functions, conjuncts, drivers, present } = nothing;
  const alternative = { occurrences, functions, conjuncts, drivers, present, outputs };
  const determines = (positions: ReadonlySet<number>) => {
    const known = rows.map((row) => row.flatMap((cell, i) => (positions.has(i) ? [cell.key] : [])).join());
    return rows.every((row) => row.every(isPlainConstant)) && new Set(known).size === rows.length;
  };
  return { names, alternatives: [alternative], determines, restricted: unrestricted, unselected: () => [] };
}

/** A whole number or a text: two that are written otherwise are not equal. */
function isPlainConstant({ parts: [part, ...more] }: Bound): boolean {
  return more.length === 0 && typeof part === "string" && /^(\(?-?\d+\)?|'(?:[^']|'')*')$/.test(part);
}

/** One SELECT with its FROM. */
class Block {
  readonly #select: SelectStmt;
  readonly #context: QueryContext;
  readonly #windows = new Map<string, WindowDef>();

  constructor(select: SelectStmt, context: QueryContext) {
    this.#select = select;
    this.#context = context;
    for (const node of select.windowClause ?? [])
      if ("WindowDef" in node) this.#windows.set(node.WindowDef.name ?? "", node.WindowDef);
  }

  bind(): TracedQuery {
    const select = this.#select;
    const { binding } = this.#context;
    // EXISTS asks for no columns.
    if ((select.targetList ?? []).length === 0 && this.#context.depth === 0)
      throw refuse(binding, "the select list is empty", undefined, "Name the columns.");
    const joins = nothingFound();
    const from = bindItems(select.fromClause ?? [], this.#context, joins);
    const bound = from.alternatives.map((one) => this.#bindRow(one, joins));
    const [first] = bound;
    if (first === undefined) throw tooMany();
    const rows = bound.filter(({ where }) => !where.some(neverMet));
    const traceable = this.#traceable(first);
    const grouped = select.groupClause !== undefined;
    const single = (grouped || first.found.aggregates) && first.sets.length === 1 && first.sets[0]?.size === 0;
    const several = this.#areSeveral(first);
    const inSets = (several ? first.sets : [null]).map((set) =>
      rows.flatMap((row) => this.#alternatives(row, traceable, single, set)),
    );
    const alternatives = inSets.flat();
    if (alternatives.length > alternativesMax) throw tooMany();
    const keys = first.outputs.map((output) => output.key);
    const facts = {
      sources: from.facts.sources,
      implications: [...from.facts.implications, ...versionsTold(first.where)],
      equalities: [
        ...from.facts.equalities,
        ...first.where.flatMap(({ equal }) =>
          equal === null ? [] : [{ a: equal[0].key, b: equal[1].key, once: null }],
        ),
      ],
    };
    const determines = (positions: ReadonlySet<number>) => {
      if (single || this.#oneRow()) return true;
      const start = [...positions].map((i) => keys[i] ?? "");
      const every = keys.every((_, i) => positions.has(i));
      if (this.#distinctOn(first) === "all") return every || (!grouped && allRowsKnown(facts, start));
      const on = this.#distinctKeys(first);
      const known = closure(facts, start);
      if (on?.every((key) => known.columns.has(key)) === true) return true;
      if (grouped) {
        // What a set leaves out is NULL in its rows, and says nothing of what is not.
        const within = (set: ReadonlyMap<string, boolean>) =>
          first.sets.length === 1
            ? known
            : closure(
                facts,
                start.filter((key) => set.has(key) || !first.groups.includes(key)),
              );
        const determined = first.sets.every((set) => [...set.keys()].every((key) => within(set).columns.has(key)));
        return determined && setsToldApart(bound, new Set(start));
      }
      return known.rows.size === facts.sources.length;
    };
    const names = first.targets.map((target) => target.name);
    const restricted: TracedQuery["restricted"] = (positions, among) =>
      restrict(
        from.facts.gathered,
        facts,
        positions.map((i) => keys[i] ?? ""),
        among,
      );
    const unselected = () => this.#unselected(first, traceable);
    const traced = { names, alternatives, determines: remembered(determines), restricted, unselected };
    if (!several) return traced;
    const membersOf = (set: ReadonlySet<string>) =>
      first.members.filter(({ key }) => set.has(key)).map((one) => ({ ...one, position: keys.indexOf(one.key) }));
    const sets = first.sets.map((set, i) => ({
      members: membersOf(new Set(set.keys())),
      alternatives: inSets[i] ?? [],
    }));
    return { ...traced, sets };
  }

  /** The planner does not reach into a query with grouping sets: only of the outermost one is each asked for by itself. */
  #areSeveral({ sets }: BoundRow): boolean {
    return sets.length > 1 && this.#context.depth === 0;
  }

  #unselected(row: BoundRow, traceable: (key: string) => boolean): ColumnName[] {
    const on = this.#distinctOn(row);
    if (on === "all") return [];
    const shown = new Set(row.outputs.map((output) => output.key));
    // What is computed from a group's value may tell 1.0 from 1.00, which are one group.
    const grouped = this.#select.groupClause !== undefined;
    return row.row.scope.visible
      .filter(({ bound }) => traceable(bound.key) && !shown.has(bound.key) && !(grouped && !hasOneSpelling(bound.type)))
      .map(({ name, qualifier }) => (qualifier === null ? [name] : [qualifier, name]));
  }

  /** All clauses, over one alternative of FROM. */
  #bindRow(from: Alternative, joins: Found) {
    const select = this.#select;
    const { binding } = this.#context;
    const found: Found = { ...nothingFound(), subqueries: [...joins.subqueries] };
    const place: TracedPlace = { context: this.#context, scope: from.scope, found, windows: this.#windows };
    const where = bindTracedConjuncts(select.whereClause, { ...place, ofRows: true, timed: from.occurrences });
    const row = strengthened({ ...from, conjuncts: [...from.conjuncts, ...where] });
    const above: TracedPlace = { ...place, scope: row.scope };
    const targets = expandTargets(select, row.scope, binding);
    const outputs = targets.map((target) => {
      if (!("column" in target)) {
        if ("RowExpr" in target.node)
          throw refuse(
            binding,
            "row values are not kept",
            target.node.RowExpr.location,
            "Select the columns one by one.",
          );
        return bindTraced(target.node, above);
      }
      note(binding, target.column.bound);
      return target.column.bound;
    });
    const members: Omit<GroupingMember, "position">[] = [];
    const sets = groupingSets(select, binding).map((set) =>
      set.map((written) => {
        const node = groupNode(written, targets, [row], binding);
        const bound = bindTraced(node, { ...above, ofRows: true });
        if (!members.some(({ key }) => key === bound.key)) members.push({ key: bound.key, node, written });
        return bound;
      }),
    );
    if (select.havingClause !== undefined) {
      bindTraced(select.havingClause, above);
      found.aggregates = true;
    }
    for (const node of select.windowClause ?? [])
      if ("WindowDef" in node)
        for (const part of [...(node.WindowDef.partitionClause ?? []), ...(node.WindowDef.orderClause ?? [])])
          bindTraced("SortBy" in part ? part.SortBy.node : part, above);
    const on = (select.distinctClause ?? []).filter((node) => Object.keys(node).length > 0);
    const distinct = on.map((node) => bindTraced(outputNode(node, targets, row, this.#context), above).key);
    for (const node of select.sortClause ?? []) {
      if (!("SortBy" in node) || node.SortBy.node === undefined) continue;
      bindTraced(outputNode(node.SortBy.node, targets, row, this.#context), above);
    }
    return {
      row,
      where: row.conjuncts.slice(from.conjuncts.length),
      targets,
      outputs,
      groups: sets.flat().map((bound) => bound.key),
      sets: this.#setsOf(sets),
      members,
      distinct,
      found,
    };
  }

  #oneRow(): boolean {
    const limit = this.#select.limitCount;
    return limit !== undefined && "A_Const" in limit && limit.A_Const.ival?.ival === 1;
  }

  #setsOf(bound: readonly (readonly Bound[])[]): ReadonlyMap<string, boolean>[] {
    const sets = bound.map((set) => new Map(set.map(({ key, notNull }) => [key, notNull])));
    if (this.#select.groupDistinct !== true) return sets;
    const names = sets.map((set) => [...set.keys()].sort().join());
    return sets.filter((_, i) => names.indexOf(names[i] ?? "") === i);
  }

  #distinctOn(_row: BoundRow): "all" | "some" | "none" {
    const clause = this.#select.distinctClause;
    if (clause === undefined) return "none";
    return clause.some((node) => Object.keys(node).length > 0) ? "some" : "all";
  }

  #distinctKeys(row: BoundRow): readonly string[] | null {
    return this.#distinctOn(row) === "some" ? row.distinct : null;
  }

  /** Whether rows can be traced by an expression with this key. */
  #traceable(row: BoundRow): (key: string) => boolean {
    const select = this.#select;
    const sets: ReadonlySet<string>[] = [...row.found.partitions];
    if (this.#areSeveral(row)) sets.push(new Set([...row.groups, ...row.found.groupings.keys()]));
    else if (select.groupClause !== undefined) sets.push(new Set(row.sets.length === 1 ? row.groups : []));
    else if (row.found.aggregates) sets.push(new Set());
    const on = this.#distinctKeys(row);
    if (on !== null) sets.push(new Set(on));
    if (select.limitCount !== undefined || select.limitOffset !== undefined) sets.push(new Set());
    return (key) => sets.every((set) => set.has(key));
  }

  /** `set` is one of several grouping sets, whose rows they make. */
  #alternatives(
    bound: BoundRow,
    traceable: (key: string) => boolean,
    single: boolean,
    set: ReadonlyMap<string, boolean> | null,
  ): TracedAlternative[] {
    const { row, found } = bound;
    const outputs = bound.outputs.map((output) => {
      if (set !== null && traceable(output.key)) return inSet(output, set, found.groupings.get(output.key));
      // What a grouping set leaves out is NULL.
      return traceable(output.key)
        ? output
        : opaque(output.type, output.key, output.notNull && bound.sets.length === 1);
    });
    const ways = [row, ...(row.present ? found.subqueries.map((one) => withSubquery(row, one)) : [])];
    const made = ways.map(({ scope: _, ...way }) => ({ ...way, outputs }));
    const sets = set === null ? bound.sets : [set];
    const ofAll = this.#select.groupClause !== undefined && sets.some((one) => one.size === 0);
    if (!single && !ofAll) return made;
    // The row of all rows is there whether it has rows to count or not.
    const { scope: _, ...lone } = nothing;
    return [{ ...lone, outputs }, ...(single ? made.map((one) => ({ ...one, present: false })) : made)];
  }
}

type BoundRow = {
  readonly row: Alternative;
  readonly targets: readonly Target[];
  readonly outputs: readonly Bound[];
  readonly groups: readonly string[];
  /** The keys of each grouping set, with whether each cannot be NULL. */
  readonly sets: readonly ReadonlyMap<string, boolean>[];
  /** What is grouped by, each once. */
  readonly members: readonly Omit<GroupingMember, "position">[];
  readonly distinct: readonly string[];
  readonly found: Found;
};

/** What an output is in the rows of a grouping set; `args` are those of `grouping()`, a bit for each, the last one the lowest. */
function inSet(output: Bound, set: ReadonlyMap<string, boolean>, args: readonly string[] | undefined): Bound {
  if (args === undefined) return set.has(output.key) ? output : (typedNull(output) ?? opaque(output.type, output.key));
  const bits = args.reduce((sum, arg) => sum * 2 + (set.has(arg) ? 0 : 1), 0);
  return { ...textBound(`${bits}`, output.type, true), key: output.key };
}

/** Whether any two grouping sets differ in a column that is NULL in the one alone, or that a `grouping()` tells of. */
function setsToldApart(rows: readonly BoundRow[], given: ReadonlySet<string>): boolean {
  const [first] = rows;
  const told = [...(first?.found.groupings ?? [])].flatMap(([key, args]) => (given.has(key) ? [...args] : []));
  const tells = (key: string) =>
    told.includes(key) || (given.has(key) && rows.every(({ sets }) => sets.every((set) => set.get(key) !== false)));
  return (first?.sets ?? []).every((one, i, sets) =>
    sets.slice(i + 1).every((other) => {
      const apart = [...one.keys(), ...other.keys()].filter((key) => !(one.has(key) && other.has(key)));
      return apart.some(tells);
    }),
  );
}

function strengthened(one: Alternative): Alternative {
  return { ...one, ...withoutNulls(one) };
}

/** ORDER BY and DISTINCT ON name an output first, or count to it; GROUP BY names a column first. */
function outputNode(node: Node, targets: readonly Target[], row: Alternative, context: QueryContext): Node {
  if ("A_Const" in node) return groupNode(node, targets, [row], context.binding);
  if (!("ColumnRef" in node) || node.ColumnRef.fields?.length !== 1) return node;
  const name = (node.ColumnRef.fields ?? []).map(nameOf)[0];
  const target = targets.find((one) => one.name === name);
  return target !== undefined && "node" in target ? target.node : node;
}
