/**
 * `millrace-schema.json` and `millrace-env.d.ts` beside the definition module: written by `dev`, committed, read where
 * there is no database.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { SchemaFile, TableShape, ViewShape } from "../schema/table-shape.ts";
import { rowTypes } from "./row-types.ts";

export interface SchemaPaths {
  readonly schema: string;
  readonly types: string;
}

export function schemaPaths(modulePath: string): SchemaPaths {
  const folder = dirname(modulePath);
  return { schema: join(folder, "millrace-schema.json"), types: join(folder, "millrace-env.d.ts") };
}

/** Throws `SCHEMA_STALE` when the file is missing or is none. */
export function readSchemaFile(path: string): SchemaFile {
  const hint = "Run millrace dev once: it writes the file when the source is connected. Then commit it.";
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new MillraceError("SCHEMA_STALE", `${path} is not there`, { hint, cause });
  }
  try {
    const schema = JSON.parse(text) as SchemaFile;
    if (schema.version === 1 && Array.isArray(schema.tables) && Array.isArray(schema.views)) return schema;
  } catch {
    // Said below.
  }
  throw new MillraceError("SCHEMA_STALE", `${path} is no schema file of this version`, { hint });
}

/** In a stable order, so that a commit shows what has changed: the store gives back the fields in an order of its own. */
export function printSchema(schema: SchemaFile): string {
  const tables = schema.tables.map(tableInOrder).sort((a, b) => compare(tableName(a), tableName(b)));
  const views = schema.views.map(viewInOrder).sort((a, b) => compare(a.name, b.name));
  return `${JSON.stringify({ version: 1, tables, views }, null, 2)}\n`;
}

/** Both files, each only when it changes. Answers whether one did. */
export function writeSchemaFiles(
  paths: SchemaPaths,
  schema: SchemaFile,
  topics: readonly TableShape[],
  views: readonly ViewDefinition[],
): boolean {
  const wroteSchema = writeChanged(paths.schema, printSchema(schema));
  const wroteTypes = writeChanged(paths.types, rowTypes(schema, topics, views));
  return wroteSchema || wroteTypes;
}

/** Whole or not at all; false when the file has this text already. */
export function writeChanged(path: string, text: string): boolean {
  if (readText(path) === text) return false;
  const beside = `${path}.${process.pid}.new`;
  try {
    writeFileSync(beside, text);
    renameSync(beside, path);
  } finally {
    rmSync(beside, { force: true });
  }
  return true;
}

export function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function tableInOrder({ source, schema, table, topic, columns, key, appendOnly }: TableShape): TableShape {
  return {
    source,
    schema,
    table,
    topic,
    columns: columns.map(({ name, sourceType, storeType, nullable, carriedAsText }) => {
      return { name, sourceType, storeType, nullable, carriedAsText };
    }),
    key,
    appendOnly,
  };
}

function viewInOrder({ name, hash, key, columns }: ViewShape): ViewShape {
  const ordered = columns.map(({ name, type, nullable }) => ({ name, type, nullable }));
  return { name, hash, key, columns: ordered };
}

function tableName({ source, schema, table }: { source: string; schema: string; table: string }): string {
  return `${source}.${schema}.${table}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
