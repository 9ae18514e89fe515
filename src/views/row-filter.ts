/**
 * A filter as parameterised SQL over a view's columns. Values travel as text parameters with a cast to the column's
 * type; nothing that a client sends is ever part of the statement.
 */
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import { type ColumnsOfView, columnOf } from "./row-column.ts";
import { comparisonType, isBooleanType, isTextType } from "./row-type.ts";
import type { Filter, ViewColumn } from "./view-info.ts";

export type ParameterValue = string | readonly string[];

/** Where a value came from, so that a cast that fails can name it. */
export interface ValueOrigin {
  readonly part: "filter" | "cursor" | "key";
  readonly column: string;
  readonly value: string;
  readonly type: string;
}

/** The parameters of one statement, numbered in the order in which they are added. */
export class Parameters {
  readonly values: ParameterValue[] = [];
  readonly origins: ValueOrigin[] = [];

  /** The placeholder with its cast: `$3::numeric`. */
  add(part: ValueOrigin["part"], column: ViewColumn, value: string): string {
    const type = comparisonType(column.type);
    this.origins.push({ part, column: column.name, value, type });
    this.values.push(checkText(value, column.name));
    return `$${this.values.length}::${type}`;
  }

  addList(part: ValueOrigin["part"], column: ViewColumn, list: readonly string[]): string {
    const type = comparisonType(column.type);
    for (const value of list) this.origins.push({ part, column: column.name, value, type });
    this.values.push(list.map((value) => checkText(value, column.name)));
    return `$${this.values.length}::${type}[]`;
  }

  addText(value: string, column: string): string {
    this.values.push(checkText(value, column));
    return `$${this.values.length}::text`;
  }

  /** A number of ours, of type bigint. */
  addNumber(value: number): string {
    this.values.push(String(value));
    return `$${this.values.length}::bigint`;
  }
}

const depthMax = 16;
const termsMax = 500;
const listMax = 10_000;

/** A condition that is true, false or null; `true` for no filter. Throws `COLUMN_UNKNOWN`, `FILTER_INVALID`. */
export function filterSql(view: ColumnsOfView, filter: Filter | null, alias: string, parameters: Parameters): string {
  if (filter === null) return "true";
  let terms = 0;
  const print = (one: Filter, depth: number): string => {
    if (depth > depthMax) throw tooLarge(`is nested more than ${depthMax} deep`);
    if (++terms > termsMax) throw tooLarge(`has more than ${termsMax} terms`);
    if (one.kind === "compare") return negate(one.negated, compareSql(view, one, alias, parameters));
    if (one.of.length === 0) return negate(one.negated, one.kind === "and" ? "true" : "false");
    return negate(one.negated, `(${one.of.map((part) => print(part, depth + 1)).join(` ${one.kind} `)})`);
  };
  return print(filter, 1);
}

type Compare = Extract<Filter, { kind: "compare" }>;

const comparisons = { eq: "=", neq: "<>", gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function compareSql(view: ColumnsOfView, filter: Compare, alias: string, parameters: Parameters): string {
  const column = columnOf(view, filter.column);
  const name = `${alias}.${quote(column.name)}`;
  switch (filter.operator) {
    case "in": {
      if (filter.values.length > listMax) throw tooLarge(`has a list of more than ${listMax} values`);
      if (column.type.endsWith("[]")) throw refused(column, "in", "an array cannot be looked up in a list");
      return `${name} = any(${parameters.addList("filter", column, filter.values)})`;
    }
    case "like":
    case "ilike": {
      if (!isTextType(column.type)) throw refused(column, filter.operator, `it is ${column.type}, not text`);
      const pattern = onlyValue(filter, column).replaceAll("*", "%");
      if (/(?<!\\)(?:\\\\)*\\$/.test(pattern)) throw refused(column, filter.operator, "the pattern ends in an escape");
      return `${name}::text ${filter.operator} ${parameters.addText(pattern, column.name)}`;
    }
    case "is":
      return `${name} is ${isWhat(column, onlyValue(filter, column))}`;
    default: {
      const operator = comparisons[filter.operator];
      return `${name} ${operator} ${parameters.add("filter", column, onlyValue(filter, column))}`;
    }
  }
}

function isWhat(column: ViewColumn, value: string): string {
  const what = value.toLowerCase();
  if (what === "null") return "null";
  if (what === "not_null") return "not null";
  if (what !== "true" && what !== "false" && what !== "unknown") {
    throw refused(column, "is", "it takes null, not_null, true, false or unknown");
  }
  if (!isBooleanType(column.type))
    throw refused(column, "is", `${what} fits boolean columns, and it is ${column.type}`);
  return what;
}

function onlyValue(filter: Compare, column: ViewColumn): string {
  const value = filter.values[0];
  if (value === undefined || filter.values.length !== 1) throw refused(column, filter.operator, "it takes one value");
  return value;
}

function negate(negated: boolean, condition: string): string {
  return negated ? `not (${condition})` : condition;
}

/** PostgreSQL's text has no NUL, and refuses it in a way that ends the connection's batch. */
function checkText(value: string, column: string): string {
  if (!value.includes("\0")) return value;
  throw new MillraceError("FILTER_INVALID", `the value for column "${column}" contains a NUL character`, {
    details: { column },
  });
}

function refused(column: ViewColumn, operator: string, why: string): MillraceError {
  return new MillraceError("FILTER_INVALID", `"${operator}" cannot be used on column "${column.name}": ${why}`, {
    details: { column: column.name, type: column.type, operator },
  });
}

function tooLarge(why: string): MillraceError {
  return new MillraceError("FILTER_INVALID", `the filter ${why}`);
}
