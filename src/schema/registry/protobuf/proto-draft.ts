/**
 * A `.proto` file before its names are looked up: what text and descriptors are both read into, and what
 * `link-protobuf.ts` turns into the model.
 */
import type { NumberRange, ProtoFile, ProtoImport, ProtoOneof, ProtoOption, ProtoService } from "./proto-file.ts";

export interface FieldDraft {
  readonly name: string;
  readonly number: number;
  readonly label: "optional" | "required" | "repeated" | null;
  readonly typeName: string;
  readonly map: { readonly key: string; readonly value: string } | null;
  readonly oneof: string | null;
  readonly group: boolean;
  readonly options: readonly ProtoOption[];
  /** Line and column, or empty. */
  readonly at: string;
}

export interface ExtendDraft {
  readonly extendee: string;
  readonly fields: FieldDraft[];
}

export interface MessageDraft {
  readonly name: string;
  readonly fields: FieldDraft[];
  readonly oneofs: ProtoOneof[];
  readonly messages: MessageDraft[];
  readonly enums: EnumDraft[];
  readonly extends: ExtendDraft[];
  readonly reservedRanges: NumberRange[];
  readonly reservedNames: string[];
  readonly extensionRanges: NumberRange[];
  readonly options: ProtoOption[];
  readonly at: string;
}

export interface EnumDraft {
  readonly name: string;
  readonly values: { readonly name: string; readonly number: number; readonly options: readonly ProtoOption[] }[];
  readonly reservedRanges: NumberRange[];
  readonly reservedNames: string[];
  readonly options: ProtoOption[];
  readonly at: string;
}

export interface FileDraft {
  path: string;
  syntax: ProtoFile["syntax"];
  edition: string;
  package: string;
  readonly imports: ProtoImport[];
  readonly options: ProtoOption[];
  readonly messages: MessageDraft[];
  readonly enums: EnumDraft[];
  readonly services: ProtoService[];
  readonly extends: ExtendDraft[];
}

export function fileDraft(path: string): FileDraft {
  return {
    path,
    syntax: "proto2",
    edition: "",
    package: "",
    imports: [],
    options: [],
    messages: [],
    enums: [],
    services: [],
    extends: [],
  };
}

export function messageDraft(name: string, at: string): MessageDraft {
  return {
    name,
    fields: [],
    oneofs: [],
    messages: [],
    enums: [],
    extends: [],
    reservedRanges: [],
    reservedNames: [],
    extensionRanges: [],
    options: [],
    at,
  };
}

export function enumDraft(name: string, at: string): EnumDraft {
  return { name, values: [], reservedRanges: [], reservedNames: [], options: [], at };
}
