/** Names that an expression may use: the tables of a FROM clause and their columns. */

import type { Bound, Occurrence } from "./bound.ts";
import { nearestName } from "./nearest.ts";
import type { SourceText } from "./source-text.ts";

export interface ScopeColumn {
  readonly name: string;
  readonly bound: Bound;
  /** How to write it with its table; null for a column merged by USING, or of a subquery without an alias. */
  readonly qualifier: string | null;
  /** The side of a USING that the merged column shows. */
  readonly merges?: Bound;
}

export interface ScopeTable {
  readonly alias: string;
  /** Names before the alias by which a column may also be reached: `shop.public` for `shop.public.orders`. */
  readonly path: readonly string[];
  readonly columns: readonly ScopeColumn[];
  /** For errors: `"shop.orders"` or the alias of a subquery. */
  readonly label: string;
  /** Null for subqueries. */
  readonly occurrence: Occurrence | null;
}

export interface Scope {
  readonly tables: readonly ScopeTable[];
  /** What `*` stands for, in order; also what names without a table are looked up in. */
  readonly visible: readonly ScopeColumn[];
}

export const emptyScope: Scope = { tables: [], visible: [] };

export function joinScopes(left: Scope, right: Scope): Scope {
  return { tables: [...left.tables, ...right.tables], visible: [...left.visible, ...right.visible] };
}

/** The column of a dotted name. Throws `VIEW_UNKNOWN_COLUMN`, `VIEW_UNKNOWN_TABLE`, `VIEW_COLUMN_AMBIGUOUS`. */
export function findColumn(
  scope: Scope,
  names: readonly string[],
  source: SourceText,
  at: number | undefined,
): ScopeColumn {
  const name = names.at(-1) ?? "";
  if (names.length === 1) {
    const found = scope.visible.filter((column) => column.name === name);
    if (found.length > 1) {
      const where = found.map((column) => column.qualifier ?? "using").join(" and ");
      throw source.refusal("VIEW_COLUMN_AMBIGUOUS", `column "${name}" is in ${where}`, {
        at,
        hint: `Say which one: ${found[0]?.qualifier ?? ""}.${name}`,
      });
    }
    if (found[0] !== undefined) return found[0];
    if (scope.tables.some((table) => table.alias === name)) {
      throw source.refusal("VIEW_UNSUPPORTED", `"${name}" stands for whole rows of a table`, {
        at,
        hint: "Name the columns.",
      });
    }
    const labels = scope.tables.map((table) => `"${table.label}"`).join(", ");
    throw unknownColumn(source, name, scope.visible, labels === "" ? "there is no FROM" : `it is not in ${labels}`, at);
  }
  const table = findTable(scope, names.slice(0, -1), source, at);
  const [column, another] = table.columns.filter((one) => one.name === name);
  if (column === undefined) {
    throw unknownColumn(source, name, table.columns, `it is not in "${table.label}"`, at);
  }
  if (another !== undefined) throw twice(source, name, table.label, at);
  return column;
}

/** Throws `VIEW_COLUMN_AMBIGUOUS` where a subquery has two columns of one name, which nothing can tell apart by it. */
export function refuseTwins(columns: readonly ScopeColumn[], source: SourceText, at: number | undefined): void {
  const seen = new Set<string>();
  for (const { qualifier, name } of columns) {
    const label = JSON.stringify([qualifier, name]);
    if (qualifier !== null && seen.has(label)) throw twice(source, name, qualifier, at);
    seen.add(label);
  }
}

function twice(source: SourceText, name: string, label: string, at: number | undefined) {
  return source.refusal("VIEW_COLUMN_AMBIGUOUS", `"${label}" has two columns "${name}"`, {
    at,
    hint: `Name them in the subquery: … as ${name}2.`,
  });
}

/** Throws `VIEW_UNKNOWN_TABLE`. */
export function findTable(
  scope: Scope,
  names: readonly string[],
  source: SourceText,
  at: number | undefined,
): ScopeTable {
  const alias = names.at(-1) ?? "";
  const path = names.slice(0, -1);
  const found = scope.tables.find(
    (table) => table.alias === alias && path.every((part, i) => part === table.path.at(i - path.length)),
  );
  if (found !== undefined) return found;
  const nearest = nearestName(
    alias,
    scope.tables.map((table) => table.alias),
  );
  throw source.refusal("VIEW_UNKNOWN_TABLE", `"${names.join(".")}" is not in FROM here`, {
    at,
    hint: nearest === null ? "Is it the table's alias?" : `Did you mean "${nearest}"?`,
  });
}

function unknownColumn(
  source: SourceText,
  name: string,
  columns: readonly ScopeColumn[],
  why: string,
  at: number | undefined,
) {
  const names = columns.map((column) => column.name);
  const nearest = nearestName(name, names);
  return source.refusal("VIEW_UNKNOWN_COLUMN", `there is no column "${name}": ${why}`, {
    at,
    hint: nearest === null ? `The columns are ${shortList(names)}.` : `Did you mean "${nearest}"?`,
    details: { column: name, ...(nearest === null ? {} : { nearest }) },
  });
}

/** A list for people that stays short. */
export function shortList(names: readonly string[]): string {
  const shown = [...new Set(names)].slice(0, 12).join(", ");
  return names.length > 12 ? `${shown}, …` : shown;
}
