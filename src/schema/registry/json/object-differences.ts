/** Differences of objects: members, which of them are required, and what is said of members that are not named. */
import { pointerStep } from "../json-text.ts";
import { isCompatible, type JsonDifference } from "./json-difference-kinds.ts";
import type { JsonComparison } from "./json-differences.ts";
import type { JsonNode } from "./json-node.ts";
import { compareLimit } from "./scalar-differences.ts";

export function compareObjects(compare: JsonComparison, writer: JsonNode, reader: JsonNode): JsonDifference[] {
  return [
    ...compareRequired(compare, writer, reader),
    ...compareProperties(compare, writer, reader),
    ...compareDependencies(compare, writer, reader),
    ...compareRest(compare, writer, reader, "additionalProperties", "ADDITIONAL_PROPERTIES"),
    ...compareUnevaluated(compare, writer, reader, "unevaluatedProperties", "UNEVALUATED_PROPERTIES"),
    ...compareLimit(writer, reader, "maxProperties", "MAX_PROPERTIES"),
    ...compareLimit(writer, reader, "minProperties", "MIN_PROPERTIES"),
  ];
}

function compareRequired(compare: JsonComparison, writer: JsonNode, reader: JsonNode): JsonDifference[] {
  const found: JsonDifference[] = [];
  const [before, after] = [requiredOf(writer), requiredOf(reader)];
  for (const name of writer.maps.get("properties")?.keys() ?? []) {
    const kept = reader.maps.get("properties")?.get(name);
    if (kept === undefined || before.has(name) === after.has(name)) continue;
    const filled = compare.view(kept).hasDefault;
    const added = filled ? "REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED" : "REQUIRED_ATTRIBUTE_ADDED";
    found.push({ kind: after.has(name) ? added : "REQUIRED_ATTRIBUTE_REMOVED", path: `required${pointerStep(name)}` });
  }
  // Confluent's rule looks at declared members only; data without such a member could not be read all the same.
  for (const name of after) {
    if (before.has(name) || reader.maps.get("properties")?.has(name)) continue;
    found.push({ kind: "REQUIRED_ATTRIBUTE_ADDED", path: `required${pointerStep(name)}` });
  }
  return found;
}

function requiredOf(node: JsonNode): ReadonlySet<string> {
  const required = node.keywords.get("required");
  return new Set(Array.isArray(required) ? (required as string[]) : []);
}

function compareProperties(compare: JsonComparison, writer: JsonNode, reader: JsonNode): JsonDifference[] {
  const before = writer.maps.get("properties") ?? new Map<string, JsonNode>();
  const after = reader.maps.get("properties") ?? new Map<string, JsonNode>();
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name): readonly JsonDifference[] => {
    const [old, now] = [before.get(name), after.get(name)];
    const path = `properties${pointerStep(name)}`;
    if (old !== undefined && now !== undefined) return compare.nodes(old, now, path);
    if (old !== undefined) return removedProperty(compare, old, reader, name, path);
    return now === undefined ? [] : addedProperty(compare, writer, now, name, requiredOf(reader).has(name), path);
  });
}

/** The reader's content model decides what becomes of a member that it does not name. */
function removedProperty(
  compare: JsonComparison,
  old: JsonNode,
  reader: JsonNode,
  name: string,
  path: string,
): readonly JsonDifference[] {
  if (isOpen(compare, reader)) return [{ kind: "PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL", path }];
  const cover = schemaOfOthers(compare, reader, name);
  if (cover !== undefined) {
    const found = compare.nodes(old, cover, path);
    const verdict = isCompatible(found) ? "IS_COVERED" : "NOT_COVERED";
    return [...found, { kind: `PROPERTY_REMOVED_${verdict}_BY_PARTIALLY_OPEN_CONTENT_MODEL`, path }];
  }
  const never = compare.view(old).kind === "false";
  const kind = never
    ? "PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL"
    : "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL";
  return [{ kind, path }];
}

/** The writer's content model decides what a member may have been that it does not name. */
function addedProperty(
  compare: JsonComparison,
  writer: JsonNode,
  now: JsonNode,
  name: string,
  required: boolean,
  path: string,
): readonly JsonDifference[] {
  const filled = compare.view(now).hasDefault;
  const place = isOpen(compare, writer) ? "OPEN" : "UNOPEN";
  const added = required ? `REQUIRED_PROPERTY${filled ? "_WITH_DEFAULT" : ""}_ADDED` : "OPTIONAL_PROPERTY_ADDED";
  const told: JsonDifference = { kind: `${added}_TO_${place}_CONTENT_MODEL`, path };
  if (place === "OPEN") {
    if (compare.view(now).kind !== "empty") return [told];
    return [{ kind: "PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL", path }];
  }
  const cover = schemaOfOthers(compare, writer, name);
  if (cover === undefined) return [told];
  const found = compare.nodes(cover, now, path);
  const verdict = isCompatible(found) ? "IS_COVERED" : "NOT_COVERED";
  return [...found, { kind: `PROPERTY_ADDED_${verdict}_BY_PARTIALLY_OPEN_CONTENT_MODEL`, path }, told];
}

/** Members that are not named may be anything. */
function isOpen(compare: JsonComparison, node: JsonNode): boolean {
  const others = node.single.get("additionalProperties");
  if (others !== undefined && others.verdict !== true) return false;
  if ((node.maps.get("patternProperties")?.size ?? 0) > 0) return false;
  const rest = node.single.get("unevaluatedProperties");
  return rest === undefined || compare.view(rest).kind === "empty";
}

/** What a member must be that is not named, where a schema says so. */
function schemaOfOthers(compare: JsonComparison, node: JsonNode, name: string): JsonNode | undefined {
  for (const [pattern, schema] of node.maps.get("patternProperties") ?? []) {
    if (node.propertyPatterns.get(pattern)?.test(name, compare.budget)) return schema;
  }
  const others = node.single.get("additionalProperties");
  if (others !== undefined) return others.verdict === null ? others : undefined;
  const rest = node.single.get("unevaluatedProperties");
  if (rest === undefined) return undefined;
  const { kind } = compare.view(rest);
  return kind === "false" || kind === "empty" ? undefined : rest;
}

/** Of `additionalProperties` and its like: `true` and an absent keyword are the same. */
export function compareRest(
  compare: JsonComparison,
  writer: JsonNode,
  reader: JsonNode,
  keyword: string,
  kind: string,
): readonly JsonDifference[] {
  const [before, after] = [writer.single.get(keyword), reader.single.get(keyword)];
  const [was, is] = [before?.verdict !== false, after?.verdict !== false];
  if (was !== is) return [{ kind: `${kind}_${is ? "ADDED" : "REMOVED"}`, path: keyword }];
  if (!is) return [];
  const [old, now] = [before?.verdict === true ? undefined : before, after?.verdict === true ? undefined : after];
  if (old === undefined) return now === undefined ? [] : [{ kind: `${kind}_NARROWED`, path: keyword }];
  return now === undefined ? [{ kind: `${kind}_EXTENDED`, path: keyword }] : compare.nodes(old, now, keyword);
}

export function compareUnevaluated(
  compare: JsonComparison,
  writer: JsonNode,
  reader: JsonNode,
  keyword: string,
  kind: string,
): readonly JsonDifference[] {
  const [before, after] = [writer.single.get(keyword), reader.single.get(keyword)];
  if (before === undefined && after === undefined) return [];
  const model = (node: JsonNode | undefined): "absent" | "empty" | "false" | "schema" => {
    if (node === undefined) return "absent";
    const view = compare.view(node).kind;
    return view === "empty" || view === "false" ? view : "schema";
  };
  const [old, now] = [model(before), model(after)];
  if ((old === "false") !== (now === "false")) {
    return [{ kind: `${kind}_${now === "false" ? "REMOVED" : "ADDED"}`, path: keyword }];
  }
  if (old === "absent" || (old === "empty" && now === "schema")) return [{ kind: `${kind}_NARROWED`, path: keyword }];
  if (now === "absent" || (now === "empty" && old === "schema")) return [{ kind: `${kind}_EXTENDED`, path: keyword }];
  return compare.nodes(before, after, keyword);
}

function compareDependencies(compare: JsonComparison, writer: JsonNode, reader: JsonNode): JsonDifference[] {
  const found: JsonDifference[] = [];
  const [namesBefore, namesAfter] = [neededNames(writer), neededNames(reader)];
  for (const name of new Set([...namesBefore.keys(), ...namesAfter.keys()])) {
    const kind = neededKind(namesBefore.get(name), namesAfter.get(name));
    if (kind !== null) found.push({ kind, path: `dependencies${pointerStep(name)}` });
  }
  const [before, after] = [neededSchemas(writer), neededSchemas(reader)];
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const path = `dependencies${pointerStep(name)}`;
    const [old, now] = [before.get(name), after.get(name)];
    if (now === undefined) found.push({ kind: "DEPENDENCY_SCHEMA_REMOVED", path });
    else if (old === undefined) found.push({ kind: "DEPENDENCY_SCHEMA_ADDED", path });
    else found.push(...compare.nodes(old, now, path));
  }
  return found;
}

function neededKind(before: ReadonlySet<string> | undefined, after: ReadonlySet<string> | undefined): string | null {
  if (after === undefined) return "DEPENDENCY_ARRAY_REMOVED";
  if (before === undefined) return "DEPENDENCY_ARRAY_ADDED";
  const [extended, narrowed] = [before.isSubsetOf(after), after.isSubsetOf(before)];
  if (extended && narrowed) return null;
  return extended ? "DEPENDENCY_ARRAY_EXTENDED" : narrowed ? "DEPENDENCY_ARRAY_NARROWED" : "DEPENDENCY_ARRAY_CHANGED";
}

function neededNames(node: JsonNode): Map<string, ReadonlySet<string>> {
  const found = new Map<string, ReadonlySet<string>>();
  for (const keyword of ["dependencies", "dependentRequired"]) {
    for (const [name, needed] of Object.entries((node.keywords.get(keyword) ?? {}) as object)) {
      if (Array.isArray(needed)) found.set(name, new Set(needed as string[]));
    }
  }
  return found;
}

function neededSchemas(node: JsonNode): Map<string, JsonNode> {
  return new Map([...(node.maps.get("dependencies") ?? []), ...(node.maps.get("dependentSchemas") ?? [])]);
}
