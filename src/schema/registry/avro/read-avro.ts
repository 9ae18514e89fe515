/**
 * Reads the text of an Avro schema into types, and refuses what the specification does not allow: unknown and doubled
 * names, unions in unions, defaults that are not of their field's type.
 */
import type { JsonToken } from "../../json-token.ts";
import { readBoundedJson, stringOf } from "../json-text.ts";
import type { SchemaReference } from "../parsed-schema.ts";
import { refuseSchema, schemaLimits } from "../schema-limits.ts";
import { defaultFits } from "./avro-default.ts";
import {
  type AvroField,
  type AvroNamed,
  type AvroPrimitiveKind,
  type AvroProps,
  type AvroType,
  type AvroUnion,
  branchName,
  namespaceOf,
} from "./avro-type.ts";

export interface ReadAvro {
  readonly root: AvroType;
  /** Full names that the references define. */
  readonly referenced: ReadonlySet<string>;
}

/** Throws `MillraceError` `SCHEMA_INVALID`. */
export function readAvro(text: string, references: readonly SchemaReference[]): ReadAvro {
  const names = new Map<string, AvroNamed>();
  for (const reference of references) new AvroReader(names, `${reference.name}#`).read(reference.schema);
  const referenced = new Set(names.keys());
  return { root: new AvroReader(names, "").read(text), referenced };
}

const primitiveKinds: ReadonlySet<string> = new Set("null boolean int long float double bytes string".split(" "));
const nameForm = /^[A-Za-z_][A-Za-z0-9_]*$/;
const sizeMax = 2 ** 31 - 1;

const reserved: Readonly<Record<string, ReadonlySet<string>>> = {
  primitive: new Set(["type"]),
  record: new Set(["type", "name", "namespace", "doc", "aliases", "fields"]),
  enum: new Set(["type", "name", "namespace", "doc", "aliases", "symbols", "default"]),
  fixed: new Set(["type", "name", "namespace", "doc", "aliases", "size"]),
  array: new Set(["type", "items"]),
  map: new Set(["type", "values"]),
  field: new Set(["type", "name", "doc", "aliases", "default", "order"]),
};

type Members = ReadonlyMap<string, JsonToken>;

class AvroReader {
  readonly #names: Map<string, AvroNamed>;
  /** Before every place: which text it lies in. */
  readonly #origin: string;
  /** Checked at the end, when every name is known to its last field. */
  readonly #defaults: { readonly field: AvroField; readonly at: string }[] = [];

  constructor(names: Map<string, AvroNamed>, origin: string) {
    this.#names = names;
    this.#origin = origin;
  }

  read(text: string): AvroType {
    const root = this.#type(this.#json(text), "", "");
    for (const { field, at } of this.#defaults) {
      if (field.default !== undefined && !defaultFits(field.type, field.default)) {
        this.#refuse(at, `the default of field "${field.name}" is no value of its type`);
      }
    }
    return root;
  }

  #json(text: string): JsonToken {
    try {
      return readBoundedJson(text, schemaLimits.schemaDepthMax);
    } catch (cause) {
      // A bare name is no JSON, and widely used as the shortest schema.
      if (primitiveKinds.has(text.trim())) return { kind: "string", value: text.trim() };
      return this.#refuse("", `it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }

  #refuse(at: string, reason: string): never {
    refuseSchema("AVRO", `${this.#origin}${at}`, reason);
  }

  #type(token: JsonToken, namespace: string, at: string): AvroType {
    if (token.kind === "string") return this.#reference(token.value, namespace, at);
    if (token.kind === "array") return this.#union(token.items, namespace, at);
    if (token.kind !== "object") return this.#refuse(at, `a ${token.kind} is no type`);
    const { members } = token;
    const type = stringOf(members.get("type"));
    if (type === undefined) return this.#refuse(at, 'an object without "type", or with one that is no name');
    switch (type) {
      case "record":
      case "error":
        return this.#record(members, namespace, at, type === "error");
      case "enum":
        return this.#enum(members, namespace, at);
      case "fixed":
        return this.#fixed(members, namespace, at);
      case "array":
        return {
          kind: "array",
          items: this.#type(this.#member(members, "items", at), namespace, `${at}/items`),
          props: propsOf(members, "array"),
        };
      case "map":
        return {
          kind: "map",
          values: this.#type(this.#member(members, "values", at), namespace, `${at}/values`),
          props: propsOf(members, "map"),
        };
      default:
        if (primitiveKinds.has(type)) {
          return { kind: type as AvroPrimitiveKind, props: propsOf(members, "primitive") };
        }
        return this.#reference(type, namespace, at);
    }
  }

  #reference(name: string, namespace: string, at: string): AvroType {
    if (primitiveKinds.has(name)) return { kind: name as AvroPrimitiveKind, props: new Map() };
    const near = name.includes(".") || namespace === "" ? undefined : this.#names.get(`${namespace}.${name}`);
    const found = near ?? this.#names.get(name);
    return found ?? this.#refuse(at, `the type "${name}" is not defined`);
  }

  #union(items: readonly JsonToken[], namespace: string, at: string): AvroUnion {
    const seen = new Set<string>();
    const branches = items.map((item, i) => {
      const branch = this.#type(item, namespace, `${at}/${i}`);
      if (branch.kind === "union") return this.#refuse(`${at}/${i}`, "a union lies directly in a union");
      const name = branchName(branch);
      if (seen.has(name)) return this.#refuse(`${at}/${i}`, `the union has "${name}" twice`);
      seen.add(name);
      return branch;
    });
    return { kind: "union", branches };
  }

  #record(members: Members, outer: string, at: string, isError: boolean): AvroType {
    const fields: AvroField[] = [];
    const named = this.#named(members, outer, at);
    const record = { kind: "record" as const, ...named, isError, fields, props: propsOf(members, "record") };
    this.#define(record, at);
    const list = this.#member(members, "fields", at);
    if (list.kind !== "array") return this.#refuse(`${at}/fields`, "the fields are no array");
    const seen = new Set<string>();
    list.items.forEach((item, i) => {
      const field = this.#field(item, namespaceOf(named.name), `${at}/fields/${i}`);
      if (seen.has(field.name)) this.#refuse(`${at}/fields/${i}`, `the record has the field "${field.name}" twice`);
      seen.add(field.name);
      fields.push(field);
    });
    return record;
  }

  #field(token: JsonToken, namespace: string, at: string): AvroField {
    if (token.kind !== "object") return this.#refuse(at, "a field is an object");
    const { members } = token;
    const name = this.#simpleName(stringOf(members.get("name")), `${at}/name`);
    const order = members.get("order");
    if (order !== undefined && !["ascending", "descending", "ignore"].includes(stringOf(order) ?? "")) {
      this.#refuse(`${at}/order`, "the order is none of ascending, descending, ignore");
    }
    const field: AvroField = {
      name,
      aliases: this.#strings(members.get("aliases"), `${at}/aliases`).map((alias) =>
        this.#simpleName(alias, `${at}/aliases`),
      ),
      doc: stringOf(members.get("doc")),
      type: this.#type(this.#member(members, "type", at), namespace, `${at}/type`),
      default: members.get("default"),
      order: stringOf(order) ?? "ascending",
      props: propsOf(members, "field"),
    };
    if (field.default !== undefined) this.#defaults.push({ field, at: `${at}/default` });
    return field;
  }

  #enum(members: Members, outer: string, at: string): AvroType {
    const named = this.#named(members, outer, at);
    const symbols = this.#strings(this.#member(members, "symbols", at), `${at}/symbols`);
    const seen = new Set<string>();
    for (const symbol of symbols) {
      this.#simpleName(symbol, `${at}/symbols`);
      if (seen.has(symbol)) this.#refuse(`${at}/symbols`, `the enum has the symbol "${symbol}" twice`);
      seen.add(symbol);
    }
    const fallback = members.get("default");
    if (fallback !== undefined && !seen.has(stringOf(fallback) ?? "")) {
      this.#refuse(`${at}/default`, "the enum's default is none of its symbols");
    }
    const type = {
      kind: "enum" as const,
      ...named,
      symbols,
      default: stringOf(fallback),
      props: propsOf(members, "enum"),
    };
    this.#define(type, at);
    return type;
  }

  #fixed(members: Members, outer: string, at: string): AvroType {
    const named = this.#named(members, outer, at);
    const token = this.#member(members, "size", at);
    const size = token.kind === "number" ? Number(token.text) : Number.NaN;
    if (!Number.isInteger(size) || size < 0 || size > sizeMax) {
      this.#refuse(`${at}/size`, "the size is no number of bytes");
    }
    const type = { kind: "fixed" as const, ...named, size, props: propsOf(members, "fixed") };
    this.#define(type, at);
    return type;
  }

  #named(members: Members, outer: string, at: string) {
    const written = stringOf(members.get("name"));
    if (written === undefined) return this.#refuse(at, "a named type has no name");
    const namespace = stringOf(members.get("namespace")) ?? outer;
    const name = this.#fullName(written, namespace, `${at}/name`);
    const aliases = this.#strings(members.get("aliases"), `${at}/aliases`).map((alias) =>
      this.#fullName(alias, namespaceOf(name), `${at}/aliases`),
    );
    return { name, aliases, doc: stringOf(members.get("doc")) };
  }

  #fullName(written: string, namespace: string, at: string): string {
    const name = written.includes(".") || namespace === "" ? written : `${namespace}.${written}`;
    // A leading dot is the null namespace.
    const parts = name.startsWith(".") ? [name.slice(1)] : name.split(".");
    if (name.length > schemaLimits.nameCharactersMax) this.#refuse(at, "the name is too long");
    for (const part of parts) this.#simpleName(part, at);
    return parts.join(".");
  }

  #simpleName(name: string | undefined, at: string): string {
    if (name === undefined || !nameForm.test(name)) {
      this.#refuse(at, `${JSON.stringify(name ?? null)} is no name: letters, digits and _ only, no digit first`);
    }
    return name;
  }

  #define(type: AvroNamed, at: string): void {
    if (primitiveKinds.has(type.name)) this.#refuse(`${at}/name`, `"${type.name}" is the name of a primitive type`);
    if (this.#names.has(type.name)) this.#refuse(`${at}/name`, `the type "${type.name}" is defined twice`);
    this.#names.set(type.name, type);
  }

  #member(members: Members, name: string, at: string): JsonToken {
    return members.get(name) ?? this.#refuse(at, `"${name}" is missing`);
  }

  #strings(token: JsonToken | undefined, at: string): string[] {
    if (token === undefined) return [];
    if (token.kind !== "array") return this.#refuse(at, "an array of strings is expected");
    return token.items.map((item) => stringOf(item) ?? this.#refuse(at, "an array of strings is expected"));
  }
}

/** Everything that the specification does not name. */
function propsOf(members: Members, of: keyof typeof reserved): AvroProps {
  const known = reserved[of] as ReadonlySet<string>;
  return new Map([...members].filter(([name]) => !known.has(name)));
}
