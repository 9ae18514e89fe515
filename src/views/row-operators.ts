/**
 * Which operators of a filter a column's type has, so that a wrong one is refused before PostgreSQL is asked, and what
 * they are in SQL. Held against PostgreSQL's own operators by `row-operators.test.ts`.
 */
import { MillraceError } from "../base/errors.ts";
import { baseType, isTextType } from "./row-type.ts";
import type { FilterOperator, ViewColumn } from "./view-info.ts";

/** Operators between a column and a value of its type. */
export const binaryOperators = {
  eq: "=",
  neq: "<>",
  gt: ">",
  gte: ">=",
  lt: "<",
  lte: "<=",
  isdistinct: "is distinct from",
  cs: "@>",
  cd: "<@",
  ov: "&&",
  sl: "<<",
  sr: ">>",
  nxr: "&<",
  nxl: "&>",
  adj: "-|-",
} as const;

/** Operators between a text and a pattern. */
export const patternOperators = { like: "like", ilike: "ilike", match: "~", imatch: "~*" } as const;

/** Full text searches, by the function that reads the query. */
export const searchFunctions = {
  fts: "to_tsquery",
  plfts: "plainto_tsquery",
  phfts: "phraseto_tsquery",
  wfts: "websearch_to_tsquery",
} as const;

/** Of jsonb with an expression of jsonpath: it finds something, or is itself true. */
export const jsonPathOperators = { jsonpath: "@?", jsonmatch: "@@" } as const;

const equal = ["eq", "neq", "in", "isdistinct"] as const;
const ordered = [...equal, "gt", "gte", "lt", "lte"] as const;
const patterns = ["like", "ilike", "match", "imatch"] as const;
const searches = ["fts", "plfts", "phfts", "wfts"] as const;
const contains = ["cs", "cd"] as const;
const paths = ["jsonpath", "jsonmatch"] as const;
const sides = ["sl", "sr", "nxr", "nxl"] as const;

/** By PostgreSQL's name of the type; what is not named here has an order and nothing else. */
const byType: Readonly<Record<string, readonly FilterOperator[]>> = {
  json: [...searches, ...paths],
  jsonb: [...ordered, ...contains, ...searches, ...paths],
  tsvector: [...ordered, ...searches],
  tsquery: [...ordered, ...contains],
  inet: [...ordered, "ov", "sl", "sr"],
  cidr: [...ordered, "ov", "sl", "sr"],
  point: ["neq", "sl", "sr"],
  box: ["eq", "in", "isdistinct", "gt", "gte", "lt", "lte", ...contains, "ov", ...sides],
  circle: [...ordered, ...contains, "ov", ...sides],
  polygon: [...contains, "ov", ...sides],
  lseg: ordered,
  path: ["eq", "in", "isdistinct", "gt", "gte", "lt", "lte"],
  line: ["eq", "in", "isdistinct"],
  xid: equal,
  xml: [],
};
const ofText = [...ordered, ...patterns, ...searches];
const ofArrays = [...ordered, ...contains, "ov"] as const;
const ofRanges = [...ordered, ...contains, "ov", ...sides, "adj"] as const;
/** Elements that arrays can be compared by; an array of others has no operator. */
const withoutEquality = ["json", "xml", "point", "polygon"];
/** Types of PostgreSQL itself that have an order and nothing else. */
const plain = new Set([
  ...["smallint", "integer", "bigint", "numeric", "real", "double precision", "money", "oid", "boolean", "uuid"],
  ...["date", "interval", "bytea", "bit", "bit varying", "macaddr", "macaddr8", "pg_lsn", '"char"'],
  ...["timestamp without time zone", "timestamp with time zone", "time without time zone", "time with time zone"],
]);
/** Of an extension or of a user: PostgreSQL itself says what they have. */
const ofOthers = [...ordered, ...contains, "ov"] as const;

/** All but `is`, which every type has. */
export function operatorsOf(type: string): readonly FilterOperator[] {
  const base = baseType(type);
  const known = Object.hasOwn(byType, base) ? byType[base] : undefined;
  if (known) return known;
  if (isTextType(base)) return ofText;
  if (base.endsWith("[]")) return withoutEquality.includes(base.slice(0, -2)) ? [] : ofArrays;
  if (/^(int4|int8|num|date|ts|tstz)(multi)?range$/.test(base)) return ofRanges;
  return plain.has(base) ? ordered : ofOthers;
}

/** Throws `FILTER_INVALID`, which names the column, its type and the operator. */
export function checkOperator(column: ViewColumn, operator: FilterOperator): void {
  if (operator === "is" || operatorsOf(column.type).includes(operator)) return;
  throw refusedOperator(column, operator, `${column.type} has no such operator`, {
    hint: `It has ${[...operatorsOf(column.type), "is"].join(", ")}.`,
  });
}

/** True for what a path can lead into; types that are not PostgreSQL's own may be composite. */
export function hasParts(type: string): boolean {
  const base = baseType(type);
  if (base === "json" || base === "jsonb" || base.endsWith("[]")) return true;
  return !Object.hasOwn(byType, base) && !isTextType(base) && !plain.has(base) && !base.endsWith("range");
}

export function refusedOperator(
  column: ViewColumn,
  operator: string,
  why: string,
  extra: { readonly hint?: string } = {},
): MillraceError {
  return new MillraceError("FILTER_INVALID", `"${operator}" cannot be used on column "${column.name}": ${why}`, {
    ...extra,
    details: { column: column.name, type: column.type, operator },
  });
}
