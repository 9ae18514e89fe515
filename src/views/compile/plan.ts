/**
 * A view as the store keeps it, whatever its class: columns that identify and describe a row (groups), numbers that
 * are added up (slots; the first counts the rows beneath), and public columns computed from both. A linear view is one
 * whose rows are groups of exactly one.
 */

import type { AdditiveQuery, Aggregate } from "./additive.ts";
import type { Bound, Conjunct, Occurrence } from "./bound.ts";
import { print } from "./bound.ts";
import { refuse } from "./expression.ts";
import type { Binding } from "./from.ts";
import type { Total } from "./groups.ts";
import type { LinearQuery } from "./linear.ts";
import { namelessColumn } from "./output-name.ts";
import type { SqlType } from "./sql-type.ts";

export const hiddenPrefix = "_millrace_";
const reservedNames = ["batch", "w"];
export const shownColumn = `${hiddenPrefix}shown`;

export interface PlanBranch {
  readonly occurrences: readonly Occurrence[];
  readonly conjuncts: readonly Conjunct[];
  /** The grouping set that it adds to; 0 where there is one. */
  readonly set: number;
}

export interface PlanGroup {
  readonly column: string;
  readonly perBranch: readonly Bound[];
  readonly followsFrom: readonly number[] | null;
  readonly type: SqlType;
  readonly notNull: boolean;
  readonly isPublic: boolean;
  /** False until the key was chosen. */
  readonly inKey: boolean;
}

export interface Slot {
  readonly column: string;
  /** `rows` counts all, `values` what is not NULL and passes the filter, `sum` adds finite values up, the others count values without digits. */
  readonly kind: "rows" | "values" | "sum" | "nan" | "plus" | "minus";
  readonly perBranch: readonly { readonly argument: Bound | null; readonly filter: Bound | null }[];
  /** Whole numbers that fit int8: the sum of int2 and int4, and every count. */
  readonly integer: boolean;
  readonly specials: SqlType["specials"];
}

export interface PlanPublic {
  readonly name: string;
  /** Null when the column of a group or slot is what is shown. */
  readonly computed: Bound | null;
}

export interface Plan {
  readonly class: "linear" | "additive";
  readonly branches: readonly PlanBranch[];
  /** False for the one row of an aggregate without GROUP BY. */
  readonly grouped: boolean;
  readonly total: Total | null;
  readonly groups: readonly PlanGroup[];
  readonly slots: readonly Slot[];
  readonly aggregates: readonly AggregateSlots[];
  readonly publics: readonly PlanPublic[];
  readonly having: Bound | null;
  /** Whether its rows have no key. Of an additive one the groups still have: not all of its columns are shown. */
  readonly multiset: boolean;
}

/** Where an aggregate finds its numbers: indexes of slots. */
export interface AggregateSlots {
  readonly function: Aggregate["function"];
  readonly values: number;
  readonly sum: number | null;
  readonly nan: number | null;
  readonly plus: number | null;
  readonly minus: number | null;
}

export function planLinear(query: LinearQuery, binding: Binding): Plan {
  checkNames(query.names, binding);
  const groups = query.names.map((name, i) =>
    planGroup(
      name,
      query.branches.flatMap((branch) => branch.outputs[i] ?? []),
      null,
      true,
    ),
  );
  const publics = query.names.map((name) => ({ name, computed: null }));
  const slots = [rowsSlot(`${hiddenPrefix}n`, query.branches.length)];
  return {
    class: "linear",
    branches: query.branches.map((branch) => ({ ...branch, set: 0 })),
    grouped: true,
    total: null,
    groups,
    slots,
    aggregates: [],
    publics,
    having: null,
    multiset: false,
  };
}

function rowsSlot(column: string, branches: number): Slot {
  const perBranch = Array.from({ length: branches }, () => ({ argument: null, filter: null }));
  return { column, kind: "rows", perBranch, integer: true, specials: "none" };
}

function planGroup(
  column: string,
  perBranch: readonly Bound[],
  followsFrom: readonly number[] | null,
  isPublic: boolean,
): PlanGroup {
  const type = perBranch[0]?.type ?? { name: "?", modifier: null, array: false, specials: "all" };
  return {
    column,
    perBranch,
    followsFrom,
    type,
    notNull: perBranch.every((bound) => bound.notNull),
    isPublic,
    inKey: false,
  };
}

/** `key` are indexes of the group columns that tell rows of the state apart; null where none do. */
export function withKey(plan: Plan, key: readonly number[] | null, multiset: boolean): Plan {
  const groups = plan.groups.map((group, i) => ({ ...group, inKey: key?.includes(i) === true }));
  return { ...plan, groups, multiset };
}

export function planAdditive(query: AdditiveQuery, binding: Binding): Plan {
  checkNames(
    query.outputs.map((output) => output.name),
    binding,
  );
  const { slots, aggregates } = makeSlots(query);
  const groupNames = new Map<number, string>();
  const slotNames = new Map<number, string>();
  const publics = query.outputs.map(({ name, value }): PlanPublic => {
    const [part, ...rest] = value.parts;
    const hole = part !== undefined && typeof part !== "string" && rest.length === 0 ? part : null;
    if (hole?.kind === "group" && !groupNames.has(hole.index)) {
      groupNames.set(hole.index, name);
      return { name, computed: null };
    }
    if (hole?.kind === "aggregate") {
      // The slot that is the aggregate's value needs no second column.
      const marked = aggregateValue(aggregates[hole.index], slots, hasRows(query), (slot) => `slot ${slot}`);
      const slot = /^slot (\d+)$/.exec(marked)?.[1];
      if (slot !== undefined && !slotNames.has(Number(slot))) {
        slotNames.set(Number(slot), name);
        return { name, computed: null };
      }
    }
    return { name, computed: value };
  });
  return {
    class: "additive",
    branches: query.branches,
    grouped: query.grouped,
    total: query.total,
    groups: query.groups.map((group, i) =>
      planGroup(groupNames.get(i) ?? `${hiddenPrefix}g${i}`, group.perBranch, group.followsFrom, groupNames.has(i)),
    ),
    slots: slots.map((slot, i) => ({ ...slot, column: slotNames.get(i) ?? slot.column })),
    aggregates,
    publics,
    having: query.having,
    multiset: false,
  };
}

export function checkNames(names: readonly string[], binding: Binding): void {
  names.forEach((name, i) => {
    if (name === namelessColumn) {
      throw refuse(binding, `column ${i + 1} of the select list has no name`, undefined, "Name it: … as total.");
    }
    if (names.indexOf(name) !== i) {
      throw refuse(
        binding,
        `two columns of the select list are called "${name}"`,
        undefined,
        `Name one of them otherwise: … as ${name}2.`,
      );
    }
    if (reservedNames.includes(name)) {
      throw refuse(
        binding,
        `a column cannot be called "${name}": the change rows have a column of that name`,
        undefined,
        `Name it otherwise: … as ${name}_value.`,
      );
    }
    if (name.startsWith(hiddenPrefix) || name === "" || Buffer.byteLength(name) > 63) {
      throw refuse(
        binding,
        `a column cannot be called "${name}"`,
        undefined,
        `Names have 1 to 63 bytes and do not begin with ${hiddenPrefix}.`,
      );
    }
  });
}

function makeSlots(query: AdditiveQuery): { slots: Slot[]; aggregates: AggregateSlots[] } {
  const slots: Slot[] = [rowsSlot(`${hiddenPrefix}n`, query.branches.length)];
  const keys = ["rows"];
  const slotFor = (kind: Slot["kind"], aggregate: Aggregate, integer: boolean): number => {
    const [first] = aggregate.perBranch;
    const everyRow = aggregate.argumentNotNull && first?.filter === null;
    if (kind === "values" && everyRow) return 0;
    const key = `${kind} ${first?.argument?.key ?? "*"} filter ${first?.filter?.key ?? ""}`;
    const found = keys.indexOf(key);
    if (found >= 0) return found;
    keys.push(key);
    const { perBranch, specials } = aggregate;
    return slots.push({ column: `${hiddenPrefix}${kind}${slots.length}`, kind, perBranch, integer, specials }) - 1;
  };
  const aggregates = query.aggregates.map((aggregate): AggregateSlots => {
    const values = slotFor("values", aggregate, true);
    if (aggregate.function === "count")
      return { function: "count", values, sum: null, nan: null, plus: null, minus: null };
    const argumentType = aggregate.perBranch[0]?.argument?.type.name;
    const all = aggregate.specials === "all";
    return {
      function: aggregate.function,
      values,
      sum: slotFor("sum", aggregate, argumentType === "int2" || argumentType === "int4"),
      nan: aggregate.specials === "none" ? null : slotFor("nan", aggregate, true),
      plus: all ? slotFor("plus", aggregate, true) : null,
      minus: all ? slotFor("minus", aggregate, true) : null,
    };
  });
  return { slots, aggregates };
}

/** Whether each row of the state has at least one row beneath it. */
export function hasRows({ grouped, total }: Pick<Plan, "grouped" | "total">): boolean {
  return grouped && total === null;
}

/** The aggregate's value from its slots, as PostgreSQL computes it from the rows. */
export function aggregateValue(
  aggregate: AggregateSlots | undefined,
  slots: readonly Slot[],
  alwaysRows: boolean,
  slot: (index: number) => string,
): string {
  if (aggregate === undefined || aggregate.sum === null) return slot(aggregate?.values ?? 0);
  const count = slot(aggregate.values);
  const sum = slot(aggregate.sum);
  const integer = slots[aggregate.sum]?.integer === true;
  const finite =
    aggregate.function === "sum" ? sum : `(${integer ? `${sum}::numeric` : sum} / nullif(${count}, 0)::numeric)`;
  const arms: string[] = [];
  // A group has at least one row, that of all rows need not.
  const neverEmpty = alwaysRows && aggregate.values === 0;
  if (!neverEmpty) arms.push(`when ${count} = 0 then null`);
  if (aggregate.nan !== null) {
    const nan = `${slot(aggregate.nan)} > 0`;
    if (aggregate.plus === null || aggregate.minus === null) arms.push(`when ${nan} then 'NaN'::numeric`);
    else {
      const [plus, minus] = [`${slot(aggregate.plus)} > 0`, `${slot(aggregate.minus)} > 0`];
      arms.push(
        `when ${nan} or (${plus} and ${minus}) then 'NaN'::numeric`,
        `when ${plus} then 'Infinity'::numeric`,
        `when ${minus} then '-Infinity'::numeric`,
      );
    }
  }
  return arms.length === 0 ? finite : `(case ${arms.join(" ")} else ${finite} end)`;
}

/** An expression over groups and aggregates, in terms of columns that hold them. */
export function printAbove(
  bound: Bound,
  plan: Pick<Plan, "aggregates" | "slots" | "grouped" | "total">,
  at: { readonly group: (index: number) => string; readonly slot: (index: number) => string },
): string {
  return print(bound, (hole) => {
    if (hole.kind === "group") return at.group(hole.index);
    if (hole.kind === "aggregate")
      return aggregateValue(plan.aggregates[hole.index], plan.slots, hasRows(plan), at.slot);
    throw new Error("a column stands where only groups and aggregates can");
  });
}
