/**
 * A JSON Schema as a graph: every subschema is a node, and every `$ref` knows its node. Drafts 4, 6, 7, 2019-09 and
 * 2020-12.
 */
import type { LinearRegExp } from "./linear-regexp.ts";

export type Dialect = "draft-04" | "draft-06" | "draft-07" | "2019-09" | "2020-12";

/** A schema with an address of its own: the root, what a reference brings, and every subschema with an `$id`. */
export interface JsonResource {
  readonly uri: string;
  readonly dialect: Dialect;
  readonly anchors: ReadonlyMap<string, JsonNode>;
  readonly dynamicAnchors: ReadonlyMap<string, JsonNode>;
  /** `$recursiveAnchor: true` at its root (2019-09). */
  readonly recursive: boolean;
  readonly root: JsonNode;
}

export interface JsonNode {
  /** `#/properties/x`; with the reference's name before it where the subschema is another text's. */
  readonly at: string;
  /** Of `true` and `false` as schemas; else null. */
  readonly verdict: boolean | null;
  /** As they are written, those of the node's draft only. */
  readonly keywords: ReadonlyMap<string, unknown>;
  readonly resource: JsonResource;
  /** Subschemas by keyword: one, several in order, or several by name. */
  readonly single: ReadonlyMap<string, JsonNode>;
  readonly lists: ReadonlyMap<string, readonly JsonNode[]>;
  readonly maps: ReadonlyMap<string, ReadonlyMap<string, JsonNode>>;
  /** Where `$ref`, `$recursiveRef` and `$dynamicRef` lead without looking at the way that led here. */
  readonly references: ReadonlyMap<string, JsonNode>;
  /** Of `pattern` (under that name) and of `patternProperties` (under the pattern). */
  readonly pattern: LinearRegExp | null;
  readonly propertyPatterns: ReadonlyMap<string, LinearRegExp>;
}

export interface JsonSchemaModel {
  readonly root: JsonNode;
  /** Some node uses `unevaluatedProperties` or `unevaluatedItems`: only then is it worth to note what was evaluated. */
  readonly tracksEvaluated: boolean;
}

const order: readonly Dialect[] = ["draft-04", "draft-06", "draft-07", "2019-09", "2020-12"];

export function atLeast(dialect: Dialect, since: Dialect): boolean {
  return order.indexOf(dialect) >= order.indexOf(since);
}
