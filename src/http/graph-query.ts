/** The query strings of a view's graph: `neighbours`, `reach` and `path`. Other parameters are filters of its edges. Throws `REQUEST_INVALID` and `FILTER_INVALID`. */
import { MillraceError } from "../base/errors.ts";
import type { Filter } from "../views/view-info.ts";
import {
  type Direction,
  type GraphQuery,
  hopsMax,
  nodesMaxDefault,
  nodesMaxHighest,
} from "../views/walk/graph-query.ts";
import { allOf, parseColumnFilter, parseGroupFilter } from "./filter-grammar.ts";
import { parseFindFilters } from "./find-parameters.ts";
import { queryInteger, queryValue } from "./parameters.ts";
import type { QueryParameter } from "./query-string.ts";
import { isGroup, singleParameters, viewParameters } from "./row-query.ts";

type Query = readonly QueryParameter[];

/** Names that are no columns, by kind. */
export const graphParameters = {
  neighbours: ["of", "direction", "label", "limit", "cursor", "after"],
  reach: ["of", "direction", "label", "hops", "nodes", "after"],
  path: ["from", "to", "by", "direction", "label", "hops", "nodes", "after"],
} as const;

const labelsMax = 100;
const neighboursDefault = 100;
const neighboursMax = 10_000;

export function parseNeighbours(query: Query): Extract<GraphQuery, { kind: "neighbours" }> {
  return {
    kind: "neighbours",
    ...asked(query, graphParameters.neighbours),
    of: required(query, "of"),
    limit: queryInteger(query, "limit", { min: 1, max: neighboursMax }) ?? neighboursDefault,
    cursor: queryValue(query, "cursor") ?? null,
  };
}

export function parseReach(query: Query): Extract<GraphQuery, { kind: "reach" }> {
  return {
    kind: "reach",
    ...asked(query, graphParameters.reach),
    of: required(query, "of"),
    hops: queryInteger(query, "hops", { min: 1, max: hopsMax }) ?? null,
    nodesMax: nodes(query),
  };
}

export function parsePath(query: Query): Extract<GraphQuery, { kind: "path" }> {
  const by = oneOf(query, "by", ["hops", "weight"] as const);
  const hops = queryInteger(query, "hops", { min: 1, max: hopsMax });
  if (by === "weight" && hops !== undefined) {
    throw new MillraceError("REQUEST_INVALID", "hops and by=weight cannot be used together", {
      hint: "The cheapest path has as many edges as it has; nodes= bounds how far it is looked for.",
    });
  }
  return {
    kind: "path",
    ...asked(query, graphParameters.path),
    from: required(query, "from"),
    to: required(query, "to"),
    by,
    hops: hops ?? null,
    nodesMax: nodes(query),
  };
}

function asked(query: Query, known: readonly string[]) {
  const repeated = known.find((name) => query.filter((one) => one.name === name).length > 1);
  if (repeated !== undefined) throw new MillraceError("REQUEST_INVALID", `"${repeated}" is given twice`);
  return {
    direction: oneOf<Direction>(query, "direction", ["out", "in", "both"]),
    labels: labels(queryValue(query, "label")),
    filter: edgeFilter(query.filter(({ name }) => !known.includes(name))),
  };
}

/** What reads of rows search by is a filter here as in a live view. */
function edgeFilter(query: Query): Filter | null {
  const own = ["select", "order", "limit", "offset", "cursor"];
  const refused = query.find(({ name }) => own.includes(name));
  if (refused) {
    throw new MillraceError("REQUEST_INVALID", `"${refused.name}" has no meaning here`, {
      hint: `A column of this name is filtered through and=(${refused.name}.eq.…).`,
    });
  }
  const filters: Filter[] = [...parseFindFilters(singleParameters(query))];
  for (const { name, value } of query) {
    if (viewParameters.some((one) => one === name)) continue;
    if (name === "") throw new MillraceError("FILTER_INVALID", "a filter has no column");
    filters.push(isGroup(name) ? parseGroupFilter(name, value) : parseColumnFilter(name, value));
  }
  return allOf(filters);
}

function labels(text: string | undefined): readonly string[] | null {
  if (text === undefined) return null;
  const names = text.split(",");
  if (names.length > labelsMax) throw new MillraceError("REQUEST_INVALID", `label names more than ${labelsMax} labels`);
  return names;
}

function required(query: Query, name: string): string {
  const value = queryValue(query, name);
  if (value !== undefined) return value;
  throw new MillraceError("REQUEST_INVALID", `"${name}" is missing`, { hint: `It names a node: ${name}=7.` });
}

function nodes(query: Query): number {
  return queryInteger(query, "nodes", { min: 1, max: nodesMaxHighest }) ?? nodesMaxDefault;
}

/** The first is the default. */
function oneOf<Value extends string>(query: Query, name: string, values: readonly [Value, ...Value[]]): Value {
  const text = queryValue(query, name);
  if (text === undefined) return values[0];
  const value = values.find((one) => one === text);
  if (value !== undefined) return value;
  throw new MillraceError("REQUEST_INVALID", `${name} is ${JSON.stringify(text.slice(0, 40))}`, {
    hint: `It is ${values.join(" or ")}.`,
  });
}
