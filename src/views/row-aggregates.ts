/**
 * Aggregates in `select`, as PostgREST has them (docs.postgrest.org, "Aggregate functions"): rows are grouped by the other
 * members. A read with aggregates is made an ordinary one over a subquery, so that its rows are ordered, counted and continued like
 * others; the members that it is grouped by are their key. Pure.
 */
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import type { FindableView } from "./find/find-filter.ts";
import { fieldName, fieldOf } from "./row-field.ts";
import type { Parameters } from "./row-filter.ts";
import { operatorsOf } from "./row-operators.ts";
import type { RelatedView } from "./row-relations.ts";
import { castType, type Member, memberOf, membersOf } from "./row-select.ts";
import { type Buckets, bucketMember, bucketsOf, filledSql, type GroupedColumns, timeColumn } from "./row-series.ts";
import { baseType, isTextType } from "./row-type.ts";
import type { AggregateName, RowQuery, Selected, SelectedAggregate, ViewColumn } from "./view-info.ts";

interface GroupableView extends FindableView {
  readonly publicView: string;
  readonly key: readonly string[] | null;
  readonly related?: RelatedView["related"];
}

export function isAggregate(one: Selected): one is SelectedAggregate {
  return typeof one === "object" && "aggregate" in one;
}

export function hasAggregates({ select, series }: Pick<RowQuery, "select" | "series">): boolean {
  return series !== undefined || select?.some(isAggregate) === true;
}

/**
 * The view of the groups, with their members as its columns and nothing hidden. `where` is the condition that rows meet, over an alias.
 * Throws `REQUEST_INVALID`, `VIEW_OPTION_MISSING`, `COLUMN_UNKNOWN`, `PATH_INVALID`.
 */
export function groupedView<View extends GroupableView>(
  view: View,
  query: Pick<RowQuery, "select" | "series" | "filter">,
  where: (alias: string) => string,
  parameters: Parameters,
): View {
  const select = query.select ?? [];
  if (!select.some(isAggregate)) {
    throw new MillraceError("REQUEST_INVALID", "bucket needs what is to be computed of each bucket", {
      hint: "Write select=column.avg(); count, sum, avg, min, max, first and last are known.",
    });
  }
  const buckets = query.series === undefined ? null : bucketsOf(view, query.series, query.filter, parameters);
  const groups = groupMembers(view, select);
  const aggregates = select.filter(isAggregate).map((one) => aggregateMember(view, one));
  checkNames([...(buckets === null ? [] : [bucketMember]), ...[...groups, ...aggregates].map(({ name }) => name)]);
  const printed = (of: readonly GroupedMember[]) =>
    of.map(({ sql, ...column }) => ({ ...column, nullable: true, value: sql("g", parameters) }));
  const grouped: GroupedColumns = { groups: printed(groups), aggregates: printed(aggregates) };
  const from = `from ${view.publicView} as g where ${[where("g"), ...(buckets === null ? [] : [buckets.known("g")])].join(" and ")}`;
  const columns: ViewColumn[] = [
    ...(buckets === null ? [] : [{ name: bucketMember, type: buckets.type, nullable: false }]),
    ...grouped.groups.map(({ name, type }) => ({ name, type, nullable: true })),
    ...grouped.aggregates.map(({ name, type, counts }) => ({
      name,
      type: counts ? type : (buckets?.filledType(type) ?? type),
      nullable: true,
    })),
  ];
  const { find: _find, hidden: _hidden, related: _related, ...rest } = view;
  return {
    ...(rest as View),
    publicView: `(${buckets?.fill ? filledSql(buckets, grouped, from, parameters) : plainSql(buckets, grouped, from)})`,
    columns,
    key: columns.slice(0, columns.length - aggregates.length).map(({ name }) => name),
  };
}

function plainSql(buckets: Buckets | null, { groups, aggregates }: GroupedColumns, from: string): string {
  const bucket = buckets === null ? [] : [{ name: bucketMember, value: buckets.begin(buckets.bin("g")) }];
  const keys = [...bucket, ...groups];
  const listed = [...keys, ...aggregates].map(({ name, value }) => `${value} as ${quote(name)}`);
  const by = keys.length === 0 ? "" : ` group by ${keys.map((_, i) => i + 1).join(", ")}`;
  return `select ${listed.join(", ")} ${from}${by}`;
}

interface GroupedMember extends Member {
  /** It counts: 0 in a bucket without rows, whatever else is filled. */
  readonly counts?: true;
}

function groupMembers(view: GroupableView, select: readonly Selected[]): readonly GroupedMember[] {
  const members = membersOf(
    view,
    select.filter((one) => !isAggregate(one)),
    ({ relation }) => {
      throw new MillraceError(
        "REQUEST_INVALID",
        `select has aggregates beside the relation "${relation.slice(0, 80)}"`,
        {
          hint: "Rows of related views stand in single rows; write relation(count()) to count them for each.",
        },
      );
    },
  );
  const unordered = members.find(({ type }) => !operatorsOf(type).includes("gt"));
  if (unordered === undefined) return members;
  const { name, type } = unordered;
  throw new MillraceError("REQUEST_INVALID", `rows cannot be grouped by "${name}", which is ${type}`, {
    hint: `Cast it: ${name}::text.`,
    details: { column: name, type },
  });
}

function aggregateMember(view: GroupableView, one: SelectedAggregate): GroupedMember {
  const { aggregate, of, alias, cast } = one;
  const name = alias ?? aggregate;
  const printed = of === null ? countAll : aggregated(view, aggregate, of);
  const member = cast === undefined ? printed : castTo(printed, castType(cast));
  return { name, ...member, ...(aggregate === "count" && cast === undefined ? { counts: true } : {}) };
}

type Printed = Pick<Member, "type" | "sql">;

const countAll: Printed = { type: "bigint", sql: () => "count(*)" };

function castTo({ sql }: Printed, type: string): Printed {
  return { type, sql: (alias, parameters) => `(${sql(alias, parameters)})::${type}` };
}

function aggregated(view: GroupableView, aggregate: AggregateName, of: NonNullable<SelectedAggregate["of"]>): Printed {
  const { type, sql } = memberOf(view, { ...of, alias: "of" });
  const result = resultType(aggregate, type);
  if (result === null) {
    throw new MillraceError("REQUEST_INVALID", `"${fieldName(of)}" is ${type}, and has no ${aggregate}()`, {
      hint: `Cast it: ${fieldName(of)}::numeric.${aggregate}().`,
      details: { column: of.column, type, aggregate },
    });
  }
  if (aggregate !== "first" && aggregate !== "last") {
    return { type: result, sql: (alias, parameters) => `${aggregate}(${sql(alias, parameters)})` };
  }
  const time = fieldOf(view, { column: timeColumn(view, aggregate) });
  return {
    type: result,
    // The greatest of pairs, in constant memory; of values of one time the greatest, so that it is always the same.
    sql: (alias, parameters) => {
      const [value, at] = [sql(alias, parameters), time.sql(alias, parameters)];
      const pair = `${aggregate === "last" ? "max" : "min"}(row(${at}, ${value}))`;
      return `(row_to_json(${pair} filter (where ${at} is not null and ${value} is not null)) ->> 'f2')::${result}`;
    },
  };
}

const whole = ["smallint", "integer", "bigint"];
const numbers = [...whole, "numeric", "real", "double precision"];
const times = [
  ...["date", "timestamp without time zone", "timestamp with time zone"],
  ...["time without time zone", "time with time zone", "interval"],
];

/** As PostgreSQL answers; null where it has no such aggregate. */
function resultType(aggregate: AggregateName, type: string): string | null {
  const base = baseType(type);
  switch (aggregate) {
    case "count":
      return "bigint";
    case "sum":
      if (base === "smallint" || base === "integer") return "bigint";
      if (base === "bigint") return "numeric";
      return numbers.includes(base) || base === "interval" ? base : null;
    case "avg":
      if (whole.includes(base)) return "numeric";
      if (base === "real") return "double precision";
      return numbers.includes(base) || base === "interval" ? base : null;
    case "min":
    case "max":
      if (base === "character") return "bpchar";
      if (isTextType(base)) return "text";
      return [...numbers, ...times, "inet", "pg_lsn"].includes(base) ? base : null;
    default:
      if (isTextType(base)) return "text";
      return [...numbers, ...times, "inet", "boolean", "uuid"].includes(base) ? base : null;
  }
}

function checkNames(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new MillraceError("REQUEST_INVALID", `select has two members named ${JSON.stringify(twice)}`, {
    hint: "Rename one of them: select=total:column.sum().",
  });
}
