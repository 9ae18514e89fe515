/** Differences of strings, numbers and fixed values. */
import type { WorkBudget } from "../schema-limits.ts";
import type { JsonDifference } from "./json-difference-kinds.ts";
import type { JsonNode } from "./json-node.ts";
import { equalityText, isMultiple } from "./json-value.ts";
import type { PlainView } from "./json-view.ts";

/** `MAX_LENGTH` and the keyword `maxLength`: added, removed, increased or decreased. */
export function compareLimit(writer: JsonNode, reader: JsonNode, keyword: string, kind: string): JsonDifference[] {
  return limitDifference(writer.keywords.get(keyword), reader.keywords.get(keyword), keyword, kind);
}

function limitDifference(before: unknown, after: unknown, path: string, kind: string): JsonDifference[] {
  if (typeof before !== "number") return typeof after === "number" ? [{ kind: `${kind}_ADDED`, path }] : [];
  if (typeof after !== "number") return [{ kind: `${kind}_REMOVED`, path }];
  if (before === after) return [];
  return [{ kind: `${kind}_${before < after ? "INCREASED" : "DECREASED"}`, path }];
}

export function compareStrings(writer: JsonNode, reader: JsonNode): JsonDifference[] {
  const found = [
    ...compareLimit(writer, reader, "maxLength", "MAX_LENGTH"),
    ...compareLimit(writer, reader, "minLength", "MIN_LENGTH"),
  ];
  const before = writer.keywords.get("pattern");
  const after = reader.keywords.get("pattern");
  if (before !== after) {
    const kind = before === undefined ? "PATTERN_ADDED" : after === undefined ? "PATTERN_REMOVED" : "PATTERN_CHANGED";
    found.push({ kind, path: "pattern" });
  }
  return found;
}

export function compareNumbers(writer: PlainView, reader: PlainView): JsonDifference[] {
  const found: JsonDifference[] = [];
  for (const [keyword, exclusive, kind] of [
    ["maximum", "exclusiveMaximum", "MAXIMUM"],
    ["minimum", "exclusiveMinimum", "MINIMUM"],
  ] as const) {
    const before = bounds(writer.node, keyword, exclusive);
    const after = bounds(reader.node, keyword, exclusive);
    found.push(...limitDifference(before.inclusive, after.inclusive, keyword, kind));
    found.push(...limitDifference(before.exclusive, after.exclusive, exclusive, `EXCLUSIVE_${kind}`));
  }
  found.push(...compareUnits(writer.node.keywords.get("multipleOf"), reader.node.keywords.get("multipleOf")));
  if (writer.integer !== reader.integer)
    found.push({ kind: writer.integer ? "TYPE_EXTENDED" : "TYPE_NARROWED", path: "" });
  return found;
}

/** Draft 4 says by a boolean that a limit is exclusive. */
function bounds(node: JsonNode, keyword: string, exclusive: string) {
  const limit = node.keywords.get(keyword);
  const beyond = node.keywords.get(exclusive);
  if (typeof beyond !== "boolean") return { inclusive: limit, exclusive: beyond };
  return beyond ? { inclusive: undefined, exclusive: limit } : { inclusive: limit, exclusive: undefined };
}

function compareUnits(before: unknown, after: unknown): JsonDifference[] {
  const path = "multipleOf";
  if (typeof before !== "number") return typeof after === "number" ? [{ kind: "MULTIPLE_OF_ADDED", path }] : [];
  if (typeof after !== "number") return [{ kind: "MULTIPLE_OF_REMOVED", path }];
  if (before === after) return [];
  if (isMultiple(after, before)) return [{ kind: "MULTIPLE_OF_EXPANDED", path }];
  return [{ kind: isMultiple(before, after) ? "MULTIPLE_OF_REDUCED" : "MULTIPLE_OF_CHANGED", path }];
}

/** Of `enum` and `const`. */
export function compareValues(writer: PlainView, reader: PlainView, budget: WorkBudget): JsonDifference[] {
  const before = allowed(writer, budget);
  const after = allowed(reader, budget);
  const lost = [...before].some((value) => !after.has(value));
  const won = [...after].some((value) => !before.has(value));
  if (!lost && !won) return [];
  if (writer.kind === "const") return [{ kind: "ENUM_ARRAY_CHANGED", path: "const" }];
  const kind = lost ? (won ? "ENUM_ARRAY_CHANGED" : "ENUM_ARRAY_NARROWED") : "ENUM_ARRAY_EXTENDED";
  return [{ kind, path: "enum" }];
}

function allowed(view: PlainView, budget: WorkBudget): Set<string> {
  const { keywords } = view.node;
  const values = view.kind === "const" ? [keywords.get("const")] : ((keywords.get("enum") ?? []) as unknown[]);
  return new Set(values.map((value) => equalityText(value, budget)));
}
