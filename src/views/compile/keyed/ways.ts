/** The ways by which a change of one table reaches the key of a query, each with no more tables than it takes. */
import {
  type Bound,
  type ColumnHole,
  type Conjunct,
  columnsOf,
  functionsOf,
  type Occurrence,
  plainColumn,
  type RowsFunction,
} from "../bound.ts";
import { type JoinStep, joinOrder } from "../join-order.ts";
import { isInteger, type SqlType, sameType } from "../sql-type.ts";
import { isOpaque } from "./alternative.ts";
import type { TracedAlternative } from "./traced.ts";

/** From the change of `driver`: the joins that give the key, and the conditions that can be asked on the way. */
export interface Way {
  readonly driver: Occurrence;
  readonly steps: readonly JoinStep[];
  readonly functions: readonly RowsFunction[];
  readonly conjuncts: readonly Conjunct[];
  readonly key: readonly Bound[];
}

/** Null when a column of the key says nothing of where its rows come from. */
export function waysOf(alternatives: readonly TracedAlternative[], positions: readonly number[]): Way[] | null {
  const ways: Way[] = [];
  for (const alternative of alternatives) {
    const key = positions.map((i) => alternative.outputs[i]);
    if (alternative.drivers.length === 0) continue;
    if (!key.every((bound) => bound !== undefined && !isOpaque(bound))) return null;
    for (const driver of new Set(alternative.drivers)) ways.push(wayFrom(driver, alternative, key as Bound[]));
  }
  return distinct(ways);
}

function wayFrom(driver: Occurrence, alternative: TracedAlternative, wanted: readonly Bound[]): Way {
  const usable = alternative.conjuncts.filter(({ bound }) => !isOpaque(bound));
  const key = wanted.map((bound) => nearest(bound, driver, usable));
  // Where time lets rows of it in, it is asked whether the key needs it or not.
  const timed = usable.filter(({ time }) => time?.occurrence === driver).map(({ bound }) => bound);
  const functions = functionsIn([...key, ...timed], alternative.functions);
  const needed = new Set([driver, ...[...key, ...functions.map((one) => one.call)].flatMap(tablesIn)]);
  const plain = usable.filter(({ bound }) => functionsOf(bound).length === 0);
  const steps = (occurrences: readonly Occurrence[]) => joinOrder({ occurrences, conjuncts: plain }, driver);
  let tables = alternative.occurrences.includes(driver) ? [...alternative.occurrences] : [driver];
  for (const table of [...tables].reverse()) {
    if (needed.has(table)) continue;
    const without = tables.filter((one) => one !== table);
    if (scansIn(steps(without)) <= scansIn(steps(tables))) tables = without;
  }
  const joined = new Set(tables);
  const conjuncts = usable.filter(
    ({ bound }) =>
      columnsOf(bound).every((hole) => joined.has(hole.occurrence)) &&
      functionsIn([bound], alternative.functions).every((one) => functions.includes(one)),
  );
  return { driver, steps: steps(tables), functions, conjuncts, key };
}

export function scansIn(steps: readonly JoinStep[]): number {
  return steps.filter((step) => step.probes.length === 0).length;
}

/** The same value from the table that changed, where an equality says so: it saves a join. */
function nearest(bound: Bound, driver: Occurrence, conjuncts: readonly Conjunct[]): Bound {
  const start = plainColumn(bound);
  if (start === null || start.occurrence === driver) return bound;
  const seen: ColumnHole[] = [start];
  const values: Bound[] = [bound];
  for (const at of values) {
    const column = plainColumn(at);
    for (const { equal } of conjuncts) {
      if (equal === null || column === null) continue;
      for (const [one, other] of [equal, [equal[1], equal[0]]] as const) {
        const [a, b] = [plainColumn(one), plainColumn(other)];
        if (a === null || b === null || !same(a, column) || seen.some((known) => same(known, b))) continue;
        if (!fits(other.type, bound.type)) continue;
        seen.push(b);
        values.push(other);
        if (b.occurrence === driver) return other;
      }
    }
  }
  return bound;
}

const integers = ["int2", "int4", "int8"];

/** Whether every value of the one is a value of the other: what meets nothing must not overflow either. */
function fits(value: SqlType, into: SqlType): boolean {
  if (sameType(value, into)) return into.modifier === null || into.modifier === value.modifier;
  return isInteger(value) && isInteger(into) && integers.indexOf(value.name) <= integers.indexOf(into.name);
}

function same(a: ColumnHole, b: ColumnHole): boolean {
  return a.occurrence === b.occurrence && a.column === b.column;
}

function tablesIn(bound: Bound): Occurrence[] {
  return columnsOf(bound).map((hole) => hole.occurrence);
}

/** Functions of FROM that these expressions read, in the order in which they stand. */
function functionsIn(bounds: readonly Bound[], all: readonly RowsFunction[]): RowsFunction[] {
  const found = new Set<RowsFunction>();
  const visit = (bound: Bound) => {
    for (const part of bound.parts) {
      if (typeof part === "string" || part.kind !== "function" || found.has(part.of)) continue;
      found.add(part.of);
      visit(part.of.call);
    }
  };
  bounds.forEach(visit);
  return [...all.filter((one) => found.has(one)), ...[...found].filter((one) => !all.includes(one))];
}

function distinct(ways: readonly Way[]): Way[] {
  const seen: Way[] = [];
  for (const way of ways) if (!seen.some((other) => sameWay(way, other))) seen.push(way);
  return seen;
}

function sameWay(a: Way, b: Way): boolean {
  if (a.driver !== b.driver || a.steps.length !== b.steps.length) return false;
  const tables = new Set(b.steps.map((step) => step.occurrence));
  if (!a.steps.every((step) => tables.has(step.occurrence))) return false;
  if (!a.key.every((bound, i) => sameParts(bound, b.key[i]))) return false;
  return (
    a.conjuncts.length === b.conjuncts.length &&
    a.conjuncts.every((one) => b.conjuncts.some((other) => sameParts(one.bound, other.bound)))
  );
}

function sameParts(a: Bound, b: Bound | undefined): boolean {
  if (a.parts.length !== b?.parts.length) return false;
  return a.parts.every((part, i) => {
    const other = b.parts[i];
    if (typeof part === "string" || typeof other === "string" || other === undefined) return part === other;
    if (part.kind === "column" && other.kind === "column") return same(part, other);
    if (part.kind === "function" && other.kind === "function")
      return part.of === other.of && part.column === other.column;
    return part.kind === "clock" && other.kind === "clock" && part.topic === other.topic;
  });
}
