/**
 * Indexes of a version's table for the ways in which the view is read beside as rows, made after it is filled; and whether its
 * columns have types that can be read so, which only the store knows. Pure.
 *
 * Always true: nothing that a row holds can be too large for an index of `graph` or `series`, since that would stop the view. What
 * `index` names is the author's, and documented so: a filter finds no index over a part of a value.
 */
import { MillraceError } from "../base/errors.ts";
import {
  type GraphOption,
  type IndexField,
  type IndexOption,
  quote,
  type ReadOptions,
  type SeriesOption,
} from "../catalog/definitions.ts";
import { operatorsOf } from "./row-operators.ts";
import { baseType } from "./row-type.ts";
import type { ViewColumn } from "./view-info.ts";
import { nodeIndexes, nodeKind } from "./walk/nodes.ts";

type Columns = readonly Pick<ViewColumn, "name" | "type">[];

interface ReadableTable {
  readonly stateTable: string;
  readonly reads?: ReadOptions;
}

/** Columns of a table, with PostgreSQL's names of their types. */
export const tableColumns =
  "select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped";

export function readIndexes({ stateTable, reads = {} }: ReadableTable, columns: Columns): string[] {
  const { graph, series, indexes = [] } = reads;
  const lists = [
    ...indexes.flatMap((one) => ("gin" in one ? [] : [one.fields.map((field) => fieldSql(field, columns))])),
    ...(series === undefined ? [] : seriesColumns(series, columns)),
  ];
  return [
    ...(graph === undefined ? [] : nodeIndexes(graph, columns)).map((one) => `create index on ${stateTable} ${one}`),
    ...lists.map((list) => `create index on ${stateTable} (${list.join(", ")})`),
    ...indexes.flatMap((one) =>
      "gin" in one ? [`create index on ${stateTable} using gin (${ginSql(one.gin, columns)})`] : [],
    ),
    ...(graph?.weight === undefined ? [] : [`create index on ${stateTable} ((true)) where ${quote(graph.weight)} < 0`]),
  ];
}

/** By time, and by time within each series where what tells series apart is of a bounded size. */
function seriesColumns({ time, by }: SeriesOption, columns: Columns): string[][] {
  const bounded = by.every((name) => boundedType.test(baseType(typeOf(columns, name))));
  return [[quote(time)], ...(by.length > 0 && bounded ? [[...by.map(quote), quote(time)]] : [])];
}

/** The expression that filters and orders have of it (`row-field.ts`). */
function fieldSql({ column, steps, text }: IndexField, columns: Columns): string {
  if (steps.length === 0) return quote(column);
  const path = `array[${steps.map((step) => `'${step.replaceAll("'", "''")}'`).join(", ")}]`;
  if (text) return `(${quote(column)} #>> ${path})`;
  const cast = baseType(typeOf(columns, column)) === "json" ? "::jsonb" : "";
  return `((${quote(column)} #> ${path})${cast})`;
}

function ginSql(column: string, columns: Columns): string {
  return `${quote(column)}${baseType(typeOf(columns, column)) === "jsonb" ? " jsonb_path_ops" : ""}`;
}

const numberType = /^(smallint|integer|bigint|numeric|real|double precision)$/;
const timeType = /^(date|timestamp with(out)? time zone)$/;
const boundedType =
  /^(smallint|integer|bigint|real|double precision|uuid|boolean|date|timestamp with(out)? time zone)$/;

function typeOf(columns: Columns, name: string): string {
  return columns.find((one) => one.name === name)?.type ?? "unknown";
}

/** Throws `VIEW_OPTION_INVALID` for columns whose types the options cannot use. */
export function checkReadTypes(view: string, { graph, series, indexes = [] }: ReadOptions, columns: Columns): void {
  if (graph !== undefined) checkGraph(view, graph, columns);
  for (const one of indexes) checkIndex(view, one, columns);
  if (series === undefined) return;
  if (!timeType.test(baseType(typeOf(columns, series.time)))) {
    throw refusal(view, "series", series.time, columns, "a time is a timestamp or a date", "::timestamptz");
  }
  const unordered = series.by.find((name) => !operatorsOf(typeOf(columns, name)).includes("gt"));
  if (unordered !== undefined) throw refusal(view, "series", unordered, columns, "it has no order", "::text");
}

function checkIndex(view: string, index: IndexOption, columns: Columns): void {
  const refuse = (column: string, why: string, cast: string) => refusal(view, "index", column, columns, why, cast);
  if ("gin" in index) {
    if (/^(jsonb|tsvector|.*\[\])$/.test(baseType(typeOf(columns, index.gin)))) return;
    throw refuse(index.gin, "gin is of jsonb, arrays and tsvector", "::jsonb");
  }
  for (const { column, steps } of index.fields) {
    const type = typeOf(columns, column);
    if (steps.length > 0 && !/^jsonb?$/.test(type))
      throw refuse(column, "an index leads into json and jsonb", "::jsonb");
    if (steps.length === 0 && !operatorsOf(type).includes("gt")) throw refuse(column, "it has no order", "::text");
  }
}

function checkGraph(view: string, { from, to, label, weight }: GraphOption, columns: Columns): void {
  const refuse = (column: string, why: string, cast: string) => refusal(view, "graph", column, columns, why, cast);
  const kinds = [from, to].map((column) => {
    const kind = nodeKind(typeOf(columns, column));
    if (kind !== null) return kind;
    throw refuse(column, "nodes are whole numbers, texts or uuids", "::text");
  });
  if (kinds[0] !== kinds[1]) {
    throw refuse(to, `both ends are of one kind, and "${from}" is ${typeOf(columns, from)}`, "::text");
  }
  if (label !== undefined && !operatorsOf(typeOf(columns, label)).includes("in")) {
    throw refuse(label, "a label is compared", "::text");
  }
  if (weight !== undefined && !numberType.test(baseType(typeOf(columns, weight)))) {
    throw refuse(weight, "a weight is a number", "::numeric");
  }
}

function refusal(view: string, option: string, column: string, columns: Columns, why: string, cast: string) {
  const type = typeOf(columns, column);
  return new MillraceError(
    "VIEW_OPTION_INVALID",
    `view "${view}": ${option} names "${column}", which is ${type}: ${why}`,
    { hint: `Select it as ${column}${cast}.`, details: { view, option, column, type } },
  );
}
