/**
 * A filter as parameterised SQL over a view's columns. Values travel as text parameters with a cast to the column's
 * type; nothing that a client sends is ever part of the statement.
 */
import { MillraceError } from "../base/errors.ts";
import { type FindableView, findTermSql } from "./find/find-filter.ts";
import { FindSettings } from "./find/find-settings.ts";
import { treeTerm } from "./find/tree.ts";
import { type FieldExpression, fieldOf } from "./row-field.ts";
import {
  binaryOperators,
  checkOperator,
  jsonPathOperators,
  patternOperators,
  refusedOperator,
  searchFunctions,
} from "./row-operators.ts";
import { baseType, comparisonType, isBooleanType } from "./row-type.ts";
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
  /** Columns that are compared with regular expressions. */
  readonly expressions: string[] = [];
  /** Of the transaction that the statement runs in. */
  readonly settings = new FindSettings();
  readonly #paths = new Map<string, string>();

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

  /** `type` is what PostgreSQL will read the text as, where that can fail. */
  addText(value: string, column: string, type = "text"): string {
    if (type !== "text") this.origins.push({ part: "filter", column, value, type });
    this.values.push(checkText(value, column));
    return `$${this.values.length}::text`;
  }

  addTexts(list: readonly string[], column: string): string {
    this.values.push(list.map((value) => checkText(value, column)));
    return `$${this.values.length}::text[]`;
  }

  /** The same path is one parameter, so that `order by` and the columns that repeat it are the same expression. */
  addPath(steps: readonly string[]): string {
    const key = JSON.stringify(steps);
    const known = this.#paths.get(key);
    if (known !== undefined) return known;
    this.values.push([...steps]);
    const placeholder = `$${this.values.length}::text[]`;
    this.#paths.set(key, placeholder);
    return placeholder;
  }

  /** A number of type double precision. */
  addFloat(value: number): string {
    this.values.push(String(value));
    return `$${this.values.length}::double precision`;
  }

  addFloats(values: readonly number[]): string {
    this.values.push(values.map(String));
    return `$${this.values.length}::double precision[]`;
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
const arraysMax = 1_000;

/** A condition that is true, false or null; `true` for no filter. Throws `COLUMN_UNKNOWN`, `FILTER_INVALID`. */
export function filterSql(view: FindableView, filter: Filter | null, alias: string, parameters: Parameters): string {
  if (filter === null) return "true";
  let terms = 0;
  const print = (asked: Filter, depth: number): string => {
    const one = asked.kind === "compare" ? (treeTerm(view, asked) ?? asked) : asked;
    if (depth > depthMax) throw tooLarge(`is nested more than ${depthMax} deep`);
    if (++terms > termsMax) throw tooLarge(`has more than ${termsMax} terms`);
    if (one.kind === "compare") return negate(one.negated, compareSql(view, one, alias, parameters));
    if (!("of" in one)) return negate(one.negated, findTermSql(view, one, alias, parameters));
    if (one.of.length === 0) return negate(one.negated, one.kind === "and" ? "true" : "false");
    return negate(one.negated, `(${one.of.map((part) => print(part, depth + 1)).join(` ${one.kind} `)})`);
  };
  return print(filter, 1);
}

type Compare = Extract<Filter, { kind: "compare" }>;

function compareSql(view: FindableView, filter: Compare, alias: string, parameters: Parameters): string {
  const { operator } = filter;
  const column = fieldOf(view, filter);
  checkOperator(column, operator);
  if (filter.values.length > listMax) throw tooLarge(`has a list of more than ${listMax} values`);
  const name = column.sql(alias, parameters);
  switch (operator) {
    case "is":
      return `${name} is ${isWhat(column, onlyValue(filter, column))}`;
    case "in":
      return quantified(column, name, "=", "any", filter.values, parameters);
    case "like":
    case "ilike":
    case "match":
    case "imatch":
      return patternSql(column, name, filter, parameters);
    case "fts":
    case "plfts":
    case "phfts":
    case "wfts":
      return searchSql(column, name, filter, parameters);
    case "jsonpath":
    case "jsonmatch": {
      const path = parameters.addText(onlyValue(filter, column), column.name, "jsonpath");
      return `${baseType(column.type) === "json" ? `${name}::jsonb` : name} ${jsonPathOperators[operator]} ${path}::jsonpath`;
    }
    default: {
      const sql = binaryOperators[operator];
      if (filter.quantifier) return quantified(column, name, sql, filter.quantifier, filter.values, parameters);
      return `${name} ${sql} ${parameters.add("filter", column, onlyValue(filter, column))}`;
    }
  }
}

/** An array cannot be looked up in an array of arrays, which would be one of more dimensions. */
function quantified(
  column: FieldExpression,
  name: string,
  operator: string,
  quantifier: "any" | "all",
  values: readonly string[],
  parameters: Parameters,
): string {
  if (!baseType(column.type).endsWith("[]")) {
    return `${name} ${operator} ${quantifier}(${parameters.addList("filter", column, values)})`;
  }
  if (values.length > arraysMax) throw tooLarge(`has a list of more than ${arraysMax} arrays`);
  const terms = values.map((value) => `${name} ${operator} ${parameters.add("filter", column, value)}`);
  if (terms.length === 0) return quantifier === "any" ? "false" : "true";
  return `(${terms.join(quantifier === "any" ? " or " : " and ")})`;
}

function patternSql(column: FieldExpression, name: string, filter: Compare, parameters: Parameters): string {
  const operator = filter.operator as keyof typeof patternOperators;
  const expression = operator === "match" || operator === "imatch";
  if (expression) parameters.expressions.push(column.name);
  const patterns = filter.values.map((value) => {
    if (expression) return value;
    const pattern = value.replaceAll("*", "%");
    if (!/(?<!\\)(?:\\\\)*\\$/.test(pattern)) return pattern;
    throw refusedOperator(column, operator, "the pattern ends in an escape");
  });
  const sql = `${name}::text ${patternOperators[operator]}`;
  if (filter.quantifier) return `${sql} ${filter.quantifier}(${parameters.addTexts(patterns, column.name)})`;
  onlyValue(filter, column);
  return `${sql} ${parameters.addText(patterns[0] ?? "", column.name)}`;
}

/** A text or json is made a `tsvector` row by row; without a configuration with that of the store. */
function searchSql(column: FieldExpression, name: string, filter: Compare, parameters: Parameters): string {
  const operator = filter.operator as keyof typeof searchFunctions;
  const { config } = filter;
  const first = config === undefined ? "" : `${parameters.addText(config, column.name, "regconfig")}::regconfig, `;
  const query = parameters.addText(onlyValue(filter, column), column.name, operator === "fts" ? "tsquery" : "text");
  const base = baseType(column.type);
  const document =
    base === "tsvector" ? name : `to_tsvector(${first}${base.startsWith("json") ? name : `${name}::text`})`;
  return `${document} @@ ${searchFunctions[operator]}(${first}${query})`;
}

function isWhat(column: ViewColumn, value: string): string {
  const what = value.toLowerCase();
  if (what === "null") return "null";
  if (what === "not_null") return "not null";
  if (what !== "true" && what !== "false" && what !== "unknown") {
    throw refusedOperator(column, "is", "it takes null, not_null, true, false or unknown");
  }
  if (!isBooleanType(column.type))
    throw refusedOperator(column, "is", `${what} fits boolean columns, and it is ${column.type}`);
  return what;
}

function onlyValue(filter: Compare, column: ViewColumn): string {
  const value = filter.values[0];
  if (value === undefined || filter.values.length !== 1)
    throw refusedOperator(column, filter.operator, "it takes one value");
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

function tooLarge(why: string): MillraceError {
  return new MillraceError("FILTER_INVALID", `the filter ${why}`);
}
