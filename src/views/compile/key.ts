/** Which columns identify a row of a view: functional dependencies from primary keys, equalities and constants. */
import type { ViewDefinition } from "../../catalog/definitions.ts";
import { isAsOf, validFrom } from "./as-of.ts";
import { type Bound, type ColumnHole, columnsOf, isConstant, type Occurrence, plainColumn } from "./bound.ts";
import type { Binding } from "./from.ts";
import { nearestName } from "./nearest.ts";
import type { Plan } from "./plan.ts";
import { shortList } from "./scope.ts";
import { hasEquality, isInteger, parseType } from "./sql-type.ts";
import { tableLabel } from "./tables.ts";
import { isTypedNull } from "./typed-null.ts";

/**
 * Indexes of the group columns that identify a row; empty for a view of exactly one row, null where no columns of it are
 * known to. Throws `VIEW_KEY_INVALID`, and `VIEW_KEY_NOT_UNIQUE` for a key that the definition names.
 */
export function chooseKey(plan: Plan, view: ViewDefinition, binding: Binding): number[] | null {
  if (!plan.grouped) {
    if ((view.key ?? []).length > 0) {
      throw binding.source.refusal("VIEW_KEY_INVALID", "an aggregate without GROUP BY has one row and no key", {
        hint: "Leave the key out.",
      });
    }
    return [];
  }
  if (view.key !== null) return checkedKey(plan, view.key, binding);
  return fewest(
    plan,
    plan.groups.flatMap((group, i) => (group.isPublic && hasEquality(group.type) ? [i] : [])),
  );
}

/** What identifies a group of an additive query, be it shown or not. */
export function groupKey(plan: Plan): number[] {
  const key = fewest(
    plan,
    plan.groups.flatMap((group, i) => (hasEquality(group.type) ? [i] : [])),
  );
  if (key === null) throw new Error("no columns identify a group");
  return key;
}

/** As few of the candidates as determine a row, from the left; null when all of them do not. */
function fewest(plan: Plan, candidates: readonly number[]): number[] | null {
  if (!determines(plan, candidates)) return null;
  let key = [...candidates];
  for (const index of [...candidates].reverse()) {
    const without = key.filter((one) => one !== index);
    if (without.length > 0 && determines(plan, without)) key = without;
  }
  return key;
}

function checkedKey(plan: Plan, wanted: readonly string[], binding: Binding): number[] {
  const names = plan.publics.map((column) => column.name);
  if (wanted.length === 0)
    throw binding.source.refusal("VIEW_KEY_INVALID", "its key names no column", {
      hint: "Leave it out to have it derived.",
    });
  const key = wanted.map((name) => {
    if (!names.includes(name)) {
      const nearest = nearestName(name, names);
      throw binding.source.refusal("VIEW_KEY_INVALID", `its key names "${name}", which is not in the select list`, {
        hint: nearest === null ? `The columns are ${shortList(names)}.` : `Did you mean "${nearest}"?`,
        details: { column: name },
      });
    }
    const index = plan.groups.findIndex((group) => group.column === name);
    if (index < 0) {
      throw binding.source.refusal("VIEW_KEY_INVALID", `its key column "${name}" is computed from aggregates`, {
        hint: "Use columns of GROUP BY.",
      });
    }
    if (!hasEquality(plan.groups[index]?.type ?? { name: "?", modifier: null, array: false, specials: "none" })) {
      throw binding.source.refusal("VIEW_KEY_INVALID", `its key column "${name}" has a type that cannot be compared`, {
        hint: "Cast it to text or jsonb.",
      });
    }
    return index;
  });
  if (new Set(key).size !== key.length)
    throw binding.source.refusal("VIEW_KEY_INVALID", "its key names a column twice");
  if (determines(plan, key)) return key;
  throw binding.source.refusal("VIEW_KEY_NOT_UNIQUE", `its key (${wanted.join(", ")}) is not known to identify a row`, {
    hint: `${whatWouldHelp(plan, key)} Without a key it keeps rows as often as they are there.`,
  });
}

function whatWouldHelp(plan: Plan, key: readonly number[]): string {
  const [first] = plan.branches;
  if (plan.class === "linear" && first !== undefined) {
    const keyless = plan.branches
      .flatMap((branch) => branch.occurrences)
      .find(({ mirror }) => mirror.shape.key === null);
    const history = keyless?.mirror.shape.history;
    if (keyless !== undefined && history !== undefined)
      return `Of "${tableLabel(keyless.mirror)}" select (and name in key) ${[...history.key, validFrom].join(", ")}, or join it as of a moment: by ${history.key.join(", ")}, with _valid_from <= at and (_valid_to is null or at < _valid_to).`;
    if (keyless !== undefined)
      return `"${tableLabel(keyless.mirror)}" has no primary key, so its rows can be double: group by columns and add count(*).`;
    if (plan.branches.length > 1)
      return "Add a constant column that differs in each part of union all ('a' as kind), with the primary keys, or group by columns and add count(*).";
    const known = closure(plan, 0, key);
    const missing = first.occurrences.find((one) => !known.rows.has(one));
    if (missing !== undefined)
      return `Select (and name in key) the primary key of "${tableLabel(missing.mirror)}": ${(missing.mirror.shape.key ?? []).join(", ")}.`;
  }
  if (plan.branches.some((branch) => branch.set > 0))
    return "Select all columns of GROUP BY, and grouping(a, b) as level of those that may be NULL: a NULL of the table and one that stands for all look alike. Sets that are the same are one with group by distinct ….";
  const names = plan.groups.flatMap((group) => (group.followsFrom === null ? [group.column] : []));
  const hidden = plan.groups.some((group) => !group.isPublic && group.followsFrom === null);
  return hidden
    ? "Add all columns of GROUP BY to the select list."
    : `Use all columns of GROUP BY: ${names.join(", ")}.`;
}

/** Whether rows that agree in these group columns are one row. */
export function determines(plan: Plan, key: readonly number[]): boolean {
  const sets = [...new Set(plan.branches.map((branch) => branch.set))].map((set) =>
    plan.branches.flatMap((branch, b) => (branch.set === set ? [b] : [])),
  );
  return (
    sets.every((branches) => determinesIn(plan, key, branches)) &&
    sets.every((one, i) => sets.slice(i + 1).every((other) => setsToldApart(plan, key, one, other)))
  );
}

/** Within the branches of one grouping set. */
function determinesIn(plan: Plan, key: readonly number[], branches: readonly number[]): boolean {
  if (branches.length > 1 && !toldApart(plan, key, branches))
    return plan.class === "additive" && followsAll(plan, key, branches);
  return branches.every((b) => {
    const known = closure(plan, b, key);
    if (known.groups.size < plan.groups.length) return false;
    return plan.class === "additive" || plan.branches[b]?.occurrences.every((one) => known.rows.has(one)) === true;
  });
}

/** Some key column has other constants in the one set than in the other, or is NULL in the one and never in the other. */
function setsToldApart(plan: Plan, key: readonly number[], one: readonly number[], other: readonly number[]): boolean {
  return key.some((index) => {
    const [a, b] = [one, other].map((branches) => branches.map((branch) => plan.groups[index]?.perBranch[branch]));
    const [absent, there] = [
      [a, b],
      [b, a],
    ].map(
      ([nulls, values]) =>
        nulls?.every((bound) => bound !== undefined && isTypedNull(bound)) === true &&
        values?.every((bound) => bound?.notNull === true) === true,
    );
    if (absent === true || there === true) return true;
    const constants = [a, b].map((bounds) => (bounds ?? []).map((bound) => bound && plainConstant(bound)));
    const values = constants.flat();
    return (
      !values.includes(undefined) && constants[0]?.every((value) => constants[1]?.includes(value) !== true) === true
    );
  });
}

/** By the form of the query alone: holds over any number of branches. */
function followsAll(plan: Plan, key: readonly number[], branches: readonly number[]): boolean {
  const known = new Set(key);
  plan.groups.forEach((group, i) => {
    const texts = branches
      .map((b) => group.perBranch[b])
      .map((bound) => bound && isConstant(bound) && bound.parts.join(""));
    // What the branches of a set have in common: its number, and what it leaves out.
    if (typeof texts[0] === "string" && texts.every((text) => text === texts[0])) known.add(i);
  });
  for (let before = -1; before < known.size; ) {
    before = known.size;
    plan.groups.forEach((group, i) => {
      if (group.followsFrom?.every((one) => known.has(one)) === true) known.add(i);
    });
  }
  return known.size === plan.groups.length;
}

/** Some key column is another plain constant in each branch. */
function toldApart(plan: Plan, key: readonly number[], branches: readonly number[]): boolean {
  return key.some((index) => {
    const constants = branches
      .map((b) => plan.groups[index]?.perBranch[b])
      .map((bound) => bound && plainConstant(bound));
    return !constants.includes(undefined) && new Set(constants).size === constants.length;
  });
}

/** A text or a whole number: two that are written otherwise are not equal. */
function plainConstant(bound: Bound): string | undefined {
  if (!isConstant(bound)) return undefined;
  return /^\(?('(?:[^']|'')*'|-?\d+)(?:::pg_catalog\.(?:text|int[248]))?\)?$/.exec(bound.parts.join(""))?.[1];
}

/** What follows from the key in one branch: group columns, and the occurrences whose row is then known. */
function closure(plan: Plan, b: number, key: readonly number[]): { groups: Set<number>; rows: Set<Occurrence> } {
  const branch = plan.branches[b];
  const groups = new Set(key);
  const rows = new Set<Occurrence>();
  const columns = new Set<string>();
  if (branch === undefined) return { groups, rows };
  const id = (occurrence: Occurrence, column: string) => `${branch.occurrences.indexOf(occurrence)}.${column}`;
  const known = (bound: Bound) => columnsOf(bound).every((hole) => columns.has(id(hole.occurrence, hole.column)));
  const learn = (bound: Bound) => {
    const column = plainColumn(bound) ?? widenedColumn(bound);
    if (column !== null) columns.add(id(column.occurrence, column.column));
  };
  for (let before = -1; before < groups.size + columns.size; ) {
    before = groups.size + columns.size;
    plan.groups.forEach((group, i) => {
      const bound = group.perBranch[b];
      if (bound === undefined) return;
      if (groups.has(i)) learn(bound);
      else if (known(bound) || group.followsFrom?.every((one) => groups.has(one)) === true) groups.add(i);
    });
    for (const { equal } of branch.conjuncts) {
      if (equal === null) continue;
      if (known(equal[0])) learn(equal[1]);
      if (known(equal[1])) learn(equal[0]);
    }
    for (const occurrence of branch.occurrences) {
      const { shape } = occurrence.mirror;
      const isGiven = (key: readonly string[]) => key.every((column) => columns.has(id(occurrence, column)));
      const isRow = shape.key !== null && isGiven(shape.key);
      const isVersion =
        shape.history !== undefined &&
        isGiven(shape.history.key) &&
        (isGiven([validFrom]) || isAsOf(branch, occurrence, known));
      if (!isRow && !isVersion) continue;
      rows.add(occurrence);
      for (const column of shape.columns) columns.add(id(occurrence, column.name));
    }
  }
  return { groups, rows };
}

/** The column of a cast that keeps whole numbers apart, as a union of integer types makes it. */
function widenedColumn({ parts: [open, hole, cast, ...rest] }: Bound): ColumnHole | null {
  if (open !== "(" || hole === undefined || typeof hole === "string" || hole.kind !== "column" || rest.length > 0)
    return null;
  const shape = hole.occurrence.mirror.shape.columns.find((one) => one.name === hole.column);
  if (shape === undefined || !isInteger(parseType(shape.storeType))) return null;
  // A cast to a smaller integer fails rather than change the number.
  return typeof cast === "string" && /^::pg_catalog\.(int[248]|numeric)\)$/.test(cast) ? hole : null;
}
