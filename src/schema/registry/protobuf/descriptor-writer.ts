/**
 * Writes a schema as the binary FileDescriptorProto that protoc makes of it. Options that descriptor.proto does not
 * define are left out.
 */
import type { ProtobufSchema } from "../parsed-schema.ts";
import { descriptorProto, type Json } from "./descriptor-proto.ts";
import { encodeProtobuf } from "./encode-protobuf.ts";
import { lookUpType } from "./link-protobuf.ts";
import {
  jsonNameOf,
  type ProtobufModel,
  type ProtoEnum,
  type ProtoExtend,
  type ProtoField,
  type ProtoFile,
  type ProtoMessage,
  type ProtoOption,
} from "./proto-file.ts";

/** `name` is what others import it by. */
export function protobufDescriptor(schema: ProtobufSchema, name = "default.proto"): Buffer {
  return encodeProtobuf(descriptorProto().file, writeFile(schema.model, name));
}

function writeFile(model: ProtobufModel, name: string): Json {
  const { root } = model;
  const full = (type: string): string => {
    const found = lookUpType(model.types, type, root.package);
    return found === undefined ? type : `.${found.fullName}`;
  };
  const kindIndexes = (kind: string): number[] => root.imports.flatMap((one, i) => (one.kind === kind ? [i] : []));
  return {
    name,
    package: root.package || undefined,
    dependency: root.imports.map(({ path }) => path),
    publicDependency: kindIndexes("public"),
    weakDependency: kindIndexes("weak"),
    messageType: root.messages.map((message) => writeMessage(message, full)),
    enumType: root.enums.map(writeEnum),
    extension: writeExtends(root.extends, full),
    service: root.services.map((service) => ({
      name: service.name,
      method: service.methods.map((method) => ({
        name: method.name,
        inputType: full(method.input),
        outputType: full(method.output),
        clientStreaming: method.clientStreaming || undefined,
        serverStreaming: method.serverStreaming || undefined,
        options: writeOptions(method.options),
      })),
      options: writeOptions(service.options),
    })),
    options: writeOptions(root.options),
    syntax: root.syntax === "proto2" ? undefined : root.syntax,
    edition: root.syntax === "editions" ? `EDITION_${root.edition}` : undefined,
  };
}

type FullName = (type: string) => string;

function writeMessage(message: ProtoMessage, full: FullName): Json {
  const maps = message.fields.filter(({ map }) => map !== null);
  const lonely = message.fields.filter((field) => isProto3Optional(field, message.file));
  const oneofs = [...message.oneofs.map(({ name }) => name), ...lonely.map(({ name }) => `_${name}`)];
  return {
    name: message.name,
    field: message.fields.map((field) => writeField(field, message, oneofs)),
    nestedType: [...message.messages.map((nested) => writeMessage(nested, full)), ...maps.map(writeMapEntry)],
    enumType: message.enums.map(writeEnum),
    extension: writeExtends(message.extends, full),
    extensionRange: message.extensionRanges.map(({ from, to }) => ({ start: from, end: to + 1 })),
    oneofDecl: oneofs.map((name) => ({
      name,
      options: writeOptions(message.oneofs.find((o) => o.name === name)?.options),
    })),
    reservedRange: message.reservedRanges.map(({ from, to }) => ({ start: from, end: to + 1 })),
    reservedName: message.reservedNames,
    options: writeOptions(message.options),
  };
}

function isProto3Optional(field: ProtoField, file: ProtoFile): boolean {
  return file.syntax === "proto3" && field.label === "optional";
}

function mapEntryName(field: ProtoField): string {
  const json = jsonNameOf(field.name);
  return `${json.charAt(0).toUpperCase()}${json.slice(1)}Entry`;
}

function writeMapEntry(field: ProtoField): Json {
  const parts = field.map === null ? [] : [field.map.key, field.map.value];
  const fields = parts.map((part) => ({
    ...writeType(part),
    name: part.name,
    number: part.number,
    label: "LABEL_OPTIONAL",
  }));
  return { name: mapEntryName(field), field: fields, options: { mapEntry: true } };
}

function writeType(field: ProtoField): Json {
  if (field.type.kind === "scalar") return { type: `TYPE_${field.type.scalar.toUpperCase()}` };
  if (field.type.kind === "enum") return { type: "TYPE_ENUM", typeName: `.${field.type.enum.fullName}` };
  return { type: field.group ? "TYPE_GROUP" : "TYPE_MESSAGE", typeName: `.${field.type.message.fullName}` };
}

function writeField(field: ProtoField, message: ProtoMessage | null, oneofs: readonly string[]): Json {
  const lonely = message !== null && isProto3Optional(field, message.file);
  const oneofIndex = oneofs.indexOf(lonely ? `_${field.name}` : (field.oneof ?? ""));
  const type =
    field.map !== null && message !== null
      ? { type: "TYPE_MESSAGE", typeName: `.${message.fullName}.${mapEntryName(field)}` }
      : writeType(field);
  const preset = field.options.find(({ name }) => name === "default")?.value;
  const label = field.map !== null ? "repeated" : (field.label ?? "optional");
  return {
    ...type,
    name: field.name,
    number: field.number,
    label: `LABEL_${label.toUpperCase()}`,
    defaultValue: preset?.startsWith('"') ? JSON.parse(preset) : preset,
    oneofIndex: oneofIndex < 0 ? undefined : oneofIndex,
    jsonName: field.jsonName,
    proto3Optional: lonely || undefined,
    options: writeOptions(field.options),
  };
}

function writeEnum(one: ProtoEnum): Json {
  return {
    name: one.name,
    value: one.values.map(({ name, number, options }) => ({ name, number, options: writeOptions(options) })),
    reservedRange: one.reservedRanges.map(({ from, to }) => ({ start: from, end: to })),
    reservedName: one.reservedNames,
    options: writeOptions(one.options),
  };
}

function writeExtends(extensions: readonly ProtoExtend[], full: FullName): Json[] {
  return extensions.flatMap(({ extendee, fields }) =>
    fields.map((field) => ({ ...writeField(field, null, []), extendee: full(extendee) })),
  );
}

/** Undefined when there are none that descriptor.proto defines. */
function writeOptions(options: readonly ProtoOption[] | undefined): Json | undefined {
  const known: Record<string, unknown> = {};
  const features: Record<string, unknown> = {};
  for (const { name, value } of options ?? []) {
    if (name === "default" || name === "json_name" || name.startsWith("(")) continue;
    const plain = value.startsWith('"')
      ? JSON.parse(value)
      : value === "true" || value === "false"
        ? value === "true"
        : value;
    if (name.startsWith("features.")) features[jsonNameOf(name.slice("features.".length))] = plain;
    else if (!name.includes(".")) known[jsonNameOf(name)] = plain;
  }
  if (Object.keys(features).length > 0) known.features = features;
  return Object.keys(known).length === 0 ? undefined : known;
}
