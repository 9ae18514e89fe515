/** What binding of a query that is recomputed by key works with and yields. */
import type { Node, SelectStmt } from "@pgsql/types";
import type { Bound, Occurrence } from "../bound.ts";
import type { Binding } from "../from.ts";
import type { Scope } from "../scope.ts";
import type { Alternative } from "./alternative.ts";
import type { Among, Restricted } from "./gathered.ts";

export type Ctes = ReadonlyMap<
  string,
  {
    readonly query: SelectStmt;
    readonly names: readonly string[];
    readonly context: QueryContext;
    /** Of a recursive one, which cannot be bound where it is read. */
    readonly bound?: TracedQuery;
  }
>;

/** What all parts of one definition share. */
export interface TracedBinding extends Binding {
  /** Columns read, by mirror. */
  readonly used: Map<number, Set<string>>;
  /** The query is run as a whole: no change is traced through it. */
  readonly whole?: true;
  bindQuery(select: SelectStmt, context: QueryContext): TracedQuery;
}

/** Where a query stands. */
export interface QueryContext {
  readonly binding: TracedBinding;
  readonly ctes: Ctes;
  /** Scopes around it that its expressions may reach, the nearest first. */
  readonly outer: readonly Scope[];
  /** Tells this place in the definition from every other; the same whichever alternative is being bound. */
  readonly path: string;
  readonly depth: number;
}

export interface TracedAlternative extends Omit<Alternative, "scope"> {
  /** By position; opaque where rows cannot be traced by the column. */
  readonly outputs: readonly Bound[];
}

/** A column of FROM, with its table where it has one. */
export type ColumnName = readonly string[];

export interface TracedQuery {
  readonly names: readonly string[];
  readonly alternatives: readonly TracedAlternative[];
  /** Whether rows that agree in these columns are one row. */
  readonly determines: (positions: ReadonlySet<number>) => boolean;
  /** What is to be changed in its text when it is run for some values of these columns; `among` is as in `restrict`. */
  readonly restricted: (positions: readonly number[], among: Among) => Restricted;
  /** Columns of FROM that it can be traced by and does not show; none where another column would be another query. */
  readonly unselected: () => readonly ColumnName[];
  /** Of the outermost query with several grouping sets. */
  readonly sets?: readonly GroupingSet[];
}

/** One of several: rows of it can be traced by its expressions, as those of a plain grouping can. */
export interface GroupingSet {
  readonly members: readonly GroupingMember[];
  readonly alternatives: readonly TracedAlternative[];
}

export interface GroupingMember {
  readonly key: string;
  /** The expression, be it what a name or a number in GROUP BY stands for. */
  readonly node: Node;
  /** As it is written in GROUP BY. */
  readonly written: Node;
  /** In the select list; -1 where it is not shown. */
  readonly position: number;
}

const depthMax = 80;

export function inner(context: QueryContext, step: string, outer = context.outer): QueryContext {
  if (context.depth > depthMax) throw context.binding.source.tooDeep();
  return { ...context, outer, path: `${context.path}.${step}`, depth: context.depth + 1 };
}

/** Notes that a table is read, be it for nothing but the number of its rows. */
export function noteTable({ used }: TracedBinding, { mirror }: Occurrence): void {
  if (!used.has(mirror.id)) used.set(mirror.id, new Set());
}

/** Notes the columns that an expression reads. */
export function note(binding: TracedBinding, bound: Bound): void {
  for (const part of bound.parts) {
    if (typeof part === "string") continue;
    if (part.kind === "function") note(binding, part.of.call);
    if (part.kind !== "column") continue;
    const { id } = part.occurrence.mirror;
    const columns = binding.used.get(id) ?? new Set();
    columns.add(part.column);
    binding.used.set(id, columns);
  }
}
