/** A `.proto` file and what it imports, as objects that refer to each other. */

export const scalarKinds = [
  "double",
  "float",
  "int32",
  "int64",
  "uint32",
  "uint64",
  "sint32",
  "sint64",
  "fixed32",
  "fixed64",
  "sfixed32",
  "sfixed64",
  "bool",
  "string",
  "bytes",
] as const;

export type ScalarKind = (typeof scalarKinds)[number];

/** `value` is as the text has it: a name, a number, a quoted string, or `{…}` with single spaces. */
export interface ProtoOption {
  readonly name: string;
  readonly value: string;
}

export type FieldType =
  | { readonly kind: "scalar"; readonly scalar: ScalarKind }
  | { readonly kind: "message"; readonly message: ProtoMessage }
  | { readonly kind: "enum"; readonly enum: ProtoEnum };

export interface ProtoField {
  readonly name: string;
  readonly number: number;
  readonly label: "optional" | "required" | "repeated" | null;
  /** As it was written; `group` fields have the name of their message. */
  readonly typeName: string;
  readonly type: FieldType;
  /** Of a `map<key, value>`: its fields 1 and 2. */
  readonly map: { readonly key: ProtoField; readonly value: ProtoField } | null;
  readonly oneof: string | null;
  readonly group: boolean;
  readonly options: readonly ProtoOption[];
  readonly jsonName: string;
  /** Whether it can be told from its default: what has no presence is always there. */
  readonly presence: boolean;
}

export interface NumberRange {
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
}

export interface ProtoOneof {
  readonly name: string;
  readonly options: readonly ProtoOption[];
}

/** What messages and enums have in common. */
interface ProtoType {
  readonly name: string;
  /** With the package, without a leading dot. */
  readonly fullName: string;
  readonly file: ProtoFile;
  readonly reservedRanges: readonly NumberRange[];
  readonly reservedNames: readonly string[];
  readonly options: readonly ProtoOption[];
}

export interface ProtoMessage extends ProtoType {
  readonly fields: readonly ProtoField[];
  readonly byNumber: ReadonlyMap<number, ProtoField>;
  readonly oneofs: readonly ProtoOneof[];
  readonly messages: readonly ProtoMessage[];
  readonly enums: readonly ProtoEnum[];
  readonly extends: readonly ProtoExtend[];
  readonly extensionRanges: readonly NumberRange[];
}

export interface ProtoEnum extends ProtoType {
  readonly values: readonly ProtoEnumValue[];
  /** Numbers that it does not name are no values of it (proto2). */
  readonly closed: boolean;
}

interface ProtoEnumValue {
  readonly name: string;
  readonly number: number;
  readonly options: readonly ProtoOption[];
}

export interface ProtoExtend {
  readonly extendee: string;
  readonly fields: readonly ProtoField[];
}

export interface ProtoMethod {
  readonly name: string;
  readonly input: string;
  readonly output: string;
  readonly clientStreaming: boolean;
  readonly serverStreaming: boolean;
  readonly options: readonly ProtoOption[];
}

export interface ProtoService {
  readonly name: string;
  readonly methods: readonly ProtoMethod[];
  readonly options: readonly ProtoOption[];
}

export interface ProtoImport {
  readonly path: string;
  readonly kind: "" | "public" | "weak";
}

export interface ProtoFile {
  /** The path that others import it by; empty for the schema itself. */
  readonly path: string;
  readonly syntax: "proto2" | "proto3" | "editions";
  /** `2023`; empty unless editions. */
  readonly edition: string;
  readonly package: string;
  readonly imports: readonly ProtoImport[];
  readonly options: readonly ProtoOption[];
  readonly messages: readonly ProtoMessage[];
  readonly enums: readonly ProtoEnum[];
  readonly services: readonly ProtoService[];
  readonly extends: readonly ProtoExtend[];
}

export interface ProtobufModel {
  readonly root: ProtoFile;
  /** Everything that the schema can name, by full name. */
  readonly types: ReadonlyMap<string, ProtoMessage | ProtoEnum>;
}

export function isMessage(type: ProtoMessage | ProtoEnum): type is ProtoMessage {
  return "fields" in type;
}

/** The message that indexes of the wire format lead to: the third of the file, in it the first, and so on. */
export function messageAt(file: ProtoFile, indexes: readonly number[]): ProtoMessage | undefined {
  let messages = file.messages;
  let found: ProtoMessage | undefined;
  for (const index of indexes) {
    found = messages[index];
    if (found === undefined) return undefined;
    messages = found.messages;
  }
  return found;
}

/** `user_id` is `userId` in JSON. */
export function jsonNameOf(name: string): string {
  return name.replace(/_+([a-zA-Z0-9]?)/g, (_, next: string) => next.toUpperCase());
}
