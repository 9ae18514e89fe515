/**
 * The group columns of an additive query: those of GROUP BY, then those that follow from them. Each grouping set is a
 * plain grouping of its own, told from the others by a constant: a column that is not in a set is NULL there.
 */
import type { GroupingFunc, Node } from "@pgsql/types";
import { type Bound, compose, type Hole, textBound } from "./bound.ts";
import { locationOf } from "./clauses.ts";
import { bindExpression, type ExpressionPlace, nameOf, refuse } from "./expression.ts";
import { type Binding, branchesMax, type FromBranch, placeOf } from "./from.ts";
import type { Target } from "./linear.ts";
import { findColumn } from "./scope.ts";
import { hasEquality, hasOneSpelling, type } from "./sql-type.ts";
import { typedNull } from "./typed-null.ts";

/** A column that identifies or describes a group, one expression per branch of each grouping set. */
export interface GroupColumn {
  readonly perBranch: readonly Bound[];
  /** Indexes of group columns that this one follows from by the query's own form; null when it stands in GROUP BY. */
  readonly followsFrom: readonly number[] | null;
}

/** Grouping sets `()` beside others, whose row is there over no rows too: which group column tells sets apart, and their numbers in it. */
export interface Total {
  readonly group: number;
  readonly sets: readonly number[];
}

export interface Grouping {
  /** The expressions of each grouping set. */
  readonly sets: readonly (readonly Node[])[];
  /** GROUP BY DISTINCT. */
  readonly distinct: boolean;
}

export class Groups {
  readonly columns: GroupColumn[] = [];
  /** False where all rows are one group. */
  readonly grouped: boolean;
  /** Indexes of columns, for each grouping set. */
  readonly sets: readonly ReadonlySet<number>[];
  readonly total: Total | null;
  readonly #keys: string[] = [];
  readonly #branches: readonly FromBranch[];
  readonly #binding: Binding;
  /** The column that tells sets apart, where they are several. */
  readonly #setColumn: number | null;

  constructor(grouping: Grouping, branches: readonly FromBranch[], targets: readonly Target[], binding: Binding) {
    this.#branches = branches;
    this.#binding = binding;
    const found: Bound[][] = [];
    const resolved = grouping.sets.map(
      (set) => new Set(set.map((item) => this.#resolve(groupNode(item, targets, branches, binding), found))),
    );
    this.sets = grouping.distinct ? withoutDoubles(resolved) : resolved;
    this.grouped = this.sets.length > 1 || this.sets.some((set) => set.size > 0);
    if (this.sets.length * branches.length > branchesMax) {
      const what = `its grouping sets over ${branches.length} parts of union all are more than ${branchesMax}`;
      throw refuse(binding, what, undefined, "Write the sets that are read: grouping sets ((a, b), (a), ()).");
    }
    found.forEach((perBranch, i) => {
      this.#add(
        this.sets.flatMap((set) => (set.has(i) ? perBranch : perBranch.map((bound) => absent(bound, binding)))),
        perBranch[0]?.key ?? "",
        null,
      );
    });
    this.#setColumn = this.sets.length === 1 ? null : this.#add(this.#constants(String), "the set", null);
    const empty = this.sets.flatMap((set, i) => (set.size === 0 ? [i] : []));
    this.total = this.#setColumn === null || empty.length === 0 ? null : { group: this.#setColumn, sets: empty };
  }

  /** The place among `found` of what is grouped by. */
  #resolve(node: Node, found: Bound[][]): number {
    const perBranch = this.#branches.map((branch) => bindExpression(node, placeOf(this.#binding, branch.scope)));
    const known = found.findIndex(([first]) => first?.key === perBranch[0]?.key);
    if (known >= 0) return known;
    const unlike = perBranch.find((bound) => !hasEquality(bound.type));
    if (unlike === undefined) return found.push(perBranch.map(asText)) - 1;
    throw refuse(
      this.#binding,
      `values of type ${unlike.type.name} cannot be grouped`,
      locationOf(node),
      "Cast it to text or jsonb.",
    );
  }

  /** A whole number for each set, in all branches of it. */
  #constants(text: (set: number) => string): Bound[] {
    return this.sets.flatMap((_, set) => this.#branches.map(() => textBound(text(set), type("int4"), true)));
  }

  #add(perBranch: readonly Bound[], key: string, followsFrom: readonly number[] | null): number {
    this.columns.push({ perBranch, followsFrom });
    this.#keys.push(key);
    return this.columns.length - 1;
  }

  find(bound: Bound): number | null {
    const index = this.#keys.indexOf(bound.key);
    return index < 0 ? null : index;
  }

  hole(index: number): Bound {
    const column = this.columns[index];
    const type = column?.perBranch[0]?.type ?? { name: "?", modifier: null, array: false, specials: "all" };
    const notNull = column?.perBranch.every((bound) => bound.notNull) ?? false;
    const hole: Hole = { kind: "group", index };
    return { parts: [hole], key: `group ${index}`, type, notNull };
  }

  /** A column of a table whose whole primary key is grouped by: added as a group column that follows. */
  following(node: Node, places: readonly ExpressionPlace[]): number | null {
    const perBranch = places.map((place) => bindExpression(node, place));
    const first = perBranch[0];
    const scope = this.#branches[0]?.scope;
    const table = scope?.tables.find((one) => one.columns.some((column) => column.bound.key === first?.key));
    const key = table?.occurrence?.mirror.shape.key;
    if (first === undefined || table === undefined || key === null || key === undefined) return null;
    const indexes = key.map((name) => {
      const column = table.columns.find((one) => one.name === name);
      return column === undefined ? -1 : this.#keys.indexOf(column.bound.key);
    });
    if (indexes.includes(-1) || !this.sets.every((set) => indexes.every((index) => set.has(index)))) return null;
    return this.#add(
      this.sets.flatMap(() => perBranch),
      first.key,
      indexes,
    );
  }

  /** A bit for each argument, the last one the lowest: 1 where it is not in the set. The same for all rows of a set. */
  grouping({ args = [], location }: GroupingFunc, place: ExpressionPlace): Bound {
    const indexes = args.map((arg) => this.find(bindExpression(arg, place)));
    if (args.length > 31 || indexes.some((index) => index === null || this.columns[index]?.followsFrom !== null)) {
      throw this.#binding.source.refusal("VIEW_SQL_INVALID", "grouping() takes up to 31 expressions of GROUP BY", {
        at: location,
        hint: "Write its arguments as they stand in GROUP BY.",
      });
    }
    const bits = (set: number) =>
      indexes.reduce<number>((sum, index) => sum * 2 + (this.sets[set]?.has(index ?? -1) === true ? 0 : 1), 0);
    const key = `grouping(${indexes.join()})`;
    const known = this.#keys.indexOf(key);
    if (known >= 0) return this.hole(known);
    const follows = this.#setColumn === null ? [] : [this.#setColumn];
    return this.hole(
      this.#add(
        this.#constants((set) => String(bits(set))),
        key,
        follows,
      ),
    );
  }

  /**
   * 1.0 and 1.00 are one group: what is computed from the group's value must not tell them apart. Arithmetic of
   * numeric does not; of other types and functions it is not known here.
   */
  checkSpelling(value: Bound, node: Node, binding: Binding): void {
    if (value.parts.length === 1) return;
    for (const part of value.parts) {
      if (typeof part === "string" || part.kind !== "group") continue;
      const column = this.columns[part.index];
      const of = column?.perBranch[0]?.type;
      if (of === undefined || column?.followsFrom !== null || hasOneSpelling(of)) continue;
      if (of.name === "numeric" && !of.array && value.type.name === "numeric") continue;
      throw refuse(
        binding,
        `it is computed from a group's value of type ${of.name === "?" ? "unknown here" : of.name}, whose equal values can be written in several ways`,
        locationOf(node),
        "Add the expression to GROUP BY.",
      );
    }
  }

  /** An output without aggregates is computed when rows are written, and stored as a group column that follows. */
  stored(value: Bound, key: string): Bound {
    const used = value.parts.flatMap((part) => (typeof part === "string" || part.kind !== "group" ? [] : [part.index]));
    const bare = value.parts.length === 1 && used.length === 1;
    if (bare || !this.grouped || used.length === 0) return value;
    const perBranch = this.sets.flatMap((_, set) =>
      this.#branches.map((_branch, b) => this.#inBranch(value, set * this.#branches.length + b)),
    );
    return this.hole(this.#add(perBranch, key, used));
  }

  /** The expression over what the group columns are in a branch. */
  #inBranch(value: Bound, branch: number): Bound {
    const pieces = value.parts.map((part): string | Bound => {
      if (typeof part === "string") return part;
      const bound = part.kind === "group" ? this.columns[part.index]?.perBranch[branch] : undefined;
      if (bound === undefined) throw new Error("a column stands where only groups can");
      return bound;
    });
    return compose(pieces, value);
  }
}

/** A column that is not in a set is NULL there, of its own type. */
function absent(bound: Bound, binding: Binding): Bound {
  const made = typedNull(bound);
  if (made !== null) return made;
  throw refuse(
    binding,
    "the type of an expression that a grouping set leaves out is not known here",
    undefined,
    "Cast it in GROUP BY: (…)::text.",
  );
}

function withoutDoubles(sets: readonly ReadonlySet<number>[]): ReadonlySet<number>[] {
  const names = sets.map((set) => [...set].sort((a, b) => a - b).join());
  return sets.filter((_, i) => names.indexOf(names[i] ?? "") === i);
}

/** A quoted constant among the group columns is text, as in the select list. */
function asText(bound: Bound): Bound {
  return bound.type.name === "literal"
    ? compose(["(", bound, "::pg_catalog.text)"], { type: type("text"), notNull: bound.notNull })
    : bound;
}

/** A number names an output; a bare name is a column of FROM first, then an output. */
export function groupNode(
  item: Node,
  targets: readonly Target[],
  branches: readonly Pick<FromBranch, "scope">[],
  binding: Binding,
): Node {
  if ("A_Const" in item) {
    const position = item.A_Const.ival?.ival ?? 0;
    const target = item.A_Const.ival === undefined ? undefined : targets[position - 1];
    if (target === undefined) {
      throw binding.source.refusal("VIEW_SQL_INVALID", `GROUP BY names no column of the select list`, {
        at: item.A_Const.location,
      });
    }
    return targetNode(target);
  }
  if ("ColumnRef" in item && item.ColumnRef.fields?.length === 1) {
    const name = (item.ColumnRef.fields ?? []).map(nameOf)[0] ?? "";
    const inFrom = branches[0]?.scope.visible.some((column) => column.name === name) === true;
    const output = targets.find((target) => target.name === name);
    if (!inFrom && output !== undefined) return targetNode(output);
    if (!inFrom)
      findColumn(branches[0]?.scope ?? { tables: [], visible: [] }, [name], binding.source, item.ColumnRef.location);
  }
  return item;
}

export function targetNode(target: Target): Node {
  if ("node" in target) return target.node;
  const names = target.column.qualifier === null ? [target.column.name] : [target.column.qualifier, target.column.name];
  // Without a place: the star's own text is replaced as a whole.
  return { ColumnRef: { fields: names.map((sval) => ({ String: { sval } })) } };
}
