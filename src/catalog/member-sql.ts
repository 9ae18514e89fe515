/**
 * A member of a JSON value as a column of its own: SQL over the column `_value` of a topic's mirror.
 *
 * Always true: it never fails, whatever the value is. A member of another type, out of range or absent is NULL. And it is
 * immutable to PostgreSQL, as generated columns have to be: so the functions, which `views/topic-functions.ts` makes.
 */
import type { MemberForm } from "../schema/registry/schema-members.ts";

export const momentFunction = "millrace.rfc3339_moment";
export const dateFunction = "millrace.rfc3339_date";
export const uuidFunction = "millrace.rfc9562_uuid";

/** As `format_type` prints them. */
export const memberTypes: Readonly<Record<MemberForm, string>> = {
  text: "text",
  "date-time": "timestamp with time zone",
  date: "date",
  uuid: "uuid",
  integer: "bigint",
  "integer-text": "bigint",
  "unsigned-text": "numeric",
  number: "numeric",
  boolean: "boolean",
  "epoch-days": "date",
  "epoch-ms": "timestamp with time zone",
  "epoch-us": "timestamp with time zone",
  json: "jsonb",
};

/** Each `case` guards the cast in it: the order of conditions in an `and` is PostgreSQL's choice. */
export function memberSql(name: string, form: MemberForm): string {
  const json = `("_value" -> ${literal(name)})`;
  const text = `("_value" ->> ${literal(name)})`;
  const ofType = (type: string, sql: string) => `case jsonb_typeof(${json}) when '${type}' then ${sql} end`;
  switch (form) {
    case "text":
      return ofType("string", text);
    case "date-time":
      return `${momentFunction}(${json})`;
    case "date":
      return `${dateFunction}(${json})`;
    case "uuid":
      return `${uuidFunction}(${json})`;
    case "integer":
      return ofType("number", whole(`${json}::numeric`, bigints));
    case "integer-text":
      return wholeOrText(json, text, (number) => whole(number, bigints));
    case "unsigned-text":
      return wholeOrText(json, text, (number) => number);
    case "number":
      return ofType("number", `${json}::numeric`);
    case "boolean":
      return ofType("boolean", `${json}::boolean`);
    case "epoch-days":
      return ofType(
        "number",
        whole(`${json}::numeric`, days, (day) => `date '1970-01-01' + ${day}::integer`),
      );
    case "epoch-ms":
      return wholeOrText(json, text, (number) => whole(number, milliseconds, moment(1_000)));
    case "epoch-us":
      return wholeOrText(json, text, (number) => whole(number, microseconds, moment(1_000_000)));
    case "json":
      return `nullif(${json}, 'null')`;
  }
}

type Range = readonly [least: string, greatest: string];
const bigints: Range = ["-9223372036854775808", "9223372036854775807"];
/** The years 1 to 9999, as RFC 3339 has them. */
const days: Range = ["-719162", "2932896"];
const milliseconds: Range = ["-62135596800000", "253402300799999"];
const microseconds: Range = ["-62135596800000000", "253402300799999999"];

function whole(number: string, [least, greatest]: Range, cast = (checked: string) => `${checked}::bigint`): string {
  const fits = `${number} between ${least} and ${greatest} and ${number} = trunc(${number})`;
  return `case when ${fits} then ${cast(number)} end`;
}

/** Of a number, and of a text of digits; `rtrim` is faster than a pattern. */
function wholeOrText(json: string, text: string, sql: (number: string) => string): string {
  const digits = `rtrim(${text}, '0123456789') in ('', '-') and ${text} not in ('', '-')`;
  const ofText = `case when octet_length(${text}) <= 20 then case when ${digits} then ${sql(`${text}::numeric`)} end end`;
  return `case jsonb_typeof(${json}) when 'number' then ${sql(`${json}::numeric`)} when 'string' then ${ofText} end`;
}

/** In two parts, of which each is exact as the double that multiplies an interval. */
function moment(perSecond: number): (number: string) => string {
  const fraction = 1_000_000 / perSecond;
  return (number) =>
    `(timestamp '1970-01-01' + div(${number}, ${perSecond})::bigint * interval '1 second' ` +
    `+ (mod(${number}, ${perSecond}) * ${fraction})::bigint * interval '1 microsecond') at time zone 'UTC'`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
