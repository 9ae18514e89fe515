/**
 * Looks up the names of a `.proto` file and of what it imports, and refuses what protoc would: unknown types, numbers
 * that are taken, reserved or out of range, names that stand twice.
 */
import { refuseSchema, schemaLimits } from "../schema-limits.ts";
import type { EnumDraft, ExtendDraft, FieldDraft, FileDraft, MessageDraft } from "./proto-draft.ts";
import {
  type FieldType,
  isMessage,
  jsonNameOf,
  type NumberRange,
  type ProtobufModel,
  type ProtoEnum,
  type ProtoExtend,
  type ProtoField,
  type ProtoFile,
  type ProtoMessage,
  type ProtoOption,
  type ScalarKind,
  scalarKinds,
} from "./proto-file.ts";
import { fieldNumberMax } from "./read-proto.ts";

type Open<T> = { -readonly [K in keyof T]: T[K] };

const scalars: ReadonlySet<string> = new Set(scalarKinds);
const mapKeys: ReadonlySet<string> = new Set(
  scalarKinds.filter((kind) => !["double", "float", "bytes"].includes(kind)),
);

/** `imported` are all files that the root may name, in any order. Throws `MillraceError` `SCHEMA_INVALID`. */
export function linkProtobuf(root: FileDraft, imported: readonly FileDraft[]): ProtobufModel {
  const linker = new Linker();
  const paths = new Set(imported.map(({ path }) => path));
  for (const draft of [root, ...imported]) {
    for (const { path } of draft.imports) {
      if (!paths.has(path))
        refuseSchema("PROTOBUF", draft.path, `the import "${path}" is neither a reference nor well known`);
    }
  }
  const files = [root, ...imported].map((draft) => linker.declare(draft));
  linker.link();
  return { root: files[0] as ProtoFile, types: linker.types };
}

/** From the innermost scope outwards; a leading dot means a full name. */
export function lookUpType(
  types: ReadonlyMap<string, ProtoMessage | ProtoEnum>,
  name: string,
  scope: string,
): ProtoMessage | ProtoEnum | undefined {
  if (name.startsWith(".")) return types.get(name.slice(1));
  for (let outer = scope; ; outer = outer.slice(0, Math.max(0, outer.lastIndexOf(".")))) {
    const found = types.get(joined(outer, name));
    if (found !== undefined || outer === "") return found;
  }
}

class Linker {
  readonly types = new Map<string, ProtoMessage | ProtoEnum>();
  /** To be done once every name is known. */
  readonly #later: (() => void)[] = [];

  declare(draft: FileDraft): ProtoFile {
    const file: Open<ProtoFile> = { ...draft, messages: [], enums: [], extends: [] };
    file.messages = draft.messages.map((message) => this.#message(message, draft.package, file));
    file.enums = draft.enums.map((one) => this.#enum(one, draft.package, file));
    file.extends = this.#extends(draft.extends, draft.package, file);
    for (const service of draft.services) {
      for (const { name, input, output } of service.methods) {
        this.#later.push(() => {
          for (const type of [input, output]) {
            const found = lookUpType(this.types, type, draft.package);
            if (found === undefined || !isMessage(found)) {
              refuse(file, `${service.name}.${name}`, `"${type}" is no message`);
            }
          }
        });
      }
    }
    return file;
  }

  link(): void {
    for (const step of this.#later) step();
  }

  #define(type: ProtoMessage | ProtoEnum): void {
    if (type.fullName.length > schemaLimits.nameCharactersMax) refuse(type.file, type.fullName, "the name is too long");
    if (type.reservedRanges.length > schemaLimits.rangesMax) refuse(type.file, type.fullName, "it reserves too much");
    if (this.types.has(type.fullName)) refuse(type.file, type.fullName, "it is defined twice");
    this.types.set(type.fullName, type);
  }

  #message(draft: MessageDraft, scope: string, file: ProtoFile): ProtoMessage {
    const fullName = joined(scope, draft.name);
    const message: Open<ProtoMessage> = {
      ...draft,
      fullName,
      file,
      fields: [],
      byNumber: new Map(),
      messages: [],
      enums: [],
      extends: [],
    };
    this.#define(message);
    message.messages = draft.messages.map((nested) => this.#message(nested, fullName, file));
    message.enums = draft.enums.map((nested) => this.#enum(nested, fullName, file));
    message.extends = this.#extends(draft.extends, fullName, file);
    message.fields = draft.fields.map((field) => this.#field(field, fullName, file, message.options));
    message.byNumber = this.#numbered(message);
    return message;
  }

  #numbered(message: ProtoMessage): Map<number, ProtoField> {
    const names = new Set<string>();
    const reserved = new Set(message.reservedNames);
    const byNumber = new Map<number, ProtoField>();
    for (const field of message.fields) {
      const at = `${message.fullName}.${field.name}`;
      if (names.has(field.name)) refuse(message.file, at, "the message has the field twice");
      names.add(field.name);
      if (reserved.has(field.name)) refuse(message.file, at, "the name is reserved");
      if (field.number < 1 || field.number > fieldNumberMax)
        refuse(message.file, at, `${field.number} is no field number`);
      if (field.number >= 19_000 && field.number <= 19_999)
        refuse(message.file, at, "19000 to 19999 are Protobuf's own");
      if (contains(message.reservedRanges, field.number))
        refuse(message.file, at, `the number ${field.number} is reserved`);
      const other = byNumber.get(field.number);
      if (other !== undefined) refuse(message.file, at, `"${other.name}" has the number ${field.number} too`);
      byNumber.set(field.number, field);
    }
    return byNumber;
  }

  #field(draft: FieldDraft, scope: string, file: ProtoFile, around: readonly ProtoOption[]): ProtoField {
    const { at: _at, map, ...rest } = draft;
    const field: Open<ProtoField> = {
      ...rest,
      type: { kind: "scalar", scalar: "int32" },
      map: null,
      jsonName: textOf(optionOf(draft.options, "json_name")) ?? jsonNameOf(draft.name),
      presence: false,
    };
    const at = `${scope}.${draft.name}`;
    this.#later.push(() => {
      if (map !== null) field.map = this.#map(map, scope, file, at);
      else field.type = this.#type(draft.typeName, scope, file, at);
      field.presence = hasPresence(field, file, around);
      if (file.syntax === "editions" && feature("field_presence", field.options, around, file) === "LEGACY_REQUIRED") {
        field.label = "required";
      }
    });
    return field;
  }

  #map(map: { readonly key: string; readonly value: string }, scope: string, file: ProtoFile, at: string) {
    if (!mapKeys.has(map.key)) refuse(file, at, `"${map.key}" cannot be the key of a map`);
    const part = (name: string, number: number, typeName: string): ProtoField => ({
      name,
      number,
      label: null,
      typeName,
      type: this.#type(typeName, scope, file, at),
      map: null,
      oneof: null,
      group: false,
      options: [],
      jsonName: name,
      presence: true,
    });
    return { key: part("key", 1, map.key), value: part("value", 2, map.value) };
  }

  #type(name: string, scope: string, file: ProtoFile, at: string): FieldType {
    if (scalars.has(name)) return { kind: "scalar", scalar: name as ScalarKind };
    const found = lookUpType(this.types, name, scope) ?? refuse(file, at, `the type "${name}" is not known`);
    return isMessage(found) ? { kind: "message", message: found } : { kind: "enum", enum: found };
  }

  #enum(draft: EnumDraft, scope: string, file: ProtoFile): ProtoEnum {
    const fullName = joined(scope, draft.name);
    const open = feature("enum_type", draft.options, [], file) ?? (file.syntax === "proto2" ? "CLOSED" : "OPEN");
    const found: ProtoEnum = { ...draft, fullName, file, closed: open === "CLOSED" };
    this.#define(found);
    const names = new Set<string>();
    const numbers = new Set<number>();
    const reserved = new Set(draft.reservedNames);
    const alias = optionOf(draft.options, "allow_alias") === "true";
    if (draft.values.length === 0) refuse(file, fullName, "an enum needs a value");
    if (!found.closed && draft.values[0]?.number !== 0) refuse(file, fullName, "the first value of an open enum is 0");
    for (const { name, number } of draft.values) {
      const at = `${fullName}.${name}`;
      if (names.has(name)) refuse(file, at, "the enum has the value twice");
      if (numbers.has(number) && !alias) refuse(file, at, `the number ${number} is taken`);
      if (number > 2 ** 31 - 1 || number < -(2 ** 31)) refuse(file, at, `${number} has more than 32 bits`);
      if (contains(draft.reservedRanges, number)) refuse(file, at, `the number ${number} is reserved`);
      if (reserved.has(name)) refuse(file, at, "the name is reserved");
      names.add(name);
      numbers.add(number);
    }
    return found;
  }

  #extends(drafts: readonly ExtendDraft[], scope: string, file: ProtoFile): ProtoExtend[] {
    return drafts.map(({ extendee, fields }) => ({
      extendee,
      fields: fields.map((field) => this.#field(field, scope, file, [])),
    }));
  }
}

function refuse(file: ProtoFile, at: string, reason: string): never {
  refuseSchema("PROTOBUF", file.path === "" ? at : `${file.path}:${at}`, reason);
}

function joined(scope: string, name: string): string {
  return scope === "" ? name : `${scope}.${name}`;
}

function contains(ranges: readonly NumberRange[], number: number): boolean {
  return ranges.some(({ from, to }) => number >= from && number <= to);
}

function hasPresence(field: ProtoField, file: ProtoFile, around: readonly ProtoOption[]): boolean {
  if (field.label === "repeated" || field.map !== null) return false;
  if (field.oneof !== null || field.label === "optional" || field.type.kind === "message") return true;
  if (file.syntax === "editions") return feature("field_presence", field.options, around, file) !== "IMPLICIT";
  return file.syntax === "proto2";
}

/** A feature of editions, from the nearest place that sets it. */
function feature(
  name: string,
  own: readonly ProtoOption[],
  around: readonly ProtoOption[],
  file: ProtoFile,
): string | undefined {
  for (const options of [own, around, file.options]) {
    const found = optionOf(options, `features.${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function optionOf(options: readonly ProtoOption[], name: string): string | undefined {
  return options.find((option) => option.name === name)?.value;
}

/** Of a quoted value. */
function textOf(value: string | undefined): string | undefined {
  return value?.startsWith('"') ? (JSON.parse(value) as string) : undefined;
}
