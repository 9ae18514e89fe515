/** What a read asks of a view's options `search`, `fuzzy` and `geo`. */

import type { Polygon } from "./area.ts";

/** Degrees of WGS 84. */
export interface Place {
  readonly lat: number;
  readonly lon: number;
}

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
}

/** Members that searching adds; no column of a view with such options has one of these names. */
export const foundMembers = ["_rank", "_similarity", "_distance", "_highlight", "_geohash", "_tile"] as const;

export const similarThreshold = 0.3;
export const wordSimilarThreshold = 0.6;
