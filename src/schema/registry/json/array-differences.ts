/** Differences of arrays: items that have a place, and what is said of the rest. */
import { isCompatible, type JsonDifference } from "./json-difference-kinds.ts";
import type { JsonComparison } from "./json-differences.ts";
import type { JsonNode } from "./json-node.ts";
import { compareRest, compareUnevaluated } from "./object-differences.ts";
import { compareLimit } from "./scalar-differences.ts";

export function compareArrays(compare: JsonComparison, writer: JsonNode, reader: JsonNode): JsonDifference[] {
  const unique = [writer, reader].map((node) => node.keywords.get("uniqueItems") === true);
  const found: JsonDifference[] = [
    ...compare.nodes(allItems(writer), allItems(reader), "items"),
    ...comparePlaces(compare, writer, reader),
    ...compareRest(compare, withRest(writer), withRest(reader), "additionalItems", "ADDITIONAL_ITEMS"),
    ...compareUnevaluated(compare, writer, reader, "unevaluatedItems", "UNEVALUATED_ITEMS"),
    ...compareLimit(writer, reader, "maxItems", "MAX_ITEMS"),
    ...compareLimit(writer, reader, "minItems", "MIN_ITEMS"),
  ];
  if (unique[0] !== unique[1]) {
    found.push({ kind: unique[0] ? "UNIQUE_ITEMS_REMOVED" : "UNIQUE_ITEMS_ADDED", path: "uniqueItems" });
  }
  found.push(...compareLimit(writer, reader, "maxContains", "MAX_CONTAINS"));
  found.push(...compareLimit(writer, reader, "minContains", "MIN_CONTAINS"));
  return found;
}

/** Items with a place of their own: `prefixItems`, or the array form of `items`. */
function places(node: JsonNode): readonly JsonNode[] {
  return node.lists.get("prefixItems") ?? node.lists.get("items") ?? [];
}

/** The schema of every item, where none has a place. */
function allItems(node: JsonNode): JsonNode | undefined {
  const items = node.single.get("items");
  return node.lists.has("prefixItems") || items?.verdict !== null ? undefined : items;
}

/** Of the items past those with a place: `items` beside `prefixItems`, or a verdict, is what `additionalItems` was before. */
function rest(node: JsonNode): JsonNode | undefined {
  const items = node.single.get("items");
  const isRest = node.lists.has("prefixItems") || (items !== undefined && items.verdict !== null);
  return isRest ? items : node.single.get("additionalItems");
}

function withRest(node: JsonNode): JsonNode {
  const others = rest(node);
  const single = new Map(node.single);
  if (others === undefined) single.delete("additionalItems");
  else single.set("additionalItems", others);
  return { ...node, single };
}

function comparePlaces(compare: JsonComparison, writer: JsonNode, reader: JsonNode): readonly JsonDifference[] {
  const [before, after] = [places(writer), places(reader)];
  const found: JsonDifference[] = [];
  for (let i = 0; i < Math.max(before.length, after.length); i++) {
    const [old, now] = [before[i], after[i]];
    const path = `items/${i}`;
    if (old !== undefined && now !== undefined) found.push(...compare.nodes(old, now, path));
    else if (old !== undefined) found.push(...removedItem(compare, old, reader, path));
    else if (now !== undefined) found.push(...addedItem(compare, writer, now, path));
  }
  return found;
}

function removedItem(
  compare: JsonComparison,
  old: JsonNode,
  reader: JsonNode,
  path: string,
): readonly JsonDifference[] {
  if (isOpen(compare, reader)) return [{ kind: "ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL", path }];
  const cover = schemaOfOthers(compare, reader);
  if (cover !== undefined) return covered(compare.nodes(old, cover, path), "REMOVED", path);
  const never = compare.view(old).kind === "false";
  return [{ kind: `ITEM_${never ? "WITH_FALSE_" : ""}REMOVED_FROM_CLOSED_CONTENT_MODEL`, path }];
}

function addedItem(compare: JsonComparison, writer: JsonNode, now: JsonNode, path: string): readonly JsonDifference[] {
  if (isOpen(compare, writer)) {
    const anything = compare.view(now).kind === "empty";
    return [{ kind: `ITEM_${anything ? "WITH_EMPTY_SCHEMA_" : ""}ADDED_TO_OPEN_CONTENT_MODEL`, path }];
  }
  const cover = schemaOfOthers(compare, writer);
  if (cover !== undefined) return covered(compare.nodes(cover, now, path), "ADDED", path);
  return [{ kind: "ITEM_ADDED_TO_CLOSED_CONTENT_MODEL", path }];
}

function covered(found: readonly JsonDifference[], what: "ADDED" | "REMOVED", path: string): JsonDifference[] {
  const verdict = isCompatible(found) ? "IS_COVERED" : "NOT_COVERED";
  return [...found, { kind: `ITEM_${what}_${verdict}_BY_PARTIALLY_OPEN_CONTENT_MODEL`, path }];
}

function isOpen(compare: JsonComparison, node: JsonNode): boolean {
  const others = rest(node);
  if (others !== undefined && others.verdict !== true) return false;
  const unevaluated = node.single.get("unevaluatedItems");
  return unevaluated === undefined || compare.view(unevaluated).kind === "empty";
}

function schemaOfOthers(compare: JsonComparison, node: JsonNode): JsonNode | undefined {
  const others = rest(node);
  if (others !== undefined) return others.verdict === null ? others : undefined;
  const unevaluated = node.single.get("unevaluatedItems");
  if (unevaluated === undefined) return undefined;
  const { kind } = compare.view(unevaluated);
  return kind === "false" || kind === "empty" ? undefined : unevaluated;
}
