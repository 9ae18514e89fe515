/** What is asked of a view whose rows are the edges of a graph, as parameters, and what is answered. */
import { type Conditions, conditionParameters, type Parameter } from "./row-query.ts";

export type Node = string | number;

/** Conditions are those of the edges that are taken. */
export interface EdgesQuery<Row> extends Conditions<Row> {
  /** Along the edges (when left out), against them, or either way. */
  readonly direction?: "out" | "in" | "both";
  /** Only edges with one of these labels. */
  readonly labels?: readonly string[];
  /** Waits until the view has what the token names; the client's own tokens are sent without it. */
  readonly after?: string;
  readonly signal?: AbortSignal;
}

export interface NeighboursQuery<Row> extends EdgesQuery<Row> {
  /** 100 unless said, at most 10,000. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly cursor?: string;
}

export interface Neighbours {
  /** Each node once; `edges` lead there. */
  readonly items: readonly { readonly node: Node; readonly edges: number }[];
  readonly next: string | null;
}

export interface ReachQuery<Row> extends EdgesQuery<Row> {
  /** No farther than so many edges. */
  readonly hops?: number;
  /** Nodes that the walk may meet: 10,000 unless said, at most 100,000. */
  readonly nodes?: number;
}

export interface Reach {
  /** The nearest first. */
  readonly items: readonly { readonly node: Node; readonly hops: number }[];
  /** A bound has ended the walk: there may be more. */
  readonly truncated: boolean;
}

export interface PathQuery<Row> extends ReachQuery<Row> {
  /** The fewest edges (when left out), or the least sum of weights; `hops` goes with the first only. */
  readonly by?: "hops" | "weight";
}

export interface Path<Row> {
  readonly found: boolean;
  /** A bound has ended the walk before a path was found: there may be one. */
  readonly truncated: boolean;
  readonly hops: number | null;
  /** Of a path by weight; a text unless weights are floats. */
  readonly cost: string | number | null;
  readonly nodes: readonly Node[];
  readonly edges: readonly Row[];
}

/** A label with a comma in it is named by a condition of `where`. */
export function edgesParameters<Row>(query: PathQuery<Row> & NeighboursQuery<Row>): Parameter[] {
  const { direction, labels, hops, nodes, by, limit, cursor } = query;
  const named = { direction, label: labels?.join(","), hops, nodes, by, limit, cursor };
  const own = Object.entries(named).flatMap(([name, value]): Parameter[] => {
    return value === undefined ? [] : [[name, String(value)]];
  });
  return [...own, ...conditionParameters(query).map(asFilter)];
}

const parameters = ["of", "from", "to", "by", "direction", "label", "hops", "nodes"];

/** A column that is called like a parameter of a walk stands in double quotes. */
function asFilter([name, value]: Parameter): Parameter {
  return [parameters.includes(name) ? `"${name}"` : name, value];
}
