/** Which columns a query is recomputed by. */
import { type Bound, plainColumn } from "../bound.ts";
import { hasEquality } from "../sql-type.ts";
import { isOpaque } from "./alternative.ts";
import type { Gathered } from "./gathered.ts";
import type { TracedQuery } from "./traced.ts";
import { scansIn, type Way, waysOf } from "./ways.ts";

export interface TraceKey {
  /** Positions in the select list. */
  readonly positions: readonly number[];
  /** Whether a column of it may be NULL, by position in the select list. */
  readonly nullable: (position: number) => boolean;
  readonly ways: readonly Way[];
  /** Subqueries that are computed whole, whatever the keys. */
  readonly whole: readonly Gathered[];
}

const scanCost = 10_000;
/** Rows without a partner all have the same NULL: they would be run again together. */
const nullsCost = 500;

/** Sets of columns that are tried at most. */
const candidatesMax = 40;

/**
 * The key that a change of any table reaches with the fewest tables read whole; among those the one that tells rows
 * apart best. Null when there is none.
 */
export function chooseTraceKey(query: TracedQuery, rowKey: readonly number[] | null): TraceKey | null {
  const driven = query.alternatives.filter((one) => one.drivers.length > 0);
  const usable = query.names.flatMap((_, i) => {
    const outputs = driven.map((one) => one.outputs[i]);
    const all = outputs.every((bound) => bound !== undefined && !isOpaque(bound) && comparable(bound));
    return all && outputs.length > 0 ? [i] : [];
  });
  const nullable = (i: number) => query.alternatives.some((one) => one.outputs[i]?.notNull !== true);
  let best: { key: TraceKey; cost: number } | null = null;
  for (const { positions, identifies } of candidates(query, usable, rowKey, nullable).slice(0, candidatesMax)) {
    const ways = waysOf(query.alternatives, positions);
    if (ways === null) continue;
    const { whole } = query.restricted(positions, () => "");
    const nulls = rowKey === null && positions.some(nullable) ? nullsCost : 0;
    const cost = whole.length * scanCost + nulls + costOf(ways, identifies);
    if (best === null || cost < best.cost) best = { key: { positions, nullable, ways, whole }, cost };
  }
  return best?.key ?? null;
}

function comparable(bound: Bound): boolean {
  return hasEquality(bound.type) && bound.type.name !== "?" && bound.type.name !== "literal";
}

interface Candidate {
  readonly positions: readonly number[];
  /** Whether few rows share a value of it. */
  readonly identifies: boolean;
}

function candidates(
  query: TracedQuery,
  usable: readonly number[],
  rowKey: readonly number[] | null,
  nullable: (i: number) => boolean,
): Candidate[] {
  const sets: Candidate[] = [];
  const add = (positions: readonly number[], identifies: boolean) => {
    if (positions.length > 0 && !sets.some((one) => one.positions.join() === positions.join()))
      sets.push({ positions, identifies });
  };
  if (rowKey?.every((i) => usable.includes(i))) add(rowKey, true);
  for (const columns of primaryKeys(query, usable)) add(columns, true);
  // Where only some columns can be traced by, they are what rows are gathered by: all of them are the smallest slices.
  if (query.names.length > usable.length) {
    add(usable, true);
    add(
      usable.filter((i) => !nullable(i)),
      true,
    );
  }
  for (const i of usable) add([i], false);
  return sets;
}

/** The primary key of each table, where the select list has it. */
function primaryKeys(query: TracedQuery, usable: readonly number[]): number[][] {
  const [first] = query.alternatives.filter((one) => one.drivers.length > 0);
  if (first === undefined) return [];
  return first.occurrences.flatMap((occurrence) => {
    const positions = (occurrence.mirror.shape.key ?? []).map((name) =>
      usable.find((i) => {
        const column = plainColumn(first.outputs[i] as Bound);
        return column?.occurrence === occurrence && column.column === name;
      }),
    );
    return positions.length > 0 && !positions.includes(undefined) ? [positions as number[]] : [];
  });
}

/** To read a table whole is worse than to run the query for many rows, and that is worse than any number of joins. */
function costOf(ways: readonly Way[], identifies: boolean): number {
  const scans = ways.reduce((sum, way) => sum + scansIn(way.steps), 0);
  const joins = ways.reduce((sum, way) => sum + way.steps.length, 0);
  return scans * scanCost + (identifies ? 0 : 1_000) + joins;
}
