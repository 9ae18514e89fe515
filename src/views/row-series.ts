/**
 * Buckets of time, and how those without rows are filled. A bucket of seconds, minutes or hours is a span of absolute time,
 * counted from the beginning of 2000 in UTC; one of days or more is of the calendar of a time zone, weeks begin on Mondays. Pure.
 */
import { MillraceError } from "../base/errors.ts";
import { quote, type ReadOptions } from "../catalog/definitions.ts";
import type { FindableView } from "./find/find-filter.ts";
import { columnOf } from "./row-column.ts";
import type { Parameters } from "./row-filter.ts";
import { baseType } from "./row-type.ts";
import type { Filter, SeriesQuery, ViewColumn } from "./view-info.ts";

export interface Buckets {
  /** Of the member that says when a bucket begins. */
  readonly type: string;
  readonly fill: SeriesQuery["fill"];
  /** The condition that a row has a time that lies in a bucket. */
  readonly known: (alias: string) => string;
  /** What identifies a row's bucket: a time of the calendar where it is one of the calendar. */
  readonly bin: (alias: string) => string;
  /** When such a bucket begins. */
  readonly begin: (bin: string) => string;
  /** From one bucket to the next, an interval; and the least seconds that it may have. */
  readonly step: string;
  readonly stepSeconds: number;
  /** Bins of the first and the last bucket, as far as the filter says. */
  readonly from: string | null;
  readonly to: string | null;
  /** Of an aggregate's column, once gaps are filled. */
  filledType(type: string): string;
}

export interface GroupedColumns {
  readonly groups: readonly (ViewColumn & { readonly value: string })[];
  readonly aggregates: readonly (ViewColumn & { readonly value: string; readonly counts?: true })[];
}

/** The member that a bucket's beginning is. */
export const bucketMember = "_bucket";

interface SeriesView {
  readonly reads?: ReadOptions;
}

/** Throws `VIEW_OPTION_MISSING`. */
export function timeColumn(view: FindableView & SeriesView, what: string): string {
  const time = view.reads?.series?.time;
  if (time !== undefined) return time;
  throw new MillraceError("VIEW_OPTION_MISSING", `view "${view.name}" is no time series, which ${what} needs`, {
    hint: `Add the option series to its definition: view("${view.name}", …, { series: { time: "at" } }).`,
    details: { view: view.name, option: "series" },
  });
}

/** Rows that filling may make. */
export const filledRowsMax = 100_000;
/** The SQLSTATE of a statement that would make more: a division by zero, which nothing else that is read has. */
export const gridTooLarge = "22012";

const daySeconds = 86_400;

/** Throws `VIEW_OPTION_MISSING`, `REQUEST_INVALID`. */
export function bucketsOf(
  view: FindableView & SeriesView,
  series: SeriesQuery,
  filter: Filter | null,
  parameters: Parameters,
): Buckets {
  const column = columnOf(view, timeColumn(view, "bucket"));
  const zoned = baseType(column.type) === "timestamp with time zone";
  if (series.zone !== null && !zoned) {
    throw new MillraceError("REQUEST_INVALID", `tz has no meaning: "${column.name}" is ${column.type}`, {
      hint: "Its times have no zone, and buckets are those of their own calendar.",
    });
  }
  const { count, unit } = series.bucket;
  const calendar = unit === "day" || unit === "month";
  const zone = zoned && calendar ? parameters.addText(series.zone ?? "UTC", "tz") : null;
  const timestamp = zoned ? "timestamptz" : "timestamp";
  const local = (time: string) => (zone === null ? time : `(${time}) at time zone ${zone}`);
  const months = `make_interval(months => (${count} * floor((extract(year from %) * 12 + extract(month from %) - 1 - 24000) / ${count}))::integer)`;
  const bin = (time: string) => {
    if (unit === "month") return `(timestamp '2000-01-01' + ${months.replaceAll("%", local(time))})`;
    const origin = calendar ? "timestamp '2000-01-03'" : `${timestamp} '2000-01-01 00:00:00${zoned ? "+00" : ""}'`;
    return `date_bin('${count} ${unit}', ${local(time)}, ${origin})`;
  };
  const time = (alias: string) =>
    `${alias}.${quote(column.name)}${baseType(column.type) === "date" ? "::timestamp" : ""}`;
  const bound = (value: string, before: boolean) =>
    bin(`(${parameters.add("filter", column, value)})::${timestamp}${before ? " - interval '1 microsecond'" : ""}`);
  const from = boundOf(filter, column.name, ["gte", "gt"]);
  const to = boundOf(filter, column.name, ["lte", "lt"]);
  return {
    type: zoned ? "timestamp with time zone" : "timestamp without time zone",
    fill: series.fill,
    known: (alias) => `isfinite(${alias}.${quote(column.name)})`,
    bin: (alias) => bin(time(alias)),
    begin: (one) => (zone === null ? one : `(${one} at time zone ${zone})`),
    step: `interval '${count} ${unit}'`,
    stepSeconds: count * { second: 1, minute: 60, hour: 3_600, day: daySeconds, month: 28 * daySeconds }[unit],
    from: series.fill === null || from === null ? null : bound(from.value, false),
    to: series.fill === null || to === null ? null : bound(to.value, to.operator === "lt"),
    filledType: (type) => (series.fill === "linear" ? (linearTypes[type] ?? type) : type),
  };
}

/** The bound that all rows meet. */
function boundOf(
  filter: Filter | null,
  column: string,
  operators: readonly string[],
): { readonly operator: string; readonly value: string } | null {
  if (filter === null || !("of" in filter || filter.kind === "compare") || filter.negated) return null;
  if (filter.kind === "and") {
    for (const one of filter.of) {
      const found = boundOf(one, column, operators);
      if (found !== null) return found;
    }
    return null;
  }
  if (filter.kind !== "compare" || filter.column !== column || filter.path || filter.quantifier) return null;
  const [value] = filter.values;
  return operators.includes(filter.operator) && value !== undefined && !/infinity/i.test(value)
    ? { operator: filter.operator, value }
    : null;
}

/** What lies between two values is of these types. */
const linearTypes: Readonly<Record<string, string>> = {
  smallint: "numeric",
  integer: "numeric",
  bigint: "numeric",
  numeric: "numeric",
  real: "double precision",
  "double precision": "double precision",
};

/** Every bucket of each of the other groups, from the first bucket of all to the last. */
export function filledSql(
  buckets: Buckets,
  { groups, aggregates }: GroupedColumns,
  from: string,
  parameters: Parameters,
): string {
  const keys = groups.map((_, i) => `g${i}`);
  const values = aggregates.map((_, i) => `a${i}`);
  const listed = [
    `${buckets.bin("g")} as b`,
    ...groups.map(({ value }, i) => `${value} as g${i}`),
    ...aggregates.map(({ value }, i) => `${value} as a${i}`),
  ];
  const of = (alias: string, names: readonly string[]) => names.map((name) => `, ${alias}.${name}`).join("");
  const rank =
    keys.length === 0 ? "1::bigint" : `dense_rank() over (order by ${keys.map((key) => `x.${key}`).join(", ")})`;
  const cells = `(extract(epoch from r.hi - r.lo) / ${buckets.stepSeconds} + 1) * (select count(*) from s)`;
  const filled = aggregates.map((one, i) => filledValue(buckets.fill, one, `a${i}`, i));
  return (
    [
      `with x as (select ${listed.join(", ")} ${from} group by ${[0, ...keys].map((_, i) => i + 1).join(", ")})`,
      `g as (select ${rank} as s, x.* from x)`,
      `s as (select distinct on (g.s) g.s${of("g", keys)} from g order by g.s)`,
      `r as (select min(${buckets.from ?? "g.b"}) as lo, max(${buckets.to ?? "g.b"}) as hi from g)`,
      // A grid that is too large ends the statement, before it is made.
      `t as (select generate_series(r.lo, r.hi, ${buckets.step}) as b from r where 1 / (case when ${cells} > ${parameters.addNumber(filledRowsMax)} then 0 else 1 end) = 1)`,
      `f as (select t.b, s.s${of("s", keys)}${of("g", values)} from s cross join t left join g on g.s = s.s and g.b = t.b)`,
      `n as (select f.*${filled.map(({ counted }) => counted).join("")} from f)`,
    ].join(", ") +
    ` select ${[
      `${buckets.begin("n.b")} as ${quote(bucketMember)}`,
      ...groups.map(({ name }, i) => `n.g${i} as ${quote(name)}`),
      ...aggregates.map(({ name }, i) => `${filled[i]?.value} as ${quote(name)}`),
    ].join(", ")} from n`
  );
}

interface FilledValue {
  /** Columns of `n` that it needs. */
  readonly counted: string;
  readonly value: string;
}

function filledValue(
  fill: SeriesQuery["fill"],
  { type, counts }: ViewColumn & { readonly counts?: true },
  name: string,
  i: number,
): FilledValue {
  const number = linearTypes[baseType(type)];
  // No row is a count of none.
  if (counts || (fill === "zero" && number !== undefined)) {
    const none = `coalesce(n.${name}, 0)`;
    return { counted: "", value: none };
  }
  const before = `, count(f.${name}) over (partition by f.s order by f.b) as p${i}`;
  const previous = (column: string) => `first_value(n.${column}) over (partition by n.s, n.p${i} order by n.b)`;
  if (fill === "previous") return { counted: before, value: previous(name) };
  if (fill !== "linear" || number === undefined) return { counted: "", value: `n.${name}` };
  const next = (column: string) => `first_value(n.${column}) over (partition by n.s, n.q${i} order by n.b desc)`;
  const share = `(extract(epoch from n.b - ${previous("b")}) / extract(epoch from ${next("b")} - ${previous("b")}))::${number}`;
  const [low, high] = [`${previous(name)}::${number}`, `${next(name)}::${number}`];
  const between = `case when n.p${i} > 0 and n.q${i} > 0 then ${low} + (${high} - ${low}) * ${share} end`;
  return {
    counted: `${before}, count(f.${name}) over (partition by f.s order by f.b desc) as q${i}`,
    value: `case when n.${name} is not null then n.${name}::${number} else ${between} end`,
  };
}
