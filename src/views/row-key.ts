/**
 * Keys that have one spelling: for these types equal values are equal texts, so that a row can be found in memory by
 * what stands in an address, and a change row tells whose row it changed. The spelling is the one that rows are answered
 * in, numbers without zeros at their end. Pure.
 *
 * Left out are types with several texts for equal values (`interval`, floats, `character(n)`, json) and those that nobody
 * knows here: rows of such keys are read from the store.
 */
import { quote } from "../catalog/definitions.ts";
import { Parameters } from "./row-filter.ts";
import { keyColumns, type ReadableView, type Statement } from "./row-sql.ts";
import { baseType } from "./row-type.ts";

interface KeyForm {
  /** Whether a text from outside is the spelling of its value. */
  readonly isSpelt: (text: string) => boolean;
  /** The spelling as an expression of type text. */
  readonly sql: (value: string) => string;
}

const asText = (value: string) => `${value}::text`;
const matching = (form: RegExp) => (text: string) => form.test(text);
const time = String.raw`(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d`;

const integer: KeyForm = { isSpelt: matching(/^(?:0|-?[1-9]\d{0,18})$/), sql: asText };
const text: KeyForm = { isSpelt: () => true, sql: asText };

const forms: Readonly<Record<string, KeyForm>> = {
  smallint: integer,
  integer,
  bigint: integer,
  text,
  "character varying": text,
  numeric: {
    isSpelt: matching(/^(?:0|-?[1-9]\d{0,999}|-?(?:0|[1-9]\d{0,999})\.\d{0,999}[1-9])$/),
    sql: (value) => `trim_scale(${value})::text`,
  },
  uuid: { isSpelt: matching(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), sql: asText },
  boolean: { isSpelt: matching(/^(?:true|false)$/), sql: asText },
  date: { isSpelt: matching(/^\d{4}-\d\d-\d\d$/), sql: asText },
  "timestamp without time zone": {
    isSpelt: matching(new RegExp(String.raw`^\d{4}-\d\d-\d\dT${time}(?:\.\d{0,5}[1-9])?$`)),
    sql: (value) => `to_jsonb(${value}) #>> '{}'`,
  },
  "timestamp with time zone": {
    isSpelt: matching(new RegExp(String.raw`^\d{4}-\d\d-\d\dT${time}\.\d{6}Z$`)),
    sql: (value) => `to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
  },
};

export interface RowKeys {
  /** The key as one text; null where it is not spelt as its value is, or has not as many parts as the view's key. */
  textOf(parts: readonly string[]): string | null;
  /**
   * Rows `(generation, current, oldest, batch, key)` of the change rows after a batch, `key` being the array of its parts;
   * a null part makes a key that no address names. Without any there is one row whose `batch` is null. One row more than
   * `rowsMax` says that there are too many.
   */
  changedSql(bounds: { readonly after: number; readonly rowsMax: number }, positionSql: string): Statement;
}

/** Null for a view whose rows cannot be found in memory. */
export function rowKeys(view: ReadableView): RowKeys | null {
  const columns = keyColumns(view);
  const found = columns.map(({ type }) => forms[baseType(type)]).filter((form) => form !== undefined);
  if (columns.length === 0 || found.length < columns.length) return null;
  const partsSql = columns.map(({ name }, i) => (found[i] as KeyForm).sql(`v.${quote(name)}`));
  return {
    textOf(parts) {
      if (parts.length !== found.length) return null;
      for (let i = 0; i < found.length; i++) if (!found[i]?.isSpelt(parts[i] ?? "")) return null;
      return joinKey(parts);
    },
    changedSql({ after, rowsMax }, positionSql) {
      const parameters = new Parameters();
      const from = parameters.addNumber(after);
      const limit = parameters.addNumber(rowsMax + 1);
      const text =
        `select p.generation, p.batch as current, p.oldest_batch as oldest, q.batch, q.key ` +
        `from (${positionSql}) as p(generation, batch, oldest_batch) left join lateral (` +
        `select v.batch, array[${partsSql.join(", ")}]::text[] as key from ${view.logTable} as v ` +
        `where v.batch > ${from} and v.batch <= p.batch limit ${limit}) as q on true`;
      return { text, parameters };
    },
  };
}

/** PostgreSQL's text has no NUL, so that different parts make different texts. */
export function joinKey(parts: readonly (string | null)[]): string {
  return parts.length === 1 ? (parts[0] as string) : parts.join("\0");
}
