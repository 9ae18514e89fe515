/**
 * Reads the text of a JSON Schema into its graph. Every `$ref` must lead into the schema itself or into a reference that
 * came with it: nothing is fetched.
 */
import { pointerStep, readBoundedJson } from "../json-text.ts";
import type { SchemaReference } from "../parsed-schema.ts";
import { refuseSchema, schemaLimits } from "../schema-limits.ts";
import { isObject, keywordFault, keywordShape } from "./json-keywords.ts";
import { atLeast, type Dialect, type JsonNode, type JsonResource, type JsonSchemaModel } from "./json-node.ts";
import { LinearRegExp } from "./linear-regexp.ts";

/** Throws `MillraceError` `SCHEMA_INVALID`. */
export function readJsonSchema(text: string, references: readonly SchemaReference[]): JsonSchemaModel {
  const reader = new JsonSchemaReader();
  const root = reader.document(text, null);
  for (const reference of references) reader.document(reference.schema, reference.name, root.resource);
  reader.link();
  return { root, tracksEvaluated: reader.tracksEvaluated };
}

/** Of a schema that has no address: only what relative addresses are resolved against. */
const homeUri = "schema://registry/root";

const dialects: readonly (readonly [form: RegExp, dialect: Dialect])[] = [
  [/draft-04\/schema/, "draft-04"],
  [/draft-06\/schema/, "draft-06"],
  [/draft-07\/schema/, "draft-07"],
  [/draft\/2019-09\/schema/, "2019-09"],
  [/draft\/2020-12\/schema/, "2020-12"],
];

type Open<T> = { -readonly [K in keyof T]: T[K] };

interface OpenResource extends Omit<Open<JsonResource>, "anchors" | "dynamicAnchors"> {
  anchors: Map<string, JsonNode>;
  dynamicAnchors: Map<string, JsonNode>;
}

class JsonSchemaReader {
  tracksEvaluated = false;
  readonly #resources = new Map<string, OpenResource>();
  /** By the object that was read, for pointers that lead to it. */
  readonly #nodes = new Map<object, JsonNode>();
  readonly #raw = new Map<JsonNode, unknown>();
  readonly #unlinked: Open<JsonNode>[] = [];
  #depth = 0;
  #patternStates = 0;

  /** A text with the name that others refer to it by; null for the schema itself. */
  document(text: string, name: string | null, home?: JsonResource): JsonNode {
    const origin = name === null ? "" : name;
    let value: unknown;
    try {
      readBoundedJson(text, schemaLimits.schemaDepthMax);
      value = JSON.parse(text);
    } catch (cause) {
      refuse(origin, `it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
    const uri =
      name === null ? homeUri : (resolveUri(name, home?.uri ?? homeUri) ?? refuse(origin, "its name is no URI"));
    const root = this.#node(value, `${origin}#`, null, uri, dialectOf(value) ?? "draft-07");
    if (name !== null && !this.#resources.has(uri)) this.#resources.set(uri, root.resource as OpenResource);
    return root;
  }

  /** After all documents are there. Nodes that only a pointer leads to are read on the way. */
  link(): void {
    for (let node = this.#unlinked.pop(); node !== undefined; node = this.#unlinked.pop()) {
      const found = new Map<string, JsonNode>();
      for (const keyword of ["$ref", "$recursiveRef", "$dynamicRef"]) {
        const target = node.keywords.get(keyword);
        if (typeof target === "string") found.set(keyword, this.#target(node, target));
      }
      node.references = found;
    }
  }

  #node(value: unknown, at: string, inside: OpenResource | null, uri: string, dialect: Dialect): JsonNode {
    if (++this.#depth > schemaLimits.schemaDepthMax) refuse(at, "it is nested too deep");
    const node: Open<JsonNode> = {
      at,
      verdict: null,
      keywords: new Map(),
      resource: inside as JsonResource,
      single: new Map(),
      lists: new Map(),
      maps: new Map(),
      references: new Map(),
      pattern: null,
      propertyPatterns: new Map(),
    };
    this.#raw.set(node, value);
    if (typeof value === "boolean" && (atLeast(dialect, "draft-06") || inside !== null || at.endsWith("#"))) {
      node.verdict = value;
      node.resource = inside ?? this.#resource(node, uri, dialect);
    } else if (isObject(value)) {
      this.#nodes.set(value, node);
      this.#identify(node, value, inside, uri, dialect);
      this.#read(node, value);
      this.#unlinked.push(node);
    } else refuse(at, "a schema is an object, true or false");
    this.#depth--;
    return node;
  }

  /** Decides which resource the node belongs to, and notes its anchors. */
  #identify(
    node: Open<JsonNode>,
    value: Readonly<Record<string, unknown>>,
    inside: OpenResource | null,
    uri: string,
    outer: Dialect,
  ): void {
    const dialect = dialectOf(value) ?? outer;
    const hidden = typeof value.$ref === "string" && !atLeast(dialect, "2019-09") && inside !== null;
    const written = value[dialect === "draft-04" ? "id" : "$id"];
    const id = typeof written === "string" && !hidden ? written : undefined;
    if (id === undefined || (id.startsWith("#") && id !== "#"))
      node.resource = inside ?? this.#resource(node, uri, dialect);
    else {
      const address = resolveUri(id, inside?.uri ?? uri) ?? refuse(node.at, `${JSON.stringify(id)} is no URI`);
      const resource = this.#resource(node, address, dialect);
      if (inside === null) this.#resources.set(uri, resource);
    }
    const resource = node.resource as OpenResource;
    if (id?.startsWith("#") && id !== "#" && !atLeast(dialect, "2019-09")) resource.anchors.set(id.slice(1), node);
    if (!atLeast(dialect, "2019-09")) return;
    if (typeof value.$anchor === "string") resource.anchors.set(value.$anchor, node);
    if (typeof value.$dynamicAnchor === "string" && dialect === "2020-12") {
      resource.anchors.set(value.$dynamicAnchor, node);
      resource.dynamicAnchors.set(value.$dynamicAnchor, node);
    }
    if (value.$recursiveAnchor === true && resource.root === node) resource.recursive = true;
  }

  #resource(node: Open<JsonNode>, address: string, dialect: Dialect): OpenResource {
    const uri = address.replace(/#$/, "");
    const resource: OpenResource = {
      uri,
      dialect,
      anchors: new Map(),
      dynamicAnchors: new Map(),
      recursive: false,
      root: node,
    };
    node.resource = resource;
    if (!this.#resources.has(uri)) this.#resources.set(uri, resource);
    return resource;
  }

  #read(node: Open<JsonNode>, value: Readonly<Record<string, unknown>>): void {
    const { dialect } = node.resource;
    // Up to draft 7 nothing stands beside a $ref, definitions apart.
    const alone = typeof value.$ref === "string" && !atLeast(dialect, "2019-09");
    const kept = new Map<string, unknown>();
    const single = new Map<string, JsonNode>();
    const lists = new Map<string, readonly JsonNode[]>();
    const maps = new Map<string, ReadonlyMap<string, JsonNode>>();
    for (const [name, member] of Object.entries(value)) {
      const shape = keywordShape(name, dialect);
      if (shape === undefined) continue;
      if (alone && name !== "$ref" && name !== "definitions" && name !== "$defs") continue;
      const fault = keywordFault(name, shape, member);
      if (fault !== null) refuse(node.at, fault);
      kept.set(name, member);
      const at = `${node.at}${pointerStep(name)}`;
      if (shape === "schemas" || (shape === "schemaOrSchemas" && Array.isArray(member))) {
        lists.set(
          name,
          (member as unknown[]).map((item, i) => this.#child(item, `${at}/${i}`, node)),
        );
      } else if (shape === "schema" || shape === "schemaOrSchemas") single.set(name, this.#child(member, at, node));
      else if (shape === "schemaMap") maps.set(name, this.#children(member as object, at, node));
      else if (shape === "dependencies") this.#dependencies(member as object, at, node, maps);
    }
    node.keywords = kept;
    node.single = single;
    node.lists = lists;
    node.maps = maps;
    if (single.has("unevaluatedProperties") || single.has("unevaluatedItems")) this.tracksEvaluated = true;
    const pattern = kept.get("pattern");
    if (typeof pattern === "string") node.pattern = this.#pattern(pattern, `${node.at}/pattern`);
    const patterns = [...(maps.get("patternProperties")?.keys() ?? [])];
    node.propertyPatterns = new Map(
      patterns.map((source) => [source, this.#pattern(source, `${node.at}/patternProperties`)] as const),
    );
  }

  #pattern(source: string, at: string): LinearRegExp {
    const pattern = regexp(source, at);
    this.#patternStates += pattern.states;
    if (this.#patternStates > schemaLimits.patternStatesMax) refuse(at, "its patterns are too large together");
    return pattern;
  }

  #child(value: unknown, at: string, node: JsonNode): JsonNode {
    const resource = node.resource as OpenResource;
    return this.#node(value, at, resource, resource.uri, resource.dialect);
  }

  #children(members: object, at: string, node: JsonNode): Map<string, JsonNode> {
    const found = Object.entries(members).map(
      ([name, value]) => [name, this.#child(value, `${at}${pointerStep(name)}`, node)] as const,
    );
    return new Map(found);
  }

  /** The old keyword holds schemas and arrays of names side by side. */
  #dependencies(members: object, at: string, node: JsonNode, maps: Map<string, ReadonlyMap<string, JsonNode>>): void {
    const schemas = new Map<string, JsonNode>();
    for (const [name, value] of Object.entries(members)) {
      if (!Array.isArray(value)) schemas.set(name, this.#child(value, `${at}${pointerStep(name)}`, node));
      else if (!value.every((item) => typeof item === "string")) refuse(at, "a dependency is neither schema nor names");
    }
    maps.set("dependencies", schemas);
  }

  #target(node: JsonNode, reference: string): JsonNode {
    const unresolved = (): never => refuse(node.at, `the $ref "${reference}" leads nowhere`);
    const address = resolveUri(reference, node.resource.uri) ?? unresolved();
    const hash = address.indexOf("#");
    const uri = hash < 0 ? address : address.slice(0, hash);
    const fragment = hash < 0 ? "" : decodeFragment(address.slice(hash + 1));
    const resource = this.#resources.get(uri) ?? unresolved();
    if (fragment === undefined) return unresolved();
    if (fragment === "") return resource.root;
    if (!fragment.startsWith("/")) return resource.anchors.get(fragment) ?? unresolved();
    return this.#pointed(resource, fragment, unresolved);
  }

  #pointed(from: OpenResource, pointer: string, unresolved: () => never): JsonNode {
    let resource = from;
    let value = this.#raw.get(from.root);
    let at = from.root.at;
    for (const step of pointer.slice(1).split("/")) {
      const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
      if (Array.isArray(value)) value = /^\d+$/.test(name) ? value[Number(name)] : undefined;
      else value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
      if (value === undefined) return unresolved();
      at += pointerStep(name);
      const met = isObject(value) ? this.#nodes.get(value) : undefined;
      if (met !== undefined) resource = met.resource as OpenResource;
    }
    const known = isObject(value) ? this.#nodes.get(value) : undefined;
    return known ?? this.#node(value, at, resource, resource.uri, resource.dialect);
  }
}

function refuse(at: string, reason: string): never {
  refuseSchema("JSON", at, reason);
}

/** Null for a schema that does not say. An unknown one counts as not said. */
function dialectOf(value: unknown): Dialect | null {
  const written = isObject(value) ? value.$schema : undefined;
  if (typeof written !== "string") return null;
  return dialects.find(([form]) => form.test(written))?.[1] ?? null;
}

function resolveUri(reference: string, base: string): string | null {
  return URL.parse(reference, base)?.href ?? null;
}

function decodeFragment(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function regexp(source: string, at: string): LinearRegExp {
  try {
    return new LinearRegExp(source);
  } catch (cause) {
    return refuse(
      at,
      `the pattern ${JSON.stringify(source)} is refused: ${cause instanceof Error ? cause.message : ""}`,
    );
  }
}
