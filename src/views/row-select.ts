/** What `select` makes of a row: members with names, from columns, places inside them, casts and `*`. */
import { MillraceError } from "../base/errors.ts";
import { type ColumnsOfView, nearestName } from "./row-column.ts";
import { fieldName, fieldOf } from "./row-field.ts";
import type { Parameters } from "./row-filter.ts";
import type { Embedded, Field, Selected, ViewColumn } from "./view-info.ts";

/** One member of a row; `type` is what its form follows. */
export interface Member {
  readonly name: string;
  readonly type: string;
  readonly sql: (alias: string, parameters: Parameters) => string;
}

/** PostgreSQL cuts longer names. */
const nameBytesMax = 63;

/** What a column may be cast to, by the names that people write. */
const castTypes: Readonly<Record<string, string>> = {
  text: "text",
  varchar: "text",
  smallint: "smallint",
  int2: "smallint",
  int: "integer",
  int4: "integer",
  integer: "integer",
  bigint: "bigint",
  int8: "bigint",
  numeric: "numeric",
  decimal: "numeric",
  real: "real",
  float4: "real",
  float8: "double precision",
  "double precision": "double precision",
  bool: "boolean",
  boolean: "boolean",
  date: "date",
  time: "time without time zone",
  timetz: "time with time zone",
  timestamp: "timestamp without time zone",
  timestamptz: "timestamp with time zone",
  interval: "interval",
  json: "json",
  jsonb: "jsonb",
  uuid: "uuid",
  bytea: "bytea",
  inet: "inet",
};

/**
 * The members in their order, each once; `embed` makes those of related views.
 * Throws `COLUMN_UNKNOWN`, `PATH_INVALID`, `REQUEST_INVALID`.
 */
export function membersOf(
  view: ColumnsOfView,
  select: readonly Selected[] | null,
  embed: (embedded: Embedded) => readonly Member[],
): readonly Member[] {
  if (select === null) return view.columns.map((column) => columnMember(view, column));
  const members = new Map<string, { readonly member: Member; readonly from: string }>();
  for (const one of select) {
    for (const [from, member] of expand(view, one, embed)) {
      const known = members.get(member.name);
      if (known === undefined) members.set(member.name, { member, from });
      else if (known.from !== from) throw namedTwice(member.name);
    }
  }
  return [...members.values()].map(({ member }) => member);
}

/** Each member with what it is made from, by which two of the same name are told apart. */
function expand(
  view: ColumnsOfView,
  one: Selected,
  embed: (embedded: Embedded) => readonly Member[],
): [string, Member][] {
  if (typeof one === "string") return [[JSON.stringify(one), memberOf(view, { column: one })]];
  if ("all" in one) return view.columns.map((column) => [JSON.stringify(column.name), columnMember(view, column)]);
  if ("aggregate" in one) {
    throw new MillraceError("REQUEST_INVALID", `${one.aggregate}() stands where rows are not grouped`, {
      hint: "Aggregates are read with /v1/views/{view}?select=…, and in the parentheses of a relation to many rows.",
    });
  }
  if ("relation" in one) return embed(one).map((member) => [JSON.stringify([member.name, one]), member]);
  const plain = one.path === undefined && one.cast === undefined;
  return [[plain ? JSON.stringify(one.column) : JSON.stringify(one), memberOf(view, one)]];
}

function columnMember(view: ColumnsOfView, { name, type }: ViewColumn): Member {
  return { name, type, sql: fieldOf(view, { column: name }).sql };
}

/** Throws `COLUMN_UNKNOWN`, `PATH_INVALID`, `REQUEST_INVALID`. */
export function memberOf(
  view: ColumnsOfView,
  one: Field & { readonly alias?: string; readonly cast?: string },
): Member {
  const field = fieldOf(view, one, "exact");
  const name = one.alias ?? plainName(one);
  if (name === "" || Buffer.byteLength(name) > nameBytesMax || name.includes("\0")) {
    throw new MillraceError(
      "REQUEST_INVALID",
      `a member of a row cannot be named ${JSON.stringify(name.slice(0, 80))}`,
      {
        hint: `A name has 1 to ${nameBytesMax} bytes; write select=name:${fieldName(one).slice(0, 40)}.`,
      },
    );
  }
  if (one.cast === undefined) return { name, type: field.type, sql: field.sql };
  const type = castType(one.cast);
  return { name, type, sql: (alias, parameters) => `(${field.sql(alias, parameters)})::${type}` };
}

/** The last key of a path, as PostgREST names it; a path of indexes only is named as its column. */
function plainName({ column, path }: Field): string {
  return path?.steps.findLast((step) => !/^-?\d+$/.test(step)) ?? column;
}

/** PostgreSQL's name of a type that can be cast to. Throws `REQUEST_INVALID`. */
export function castType(text: string): string {
  const name = text.trim().toLowerCase();
  const type = Object.hasOwn(castTypes, name) ? castTypes[name] : undefined;
  if (type !== undefined) return type;
  const nearest = nearestName(name, Object.keys(castTypes));
  throw new MillraceError("REQUEST_INVALID", `select cannot cast to ${JSON.stringify(text.slice(0, 40))}`, {
    hint:
      nearest === undefined
        ? `It casts to ${[...new Set(Object.values(castTypes))].join(", ")}.`
        : `Did you mean "${nearest}"?`,
  });
}

function namedTwice(name: string): MillraceError {
  return new MillraceError("REQUEST_INVALID", `select has two members named ${JSON.stringify(name)}`, {
    hint: "Rename one of them: select=other:column.",
  });
}
