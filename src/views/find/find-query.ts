/** What a read asks of a view's options `search`, `fuzzy`, `geo` and `tree`. */

import type { Polygon } from "./area.ts";

/** Degrees of WGS 84. */
export interface Place {
  readonly lat: number;
  readonly lon: number;
}

/** What is asked of a row's path: where it stands by another one's, or a pattern of PostgreSQL's `ltree` that it meets. */
export type TreeQuestion =
  /** `levels` are counted from the path, which is level 0; all when left out. */
  | { readonly is: "below"; readonly path: string; readonly levels?: { readonly least: number; readonly most: number } }
  /** With `self` also at the path itself. */
  | { readonly is: "above"; readonly path: string; readonly self: boolean }
  | { readonly is: "lquery" | "ltxtquery"; readonly text: string };

/** Terms of a filter, beside the comparisons of columns. */
export type FindFilter =
  | {
      readonly kind: "search";
      /** As `websearch_to_tsquery` reads it; a `*` at its end makes the last word a prefix. */
      readonly text: string;
      readonly negated: boolean;
    }
  | {
      readonly kind: "similar";
      readonly column: string;
      readonly text: string;
      /** The text resembles a part of the column's. */
      readonly part: boolean;
      /** From 0 to 1. */
      readonly threshold: number;
      readonly negated: boolean;
    }
  | { readonly kind: "within"; readonly center: Place; readonly metres: number; readonly negated: boolean }
  | {
      readonly kind: "box";
      readonly south: number;
      readonly north: number;
      /** West is greater than east in a box across the antimeridian. */
      readonly west: number;
      readonly east: number;
      readonly negated: boolean;
    }
  /** In one of the polygons. */
  | { readonly kind: "area"; readonly polygons: readonly Polygon[]; readonly negated: boolean }
  | {
      readonly kind: "tile";
      readonly zoom: number;
      readonly x: number;
      readonly y: number;
      readonly negated: boolean;
    }
  /** Without a column it is of the view's only tree. */
  | {
      readonly kind: "tree";
      readonly column: string | null;
      readonly question: TreeQuestion;
      readonly negated: boolean;
    };

/** What a read adds to rows: members that can be selected and ordered by. */
export interface FindQuery {
  /** Adds `_rank`. */
  readonly search?: string;
  /** Asks what may have been meant, where `search` finds nothing. */
  readonly suggest?: true;
  /** Adds `_distance`, in metres. */
  readonly near?: Place;
  /** Adds `_highlight`: these columns with the words of `search` marked. */
  readonly highlight?: readonly string[];
  /** Adds `_geohash` of so many characters. */
  readonly geohash?: number;
  /** Adds `_tile`, as `zoom/x/y`. */
  readonly zoom?: number;
  /** Adds `_depth`, and `_tree` to order by; without a column those of the view's only tree. */
  readonly tree?: { readonly column: string | null };
}

/** Members that searching adds; no column of a view with such options has one of these names. */
export const foundMembers = ["_rank", "_similarity", "_distance", "_highlight", "_geohash", "_tile"] as const;

/** Members that reading a tree adds; the same holds for a view with one. */
export const treeMembers = ["_depth", "_tree"] as const;

export const similarThreshold = 0.3;
export const wordSimilarThreshold = 0.6;
