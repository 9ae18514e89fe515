/**
 * Records of `_millrace.schemas` (docs/internals/formats/schemas.md): the key is `<kind>/…`, the value JSON in an envelope
 * with a version; a record without a value removes what its key names. What belongs together is one batch.
 */
import { encodeBatch } from "../records/batch-builder.ts";
import { type SchemaType, schemaTypes } from "../schema/registry/parsed-schema.ts";

export const schemasTopicName = "_millrace.schemas";

/** As a schema names the one that it is built on. */
export interface ReferenceName {
  readonly name: string;
  readonly subject: string;
  readonly version: number;
}

export interface StoredSchema {
  readonly id: number;
  readonly type: SchemaType;
  /** The canonical form, or the normalized one where that was asked for. */
  readonly text: string;
  readonly references: readonly ReferenceName[];
  /** Equal for equal texts, types and references. */
  readonly fingerprint: string;
  /** Equal for those whose normalized forms are. */
  readonly normalizedFingerprint: string;
}

export interface SubjectVersion {
  readonly subject: string;
  readonly version: number;
  readonly id: number;
  /** Soft deleted: hidden, and still readable by those who have its id. */
  readonly deleted: boolean;
}

export interface SubjectConfig {
  readonly compatibility?: string;
  readonly normalize?: boolean;
}

/** `subject` is null for what holds for all subjects. */
export type RegistryChange =
  | { readonly kind: "schema"; readonly id: number; readonly schema: StoredSchema | undefined }
  | {
      readonly kind: "version";
      readonly subject: string;
      readonly version: number;
      readonly entry: VersionEntry | undefined;
    }
  | { readonly kind: "config"; readonly subject: string | null; readonly config: SubjectConfig | undefined }
  | { readonly kind: "mode"; readonly subject: string | null; readonly mode: string | undefined }
  /** The last id that was given out. It never goes back, so that an id never means two schemas. */
  | { readonly kind: "ids"; readonly lastId: number };

export type VersionEntry = Pick<SubjectVersion, "id" | "deleted">;

const recordVersion = 1;

export function encodeRegistryChanges(changes: readonly RegistryChange[], nowMs: number): Buffer {
  return encodeBatch(
    changes.map((change) => {
      const [key, value] = recordOf(change);
      const content = value === undefined ? null : Buffer.from(JSON.stringify({ version: recordVersion, value }));
      return { key: Buffer.from(key), value: content };
    }),
    nowMs,
  );
}

function recordOf(change: RegistryChange): readonly [key: string, value: unknown] {
  switch (change.kind) {
    case "schema": {
      if (change.schema === undefined) return [`schema/${change.id}`, undefined];
      const { id: _, ...rest } = change.schema;
      return [`schema/${change.id}`, rest];
    }
    case "version":
      return [`version/${change.version}/${change.subject}`, change.entry];
    case "config":
      return [change.subject === null ? "config" : `config/${change.subject}`, change.config];
    case "mode":
      return [change.subject === null ? "mode" : `mode/${change.subject}`, change.mode];
    case "ids":
      return ["ids", { lastId: change.lastId }];
  }
}

/** Undefined for what is none, or of a version that is not known: it is left alone. */
export function decodeRegistryRecord(key: Buffer | null, value: Buffer | null): RegistryChange | undefined {
  const text = key?.toString("utf8") ?? "";
  let content: unknown;
  if (value !== null) {
    try {
      const read = JSON.parse(value.toString("utf8")) as { readonly version?: unknown; readonly value?: unknown };
      if (read?.version !== recordVersion || read.value === undefined) return undefined;
      content = read.value;
    } catch {
      return undefined;
    }
  }
  return changeOf(text, content);
}

/** On a cluster others could write to the topic: what has not the form of a record is none. */
function changeOf(key: string, content: unknown): RegistryChange | undefined {
  const [, kind = "", rest] = /^([a-z]+)(?:\/(.*))?$/s.exec(key) ?? [];
  if (kind === "schema") {
    const id = Number(rest);
    if (!isPositive(id)) return undefined;
    if (content === undefined) return { kind, id, schema: undefined };
    return isSchema(content) ? { kind, id, schema: { ...content, id } } : undefined;
  }
  if (kind === "version") {
    const [, version = "", subject = ""] = /^(\d+)\/(.+)$/s.exec(rest ?? "") ?? [];
    const place = { kind, subject, version: Number(version) } as const;
    if (subject === "" || !isPositive(place.version)) return undefined;
    if (content === undefined) return { ...place, entry: undefined };
    const entry = content as VersionEntry;
    return isPositive(entry.id) && typeof entry.deleted === "boolean" ? { ...place, entry } : undefined;
  }
  if (kind === "config") {
    if (content !== undefined && typeof content !== "object") return undefined;
    return { kind, subject: rest ?? null, config: (content ?? undefined) as SubjectConfig | undefined };
  }
  if (kind === "mode") {
    if (content !== undefined && typeof content !== "string") return undefined;
    return { kind, subject: rest ?? null, mode: content };
  }
  const lastId = kind === "ids" ? (content as { readonly lastId?: unknown } | undefined)?.lastId : undefined;
  return isPositive(lastId) ? { kind: "ids", lastId } : undefined;
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isSchema(value: unknown): value is Omit<StoredSchema, "id"> {
  const { type, text, references, fingerprint, normalizedFingerprint } = value as Record<string, unknown>;
  return (
    schemaTypes.some((one) => one === type) &&
    [text, fingerprint, normalizedFingerprint].every((one) => typeof one === "string") &&
    Array.isArray(references) &&
    references.every(
      (one) => typeof one?.name === "string" && typeof one.subject === "string" && isPositive(one.version),
    )
  );
}
