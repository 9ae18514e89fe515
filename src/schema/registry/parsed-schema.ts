/**
 * A schema of the registry, read and checked: what every other part of this folder works on.
 *
 * Always true: a parsed schema is whole (every reference in it is resolved), bounded (`schema-limits.ts`) and never
 * changes. Not here: where schemas are stored, their ids and versions.
 */
import type { AvroType } from "./avro/avro-type.ts";
import type { JsonSchemaModel } from "./json/json-node.ts";
import type { ProtobufModel } from "./protobuf/proto-file.ts";

export type SchemaType = "AVRO" | "JSON" | "PROTOBUF";

export const schemaTypes: readonly SchemaType[] = ["JSON", "PROTOBUF", "AVRO"];

/** Another registered schema that a schema is built on, with its text. */
export interface SchemaReference {
  /** How the schema names it: a full name (Avro), the URI of a `$ref` (JSON Schema), the path of an import (Protobuf). */
  readonly name: string;
  readonly subject: string;
  readonly version: number;
  readonly schema: string;
  readonly type: SchemaType;
}

interface Parsed {
  /** As it was handed in. */
  readonly text: string;
  /** The form to store and to compare by: two texts that differ in layout only have the same one. */
  readonly canonical: string;
  /** The form under `normalize`: two texts that differ in the order of their parts only have the same one. */
  readonly normalized: string;
  /** As they were handed in: what the schema names, and what those name, those that are named first. */
  readonly references: readonly SchemaReference[];
}

export interface AvroSchema extends Parsed {
  readonly type: "AVRO";
  readonly root: AvroType;
}

export interface JsonSchema extends Parsed {
  readonly type: "JSON";
  readonly model: JsonSchemaModel;
}

export interface ProtobufSchema extends Parsed {
  readonly type: "PROTOBUF";
  readonly model: ProtobufModel;
}

export type ParsedSchema = AvroSchema | JsonSchema | ProtobufSchema;

/** Why data of one schema cannot be read with another. */
export interface Incompatibility {
  /** Where, in the reader's schema unless the message says otherwise: `/fields/2/type` (Avro), `#/properties/x` (JSON Schema, Protobuf). */
  readonly path: string;
  /** Confluent's name: `READER_FIELD_MISSING_DEFAULT_VALUE`, `PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL`, `FIELD_SCALAR_KIND_CHANGED`. */
  readonly kind: string;
  /** A sentence that names the thing. */
  readonly message: string;
}

/** What a payload has that its schema does not allow. */
export interface PayloadProblem {
  /** A JSON pointer into the value, `""` for the whole. */
  readonly path: string;
  readonly message: string;
}

/** A payload as JSON text; `problems` is never empty. */
export type DecodedPayload =
  | { readonly ok: true; readonly json: string }
  | { readonly ok: false; readonly problems: readonly PayloadProblem[] };
