/**
 * Reads the binary FileDescriptorProto that protoc makes of a `.proto` file: some clients register this, in base64, in
 * place of the text. Options that descriptor.proto does not define are left behind.
 */
import { refuseSchema } from "../schema-limits.ts";
import { decodeProtobuf } from "./decode-protobuf.ts";
import { descriptorProto, type Json } from "./descriptor-proto.ts";
import {
  type EnumDraft,
  type ExtendDraft,
  enumDraft,
  type FieldDraft,
  type FileDraft,
  fileDraft,
  type MessageDraft,
  messageDraft,
} from "./proto-draft.ts";
import { jsonNameOf, type ProtoOption } from "./proto-file.ts";

const base64 = /^[A-Za-z0-9+/\s]{4,}={0,2}\s*$/;

/** Whether a text can only be a descriptor: a `.proto` file has other characters. */
export function looksLikeDescriptor(text: string): boolean {
  return base64.test(text);
}

/** `text` is base64. Throws `MillraceError` `SCHEMA_INVALID`. */
export function readDescriptor(text: string, path: string): FileDraft {
  const { model, file } = descriptorProto();
  const decoded = decodeProtobuf(model, file, Buffer.from(text, "base64"));
  if (!decoded.ok) refuseSchema("PROTOBUF", path, `it is no FileDescriptorProto: ${decoded.problems[0]?.message}`);
  const json = JSON.parse(decoded.json) as Json;
  const draft = fileDraft(path);
  draft.syntax = json.syntax === "proto3" || json.syntax === "editions" ? json.syntax : "proto2";
  if (draft.syntax === "editions") draft.edition = String(json.edition ?? "").replace("EDITION_", "");
  draft.package = textOf(json.package);
  const weak = new Set(list(json.weakDependency));
  const open = new Set(list(json.publicDependency));
  list(json.dependency).forEach((dependency, i) => {
    draft.imports.push({ path: String(dependency), kind: open.has(i) ? "public" : weak.has(i) ? "weak" : "" });
  });
  draft.options.push(...readOptions(json.options));
  draft.messages.push(...list(json.messageType).map((message) => readMessage(message as Json, draft)));
  draft.enums.push(...list(json.enumType).map((one) => readEnum(one as Json)));
  draft.extends.push(...readExtends(json.extension, draft));
  for (const service of list(json.service) as Json[]) {
    const methods = (list(service.method) as Json[]).map((method) => ({
      name: textOf(method.name),
      input: textOf(method.inputType),
      output: textOf(method.outputType),
      clientStreaming: method.clientStreaming === true,
      serverStreaming: method.serverStreaming === true,
      options: readOptions(method.options),
    }));
    draft.services.push({ name: textOf(service.name), methods, options: readOptions(service.options) });
  }
  return draft;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function readMessage(json: Json, file: FileDraft): MessageDraft {
  const message = messageDraft(textOf(json.name), "");
  const nested = list(json.nestedType) as Json[];
  const entries = new Map(
    nested
      .filter((one) => (one.options as Json | undefined)?.mapEntry === true)
      .map((one) => [textOf(one.name), one] as const),
  );
  const oneofs = (list(json.oneofDecl) as Json[]).map((oneof) => textOf(oneof.name));
  for (const field of list(json.field) as Json[]) message.fields.push(readField(field, entries, oneofs, file));
  // An optional field of proto3 stands in a oneof of its own, which is not written.
  const used = new Set(message.fields.map(({ oneof }) => oneof));
  for (const oneof of list(json.oneofDecl) as Json[]) {
    if (used.has(textOf(oneof.name)))
      message.oneofs.push({ name: textOf(oneof.name), options: readOptions(oneof.options) });
  }
  message.messages.push(...nested.filter((one) => !entries.has(textOf(one.name))).map((one) => readMessage(one, file)));
  message.enums.push(...list(json.enumType).map((one) => readEnum(one as Json)));
  message.extends.push(...readExtends(json.extension, file));
  message.reservedRanges.push(...readRanges(json.reservedRange, 1));
  message.reservedNames.push(...(list(json.reservedName) as string[]));
  message.extensionRanges.push(...readRanges(json.extensionRange, 1));
  message.options.push(...readOptions(json.options));
  return message;
}

/** `beyond`: by how much the end lies past the last number. */
function readRanges(value: unknown, beyond: number): { from: number; to: number }[] {
  return (list(value) as Json[]).map(({ start, end }) => ({ from: Number(start ?? 0), to: Number(end ?? 0) - beyond }));
}

function readField(
  json: Json,
  entries: ReadonlyMap<string, Json>,
  oneofs: readonly string[],
  file: FileDraft,
): FieldDraft {
  const name = textOf(json.name);
  const type = textOf(json.type).replace("TYPE_", "").toLowerCase();
  const typeName = textOf(json.typeName);
  const entry = entries.get(typeName.slice(typeName.lastIndexOf(".") + 1));
  const options = readOptions(json.options);
  if (json.defaultValue !== undefined) options.unshift(readDefault(type, textOf(json.defaultValue)));
  if (json.jsonName !== undefined && json.jsonName !== jsonNameOf(name)) {
    options.push({ name: "json_name", value: JSON.stringify(json.jsonName) });
  }
  const optional = json.proto3Optional === true || (file.syntax === "proto2" && json.oneofIndex === undefined);
  const labels: Readonly<Record<string, FieldDraft["label"]>> = {
    LABEL_REPEATED: "repeated",
    LABEL_REQUIRED: "required",
    LABEL_OPTIONAL: optional ? "optional" : null,
  };
  const map = entry === undefined ? null : mapOf(entry);
  const oneof = json.proto3Optional === true ? undefined : oneofs[Number(json.oneofIndex ?? -1)];
  const group = type === "group";
  return {
    name,
    number: Number(json.number ?? 0),
    label: map === null ? (labels[textOf(json.label)] ?? null) : null,
    typeName: map
      ? `map<${map.key}, ${map.value}>`
      : group
        ? typeName.slice(typeName.lastIndexOf(".") + 1)
        : typeName || type,
    map,
    oneof: oneof ?? null,
    group,
    options,
    at: "",
  };
}

function readDefault(type: string, value: string): ProtoOption {
  return { name: "default", value: type === "string" || type === "bytes" ? JSON.stringify(value) : value };
}

function mapOf(entry: Json): { readonly key: string; readonly value: string } {
  const [key, value] = (list(entry.field) as Json[]).map((field) => {
    return textOf(field.typeName) || textOf(field.type).replace("TYPE_", "").toLowerCase();
  });
  return { key: key ?? "", value: value ?? "" };
}

function readEnum(json: Json): EnumDraft {
  const found = enumDraft(textOf(json.name), "");
  for (const value of list(json.value) as Json[]) {
    const options = readOptions(value.options);
    found.values.push({ name: textOf(value.name), number: Number(value.number ?? 0), options });
  }
  found.reservedRanges.push(...readRanges(json.reservedRange, 0));
  found.reservedNames.push(...(list(json.reservedName) as string[]));
  found.options.push(...readOptions(json.options));
  return found;
}

function readExtends(value: unknown, file: FileDraft): ExtendDraft[] {
  const found = new Map<string, ExtendDraft>();
  for (const field of list(value) as Json[]) {
    const extendee = textOf(field.extendee);
    let one = found.get(extendee);
    if (one === undefined) {
      one = { extendee, fields: [] };
      found.set(extendee, one);
    }
    one.fields.push(readField(field, new Map(), [], file));
  }
  return [...found.values()];
}

/** The options that descriptor.proto defines; `map_entry` is how a map is told, not an option. */
function readOptions(value: unknown): ProtoOption[] {
  return Object.entries((value ?? {}) as Json).flatMap(([name, option]) => {
    const written = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (written === "map_entry") return [];
    if (written === "features") {
      return readOptions(option).map((one) => ({ name: `features.${one.name}`, value: one.value }));
    }
    const quoted = typeof option === "string" && !enumOptions.has(written);
    return [{ name: written, value: quoted ? JSON.stringify(option) : String(option) }];
  });
}

const enumOptions: ReadonlySet<string> = new Set(
  `optimize_for ctype jstype idempotency_level field_presence enum_type repeated_field_encoding utf8_validation
  message_encoding json_format`.split(/\s+/),
);
