/**
 * The rows that a branch contributes to a view, as a select with the view's group columns and slots: signed when it is
 * driven by a delta, plain when the state is filled from the mirrors.
 */
import { quote } from "../../catalog/definitions.ts";
import { type MirrorBinding, weightColumn } from "../compiled-view.ts";
import { type Bound, type Conjunct, columnsOf, type Hole, type Occurrence, print } from "./bound.ts";
import { type ClockSide, printClock } from "./clock.ts";
import { joinOrder } from "./join-order.ts";
import type { Plan, PlanGroup, Slot } from "./plan.ts";
import { hasEquality, hasOneSpelling, parseType } from "./sql-type.ts";
import { mirrorTable } from "./tables.ts";
import { flippedRows } from "./temporal.ts";

/** Which rows of its mirror an occurrence stands for in a term: `flipped` are those that time lets in or out. */
export type Rows = "mirror" | "delta" | "mirror less delta" | "flipped";

/** The clock that a condition is asked by in a term; null where the rows have been asked already. */
export type ClockOf = (condition: Conjunct) => ClockSide | null;

export const deltaTable = ({ id, kept }: MirrorBinding) => kept?.changes ?? `pg_temp."d_${id}"`;

const weightName = quote(weightColumn);

export function printContribution(
  plan: Plan,
  b: number,
  first: Occurrence | undefined,
  rows: (one: Occurrence) => Rows,
  clockOf: ClockOf = () => "now",
): string {
  const branch = plan.branches[b];
  if (branch === undefined) throw new Error("no such branch");
  const aliases = new Map(branch.occurrences.map((occurrence, i) => [occurrence, `t${i}`]));
  const hole = (one: Hole, clock: ClockSide) => {
    if (one.kind === "clock") return printClock(one, clock);
    return one.kind === "column" ? `${aliases.get(one.occurrence)}.${quote(one.column)}` : "";
  };
  const printed = (bound: Bound, clock: ClockSide = "now") => print(bound, (one) => hole(one, clock));
  const weights = branch.occurrences
    .filter((one) => rows(one) !== "mirror")
    .map((one) => `${aliases.get(one)}.${weightName}`);
  const weight = weights.length === 0 ? "1" : weights.join(" * ");
  const from = printFrom(plan, b, first, { rows, aliases, printed, clockOf });
  const groups = plan.groups.map((group) => `${printed(group.perBranch[b] ?? missing())} as ${quote(group.column)}`);
  if (plan.class === "linear") {
    return `select ${[...groups, `(${weight})::bigint as ${quote(plan.slots[0]?.column ?? "")}`].join(", ")}\n${from}`;
  }
  const inputs = slotInputs(plan, b, printed);
  const inner = [`${weight} as ${weightName}`, ...groups, ...inputs.columns];
  const slots = plan.slots.map((slot, s) => `${printSlot(slot, inputs.names[s])} as ${quote(slot.column)}`);
  const contributed = `from (select ${inner.join(", ")}\n${from}) c`;
  // The row of all rows is there over none too: its group columns are constants.
  if (first === undefined && plan.total?.sets.includes(branch.set) === true)
    return `select ${[...groups, ...slots].join(", ")}\n${contributed}`;
  const outer = plan.groups.map((group) => `${selectGroup(plan, group, "c")} as ${quote(group.column)}`);
  return `select ${[...outer, ...slots].join(", ")}\n${contributed}${groupBy(plan, "c")}`;
}

function missing(): Bound {
  throw new Error("a group column has no expression in a branch");
}

/** True where rows are told apart by their text: equal values of the type can be written in several ways, or have no equality. */
export function groupsByText(plan: Plan, group: PlanGroup): boolean {
  const ofOneRow = plan.class === "linear" || !group.inKey;
  return !hasEquality(group.type) || (ofOneRow && !hasOneSpelling(group.type));
}

export function selectGroup(plan: Plan, group: PlanGroup, alias: string): string {
  const column = `${alias}.${quote(group.column)}`;
  return groupsByText(plan, group) ? `any_value(${column})` : column;
}

export function groupBy(plan: Plan, alias: string): string {
  if (plan.groups.length === 0 || !plan.grouped) return "";
  const items = plan.groups.map((group) => {
    const column = `${alias}.${quote(group.column)}`;
    return groupsByText(plan, group) ? `(${column}::text)` : column;
  });
  return `\ngroup by ${items.join(", ")}`;
}

interface SlotInputs {
  readonly columns: readonly string[];
  readonly names: readonly ({ readonly argument: string | null; readonly filter: string | null } | undefined)[];
}

/** Arguments and filters of the slots, each once. */
function slotInputs(plan: Plan, b: number, printed: (bound: Bound) => string): SlotInputs {
  const columns: string[] = [];
  const byText = new Map<string, string>();
  const named = (bound: Bound | null): string | null => {
    if (bound === null) return null;
    const text = printed(bound);
    const found = byText.get(text);
    if (found !== undefined) return found;
    const name = `c."_millrace_x${columns.length}"`;
    columns.push(`${text} as "_millrace_x${columns.length}"`);
    byText.set(text, name);
    return name;
  };
  const names = plan.slots.map((slot) => {
    const inputs = slot.perBranch[b];
    return inputs === undefined ? undefined : { argument: named(inputs.argument), filter: named(inputs.filter) };
  });
  return { columns, names };
}

const specialValue = { nan: "'NaN'", plus: "'Infinity'", minus: "'-Infinity'" } as const;

function printSlot(slot: Slot, input: SlotInputs["names"][number]): string {
  const conditions: string[] = [];
  if (input?.filter !== null && input?.filter !== undefined) conditions.push(input.filter);
  const argument = input?.argument ?? null;
  const to = slot.kind === "sum" && !slot.integer ? "numeric" : "bigint";
  if (argument !== null) {
    if (slot.kind === "values") conditions.push(`${argument} is not null`);
    if (slot.kind === "nan" || slot.kind === "plus" || slot.kind === "minus")
      conditions.push(`${argument} = ${specialValue[slot.kind]}::numeric`);
    if (slot.kind === "sum" && slot.specials === "nan") conditions.push(`${argument} <> 'NaN'::numeric`);
    if (slot.kind === "sum" && slot.specials === "all") {
      conditions.push(`${argument} not in ('NaN'::numeric, 'Infinity'::numeric, '-Infinity'::numeric)`);
    }
  }
  const filter = conditions.length === 0 ? "" : ` filter (where ${conditions.join(" and ")})`;
  // Widened before the sign: the least int4 has no opposite.
  const value = slot.kind === "sum" && argument !== null ? `c.${weightName} * ${argument}::${to}` : `c.${weightName}`;
  return `coalesce(sum(${value})${filter}, 0)::${to}`;
}

interface Printing {
  readonly rows: (one: Occurrence) => Rows;
  readonly aliases: ReadonlyMap<Occurrence, string>;
  readonly printed: (bound: Bound, clock?: ClockSide) => string;
  readonly clockOf: ClockOf;
}

function printFrom(
  plan: Plan,
  b: number,
  first: Occurrence | undefined,
  { rows, aliases, printed, clockOf }: Printing,
): string {
  const branch = plan.branches[b];
  const start = first ?? branch?.occurrences[0];
  if (branch === undefined || start === undefined)
    return whereOf(branch?.conjuncts.map((one) => printed(one.bound)) ?? []);
  const item = (one: Occurrence) => `${printRows(plan, b, one, rows(one))} ${aliases.get(one)}`;
  const joined = new Set([start]);
  let open = branch.conjuncts.filter((one) => clockOf(one) !== null);
  const ready = () => {
    const now = open.filter((one) => columnsOf(one.bound).every((column) => joined.has(column.occurrence)));
    open = open.filter((one) => !now.includes(one));
    return now.map((one) => printed(one.bound, clockOf(one) ?? undefined));
  };
  const where = ready();
  const lines = [`from ${item(start)}`];
  for (const step of joinOrder(branch, start)) {
    joined.add(step.occurrence);
    const on = ready();
    lines.push(
      on.length === 0 ? `cross join ${item(step.occurrence)}` : `join ${item(step.occurrence)} on ${on.join(" and ")}`,
    );
  }
  return `${lines.join("\n")}${whereOf(where)}`;
}

function whereOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? "" : `\nwhere ${conditions.join(" and ")}`;
}

/** Columns of an occurrence that its branch reads, in the order of the table. */
export function usedColumns(plan: Plan, b: number, occurrence: Occurrence): string[] {
  const branch = plan.branches[b];
  if (branch === undefined) return [];
  const bounds = [
    ...branch.conjuncts.map((one) => one.bound),
    ...plan.groups.map((group) => group.perBranch[b]),
    ...plan.slots.flatMap((slot) => [slot.perBranch[b]?.argument, slot.perBranch[b]?.filter]),
  ];
  const used = new Set(
    bounds
      .flatMap((bound) => (bound ? columnsOf(bound) : []))
      .flatMap((hole) => (hole.occurrence === occurrence ? [hole.column] : [])),
  );
  return occurrence.mirror.shape.columns.map((column) => column.name).filter((name) => used.has(name));
}

function printRows(plan: Plan, b: number, occurrence: Occurrence, rows: Rows): string {
  const mirror = mirrorTable(occurrence.mirror);
  if (rows === "mirror") return mirror;
  const used = usedColumns(plan, b, occurrence);
  const columns = used.map(quote);
  if (rows === "flipped") {
    const filters = plan.branches[b]?.conjuncts.filter(({ time }) => time?.occurrence === occurrence) ?? [];
    return flippedRows(filters, columns);
  }
  const delta = deltaTable(occurrence.mirror);
  const listed = columns.map((column) => `, ${column}`).join("");
  if (rows === "mirror less delta") {
    // As signed rows: what the table was is what it is, less what came, plus what went.
    return `(select 1 as ${weightName}${listed} from ${mirror} union all select -${weightName}${listed} from ${delta})`;
  }
  if (!worthNetting(plan, b, occurrence, used)) return `(select ${weightName}${listed} from ${delta})`;
  const group = columns.length === 0 ? "" : ` group by ${columns.join(", ")}`;
  return `(select sum(${weightName}) as ${weightName}${listed} from ${delta}${group} having sum(${weightName}) <> 0)`;
}

/**
 * Whether to drop rows first that did not change in the columns read here: it saves joins for changes that do not
 * concern the view, and needs columns of which equal values are the same value (sums may differ in their scale).
 */
function worthNetting(plan: Plan, b: number, occurrence: Occurrence, used: readonly string[]): boolean {
  const { columns } = occurrence.mirror.shape;
  if ((plan.branches[b]?.occurrences.length ?? 0) < 2 || used.length === columns.length) return false;
  return columns
    .filter((column) => used.includes(column.name))
    .map((column) => parseType(column.storeType))
    .every((one) => hasOneSpelling(one) || (one.name === "numeric" && !one.array && plan.class === "additive"));
}
