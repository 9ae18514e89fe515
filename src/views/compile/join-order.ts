/** In which order a term joins its tables: the delta first, then always what an index of its own reaches. */
import { type Bound, type Branch, columnsOf, type Occurrence, plainColumn } from "./bound.ts";
import { indexComparable, parseType } from "./sql-type.ts";

export interface JoinStep {
  readonly occurrence: Occurrence;
  /** Columns of it that equal something already joined: an index on them is probed. Empty: it is scanned. */
  readonly probes: readonly string[];
  /** Of the primary key a part, from its beginning, is given: no other index is needed. */
  readonly byPrimaryKey: boolean;
}

export function joinOrder(branch: Pick<Branch, "occurrences" | "conjuncts">, first: Occurrence): JoinStep[] {
  const joined = new Set([first]);
  const steps: JoinStep[] = [];
  const rest = branch.occurrences.filter((one) => one !== first);
  while (rest.length > 0) {
    const candidates = rest.map((occurrence) => stepTo(occurrence, branch, joined));
    const best = candidates.reduce((a, b) => (rank(b) > rank(a) ? b : a));
    steps.push(best);
    joined.add(best.occurrence);
    rest.splice(rest.indexOf(best.occurrence), 1);
  }
  return steps;
}

function rank(step: JoinStep): number {
  const { key } = step.occurrence.mirror.shape;
  if (key?.every((column) => step.probes.includes(column)) === true) return 3;
  if (step.byPrimaryKey) return 2;
  return step.probes.length > 0 ? 1 : 0;
}

function stepTo(occurrence: Occurrence, branch: Pick<Branch, "conjuncts">, joined: ReadonlySet<Occurrence>): JoinStep {
  const probes: string[] = [];
  const constants: string[] = [];
  for (const { equal } of branch.conjuncts) {
    if (equal === null) continue;
    for (const [side, other] of [equal, [equal[1], equal[0]]] as const) {
      const column = plainColumn(side);
      if (column?.occurrence !== occurrence || !comparable(side, other, column.column, occurrence)) continue;
      const from = columnsOf(other).map((hole) => hole.occurrence);
      if (from.length === 0) constants.push(column.column);
      else if (from.every((one) => joined.has(one)) && !probes.includes(column.column)) probes.push(column.column);
    }
  }
  const given = new Set([...probes, ...constants]);
  const key = occurrence.mirror.shape.key ?? [];
  const prefix = key.findIndex((column) => !given.has(column));
  const reached = key.slice(0, prefix < 0 ? key.length : prefix);
  const whole =
    reached.length > 0 && (reached.length === key.length || probes.every((column) => reached.includes(column)));
  return { occurrence, probes, byPrimaryKey: whole && reached.some((column) => probes.includes(column)) };
}

function comparable(side: Bound, other: Bound, column: string, occurrence: Occurrence): boolean {
  const shape = occurrence.mirror.shape.columns.find((one) => one.name === column);
  return shape !== undefined && indexComparable(parseType(shape.storeType), other.type) && side.parts.length === 1;
}
