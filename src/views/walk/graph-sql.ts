/** Reads of a graph's edges as SQL. Pure; values travel as parameters. */
import { MillraceError } from "../../base/errors.ts";
import { type GraphOption, quote } from "../../catalog/definitions.ts";
import { findIn } from "../find/find-rows.ts";
import { columnOf } from "../row-column.ts";
import { filterSql, Parameters } from "../row-filter.ts";
import { jsonObject } from "../row-json.ts";
import type { ReadableView, Statement } from "../row-sql.ts";
import { baseType } from "../row-type.ts";
import type { Filter, ViewColumn } from "../view-info.ts";
import type { GraphQuery } from "./graph-query.ts";
import { isEdge, kindOf, type NodeKind, nodeType } from "./nodes.ts";

/** A view whose rows are edges. */
export interface GraphView {
  readonly view: ReadableView;
  readonly graph: GraphOption;
  readonly kind: NodeKind;
  /** Nodes are numbers of JSON, and not texts. */
  readonly native: boolean;
}

/** Throws `VIEW_OPTION_MISSING`. */
export function graphOf(view: ReadableView): GraphView {
  const graph = view.reads?.graph;
  if (graph === undefined) throw missing(view.name, "is no graph", '{ from: "follower", to: "followee" }');
  const types = [graph.from, graph.to].map((name) => columnOf(view, name).type);
  return {
    view,
    graph,
    kind: kindOf(graph, view.columns),
    native: types.every((type) => type === "smallint" || type === "integer"),
  };
}

function missing(view: string, what: string, example: string): MillraceError {
  return new MillraceError("VIEW_OPTION_MISSING", `view "${view}" ${what}`, {
    hint: `Add the option graph to its definition: view("${view}", …, { graph: ${example} }).`,
    details: { view, option: "graph" },
  });
}

/** The edges that the query takes, as a filter. Throws `VIEW_OPTION_MISSING`. */
function edgeFilter({ view, graph }: GraphView, { labels, filter }: GraphQuery): Filter | null {
  if (labels === null) return filter;
  if (graph.label === undefined) {
    throw missing(view.name, "has edges without labels", '{ from: "follower", to: "followee", label: "kind" }');
  }
  const label: Filter = { kind: "compare", column: graph.label, operator: "in", values: labels, negated: false };
  return filter === null ? label : { kind: "and", of: [label, filter], negated: false };
}

/** Throws `VIEW_OPTION_MISSING`. */
export function weightOf({ view, graph }: GraphView): ViewColumn {
  if (graph.weight !== undefined) return columnOf(view, graph.weight);
  throw missing(view.name, "has edges without weights", '{ from: "follower", to: "followee", weight: "cost" }');
}

/** What no sum of weights may leave behind: the greatest double precision is about 1.8e308. */
const weightMax = "1e300";

interface Rows {
  readonly from: string;
  readonly where: string;
}

/** Edges between two nodes that the query takes. */
function edgeRows(of: GraphView, query: GraphQuery, parameters: Parameters): Rows {
  const filter = edgeFilter(of, query);
  const view = findIn(of.view, filter, parameters);
  const weighted =
    query.kind === "path" && query.by === "weight" ? [`v.${quote(weightOf(of).name)} <= ${weightMax}`] : [];
  const { near, far } = endsOf(of, "out");
  return {
    from: `${view.publicView} as v`,
    where: [isEdge(of.kind, near, far), ...weighted, filterSql(view, filter, "v", parameters)].join(" and "),
  };
}

/** `(node, next, weight)` of the edges on one side of the nodes, which are the statement's first parameter. */
export function stepsSql(of: GraphView, query: GraphQuery, side: "out" | "in"): Statement {
  const parameters = new Parameters();
  const nodes = parameters.addTexts([], "node");
  const { from, where } = edgeRows(of, query, parameters);
  const { near, far } = endsOf(of, side);
  const weight = query.kind === "path" && query.by === "weight" ? weightOf(of).name : null;
  const weighted = weight === null ? "" : `, v.${quote(weight)}::double precision as weight`;
  const text =
    `select ${near}::text as node, ${far}::text as next${weighted} from ${from} ` +
    `where ${near} = any(${nodes}::${nodeType(of.kind)}[]) and ${where}`;
  return { text, parameters };
}

function endsOf({ graph }: GraphView, side: "out" | "in"): { near: string; far: string } {
  const [from, to] = [`v.${quote(graph.from)}`, `v.${quote(graph.to)}`];
  return side === "out" ? { near: from, far: to } : { near: to, far: from };
}

/** One edge `(from, to)` with a negative weight, if there is one. */
export function negativeSql(of: GraphView, query: GraphQuery): Statement {
  const parameters = new Parameters();
  const { from, where } = edgeRows(of, query, parameters);
  const { near, far } = endsOf(of, "out");
  const weight = `v.${quote(weightOf(of).name)}`;
  const text =
    `select ${near}::text as from, ${far}::text as to from ${from} ` + `where ${weight} < 0 and ${where} limit 1`;
  return { text, parameters };
}

/** Rows `(node, edges)` by node, one more than the limit where there are more. */
export function neighboursSql(
  of: GraphView,
  query: Extract<GraphQuery, { kind: "neighbours" }>,
  node: string,
  after: string | null,
): Statement {
  const parameters = new Parameters();
  const { from, where } = edgeRows(of, query, parameters);
  const at = parameters.addText(node, "of");
  const sides = query.direction === "both" ? (["out", "in"] as const) : [query.direction];
  const parts = sides.map((side, i) => {
    const { near, far } = endsOf(of, side);
    // Either way along an edge that leads back to its own node is one way.
    const once = i === 0 ? "" : ` and ${near} <> ${far}`;
    return `select ${far} as node from ${from} where ${near} = ${at}::${nodeType(of.kind)}${once} and ${where}`;
  });
  const later = after === null ? "" : `where n.node > ${parameters.addText(after, "cursor")}::${nodeType(of.kind)} `;
  const limit = parameters.addNumber(query.limit + 1);
  const text =
    `select n.node::text as node, count(*) as edges from (${parts.join(" union all ")}) as n ${later}` +
    `group by n.node order by n.node limit ${limit}`;
  return { text, parameters };
}

/**
 * Rows `(row, cost)` in the order of the path: for each of its steps one edge, the cheapest where weights are asked for. What
 * does not fit into the bytes is left out.
 */
export function pathSql(
  of: GraphView,
  query: Extract<GraphQuery, { kind: "path" }>,
  nodes: readonly string[],
  bytesMax: number,
): Statement {
  const { view, graph, kind } = of;
  const parameters = new Parameters();
  const [starts, ends] = [nodes.slice(0, -1), nodes.slice(1)];
  const steps = `unnest(${parameters.addTexts(starts, "node")}, ${parameters.addTexts(ends, "node")}) with ordinality as p(f, t, i)`;
  const { from, where } = edgeRows(of, query, parameters);
  const [one, other] = [`v.${quote(graph.from)}`, `v.${quote(graph.to)}`];
  const [start, end] = [`p.f::${nodeType(kind)}`, `p.t::${nodeType(kind)}`];
  const along = `${one} = ${start} and ${other} = ${end}`;
  const against = `${one} = ${end} and ${other} = ${start}`;
  const between = { out: along, in: against, both: `((${along}) or (${against}))` }[query.direction];
  const weight = query.by === "weight" ? `v.${quote(weightOf(of).name)}` : "null::numeric";
  const key = (view.key ?? []).map((name) => `v.${quote(name)}`);
  const order = [...(query.by === "weight" ? [weight] : []), ...key];
  const text =
    `select q.row, q.cost from (select p.i, e.row, (sum(e.weight) over ())::text as cost, ` +
    `sum(octet_length(e.row)) over (order by p.i) as bytes from ${steps} cross join lateral (` +
    `select ${jsonObject(view.columns, "v")} as row, ${weight} as weight from ${from} ` +
    `where ${between} and ${where}${order.length === 0 ? "" : ` order by ${order.join(", ")}`} limit 1) as e) as q ` +
    `where q.bytes <= ${parameters.addNumber(bytesMax)} order by q.i`;
  return { text, parameters };
}

/** A sum of weights as a row would have it: a number where the weights are floats, else a text. */
export function costForm(of: GraphView, cost: string): number | string {
  return ["real", "double precision"].includes(baseType(weightOf(of).type)) ? Number(cost) : cost;
}
