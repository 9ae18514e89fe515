/** The members that the values of a schema have at their top, and in which form each stands in the JSON that readers get. */
import { avroMembers } from "./avro/avro-members.ts";
import { jsonMembers } from "./json/json-members.ts";
import type { ParsedSchema } from "./parsed-schema.ts";
import { protobufMembers } from "./protobuf/protobuf-members.ts";

/**
 * `integer-text` and `unsigned-text` are whole numbers that may be written as texts, because they need 64 bits.
 * `epoch-…` counts from 1970. `json` is everything that has no form of its own.
 */
export type MemberForm =
  | "text"
  | "date-time"
  | "date"
  | "uuid"
  | "integer"
  | "integer-text"
  | "unsigned-text"
  | "number"
  | "boolean"
  | "epoch-days"
  | "epoch-ms"
  | "epoch-us"
  | "json";

export interface SchemaMember {
  /** As the schema names it. */
  readonly name: string;
  /** As the JSON names it. */
  readonly jsonName: string;
  readonly form: MemberForm;
}

/** In the order of the schema, each name once; none where values are no objects. */
export function schemaMembers(schema: ParsedSchema): readonly SchemaMember[] {
  if (schema.type === "JSON") return jsonMembers(schema.model.root);
  return schema.type === "AVRO" ? avroMembers(schema.root) : protobufMembers(schema.model);
}
