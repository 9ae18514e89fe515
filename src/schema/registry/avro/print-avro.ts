/**
 * The texts of an Avro schema that it is found again by.
 *
 * Canonical: the members in the order in which Java's Avro prints them, names as short as their namespace allows, with
 * docs, defaults, aliases and attributes of others. Normalized: full names, and attributes of others in the order of
 * their names. Types of references are printed as names.
 */
import type { JsonToken } from "../../json-token.ts";
import { printJson } from "../json-text.ts";
import { type AvroField, type AvroNamed, type AvroProps, type AvroType, localName, namespaceOf } from "./avro-type.ts";
import type { ReadAvro } from "./read-avro.ts";

export function printAvro(schema: ReadAvro, form: "canonical" | "normalized"): string {
  return new AvroPrinter(form === "normalized", new Set(schema.referenced)).type(schema.root, "");
}

class AvroPrinter {
  readonly #normalize: boolean;
  readonly #printed: Set<string>;

  constructor(normalize: boolean, printed: Set<string>) {
    this.#normalize = normalize;
    this.#printed = printed;
  }

  type(type: AvroType, namespace: string): string {
    switch (type.kind) {
      case "union":
        return `[${type.branches.map((branch) => this.type(branch, namespace)).join(",")}]`;
      case "array":
        return this.#object(['"type":"array"', `"items":${this.type(type.items, namespace)}`], type.props);
      case "map":
        return this.#object(['"type":"map"', `"values":${this.type(type.values, namespace)}`], type.props);
      case "record":
      case "enum":
      case "fixed":
        return this.#named(type, namespace);
      default:
        if (type.props.size === 0) return JSON.stringify(type.kind);
        return this.#object([`"type":${JSON.stringify(type.kind)}`], type.props);
    }
  }

  #named(type: AvroNamed, namespace: string): string {
    const own = namespaceOf(type.name);
    if (this.#printed.has(type.name)) {
      const short = !this.#normalize && own === namespace;
      return JSON.stringify(short ? localName(type.name) : type.name);
    }
    this.#printed.add(type.name);
    const kind = type.kind === "record" && type.isError ? "error" : type.kind;
    const parts = [`"type":"${kind}"`];
    if (this.#normalize) parts.push(`"name":${JSON.stringify(type.name)}`);
    else {
      parts.push(`"name":${JSON.stringify(localName(type.name))}`);
      if (own !== namespace) parts.push(`"namespace":${JSON.stringify(own)}`);
    }
    if (type.doc !== undefined) parts.push(`"doc":${JSON.stringify(type.doc)}`);
    if (type.kind === "record") {
      parts.push(`"fields":[${type.fields.map((field) => this.#field(field, own)).join(",")}]`);
    } else if (type.kind === "enum") {
      parts.push(`"symbols":${JSON.stringify(type.symbols)}`);
      if (type.default !== undefined) parts.push(`"default":${JSON.stringify(type.default)}`);
    } else parts.push(`"size":${type.size}`);
    const aliases = type.aliases.length === 0 ? [] : [`"aliases":${JSON.stringify(type.aliases)}`];
    return this.#object(parts, type.props, aliases);
  }

  #field(field: AvroField, namespace: string): string {
    const parts = [`"name":${JSON.stringify(field.name)}`, `"type":${this.type(field.type, namespace)}`];
    if (field.doc !== undefined) parts.push(`"doc":${JSON.stringify(field.doc)}`);
    if (field.default !== undefined) parts.push(`"default":${this.#json(field.default)}`);
    if (field.order !== "ascending") parts.push(`"order":${JSON.stringify(field.order)}`);
    if (field.aliases.length > 0) parts.push(`"aliases":${JSON.stringify(field.aliases)}`);
    return this.#object(parts, field.props);
  }

  #object(parts: readonly string[], props: AvroProps, last: readonly string[] = []): string {
    const names = [...props.keys()];
    if (this.#normalize) names.sort();
    const others = names.map((name) => `${JSON.stringify(name)}:${this.#json(props.get(name) as JsonToken)}`);
    return `{${[...parts, ...others, ...last].join(",")}}`;
  }

  #json(token: JsonToken): string {
    return printJson(token, { sorted: this.#normalize });
  }
}
