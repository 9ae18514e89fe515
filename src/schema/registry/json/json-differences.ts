/**
 * What changed between two JSON Schemas, told in Confluent's kinds, and which of it stops a reader: data that the
 * writer's schema allows must be allowed by the reader's. Content models decide most: an open one lets members pass
 * that it does not know, a closed one does not, and a partially open one gives them a schema.
 */

import { PairMemo, seenAgain } from "../pair-memo.ts";
import type { Incompatibility } from "../parsed-schema.ts";
import { schemaLimits, WorkBudget } from "../schema-limits.ts";
import { compareArrays } from "./array-differences.ts";
import { compareCombined, compareWithCombined } from "./combined-differences.ts";
import { compatibleKinds, isCompatible, type JsonDifference, messageOf } from "./json-difference-kinds.ts";
import type { JsonNode, JsonSchemaModel } from "./json-node.ts";
import { type CombinedView, identityOf, type JsonView, JsonViews } from "./json-view.ts";
import { compareObjects } from "./object-differences.ts";
import { compareNumbers, compareStrings, compareValues } from "./scalar-differences.ts";

/** Both directions of a change: `MAX_LENGTH_DECREASED` is told as is `MAX_LENGTH_INCREASED`, though only one does harm. */
export function jsonDifferences(
  writer: JsonSchemaModel,
  reader: JsonSchemaModel,
  budget: WorkBudget = new WorkBudget(schemaLimits.compareStepsMax),
): readonly JsonDifference[] {
  const comparison = new JsonComparison(budget);
  return comparison.run(writer.root, reader.root);
}

export function jsonIncompatibilities(
  reader: JsonSchemaModel,
  writer: JsonSchemaModel,
  budget?: WorkBudget,
): Incompatibility[] {
  return jsonDifferences(writer, reader, budget)
    .filter(({ kind }) => !compatibleKinds.has(kind))
    .map(({ kind, path }) => ({ path: `#/${path}`, kind, message: messageOf(kind, `#/${path}`) }));
}

/** Handed to the comparison of each kind of schema. */
export class JsonComparison {
  readonly budget: WorkBudget;
  readonly #distinct = new Map<CombinedView, readonly JsonView[]>();
  readonly #views = new JsonViews();
  readonly #memo = new PairMemo<JsonView, readonly JsonDifference[]>(
    [],
    [{ kind: seenAgain, path: "" }],
    (found) => !isCompatible(found),
  );

  constructor(budget: WorkBudget) {
    this.budget = budget;
  }

  run(writer: JsonNode, reader: JsonNode): readonly JsonDifference[] {
    return this.#memo.settle(() => this.nodes(writer, reader, "")).filter(({ kind }) => kind !== seenAgain);
  }

  view(node: JsonNode): JsonView {
    return this.#views.of(node);
  }

  /** The parts of a combination, those that say the same once. */
  distinctParts(view: CombinedView): readonly JsonView[] {
    let found = this.#distinct.get(view);
    if (found === undefined) {
      const seen = new Map<string, JsonView>();
      for (const part of view.parts) {
        const identity = identityOf(part);
        this.budget.spend(1 + (identity.length >> 4));
        if (!seen.has(identity)) seen.set(identity, part);
      }
      found = [...seen.values()];
      this.#distinct.set(view, found);
    }
    return found;
  }

  /** Of two subschemas that either side may lack. */
  nodes(writer: JsonNode | undefined, reader: JsonNode | undefined, path: string): readonly JsonDifference[] {
    if (writer === undefined) return reader === undefined ? [] : [{ kind: "SCHEMA_ADDED", path }];
    if (reader === undefined) return [{ kind: "SCHEMA_REMOVED", path }];
    return this.views(this.view(writer), this.view(reader), path);
  }

  views(writer: JsonView, reader: JsonView, path: string): readonly JsonDifference[] {
    this.budget.spend(1);
    const found = this.#memo.visit(writer, reader, () => this.#pair(writer, reader));
    if (path === "") return found;
    this.budget.spend(found.length);
    return found.map((one) => ({ kind: one.kind, path: one.path === "" ? path : `${path}/${one.path}` }));
  }

  #pair(writer: JsonView, reader: JsonView): readonly JsonDifference[] {
    const special = compareWithCombined(this, writer, reader);
    if (special !== null) return special;
    if (writer.kind !== reader.kind) {
      if (writer.kind === "false" || reader.kind === "empty") return [];
      const bytes = [writer, reader].every((view) => view.node.keywords.get("connect.type") === "bytes");
      return bytes ? [] : [{ kind: "TYPE_CHANGED", path: "" }];
    }
    return [...notes(writer, reader), ...this.#sameKind(writer, reader)];
  }

  #sameKind(writer: JsonView, reader: JsonView): readonly JsonDifference[] {
    if (writer.kind === "combined" && reader.kind === "combined") return compareCombined(this, writer, reader);
    if (writer.kind === "combined" || reader.kind === "combined") return [];
    switch (writer.kind) {
      case "string":
        return compareStrings(writer.node, reader.node);
      case "number":
        return compareNumbers(writer, reader);
      case "enum":
      case "const":
        return compareValues(writer, reader, this.budget);
      case "object":
        return compareObjects(this, writer.node, reader.node);
      case "array":
        return compareArrays(this, writer.node, reader.node);
      case "not": {
        // Forbidding less allows more.
        const found = this.nodes(reader.node.single.get("not"), writer.node.single.get("not"), "");
        return [{ kind: isCompatible(found) ? "NOT_TYPE_NARROWED" : "NOT_TYPE_EXTENDED", path: "not" }];
      }
      default:
        return [];
    }
  }
}

/** Of what does not change which values are allowed. */
function notes(writer: JsonView, reader: JsonView): JsonDifference[] {
  const found: JsonDifference[] = [];
  const changed = (keyword: string): boolean =>
    JSON.stringify(writer.node.keywords.get(keyword)) !== JSON.stringify(reader.node.keywords.get(keyword));
  if (changed("$id") || changed("id")) found.push({ kind: "ID_CHANGED", path: "" });
  if (changed("title")) found.push({ kind: "TITLE_CHANGED", path: "" });
  if (changed("description")) found.push({ kind: "DESCRIPTION_CHANGED", path: "" });
  if (changed("default")) found.push({ kind: "DEFAULT_CHANGED", path: "" });
  return found;
}
