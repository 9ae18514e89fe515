/**
 * A row as JSON text, made by PostgreSQL: the forms of the reference, one expression per column.
 *
 * int2, int4, floats and booleans are native (NaN and infinities, which JSON lacks, are strings); int8 and numeric are
 * strings as PostgreSQL writes them; `timestamptz` is RFC 3339 in UTC with microseconds; `timestamp`, `date` and `time`
 * are ISO 8601; infinities and years before Christ are the server's text; `bytea` is base64; json and jsonb stand as
 * they are; arrays are arrays of their elements' forms (of `timestamptz` and `bytea` this holds in one dimension; with
 * more they have PostgreSQL's own JSON form); every other type is its text.
 *
 * The texts rely on the session that `reader-session.ts` sets (UTC, ISO, hex).
 */
import { quote } from "../catalog/definitions.ts";
import { baseType } from "./row-type.ts";
import type { ViewColumn } from "./view-info.ts";

/** An expression of type text over the columns of `alias`: the object of these columns, in their order, without white space of its own. */
export function jsonObject(columns: readonly ViewColumn[], alias: string): string {
  return jsonMembers(columns.map(({ name, type }) => ({ name, type, value: `${alias}.${quote(name)}` })));
}

/** A member of an object, or a cell: its name, the type that its form follows, and the expression. */
export interface JsonMember {
  readonly name: string;
  readonly type: string;
  readonly value: string;
}

/** The same of type json, to stand in another object. */
export function jsonInside(of: readonly JsonMember[]): string {
  return of.length === 0 ? "'{}'::json" : `(select row_to_json(r.*) from (select ${named(of)}) as r)`;
}

/** As `jsonObject`, of expressions. */
export function jsonMembers(of: readonly JsonMember[]): string {
  if (of.length === 0) return "'{}'::text";
  const object = `(select row_to_json(r.*)::text from (select ${named(of)}) as r)`;
  // A json value keeps the line breaks of its author, which can only stand between its tokens.
  return of.some(({ type }) => /^json(\[\])?$/.test(type)) ? `translate(${object}, E'\\r\\n', '  ')` : object;
}

function named(of: readonly JsonMember[]): string {
  return of.map(({ name, type, value }) => `${jsonValue(value, type)} as ${quote(name)}`).join(", ");
}

/** An array of texts and nulls as JSON text: each value as the text of its form, what is no scalar as its JSON. */
export function jsonCells(of: readonly JsonMember[]): string {
  const cells = of.map(({ type, value }) => `to_json(${jsonValue(value, type)}) #>> '{}'`);
  return `array_to_json(array[${cells.join(", ")}]::text[])::text`;
}

/** The form of one value; `row_to_json` does what is left to it. */
function jsonValue(value: string, type: string): string {
  const base = baseType(type);
  switch (base) {
    case "bigint":
    case "numeric":
    case "interval":
    case "time without time zone":
    case "time with time zone":
      return `${value}::text`;
    case "timestamp with time zone":
      return instant(value);
    case "bytea":
      return base64(value);
    case "bigint[]":
    case "numeric[]":
      return `${value}::text[]`;
    case "timestamp with time zone[]":
      return elements(value, instant("e"));
    case "bytea[]":
      return elements(value, base64("e"));
    default:
      return value;
  }
}

function instant(value: string): string {
  return (
    `case when isfinite(${value}) and ${value} >= '0001-01-01 00:00:00+00'` +
    ` then to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') else ${value}::text end`
  );
}

function base64(value: string): string {
  return `translate(encode(${value}, 'base64'), E'\\n', '')`;
}

function elements(array: string, element: string): string {
  return (
    `case when array_ndims(${array}) = 1 then to_json(array(` +
    `select ${element} from unnest(${array}) with ordinality as u(e, i) order by i)) else to_json(${array}) end`
  );
}
