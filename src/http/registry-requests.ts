/** What clients of registries ask: the parts of their requests, read with Confluent's leniency. */
import { MillraceError } from "../base/errors.ts";
import { liveVersions, unknownSubject } from "../registry/registry-decisions.ts";
import type { ReferenceName, StoredSchema, SubjectConfig, SubjectVersion } from "../registry/registry-records.ts";
import type { RegistryState } from "../registry/registry-state.ts";
import type { SchemaText } from "../registry/schema-texts.ts";
import { schemaTypes } from "../schema/registry/parsed-schema.ts";
import { queryValue } from "./parameters.ts";
import { decodeSegment } from "./query-string.ts";
import { jsonOf, mediaTypeOf, textOf } from "./request-body.ts";
import type { Call } from "./route.ts";

const versionMax = 2 ** 31 - 1;
const bodyTypes = /^application\/(vnd\.schemaregistry(\.v1)?\+json|json|octet-stream)$/;
const referencesMax = 100;

export function subjectOf(call: Call): string {
  return decodeSegment(call.segments.subject ?? "");
}

/** False when it is not given, as Confluent's server reads it. */
export function flag(call: Call, name: string): boolean {
  return queryValue(call.query, name)?.toLowerCase() === "true";
}

/** Undefined when it is not given. */
export function optionalFlag(call: Call, name: string): boolean | undefined {
  return queryValue(call.query, name) === undefined ? undefined : flag(call, name);
}

export function formatOf(call: Call): string | undefined {
  return queryValue(call.query, "format");
}

/** A part of a list, by offset and limit; all of it when they are not given, or negative. */
export function pageOf<T>(call: Call, items: readonly T[]): readonly T[] {
  const number = (name: string): number => {
    const text = queryValue(call.query, name);
    return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : -1;
  };
  const from = Math.max(0, number("offset"));
  const limit = number("limit");
  return items.slice(from, limit < 0 ? undefined : from + limit);
}

/** Those that the flags `deleted` and `deletedOnly` ask for. */
export function isWanted(call: Call): (version: SubjectVersion) => boolean {
  const only = flag(call, "deletedOnly") || flag(call, "deleted_only");
  const also = flag(call, "deleted");
  return ({ deleted }) => (only ? deleted : also || !deleted);
}

/** Throws `SUBJECT_UNKNOWN` when there is none. */
export function versionsOf(state: RegistryState, call: Call): SubjectVersion[] {
  const subject = subjectOf(call);
  const versions = [...state.versions(subject).values()].filter(isWanted(call));
  if (versions.length === 0) throw unknownSubject(subject);
  return versions;
}

/** By number, or `latest`. Throws `SCHEMA_VERSION_INVALID`, `SUBJECT_UNKNOWN`, `SCHEMA_VERSION_UNKNOWN`. */
export function versionOf(state: RegistryState, call: Call, options: { readonly deleted: boolean }): SubjectVersion {
  const subject = subjectOf(call);
  const text = decodeSegment(call.segments.version ?? "");
  const isLatest = text === "latest" || text === "-1";
  const number = isLatest ? 0 : /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (!isLatest && !(number >= 1 && number <= versionMax)) {
    throw new MillraceError(
      "SCHEMA_VERSION_INVALID",
      `The specified version '${text.slice(0, 60)}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string "latest"`,
    );
  }
  const all = state.versions(subject);
  const live = liveVersions(state, subject);
  if (all.size === 0 || (live.length === 0 && !options.deleted)) throw unknownSubject(subject);
  const found = isLatest ? (live.at(-1) ?? [...all.values()].at(-1)) : all.get(number);
  if (found && (options.deleted || !found.deleted)) return found;
  throw new MillraceError("SCHEMA_VERSION_UNKNOWN", `Version ${text} not found.`, {
    hint: `Subject "${subject}" has ${
      live
        .map(({ version }) => version)
        .join(", ")
        .slice(0, 200) || "none"
    }.`,
  });
}

/** Throws `SCHEMA_UNKNOWN`. */
export function schemaById(state: RegistryState, call: Call): StoredSchema {
  const text = decodeSegment(call.segments.id ?? "");
  const schema = /^\d{1,10}$/.test(text) ? state.schema(Number(text)) : undefined;
  if (schema) return schema;
  throw new MillraceError("SCHEMA_UNKNOWN", `Schema ${text.slice(0, 60)} not found`);
}

export interface SchemaRequest {
  readonly schema: SchemaText;
  readonly id?: number;
  readonly version?: number;
}

const schemaMembers = ["schema", "schemaType", "references", "id", "version", "subject", "metadata", "ruleSet"];
/** What is not kept must not be taken for kept. */
const unkept = ["metadata", "ruleSet"];

/** Throws `REQUEST_INVALID`, `MEDIA_TYPE_UNSUPPORTED`, `SCHEMA_INVALID`. */
export async function readSchema(call: Call): Promise<SchemaRequest> {
  const body = await readObject(call);
  const unknown = Object.keys(body).find((name) => !schemaMembers.includes(name) && body[name] != null);
  if (unknown !== undefined) throw invalid(`the request has a member ${JSON.stringify(unknown.slice(0, 60))}`);
  const lost = unkept.find((name) => !isEmpty(body[name]));
  if (lost !== undefined) {
    throw new MillraceError("SCHEMA_INVALID", `${lost} of schemas is not kept here`, {
      hint: `Leave ${lost} out.`,
    });
  }
  const { schema, schemaType, references, id, version } = body;
  if (typeof schema !== "string" || schema === "") {
    throw new MillraceError("SCHEMA_INVALID", "there is no schema in the request", {
      hint: 'Send {"schema": "…", "schemaType": "AVRO"}, the schema being a text.',
    });
  }
  const type = schemaTypes.find((one) => one === (schemaType ?? "AVRO"));
  if (type === undefined) {
    throw new MillraceError("SCHEMA_INVALID", `${JSON.stringify(schemaType).slice(0, 60)} is no type of schema`, {
      hint: `Types are ${schemaTypes.join(", ")}.`,
    });
  }
  return {
    schema: { type, text: schema, references: readReferences(references) },
    ...(isNumber(id) ? { id: wholeNumber(id, "id") } : {}),
    ...(isNumber(version) ? { version: wholeNumber(version, "version") } : {}),
  };
}

const configMembers = ["compatibility", "compatibilityLevel", "normalize"];

/** Throws `REQUEST_INVALID`, `COMPATIBILITY_LEVEL_INVALID`. */
export async function readConfig(call: Call): Promise<SubjectConfig> {
  const body = await readObject(call);
  const unknown = Object.keys(body).find((name) => !configMembers.includes(name) && !isEmpty(body[name]));
  if (unknown !== undefined) {
    throw invalid(`${JSON.stringify(unknown.slice(0, 60))} of a subject is not kept here`, "It keeps compatibility.");
  }
  const level = body.compatibility ?? body.compatibilityLevel;
  const { normalize } = body;
  if (typeof level !== "string" && typeof normalize !== "boolean") {
    throw new MillraceError("COMPATIBILITY_LEVEL_INVALID", "there is no compatibility in the request", {
      hint: 'Send {"compatibility": "BACKWARD"}.',
    });
  }
  return {
    ...(typeof level === "string" ? { compatibility: level.toUpperCase() } : {}),
    ...(typeof normalize === "boolean" ? { normalize } : {}),
  };
}

/** Throws `REGISTRY_MODE_INVALID`. */
export async function readMode(call: Call): Promise<string> {
  const { mode } = await readObject(call);
  if (typeof mode === "string") return mode.toUpperCase();
  throw new MillraceError("REGISTRY_MODE_INVALID", "there is no mode in the request", {
    hint: 'Send {"mode": "READWRITE"}.',
  });
}

async function readObject(call: Call): Promise<Record<string, unknown>> {
  const type = mediaTypeOf(call.headers["content-type"]);
  if (!bodyTypes.test(type)) {
    throw new MillraceError("MEDIA_TYPE_UNSUPPORTED", `${JSON.stringify(type.slice(0, 80))} is not read here`, {
      hint: "Send application/vnd.schemaregistry.v1+json.",
    });
  }
  const body = jsonOf(textOf(await call.body()));
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  throw invalid("the body is no JSON object");
}

function readReferences(references: unknown): ReferenceName[] {
  if (references === undefined || references === null) return [];
  const isList = Array.isArray(references) && references.length <= referencesMax;
  if (!isList) throw invalid(`references are a list of at most ${referencesMax}`);
  return references.map((one: Record<string, unknown> | null) => {
    const { name, subject, version } = one ?? {};
    const isForm = typeof name === "string" && typeof subject === "string" && Number.isSafeInteger(version);
    if (isForm) return { name, subject, version: version as number };
    throw invalid("a reference is {name, subject, version}");
  });
}

/** Some clients send -1 or 0 for none. */
function isNumber(value: unknown): boolean {
  return value !== undefined && value !== null && value !== -1 && value !== 0;
}

function wholeNumber(value: unknown, name: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= versionMax) return value as number;
  throw invalid(`${name} is ${JSON.stringify(value).slice(0, 40)}, which is no whole number from 1`);
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === "object" && Object.values(value).every(isEmpty);
}

function invalid(message: string, hint?: string): MillraceError {
  return new MillraceError("REQUEST_INVALID", message, hint === undefined ? {} : { hint });
}
