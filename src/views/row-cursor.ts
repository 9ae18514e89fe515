/**
 * Orders that are total, and keyset pagination: a cursor is the place of a row in a total order, so that the page after
 * it is found by comparison and neither repeats nor skips rows that stood still. To a client it is opaque: base64url of
 * JSON `[1, <order>, [<text or null> …]]`.
 */
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import { contentColumn, copyColumn } from "./compiled-view.ts";
import type { ColumnsOfView } from "./row-column.ts";
import { type FieldExpression, fieldOf } from "./row-field.ts";
import type { Parameters } from "./row-filter.ts";
import { fieldBehind, type RelatedView } from "./row-relations.ts";
import type { RowQuery } from "./view-info.ts";

/** One column of a total order, or a place inside one. */
export interface OrderPart {
  readonly column: FieldExpression;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

interface KeyedView extends ColumnsOfView {
  readonly key: readonly string[] | null;
  readonly related?: RelatedView["related"];
}

const cursorVersion = 1;
const cursorLengthMax = 65_536;

/** An order made total by the key, or by what tells rows without one apart. Throws `COLUMN_UNKNOWN`, `PATH_INVALID`, and what relations throw. */
export function totalOrder(view: KeyedView, order: RowQuery["order"]): OrderPart[] {
  const parts: OrderPart[] = [];
  for (const { descending, nulls, relation, ...field } of order) {
    const column = relation === undefined ? fieldOf(view, field) : fieldBehind(view, relation, field);
    if (parts.some((part) => part.column.name === column.name)) continue;
    parts.push({ column, descending, nullsFirst: nulls === null ? descending : nulls === "first" });
  }
  const rest = keyOrder(view).filter((part) => !parts.some((one) => one.column.name === part.column.name));
  return [...parts, ...rest];
}

export function keyOrder(view: KeyedView): OrderPart[] {
  const columns = view.key?.map((column) => fieldOf(view, { column })) ?? hiddenFields;
  return columns.map((column) => ({ column, descending: false, nullsFirst: false }));
}

const hiddenFields: readonly FieldExpression[] = [
  hiddenField(contentColumn, "bytea"),
  hiddenField(copyColumn, "bigint"),
];

function hiddenField(name: string, type: string): FieldExpression {
  return { name, type, nullable: false, sql: (alias) => `${alias}.${quote(name)}` };
}

export function orderSql(order: readonly OrderPart[], alias: string, parameters: Parameters): string {
  if (order.length === 0) return "";
  const parts = order.map((part) => {
    const nulls = part.nullsFirst === part.descending ? "" : part.nullsFirst ? " nulls first" : " nulls last";
    return `${part.column.sql(alias, parameters)}${part.descending ? " desc" : ""}${nulls}`;
  });
  return `order by ${parts.join(", ")}`;
}

export function encodeCursor(order: readonly OrderPart[], values: readonly (string | null)[]): string {
  return Buffer.from(JSON.stringify([cursorVersion, signature(order), values])).toString("base64url");
}

/** The values of the row to continue after, by column of the order. Throws `TOKEN_INVALID`, also for a cursor of another order. */
export function decodeCursor(order: readonly OrderPart[], cursor: string): (string | null)[] {
  const parsed = parse(cursor);
  if (!Array.isArray(parsed) || parsed[0] !== cursorVersion || parsed.length !== 3) throw invalid("is none of ours");
  const [, of, values] = parsed as unknown[];
  if (of !== signature(order)) throw invalid("belongs to another order or another view");
  const right = Array.isArray(values) && values.length === order.length;
  if (!right || !values.every((one) => one === null || (typeof one === "string" && !one.includes("\0")))) {
    throw invalid("is none of ours");
  }
  return values;
}

/** A condition that holds for the rows after the cursor's, in this order. */
export function afterSql(
  order: readonly OrderPart[],
  values: readonly (string | null)[],
  alias: string,
  parameters: Parameters,
): string {
  const parts = order.map((part, i) => {
    const value = values[i] ?? null;
    return {
      ...part,
      name: part.column.sql(alias, parameters),
      placeholder: value === null ? null : parameters.add("cursor", part.column, value),
    };
  });
  const first = parts[0];
  // A row comparison is what an index over the columns can be searched with.
  const uniform = parts.every((part) => !part.column.nullable && part.descending === first?.descending);
  if (first && uniform && parts.every((part) => part.placeholder !== null)) {
    const names = parts.map((part) => part.name).join(", ");
    const placeholders = parts.map((part) => part.placeholder).join(", ");
    return `(${names}) ${first.descending ? "<" : ">"} (${placeholders})`;
  }
  const terms: string[] = [];
  for (const [i, part] of parts.entries()) {
    const equal = parts
      .slice(0, i)
      .map((one) => `${one.name} ${one.placeholder === null ? "is null" : `= ${one.placeholder}`}`);
    terms.push([...equal, strictlyAfter(part)].join(" and "));
  }
  return terms.length === 0 ? "false" : `(${terms.map((term) => `(${term})`).join(" or ")})`;
}

function strictlyAfter(part: OrderPart & { readonly name: string; readonly placeholder: string | null }): string {
  if (part.placeholder === null) return part.nullsFirst ? `${part.name} is not null` : "false";
  const beyond = `${part.name} ${part.descending ? "<" : ">"} ${part.placeholder}`;
  return part.nullsFirst || !part.column.nullable ? beyond : `(${beyond} or ${part.name} is null)`;
}

function signature(order: readonly OrderPart[]): string {
  return order
    .map((part) => `${JSON.stringify(part.column.name)}${part.descending ? "-" : "+"}${part.nullsFirst ? "f" : "l"}`)
    .join(",");
}

function parse(cursor: string): unknown {
  if (cursor.length > cursorLengthMax || !/^[A-Za-z0-9_-]+$/.test(cursor)) throw invalid("is none of ours");
  try {
    return JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    throw invalid("is none of ours");
  }
}

function invalid(why: string): MillraceError {
  return new MillraceError("TOKEN_INVALID", `the page's cursor ${why}`, {
    hint: "Follow the link to the next page as it was answered, or begin with the first page.",
  });
}
