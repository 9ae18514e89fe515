/** What the registry's door answers, in Confluent's forms: schemas, versions, and errors as `{error_code, message}`. */
import { type ErrorCode, errorCodes } from "../base/error-codes.ts";
import type { MillraceError } from "../base/errors.ts";
import type { StoredSchema, SubjectVersion } from "../registry/registry-records.ts";
import type { SchemaRegistry } from "../registry/schema-registry.ts";
import { protobufDescriptor } from "../schema/registry/protobuf/descriptor-writer.ts";
import { type Problem, problemOf } from "./problem.ts";
import { json, type Reply } from "./route.ts";

export const registryMediaType = "application/vnd.schemaregistry.v1+json";

/** Below the status; clients compare them. */
const errorNumbers: Partial<Record<ErrorCode, number>> = {
  SUBJECT_UNKNOWN: 40401,
  SCHEMA_VERSION_UNKNOWN: 40402,
  SCHEMA_UNKNOWN: 40403,
  SUBJECT_DELETED: 40404,
  SUBJECT_NOT_DELETED: 40405,
  COMPATIBILITY_NOT_SET: 40408,
  REGISTRY_MODE_NOT_SET: 40409,
  SCHEMA_INVALID: 42201,
  SCHEMA_VERSION_INVALID: 42202,
  COMPATIBILITY_LEVEL_INVALID: 42203,
  REGISTRY_MODE_INVALID: 42204,
  REGISTRY_READ_ONLY: 42205,
  SCHEMA_REFERENCED: 42206,
  SCHEMA_ID_TAKEN: 42207,
  SUBJECT_INVALID: 42208,
  SCHEMA_TOO_LARGE: 42209,
  REGISTRY_FULL: 50001,
  INTERNAL_ERROR: 50001,
};

/** The same of a single version. */
const errorNumbersOfVersion: Partial<Record<ErrorCode, number>> = {
  SUBJECT_DELETED: 40406,
  SUBJECT_NOT_DELETED: 40407,
};

/** Instead of a problem document, which clients of registries do not read; the hint follows the message. */
export function registryProblemOf(error: MillraceError, retryAfterSeconds?: number): Problem {
  const problem = problemOf(error, retryAfterSeconds);
  const status = errorCodes[error.code].http;
  const ofVersion = error.details.version === undefined ? undefined : errorNumbersOfVersion[error.code];
  const body = {
    error_code: ofVersion ?? errorNumbers[error.code] ?? status,
    message: error.hint === undefined ? error.message : `${error.message.replace(/\.$/, "")}. ${error.hint}`,
  };
  return {
    status,
    headers: { ...problem.headers, "content-type": registryMediaType },
    body: `${JSON.stringify(body)}\n`,
  };
}

export function answered(value: unknown): Reply {
  return { ...json(value), type: registryMediaType } as Reply;
}

/** The schema alone, as its own text. */
export function schemaReply(text: string): Reply {
  return { kind: "body", status: 200, type: registryMediaType, body: text };
}

/** `serialized` is the base64 of the descriptor, of Protobuf; other formats are the text. */
export function formattedText(registry: SchemaRegistry, schema: StoredSchema, format: string | undefined): string {
  if (format !== "serialized" || schema.type !== "PROTOBUF") return schema.text;
  const parsed = registry.parsed(schema.id);
  return parsed?.type === "PROTOBUF" ? protobufDescriptor(parsed).toString("base64") : schema.text;
}

/** As Confluent prints it: what is Avro, and what is built on nothing, does not say so. */
export function schemaJson(registry: SchemaRegistry, schema: StoredSchema, format?: string) {
  return {
    ...(schema.type === "AVRO" ? {} : { schemaType: schema.type }),
    ...(schema.references.length === 0 ? {} : { references: schema.references }),
    schema: formattedText(registry, schema, format),
  };
}

export function versionJson(registry: SchemaRegistry, at: SubjectVersion, format?: string) {
  const schema = registry.state.schema(at.id);
  return {
    subject: at.subject,
    version: at.version,
    id: at.id,
    ...(schema ? schemaJson(registry, schema, format) : {}),
    ...(at.deleted ? { deleted: true } : {}),
  };
}
