/**
 * Reads of a view as SQL: pages of rows, one row by its key, and everything that matches. Pure. Each statement answers
 * the group's position with its rows, from the one snapshot that a statement has.
 */
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import type { LiveView } from "./live-view.ts";
import { columnOf } from "./row-column.ts";
import { afterSql, decodeCursor, type OrderPart } from "./row-cursor.ts";
import { filterSql, Parameters } from "./row-filter.ts";
import { jsonObject } from "./row-json.ts";
import type { Filter, RowQuery, ViewColumn } from "./view-info.ts";

export type ReadableView = Pick<LiveView, "name" | "publicView" | "logTable" | "columns" | "key">;

export interface Statement {
  readonly text: string;
  readonly parameters: Parameters;
}

export interface RowsStatement extends Statement {
  readonly order: readonly OrderPart[];
}

export const rowsLimitMax = 10_000;

/**
 * Rows `(generation, batch, row, place)`, in order: `place` is the text array that a cursor is made of. One row more
 * than the limit says that there is a next page; so does a page that was cut at `bytesMax` of JSON (its first row always
 * comes). A view without matching rows answers one row whose `row` is null.
 * Throws `COLUMN_UNKNOWN`, `FILTER_INVALID`, `TOKEN_INVALID`, `REQUEST_INVALID`.
 */
export function rowsSql(view: ReadableView, query: RowQuery, positionSql: string, bytesMax: number): RowsStatement {
  checkCount("limit", query.limit, rowsLimitMax);
  checkCount("offset", query.offset, Number.MAX_SAFE_INTEGER);
  const parameters = new Parameters();
  const order = totalOrder(view, query);
  const conditions = [filterSql(view, query.filter, "v", parameters)];
  if (query.cursor !== null) conditions.push(afterSql(order, decodeCursor(order, query.cursor), "v", parameters));
  const orderBy = orderSql(order, "v");
  const place = order.map((part) => `v.${quote(part.column.name)}::text`).join(", ");
  const limit = parameters.addNumber(query.limit + 1);
  const offset = parameters.addNumber(query.offset);
  const bytes = parameters.addNumber(bytesMax);
  const text =
    `select p.generation, p.batch, q.row, q.place, q.cut from (${positionSql}) as p left join lateral (` +
    `select d.*, bool_or(d.before >= ${bytes}) over () as cut from (` +
    `select c.*, sum(octet_length(c.row)) over (order by c.n rows unbounded preceding) - octet_length(c.row) as before from (` +
    `select ${jsonObject(selected(view, query.select), "v")} as row, array[${place}]::text[] as place, ` +
    `row_number() over (${orderBy}) as n from ${view.publicView} as v ` +
    `where ${conditions.join(" and ")} ${orderBy} limit ${limit} offset ${offset}) as c) as d` +
    `) as q on q.before < ${bytes} order by q.n`;
  return { text, parameters, order };
}

/** One row `(generation, batch, row)`; `row` is null when there is none. Throws `COLUMN_UNKNOWN`, `KEY_INVALID`. */
export function rowSql(
  view: ReadableView,
  key: readonly string[],
  select: readonly string[] | null,
  positionSql: string,
): Statement {
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
  const text =
    `select p.generation, p.batch, q.row from (${positionSql}) as p left join lateral (` +
    `select ${jsonObject(selected(view, select), "v")} as row from ${view.publicView} as v ` +
    `where ${conditions.length === 0 ? "true" : conditions.join(" and ")} limit 1) as q on true`;
  return { text, parameters };
}

/** All rows `(row)` that match, by key, for a cursor in a transaction whose position is read beside it. */
export function snapshotSql(view: ReadableView, filter: Filter | null): Statement {
  const parameters = new Parameters();
  const where = filterSql(view, filter, "v", parameters);
  const order = orderSql(keyOrder(view), "v");
  return {
    text: `select ${jsonObject(view.columns, "v")} as row from ${view.publicView} as v where ${where} ${order}`,
    parameters,
  };
}

/** The order of the query, made total by the key. */
function totalOrder(view: ReadableView, query: RowQuery): OrderPart[] {
  const parts: OrderPart[] = [];
  for (const { column: name, descending, nulls } of query.order) {
    const column = columnOf(view, name);
    if (parts.some((part) => part.column === column)) continue;
    parts.push({ column, descending, nullsFirst: nulls === null ? descending : nulls === "first" });
  }
  const rest = keyOrder(view).filter((part) => !parts.some((one) => one.column === part.column));
  return [...parts, ...rest];
}

export function keyOrder(view: ReadableView): OrderPart[] {
  return view.key.map((name) => ({ column: columnOf(view, name), descending: false, nullsFirst: false }));
}

export function keyColumns(view: ReadableView): ViewColumn[] {
  return view.key.map((name) => columnOf(view, name));
}

export function orderSql(order: readonly OrderPart[], alias: string): string {
  if (order.length === 0) return "";
  const parts = order.map((part) => {
    const nulls = part.nullsFirst === part.descending ? "" : part.nullsFirst ? " nulls first" : " nulls last";
    return `${alias}.${quote(part.column.name)}${part.descending ? " desc" : ""}${nulls}`;
  });
  return `order by ${parts.join(", ")}`;
}

function selected(view: ReadableView, select: readonly string[] | null): readonly ViewColumn[] {
  if (select === null || select.length === 0) return view.columns;
  return [...new Set(select.map((name) => columnOf(view, name)))];
}

function checkCount(name: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return;
  throw new MillraceError("REQUEST_INVALID", `${name} must be a whole number from 0 to ${max}`, {
    details: { [name]: String(value) },
  });
}
