/**
 * The rows that a batch reached, as the planner can find them: conditions over the columns of the trace key that it pushes
 * down to the tables, and the query that is run for each. No row meets two of them. A condition may let in keys that are
 * not in `dv`, of which then both sides, the query's rows and the state's, are taken.
 */
import { quote } from "../../../catalog/definitions.ts";
import type { Among } from "./gathered.ts";

export interface Slice {
  /** That a row, of the query or of the state, is one of them; by its alias. */
  readonly where: (alias: string) => string;
  /** The query of which those rows are taken; null where they are put together from others. */
  readonly query: string | null;
}

/** The query over the mirrors, its whole or the parts that `except` keeps the planner from reaching into. */
export type KeyedQuery =
  | {
      readonly kind: "text";
      readonly text: string;
      readonly columns: readonly string[];
      /** The same with the keys inside of what gathers rows. */
      readonly restricted: (among: Among) => string;
    }
  | { readonly kind: "set"; readonly operation: string; readonly parts: readonly [KeyedQuery, KeyedQuery] };

export interface TraceColumn {
  readonly name: string;
  readonly nullable: boolean;
}

/** First for keys without NULLs, then (only when there are such) for those with. */
export function slicesOf(traceKey: readonly TraceColumn[], query: KeyedQuery, deltaTable: string): Slice[] {
  const [all, ...others] = reached(traceKey, deltaTable);
  if (all === undefined) return [];
  const conditionOf = (condition: KeyCondition) => (alias: string) =>
    condition(({ name }) => `${alias}.${quote(name)}`);
  const restricted =
    query.kind === "text"
      ? query.restricted((value, column) => `${value} = ${valuesOf(traceKey[column]?.name ?? "", deltaTable)}`)
      : printQuery(query, conditionOf(all));
  return [
    { where: conditionOf(all), query: restricted },
    ...others.map((some) => ({ where: conditionOf(some), query: printQuery(query, conditionOf(some)) })),
  ];
}

/** A condition over the columns of a key, given the value of each. */
export type KeyCondition = (value: (column: TraceColumn) => string) => string;

/** `rows` is what holds of those in the table that count. */
export function reached(key: readonly TraceColumn[], deltaTable: string, rows?: string): KeyCondition[] {
  const among = (column: TraceColumn, value: string) => `${value} = ${valuesOf(column.name, deltaTable, rows)}`;
  const all: KeyCondition = (value) => key.map((column) => among(column, value(column))).join(" and ");
  const lacking = key.filter((column) => column.nullable);
  if (lacking.length === 0) return [all];
  const some: KeyCondition = (value) => {
    const columns = key.map((column) => {
      const is = value(column);
      if (!column.nullable) return among(column, is);
      return key.length === 1 ? `${is} is null` : `(${is} is null or ${among(column, is)})`;
    });
    const nulls = lacking.map(({ name }) => `${quote(name)} is null`).join(" or ");
    const present = `(select exists (select from ${deltaTable} where ${rows === undefined ? nulls : `${rows} and (${nulls})`}))`;
    const lacks = lacking.map((column) => `${value(column)} is null`).join(" or ");
    return [present, ...(key.length === 1 ? [] : [`(${lacks})`]), ...columns].join(" and ");
  };
  return [all, some];
}

/** All that a column of the key has in `dv`, for `=`. */
export function valuesOf(name: string, deltaTable: string, rows?: string): string {
  const also = rows === undefined ? "" : `${rows} and `;
  return `any (array(select distinct ${quote(name)} from ${deltaTable} where ${also}${quote(name)} is not null))`;
}

/** With the slice inside each part of EXCEPT, which the planner does not push it through. */
export function printQuery(query: KeyedQuery, slice: ((alias: string) => string) | null): string {
  if (query.kind === "text") return query.text;
  const [left, right] = query.parts.map((part) => printPart(part, slice));
  return `(${left})\n${query.operation}\n(${right})`;
}

function printPart(query: KeyedQuery, slice: ((alias: string) => string) | null): string {
  if (query.kind === "set" || slice === null) return printQuery(query, slice);
  return `select * from (${query.text}) p (${query.columns.map(quote).join(", ")}) where ${slice("p")}`;
}
