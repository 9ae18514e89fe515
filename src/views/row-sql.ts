/**
 * Reads of a view as SQL: pages of rows, one row by its key, and everything that matches. Pure. Each statement answers
 * the group's position with its rows, from the one snapshot that a statement has.
 */
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import { type Found, findIn, findRows } from "./find/find-rows.ts";
import type { LiveView } from "./live-view.ts";
import { groupedView, hasAggregates } from "./row-aggregates.ts";
import { columnOf } from "./row-column.ts";
import { afterSql, decodeCursor, keyOrder, type OrderPart, orderSql, totalOrder } from "./row-cursor.ts";
import { castsIn, embeddedConditions, membersWithin } from "./row-embed.ts";
import { filterSql, Parameters } from "./row-filter.ts";
import { jsonCells, jsonMembers } from "./row-json.ts";
import type { RelatedView } from "./row-relations.ts";
import type { Member } from "./row-select.ts";
import { shownRow } from "./row-shown.ts";
import type { Filter, RowQuery, Selected, ViewColumn } from "./view-info.ts";

export type ReadableView = Pick<
  LiveView,
  "name" | "publicView" | "lock" | "logTable" | "columns" | "key" | "find" | "reads"
> & {
  /** Absent where no rows of other views are embedded. */
  readonly related?: RelatedView["related"];
};

export interface Statement {
  readonly text: string;
  readonly parameters: Parameters;
  /** Values of rows are cast as the request says, which can fail. */
  readonly casts?: boolean;
}

export interface RowsStatement extends Statement {
  readonly order: readonly OrderPart[];
  /** Names of the rows' members. */
  readonly columns: readonly string[];
}

export const rowsLimitMax = 10_000;

/**
 * Rows `(generation, batch, row, place)`, in order: `place` is the text array that a cursor is made of; with an exact or
 * an estimated count also `total`, of the same snapshot, counted no further than `countMax` where it is estimated. One row more
 * than the limit says that there is a next page; so does a page that was cut at `bytesMax` of JSON (its first row always
 * comes). A view without matching rows answers one row whose `row` is null.
 * Throws `COLUMN_UNKNOWN`, `FILTER_INVALID`, `PATH_INVALID`, `TOKEN_INVALID`, `REQUEST_INVALID`.
 */
export function rowsSql(whole: ReadableView, asked: RowQuery, positionSql: string, bytesMax: number): RowsStatement {
  checkCount("limit", asked.limit, rowsLimitMax);
  checkCount("offset", asked.offset, Number.MAX_SAFE_INTEGER);
  const parameters = new Parameters();
  const { view, query, bound } = readRows(whole, asked, parameters);
  const order = totalOrder(view, query.order);
  const wanted = (alias: string) => wantedSql(view, query, alias, parameters);
  const where = wanted("v");
  const from = query.cursor === null ? null : decodeCursor(order, query.cursor);
  const after = (alias: string) => (from === null ? [] : [afterSql(order, from, alias, parameters)]);
  const conditions = [where, ...after("v")];
  const matching = (alias: string) => [wanted(alias), ...after(alias)].join(" and ");
  if (bound) conditions.push(bound(matching));
  const orderBy = orderSql(order, "v", parameters);
  const place = order.map((part) => `${part.column.sql("v", parameters)}::text`).join(", ");
  const members = membersWithin(view, query.select);
  const limit = parameters.addNumber(query.limit + 1);
  const offset = parameters.addNumber(query.offset);
  const bytes = parameters.addNumber(bytesMax);
  const total = totalSql(view, query, where, parameters);
  const text =
    `select p.generation, p.batch, q.row, q.place, q.cut${total} from (${positionSql}) as p left join lateral (` +
    `select d.*, bool_or(d.before >= ${bytes}) over () as cut from (` +
    `select c.*, sum(octet_length(c.row)) over (order by c.n rows unbounded preceding) - octet_length(c.row) as before from (` +
    `select ${rowForm(members, "v", parameters, query.form)} as row, array[${place}]::text[] as place, ` +
    `row_number() over (${orderBy}) as n from ${view.publicView} as v ` +
    `where ${conditions.join(" and ")} ${orderBy} limit ${limit} offset ${offset}) as c) as d` +
    `) as q on q.before < ${bytes} order by q.n`;
  return { text, parameters, order, columns: members.map((one) => one.name), casts: castsIn(asked.select) };
}

/** The read as one of plain columns: what searching adds to rows, and the groups of aggregates, are those of a subquery. */
function readRows(whole: ReadableView, asked: RowQuery, parameters: Parameters): Found<ReadableView> {
  const found = findRows(whole, asked, parameters);
  if (!hasAggregates(asked)) return found;
  if (asked.find?.highlight) {
    throw new MillraceError("REQUEST_INVALID", "highlight has no meaning beside aggregates");
  }
  const { view, query } = found;
  const where = (alias: string) => filterSql(view, query.filter, alias, parameters);
  const grouped = groupedView(view, asked, where, parameters);
  return { view: grouped, query: { ...asked, filter: null, select: null }, bound: null };
}

/** An estimate is exact below this many rows. */
export const countMax = 10_000;

function totalSql(view: ReadableView, query: RowQuery, where: string, parameters: Parameters): string {
  if (query.count !== "exact" && query.count !== "estimated") return "";
  const bound = query.count === "exact" ? "" : ` limit ${parameters.addNumber(countMax + 1)}`;
  return `, (select count(*) from (select from ${view.publicView} as v where ${where}${bound}) as t) as total`;
}

/** For the planner's estimate of how many rows match: one row with its JSON. */
export function plannedSql(whole: ReadableView, asked: RowQuery): Statement {
  const parameters = new Parameters();
  const { view, query } = hasAggregates(asked)
    ? readRows(whole, asked, parameters)
    : { view: findIn(whole, asked.filter, parameters), query: asked };
  const where = wantedSql(view, query, "v", parameters);
  return { text: `explain (format json) select from ${view.publicView} as v where ${where}`, parameters };
}

/** Which rows match, those of other views that must be there included. */
function wantedSql(
  view: ReadableView,
  { filter, select }: Pick<RowQuery, "filter" | "select">,
  alias: string,
  parameters: Parameters,
): string {
  const conditions = embeddedConditions(view, select, alias, parameters);
  return [filterSql(view, filter, alias, parameters), ...conditions].join(" and ");
}

function rowForm(members: readonly Member[], alias: string, parameters: Parameters, form?: "cells"): string {
  const values = members.map(({ name, type, sql }) => ({ name, type, value: sql(alias, parameters) }));
  return form === "cells" ? jsonCells(values) : jsonMembers(values);
}

/** One row `(generation, batch, row)`; `row` is null when there is none. Throws `COLUMN_UNKNOWN`, `KEY_INVALID`, `VIEW_KEY_MISSING`. */
export function rowSql(
  view: ReadableView,
  key: readonly string[],
  select: readonly Selected[] | null,
  positionSql: string,
): Statement {
  if (view.key === null) {
    throw new MillraceError("VIEW_KEY_MISSING", `view "${view.name}" has no key: its rows may be there several times`, {
      hint: "Read its rows with filters, or give the view columns that identify a row.",
      details: { view: view.name },
    });
  }
  if (key.length !== view.key.length) {
    const columns = view.key.map((name) => `"${name}"`).join(", ");
    throw new MillraceError(
      "KEY_INVALID",
      `view "${view.name}" has a key of ${view.key.length} parts, not ${key.length}`,
      {
        hint: view.key.length === 0 ? "It has exactly one row: read it without a key." : `The parts are ${columns}.`,
        details: { view: view.name, key: view.key },
      },
    );
  }
  const parameters = new Parameters();
  const conditions = view.key.map((name, i) => {
    const value = key[i] ?? "";
    if (value.includes("\0")) {
      throw new MillraceError("KEY_INVALID", `the key's part "${name}" contains a NUL character`);
    }
    return `v.${quote(name)} = ${parameters.add("key", columnOf(view, name), value)}`;
  });
  conditions.push(...embeddedConditions(view, select, "v", parameters));
  const text =
    `select p.generation, p.batch, q.row from (${positionSql}) as p left join lateral (` +
    `select ${rowForm(membersWithin(view, select), "v", parameters)} as row from ${view.publicView} as v ` +
    `where ${conditions.length === 0 ? "true" : conditions.join(" and ")} limit 1) as q on true`;
  return { text, parameters, casts: castsIn(select) };
}

/** All rows `(row)` that match, in one order, for a cursor in a transaction whose position is read beside it. */
export function snapshotSql(
  whole: ReadableView,
  filter: Filter | null,
  select: readonly Selected[] | null = null,
): Statement {
  const parameters = new Parameters();
  const view = findIn(whole, filter, parameters);
  const where = filterSql(view, filter, "v", parameters);
  const order = orderSql(keyOrder(view), "v", parameters);
  return {
    text: `select ${shownRow(view, select, "v", parameters)} as row from ${view.publicView} as v where ${where} ${order}`,
    parameters,
  };
}

/** None for a view of one row, and for one without a key. */
export function keyColumns(view: ReadableView): ViewColumn[] {
  return (view.key ?? []).map((name) => columnOf(view, name));
}

function checkCount(name: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return;
  throw new MillraceError("REQUEST_INVALID", `${name} must be a whole number from 0 to ${max}`, {
    details: { [name]: String(value) },
  });
}
