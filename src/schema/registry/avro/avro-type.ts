/**
 * Avro's types (specification 1.12). Named types are objects that refer to each other, so that a recursive schema is a
 * graph with circles; everything is complete when the reader hands it out, and never changed after.
 */
import type { JsonToken } from "../../json-token.ts";

export type AvroPrimitiveKind = "null" | "boolean" | "int" | "long" | "float" | "double" | "bytes" | "string";

/** Attributes that the specification does not name, `logicalType` and its like among them. */
export type AvroProps = ReadonlyMap<string, JsonToken>;

export interface AvroPrimitive {
  readonly kind: AvroPrimitiveKind;
  readonly props: AvroProps;
}

export interface AvroField {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly doc: string | undefined;
  readonly type: AvroType;
  /** As the specification writes defaults: that of a union is a value of one of its branches, without a tag. */
  readonly default: JsonToken | undefined;
  readonly order: string;
  readonly props: AvroProps;
}

interface Named {
  /** With its namespace. */
  readonly name: string;
  /** With their namespaces. */
  readonly aliases: readonly string[];
  readonly doc: string | undefined;
  readonly props: AvroProps;
}

export interface AvroRecord extends Named {
  readonly kind: "record";
  /** Declared as `error`. */
  readonly isError: boolean;
  readonly fields: readonly AvroField[];
}

export interface AvroEnum extends Named {
  readonly kind: "enum";
  readonly symbols: readonly string[];
  /** What a reader takes for a symbol that it does not know. */
  readonly default: string | undefined;
}

export interface AvroFixed extends Named {
  readonly kind: "fixed";
  readonly size: number;
}

export interface AvroArray {
  readonly kind: "array";
  readonly items: AvroType;
  readonly props: AvroProps;
}

export interface AvroMap {
  readonly kind: "map";
  readonly values: AvroType;
  readonly props: AvroProps;
}

export interface AvroUnion {
  readonly kind: "union";
  readonly branches: readonly AvroType[];
}

export type AvroNamed = AvroRecord | AvroEnum | AvroFixed;
export type AvroType = AvroPrimitive | AvroNamed | AvroArray | AvroMap | AvroUnion;

export function isNamed(type: AvroType): type is AvroNamed {
  return type.kind === "record" || type.kind === "enum" || type.kind === "fixed";
}

/** How a union's branch is called in Avro's JSON: a full name, or the kind. */
export function branchName(type: AvroType): string {
  return isNamed(type) ? type.name : type.kind;
}

/** Without the namespace. */
export function localName(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}

export function namespaceOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf(".")));
}
