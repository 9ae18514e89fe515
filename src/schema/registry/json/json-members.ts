/** The properties that a JSON Schema knows at the top of a value. */
import type { MemberForm, SchemaMember } from "../schema-members.ts";
import { atLeast, type JsonNode } from "./json-node.ts";

type Kind = "null" | "boolean" | "integer" | "number" | "text" | "date-time" | "date" | "uuid" | "other";
/** What a value may be; null: anything. */
type Kinds = ReadonlySet<Kind> | null;

/** A property that several subschemas know has a form where they agree, whichever of them a value has to fit. */
export function jsonMembers(root: JsonNode): readonly SchemaMember[] {
  const reader = new KindReader();
  const found = new Map<string, Kinds>();
  for (const node of contributors(root)) {
    for (const [name, property] of node.maps.get("properties") ?? []) {
      const kinds = reader.of(property);
      const before = found.get(name);
      found.set(name, before === undefined ? kinds : union([before, kinds]));
    }
  }
  return [...found].map(([name, kinds]) => ({ name, jsonName: name, form: formOf(kinds) }));
}

/** The subschemas that speak of the value itself, each once. */
function contributors(root: JsonNode): ReadonlySet<JsonNode> {
  const found = new Set<JsonNode>();
  const open = [root];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (found.has(node)) continue;
    found.add(node);
    open.push(...partsOf(node).toReversed());
  }
  return found;
}

function partsOf(node: JsonNode): readonly JsonNode[] {
  const target = node.references.get("$ref");
  const lists = (["allOf", "anyOf", "oneOf"] as const).flatMap((keyword) => node.lists.get(keyword) ?? []);
  return target === undefined ? lists : [target, ...lists];
}

/** Of references and combinations that lead to each other; beyond it a property may be anything. */
const depthMax = 64;

class KindReader {
  readonly #known = new Map<JsonNode, Kinds>();
  #depth = 0;

  of(node: JsonNode): Kinds {
    const known = this.#known.get(node);
    if (known !== undefined) return known;
    if (this.#depth === depthMax) return null;
    this.#depth++;
    const kinds = this.#read(node);
    this.#depth--;
    this.#known.set(node, kinds);
    return kinds;
  }

  #read(node: JsonNode): Kinds {
    if (node.verdict !== null) return node.verdict ? null : new Set();
    const target = node.references.get("$ref");
    // Before 2019-09 nothing counts beside a reference.
    if (target !== undefined && !atLeast(node.resource.dialect, "2019-09")) return this.of(target);
    const all: Kinds[] = [typedKinds(node), valueKinds(node)];
    if (target !== undefined) all.push(this.of(target));
    for (const part of node.lists.get("allOf") ?? []) all.push(this.of(part));
    for (const keyword of ["anyOf", "oneOf"] as const) {
      const parts = node.lists.get(keyword);
      if (parts !== undefined) all.push(union(parts.map((part) => this.of(part))));
    }
    return all.reduce(narrowed);
  }
}

function typedKinds({ keywords }: JsonNode): Kinds {
  const type = keywords.get("type");
  if (type === undefined) return null;
  const format = keywords.get("format");
  return new Set((Array.isArray(type) ? type : [type]).map((name) => kindOf(name, format)));
}

function kindOf(type: unknown, format: unknown): Kind {
  if (type === "string") return format === "date-time" || format === "date" || format === "uuid" ? format : "text";
  if (type === "null" || type === "boolean" || type === "integer" || type === "number") return type;
  return "other";
}

/** Of the values that `enum` and `const` name. */
function valueKinds({ keywords }: JsonNode): Kinds {
  const listed = keywords.get("enum");
  if (Array.isArray(listed)) return new Set(listed.map(kindOfValue));
  return keywords.has("const") ? new Set([kindOfValue(keywords.get("const"))]) : null;
}

function kindOfValue(value: unknown): Kind {
  if (value === null) return "null";
  if (typeof value === "string") return "text";
  if (typeof value === "boolean") return "boolean";
  if (typeof value === "number") return Number.isSafeInteger(value) ? "integer" : "number";
  return "other";
}

function union(all: readonly Kinds[]): Kinds {
  const found = new Set<Kind>();
  for (const kinds of all) {
    if (kinds === null) return null;
    for (const kind of kinds) found.add(kind);
  }
  return found;
}

/** What both allow: the narrower one of a number and a whole number, of a text and a date. */
function narrowed(a: Kinds, b: Kinds): Kinds {
  if (a === null || b === null) return a ?? b;
  const found = new Set<Kind>();
  for (const one of a) {
    for (const other of b) {
      if (one === other || isWider(other, one)) found.add(one);
      else if (isWider(one, other)) found.add(other);
    }
  }
  return found;
}

const narrower: Partial<Record<Kind, readonly Kind[]>> = { number: ["integer"], text: ["date-time", "date", "uuid"] };

function isWider(a: Kind, b: Kind): boolean {
  return narrower[a]?.includes(b) === true;
}

function formOf(kinds: Kinds): MemberForm {
  const [first, ...others] = [...(kinds ?? [])].filter((kind) => kind !== "null");
  if (first === undefined || first === "other") return "json";
  if (others.length === 0) return first;
  const all = [first, ...others];
  if (all.every((kind) => kind === "integer" || kind === "number")) return "number";
  return all.every((kind) => kind === "text" || isWider("text", kind)) ? "text" : "json";
}
