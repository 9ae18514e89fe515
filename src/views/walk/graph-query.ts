/** What is asked of a view whose rows are the edges of a graph, and what is answered. */
import type { Filter, GroupPosition } from "../view-info.ts";

/** Along the edges, against them, or either way. */
export type Direction = "out" | "in" | "both";

interface Asked {
  readonly direction: Direction;
  /** Only edges whose label is one of these; needs `label` in the option. */
  readonly labels: readonly string[] | null;
  /** Only edges that match. */
  readonly filter: Filter | null;
}

export type GraphQuery =
  | (Asked & {
      readonly kind: "neighbours";
      readonly of: string;
      readonly limit: number;
      /** From the `next` of the page before. */
      readonly cursor: string | null;
    })
  | (Asked & {
      readonly kind: "reach";
      readonly of: string;
      /** Null goes as far as it can. */
      readonly hops: number | null;
      readonly nodesMax: number;
    })
  | (Asked & {
      readonly kind: "path";
      readonly from: string;
      readonly to: string;
      /** The fewest edges, or the least sum of weights. */
      readonly by: "hops" | "weight";
      /** Of `by: "hops"`; null goes as far as it can. */
      readonly hops: number | null;
      readonly nodesMax: number;
    });

/** A number where both columns are smallint or integer, else a text. */
export type Node = number | string;

export type GraphAnswer = { readonly position: GroupPosition } & (
  | {
      readonly kind: "neighbours";
      /** By node; `edges` lead there. */
      readonly items: readonly { readonly node: Node; readonly edges: number }[];
      readonly next: string | null;
    }
  | {
      readonly kind: "reach";
      /** By hops; the node that was asked for is not among them. */
      readonly items: readonly { readonly node: Node; readonly hops: number }[];
      /** A bound ended the walk: there may be more. What is there is right. */
      readonly truncated: boolean;
    }
  | {
      readonly kind: "path";
      readonly found: boolean;
      /** A bound ended the walk before a path was found: there may be one. */
      readonly truncated: boolean;
      /** From the one to the other; empty when there is none. */
      readonly nodes: readonly Node[];
      /** JSON texts of the rows that are taken, in order. */
      readonly edges: readonly string[];
      /** The sum of their weights in the form of a row's value, of a path by weight. */
      readonly cost: number | string | null;
    }
);

/** Levels of a walk. */
export const hopsMax = 1_000;
/** Nodes that a walk may meet. */
export const nodesMaxDefault = 10_000;
export const nodesMaxHighest = 100_000;
