/**
 * A JSON Schema as compatibility looks at it: each subschema is of one kind (an object, a string, a combination …), as
 * the Java library has it that Confluent's rules are told in. A subschema with several parts, a type and an enum for
 * example, is a combination by `allOf` of them.
 */
import { atLeast, type JsonNode } from "./json-node.ts";

export type Criterion = "allOf" | "anyOf" | "oneOf";

interface Notes {
  /** Where it is written. */
  readonly node: JsonNode;
  readonly hasDefault: boolean;
  /** Which part of the node it is; empty for the whole. */
  readonly part: string;
}

export interface CombinedView extends Notes {
  readonly kind: "combined";
  readonly criterion: Criterion;
  readonly parts: readonly JsonView[];
}

export interface PlainView extends Notes {
  readonly kind:
    | "empty"
    | "false"
    | "string"
    | "number"
    | "boolean"
    | "null"
    | "object"
    | "array"
    | "enum"
    | "const"
    | "not"
    | "conditional";
  /** Of a number: only whole ones. */
  readonly integer: boolean;
}

export type JsonView = CombinedView | PlainView;

const sniffed: readonly (readonly [kind: PlainView["kind"], keywords: readonly string[]])[] = [
  [
    "object",
    "properties required minProperties maxProperties dependencies dependentRequired dependentSchemas patternProperties additionalProperties unevaluatedProperties propertyNames".split(
      " ",
    ),
  ],
  ["array", "items prefixItems additionalItems unevaluatedItems minItems maxItems uniqueItems contains".split(" ")],
  ["string", "minLength maxLength pattern format".split(" ")],
  ["number", "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf".split(" ")],
];

const referencesDeepMax = 64;

/** Answers the same view for the same node. */
export class JsonViews {
  readonly #views = new Map<JsonNode, JsonView>();

  of(node: JsonNode): JsonView {
    return this.#of(node, 0);
  }

  /** `depth`: of references that were followed on the way. */
  #of(node: JsonNode, depth: number): JsonView {
    let view = this.#views.get(node);
    if (view === undefined) {
      view = this.#make(node, depth);
      this.#views.set(node, view);
    }
    return view;
  }

  #make(node: JsonNode, depth: number): JsonView {
    if (node.verdict !== null) return plain(node, node.verdict ? "empty" : "false");
    const target = node.references.get("$ref");
    if (target !== undefined && depth < referencesDeepMax && isAlone(node)) {
      return this.#of(target, depth + 1);
    }
    const parts = [...this.#combinations(node, depth), ...this.#typed(node)];
    const [only] = parts;
    if (only === undefined) return plain(node, "empty");
    return parts.length === 1 ? only : combined(node, "allOf", parts, "");
  }

  #combinations(node: JsonNode, depth: number): JsonView[] {
    const parts: JsonView[] = [];
    if (node.keywords.has("enum")) parts.push(plain(node, "enum", "enum"));
    if (node.keywords.has("const")) parts.push(plain(node, "const", "const"));
    const target = node.references.get("$ref");
    if (target !== undefined && depth < referencesDeepMax) {
      parts.push(this.#of(target, depth + 1));
    }
    for (const criterion of ["allOf", "anyOf", "oneOf"] as const) {
      const list = node.lists.get(criterion);
      if (list === undefined) continue;
      parts.push(lazyCombined(node, criterion, () => list.map((part) => this.of(part))));
    }
    if (node.single.has("not")) parts.push(plain(node, "not", "not"));
    if (node.single.has("if")) parts.push(plain(node, "conditional", "if"));
    return parts;
  }

  #typed(node: JsonNode): JsonView[] {
    const type = node.keywords.get("type");
    if (typeof type === "string") return [typed(node, type)];
    if (Array.isArray(type)) {
      const parts = (type as string[]).map((name) => typed(node, name));
      return parts.length === 1 ? parts : [combined(node, "anyOf", parts, "type")];
    }
    return sniffed
      .filter(([, keywords]) => keywords.some((keyword) => node.keywords.has(keyword)))
      .map(([kind]) => plain(node, kind, kind));
  }
}

/** True when a `$ref` is all that the subschema says. */
function isAlone(node: JsonNode): boolean {
  if (!atLeast(node.resource.dialect, "2019-09")) return true;
  const silent = new Set(["$ref", "$id", "title", "description", "default", "definitions", "$defs"]);
  return [...node.keywords.keys()].every((keyword) => silent.has(keyword));
}

function typed(node: JsonNode, type: string): JsonView {
  const view = plain(node, type === "integer" ? "number" : (type as PlainView["kind"]), type);
  return type === "integer" ? { ...view, integer: true } : view;
}

function plain(node: JsonNode, kind: PlainView["kind"], part = ""): PlainView {
  return { kind, node, hasDefault: node.keywords.has("default"), integer: false, part };
}

function combined(node: JsonNode, criterion: Criterion, parts: readonly JsonView[], part: string): CombinedView {
  return lazyCombined(node, criterion, () => parts, part);
}

/** The parts are looked up when they are needed, since they may lead back here. */
function lazyCombined(
  node: JsonNode,
  criterion: Criterion,
  parts: () => readonly JsonView[],
  part: string = criterion,
): CombinedView {
  let known: readonly JsonView[] | undefined;
  return {
    kind: "combined",
    node,
    criterion,
    hasDefault: node.keywords.has("default"),
    part,
    get parts() {
      known ??= parts();
      return known;
    },
  };
}

/** Equal for views that say the same. */
export function identityOf({ node, part }: JsonView): string {
  if (node.verdict !== null) return `${part}:${node.verdict}`;
  return `${part}:${JSON.stringify([...node.keywords].sort(([a], [b]) => (a < b ? -1 : 1)))}`;
}
