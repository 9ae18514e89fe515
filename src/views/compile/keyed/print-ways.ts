/** A way as a statement: the keys that a change of its table reaches, old and new, added to the view's `dv` table. */
import { quote } from "../../../catalog/definitions.ts";
import { type DeltaTerm, weightColumn } from "../../compiled-view.ts";
import { type Bound, type Conjunct, columnsOf, type Hole, type Occurrence, print } from "../bound.ts";
import { printClock } from "../clock.ts";
import { deltaTable } from "../contribution.ts";
import { hasOneSpelling, parseType } from "../sql-type.ts";
import { mirrorTable } from "../tables.ts";
import { flipped, flippedRows, readsFunction, rowsNearby } from "../temporal.ts";
import type { Way } from "./ways.ts";

/** The columns that the whole view reads, by mirror. */
type Used = ReadonlyMap<number, ReadonlySet<string>>;

/** `target` is the table with its columns in order, for INSERT. */
export function printWay(way: Way, target: string, used: Used): DeltaTerm {
  const mirrorId = way.driver.mirror.id;
  const selfJoin = way.steps.some(({ occurrence }) => occurrence.mirror.id === mirrorId)
    ? { selfJoin: true as const }
    : {};
  const sql = printKeys(way, target, changed(way.driver, used), (one) => rowsOf(one, way.driver));
  return { mirrorId, place: "after", sql, ...selfJoin };
}

/** The keys that time reaches, where the table that changes is filtered by it: whatever the time lets in of the other tables. */
export function printClockWays(way: Way, target: string): string[] {
  const filters = way.conjuncts.filter(({ time }) => time?.occurrence === way.driver);
  if (filters.length === 0) return [];
  const lasting = { ...way, conjuncts: way.conjuncts.filter(({ time }) => time === undefined) };
  const columns = way.driver.mirror.shape.columns.map((column) => quote(column.name));
  const rows = ({ mirror }: Occurrence) => mirrorTable(mirror);
  if (!readsFunction(filters)) return [printKeys(lasting, target, flippedRows(filters, columns), rows)];
  return [printKeys(lasting, target, rowsNearby(filters, columns), rows, filters)];
}

/** `flipping` are filters by time of which those are to be found that are another answer than before. */
function printKeys(
  way: Way,
  target: string,
  driven: string,
  rows: (one: Occurrence) => string,
  flipping: readonly Conjunct[] = [],
): string {
  const tables = [way.driver, ...way.steps.map((step) => step.occurrence)];
  const aliases = new Map<object, string>();
  tables.forEach((one, i) => {
    aliases.set(one, `t${i}`);
  });
  way.functions.forEach((one, i) => {
    aliases.set(one, `f${i}`);
  });
  const hole = (one: Hole): string => {
    if (one.kind === "column") return `${aliases.get(one.occurrence)}.${quote(one.column)}`;
    if (one.kind === "function") return `${aliases.get(one.of)}.${one.column}`;
    if (one.kind === "clock") return printClock(one, "now");
    throw new Error("what cannot be traced stands in a way");
  };
  const printed = (bound: Bound) => print(bound, hole);
  const joined = new Set<Occurrence>();
  let open = [...way.conjuncts];
  const ready = () => {
    const now = open.filter(
      ({ bound }) =>
        columnsOf(bound).every((column) => joined.has(column.occurrence)) &&
        !bound.parts.some((part) => typeof part !== "string" && part.kind === "function"),
    );
    open = open.filter((one) => !now.includes(one));
    return now.map(({ bound }) => printed(bound));
  };
  joined.add(way.driver);
  const where = ready();
  const lines = [`from ${driven} t0`];
  for (const { occurrence } of way.steps) {
    joined.add(occurrence);
    const on = ready();
    const item = `${rows(occurrence)} ${aliases.get(occurrence)}`;
    lines.push(on.length === 0 ? `cross join ${item}` : `join ${item} on ${on.join(" and ")}`);
  }
  for (const one of way.functions)
    lines.push(`cross join lateral ${printed(one.call)} as ${aliases.get(one)}${one.definition}`);
  where.push(...open.map(({ bound }) => printed(bound)));
  if (flipping.length > 0) where.push(flipped(flipping, hole));
  return (
    `insert into ${target}\nselect distinct ${way.key.map(printed).join(", ")}\n${lines.join("\n")}` +
    (where.length === 0 ? "" : `\nwhere ${where.join(" and ")}`)
  );
}

/** Old and new images; without those that only differ in what the view does not read. */
function changed({ mirror }: Occurrence, used: Used): string {
  const delta = deltaTable(mirror);
  const { columns } = mirror.shape;
  const read = columns.filter((column) => used.get(mirror.id)?.has(column.name));
  const names = read.map((column) => quote(column.name)).join(", ");
  const netted =
    read.length > 0 && read.length < columns.length && read.every((one) => hasOneSpelling(parseType(one.storeType)));
  return netted ? `(select ${names} from ${delta} group by ${names} having sum(${quote(weightColumn)}) <> 0)` : delta;
}

/** Another occurrence of the table that changed is read as it was and as it is: either may meet the change. */
function rowsOf(occurrence: Occurrence, driver: Occurrence): string {
  const mirror = mirrorTable(occurrence.mirror);
  if (occurrence.mirror.id !== driver.mirror.id) return mirror;
  const columns = occurrence.mirror.shape.columns.map((column) => quote(column.name)).join(", ");
  return `(select ${columns} from ${mirror} union all select ${columns} from ${deltaTable(occurrence.mirror)})`;
}
