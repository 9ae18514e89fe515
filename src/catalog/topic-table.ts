/** A topic as a table that views read: what its records are as rows, and which members of its values are columns. */
import type { Cleanup } from "../engine/engine.ts";
import type { ParsedSchema } from "../schema/registry/parsed-schema.ts";
import { type SchemaMember, schemaMembers } from "../schema/registry/schema-members.ts";
import type { ColumnShape, TableShape } from "../schema/table-shape.ts";
import type { Definitions } from "./collect.ts";
import { identifierBytesMax } from "./define/names.ts";
import type { AnyTopicDefinition, WebhookDefinition } from "./definitions.ts";
import { memberSql, memberTypes } from "./member-sql.ts";

/** The schema of the store in which the mirrors of topics are. */
export const topicsSource = "topics";

/** What is written of each record; `views/topic-rows.ts` has the cells. */
export const baseColumns: readonly ColumnShape[] = [
  written("_partition", "integer", false),
  written("_offset", "bigint", false),
  written("_time", "timestamp with time zone", true),
  written("_key", "text", true),
  written("_headers", "jsonb", false),
  written("_value", "jsonb", true),
  written("_problem", "text", true),
];

/** How far the times of a partition's events had come when the record was written (`views/watermark.ts`). */
const watermarkColumn = written("_watermark", "timestamp with time zone", true);

const memberColumnsMax = 200;
/** PostgreSQL's own, which every table has. */
const systemColumns: ReadonlySet<string> = new Set(["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"]);

/** Tables of all topics that are defined. The log says how they are cleaned up, where they are there and it is not defined. */
export function topicTables(
  { topics, webhooks }: Pick<Definitions, "topics" | "webhooks">,
  cleanupOf: (topic: string) => Cleanup | undefined = () => undefined,
): TableShape[] {
  const asTheyAre = topics.map((topic) => {
    const cleanup = topic.settings.cleanup ?? cleanupOf(topic.name);
    return cleanup === undefined ? topic : { ...topic, settings: { ...topic.settings, cleanup } };
  });
  return [...asTheyAre, ...webhooks].flatMap((definition) => topicTable(definition) ?? []);
}

/** Null where the topic's name is too long to be one of a table. */
export function topicTable(definition: AnyTopicDefinition | WebhookDefinition): TableShape | null {
  const { name } = definition;
  if (Buffer.byteLength(name) > identifierBytesMax) return null;
  const latest = definition.kind === "topic" && (definition.settings.cleanup ?? "delete") !== "delete";
  const watermark = definition.kind === "topic" && !latest ? definition.watermark : undefined;
  const parsed = definition.kind === "topic" ? (definition.schema?.registered?.parsed ?? null) : null;
  return {
    source: topicsSource,
    schema: "public",
    table: name,
    topic: name,
    columns: [
      ...(latest ? withKey(baseColumns) : baseColumns),
      ...(watermark === undefined ? [] : [watermarkColumn]),
      ...memberColumns(parsed),
    ],
    key: latest ? ["_key"] : ["_partition", "_offset"],
    appendOnly: false,
    records: latest ? "latest" : "stream",
    ...(watermark === undefined ? {} : { watermark }),
  };
}

function withKey(columns: readonly ColumnShape[]): ColumnShape[] {
  return columns.map((column) => (column.name === "_key" ? { ...column, nullable: false } : column));
}

/** Members whose names cannot be columns are left out: they are in `_value`. */
function memberColumns(schema: ParsedSchema | null): ColumnShape[] {
  if (schema === null) return [];
  const members = schemaMembers(schema).filter(({ name, jsonName }) => isColumnName(name) && isStorable(jsonName));
  return members.slice(0, memberColumnsMax).map(memberColumn);
}

function isColumnName(name: string): boolean {
  const fits = name !== "" && Buffer.byteLength(name) <= identifierBytesMax && !name.startsWith("_");
  return fits && isStorable(name) && !systemColumns.has(name);
}

function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

function memberColumn({ name, jsonName, form }: SchemaMember): ColumnShape {
  return { ...written(name, memberTypes[form], true), generated: memberSql(jsonName, form) };
}

function written(name: string, type: string, nullable: boolean): ColumnShape {
  return { name, sourceType: type, storeType: type, nullable, carriedAsText: false };
}
