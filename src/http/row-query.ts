/** The query string of a view: filters, `order`, `select`, `limit`, `offset`, `cursor`, and what searches. Throws `REQUEST_INVALID` and `FILTER_INVALID`. */
import { MillraceError } from "../base/errors.ts";
import type { Embedded, Filter, RowOptions, RowQuery, Selected } from "../views/view-info.ts";
import { asOf } from "./as-of-parameter.ts";
import { allOf, parseColumnFilter, parseGroupFilter } from "./filter-grammar.ts";
import { findParameters, parseFind, parseFindFilters } from "./find-parameters.ts";
import type { QueryParameter } from "./query-string.ts";
import { windowOf } from "./row-range.ts";
import { embeddedOf, parseOrder, parseSelect } from "./select-grammar.ts";
import { parseSeries, seriesParameters } from "./series-parameters.ts";

/** Names that are no columns. A column of such a name is filtered through `and=(…)`. */
export const viewParameters = [
  "select",
  "order",
  "limit",
  "offset",
  "cursor",
  "after",
  "as_of",
  "stale",
  ...findParameters,
  ...seriesParameters,
] as const;
const groups = ["and", "or", "not.and", "not.or"];

export function isGroup(name: string): boolean {
  return groups.includes(name);
}

const limitDefault = 100;
const offsetMax = 1_000_000_000;
const embeddedRowsMax = 10_000;

/** `range` is the header, which narrows `limit` and `offset`. Throws `RANGE_NOT_SATISFIABLE` too. */
export function parseRowQuery(
  all: readonly QueryParameter[],
  limits: { readonly rowsMax: number },
  range?: string,
): RowQuery {
  const { select, own: parameters } = parseEmbedded(all);
  const single = singleParameters(parameters);
  const cursor = single.get("cursor") ?? null;
  const asked = {
    offset: integer(single, "offset", 0, 0, offsetMax),
    limit: single.has("limit") ? integer(single, "limit", 0, 1, limits.rowsMax) : null,
  };
  const { offset, limit } = windowOf(asked, range);
  if (cursor !== null && single.has("offset")) {
    throw new MillraceError("REQUEST_INVALID", "cursor and offset cannot be used together");
  }
  if (cursor !== null && offset > 0) {
    throw new MillraceError("REQUEST_INVALID", "cursor and Range cannot be used together");
  }
  const { filters, find } = parseFind(single);
  const series = parseSeries(single);
  return {
    filter: parseFilter(parameters, filters),
    order: parseOrder(single.get("order") ?? ""),
    select,
    limit: Math.min(limit ?? limitDefault, limits.rowsMax),
    offset,
    cursor,
    ...staleOf(parameters),
    ...asOfNow(single),
    ...(find === null ? {} : { find }),
    ...(series === null ? {} : { series }),
  };
}

/** For a live view: a filter, `select` and `after=`; other parameters that would be ignored are refused. */
export function parseLiveQuery(parameters: readonly QueryParameter[]): {
  readonly filter: Filter | null;
  readonly select: readonly Selected[] | null;
} {
  const known: readonly string[] = ["after", "select", ...findParameters];
  const refused = parameters.find(({ name }) => !known.includes(name) && viewParameters.some((one) => one === name));
  if (refused) throw new MillraceError("REQUEST_INVALID", `"${refused.name}" has no meaning for a live view`);
  const single = singleParameters(parameters);
  return { filter: parseFilter(parameters, parseFindFilters(single)), select: parseSelect(single.get("select")) };
}

const ofOneRow: RowOptions = { select: null };

/** For one row by its key: `select`, `stale` and `after`. */
export function parseRowOptions(parameters: readonly QueryParameter[]): RowOptions {
  if (parameters.length === 0) return ofOneRow;
  const refused = parameters.find(({ name }) => !["after", "as_of", "select", "stale"].includes(name));
  if (refused) {
    throw new MillraceError("REQUEST_INVALID", `"${refused.name}" has no meaning for one row`, {
      hint: "Filters belong to /v1/views/{view}.",
    });
  }
  const single = singleParameters(parameters);
  return { select: parseSelect(single.get("select")), ...staleOf(parameters), ...asOf(single.get("as_of")) };
}

/** What searches has indexes of what is there now. Throws `REQUEST_INVALID`. */
function asOfNow(single: ReadonlyMap<string, string>): ReturnType<typeof asOf> {
  const searched = single.has("as_of") ? findParameters.find((name) => single.has(name)) : undefined;
  if (searched === undefined) return asOf(single.get("as_of"));
  throw new MillraceError("REQUEST_INVALID", `"${searched}" has no meaning beside as_of`, {
    hint: "What was there at a moment is filtered by columns.",
  });
}

/** `stale=ok`. Throws `REQUEST_INVALID`. */
function staleOf(parameters: readonly QueryParameter[]): { readonly stale?: true } {
  const value = singleParameters(parameters).get("stale");
  return value === undefined ? {} : checkedStale(value);
}

/** Throws `REQUEST_INVALID`. */
export function checkedStale(value: unknown): { readonly stale: true } {
  if (value === "ok") return { stale: true };
  throw new MillraceError("REQUEST_INVALID", `stale is ${JSON.stringify(value)?.slice(0, 40)}`, {
    hint: "stale=ok reads the last good state of a view that failed; a column of that name is filtered by and=(stale.eq.true).",
  });
}

/** The selection with what parameters say of its relations (`lines.order=…`, `lines.sku=eq.a`), and those that are left. */
function parseEmbedded(parameters: readonly QueryParameter[]): {
  readonly select: readonly Selected[] | null;
  readonly own: readonly QueryParameter[];
} {
  return narrow(parseSelect(parameters.find(({ name }) => name === "select")?.value), parameters);
}

function narrow(
  select: readonly Selected[] | null,
  parameters: readonly QueryParameter[],
): { readonly select: readonly Selected[] | null; readonly own: readonly QueryParameter[] } {
  const embedded = embeddedOf(select);
  if (embedded.length === 0) return { select, own: parameters };
  const own = new Set(parameters);
  const narrowed = new Map<Selected, Embedded>();
  for (const one of embedded) {
    const prefix = `${one.alias ?? one.relation}.`;
    const of = parameters.filter((parameter) => own.has(parameter) && parameter.name.startsWith(prefix));
    const presence = parameters.filter(({ name, value }) => `${name}.` === prefix && /^(not\.)?is\.null$/.test(value));
    for (const parameter of [...of, ...presence]) own.delete(parameter);
    narrowed.set(
      one,
      embeddedBy(
        one,
        of.map(({ name, value }) => ({ name: name.slice(prefix.length), value })),
        presence.map(({ value }) => value === "is.null"),
      ),
    );
  }
  return { select: select?.map((one) => narrowed.get(one) ?? one) ?? null, own: [...own] };
}

/** `absent` has what was said of the relation itself: `customer=is.null` and `customer=not.is.null`. */
function embeddedBy(embedded: Embedded, parameters: readonly QueryParameter[], absent: readonly boolean[]): Embedded {
  const { select, own } = narrow(embedded.select, parameters);
  const known = ["order", "limit", "offset"];
  const name = embedded.alias ?? embedded.relation;
  const refused = own.find((one) => viewParameters.some((two) => two === one.name) && !known.includes(one.name));
  if (refused) throw new MillraceError("REQUEST_INVALID", `"${name}.${refused.name}" has no meaning`);
  const single = singleParameters(own);
  return {
    ...embedded,
    select,
    inner: embedded.inner || absent.includes(false),
    ...(absent.includes(true) ? { absent: true } : {}),
    filter: parseFilter(own, []),
    order: parseOrder(single.get("order") ?? ""),
    limit: single.has("limit") ? integer(single, "limit", 0, 1, embeddedRowsMax) : null,
    offset: integer(single, "offset", 0, 0, offsetMax),
  };
}

function parseFilter(parameters: readonly QueryParameter[], found: readonly Filter[]): Filter | null {
  const filters: Filter[] = [...found];
  for (const { name, value } of parameters) {
    if (viewParameters.some((one) => one === name)) continue;
    if (name === "") throw new MillraceError("FILTER_INVALID", "a filter has no column");
    filters.push(isGroup(name) ? parseGroupFilter(name, value) : parseColumnFilter(name, value));
  }
  return allOf(filters);
}

export function singleParameters(parameters: readonly QueryParameter[]): Map<string, string> {
  const single = new Map<string, string>();
  for (const { name, value } of parameters) {
    if (!viewParameters.some((one) => one === name)) continue;
    if (single.has(name)) throw new MillraceError("REQUEST_INVALID", `"${name}" is given twice`);
    single.set(name, value);
  }
  return single;
}

function integer(single: ReadonlyMap<string, string>, name: string, fallback: number, min: number, max: number) {
  const text = single.get(name);
  if (text === undefined) return fallback;
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new MillraceError("REQUEST_INVALID", `${name} is ${JSON.stringify(text.slice(0, 40))}`, {
      hint: `It is a whole number from ${min} to ${max}.`,
    });
  }
  return value;
}
