/**
 * How a change of a table is traced to the rows of a query. A query is taken apart into alternatives: conjunctive
 * queries over mirrors that together reach at least every row that a change can touch. An alternative may reach more than
 * that (conditions that cannot be followed are left out): what is reached too much is only recomputed in vain.
 */
import type { Bound, Conjunct, Occurrence, RowsFunction } from "../bound.ts";
import { type Binding, product } from "../from.ts";
import type { Scope, ScopeColumn } from "../scope.ts";
import type { SqlType } from "../sql-type.ts";
import { isTypedNull, typedNull } from "../typed-null.ts";

/** An expression that says nothing about which row of a table it comes from. */
export function opaque(type: SqlType, key: string, notNull = false): Bound {
  return { parts: [{ kind: "opaque" }], key, type, notNull };
}

export function isOpaque(bound: Bound): boolean {
  return bound.parts.some((part) => typeof part !== "string" && part.kind === "opaque");
}

/** One way in which rows of a FROM clause come to be. */
export interface Alternative {
  /** Columns as they are in this alternative. */
  readonly scope: Scope;
  readonly occurrences: readonly Occurrence[];
  readonly functions: readonly RowsFunction[];
  readonly conjuncts: readonly Conjunct[];
  /** Tables whose changes are followed through this alternative. */
  readonly drivers: readonly Occurrence[];
  /**
   * True when the rows of this alternative stand in the result, so that changes of other tables meet them; false when it
   * only says what else a change of its drivers reaches (a row that loses its partner, a subquery's outer row).
   */
  readonly present: boolean;
}

export const alternativesMax = 256;
const tablesMax = 32;

export const nothing: Alternative = {
  scope: { tables: [], visible: [] },
  occurrences: [],
  functions: [],
  conjuncts: [],
  drivers: [],
  present: true,
};

/** Both side by side. Empty when no change of either is followed through the pair. */
export function pair(left: Alternative, right: Alternative, binding: Binding): Alternative[] {
  const [joined] = product([left], [right], binding);
  const drivers = [...(right.present ? left.drivers : []), ...(left.present ? right.drivers : [])];
  const present = left.present && right.present;
  if (joined === undefined || (drivers.length === 0 && !present)) return [];
  if (joined.occurrences.length > tablesMax) throw tooMany();
  return [{ ...joined, functions: [...left.functions, ...right.functions], drivers, present }];
}

export function pairs(left: readonly Alternative[], right: readonly Alternative[], binding: Binding): Alternative[] {
  if (left.length * right.length > alternativesMax) throw tooMany();
  return left.flatMap((a) => right.flatMap((b) => pair(a, b, binding)));
}

/** A query of which no column says which rows a change reaches, or that is too large to find one. */
export class Untraceable extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "Untraceable";
  }
}

export function tooMany(): Untraceable {
  return new Untraceable("too many tables, subqueries and outer joins");
}

/** Columns of the side of an outer join that has no partner. */
export function nullScope(scope: Scope): Scope {
  const known = new Map<Bound, Bound>();
  const column = (one: ScopeColumn): ScopeColumn => {
    const bound = known.get(one.bound) ?? nullOf(one.bound);
    known.set(one.bound, bound);
    return { ...one, bound };
  };
  return {
    tables: scope.tables.map((table) => ({ ...table, columns: table.columns.map(column) })),
    visible: scope.visible.map(column),
  };
}

/** Columns that may be NULL although their table says otherwise. */
export function nullableScope(scope: Scope): Scope {
  const column = (one: ScopeColumn): ScopeColumn => ({ ...one, bound: { ...one.bound, notNull: false } });
  return {
    tables: scope.tables.map((table) => ({ ...table, columns: table.columns.map(column) })),
    visible: scope.visible.map(column),
  };
}

/** An equality with a column that is NULL here: no row meets it. */
export function neverMet({ equal }: Conjunct): boolean {
  return equal?.some(isTypedNull) === true;
}

function nullOf(bound: Bound): Bound {
  return (isOpaque(bound) ? null : typedNull(bound)) ?? opaque(bound.type, bound.key);
}
