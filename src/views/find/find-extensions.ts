/** Extensions of PostgreSQL that searching needs: found where they are, or made where the store may. */
import { MillraceError } from "../../base/errors.ts";
import { type FindOptions, quote } from "../../catalog/definitions.ts";
import { tableColumns } from "../read-indexes.ts";
import { serverError } from "../reader-errors.ts";
import type { ExtensionSchemas } from "./find-columns.ts";
import { makeFold, makeTreePath } from "./find-functions.ts";

export type FindExtension = "pg_trgm" | "unaccent" | "cube" | "ltree";

/** Full text search is PostgreSQL's own. */
export function neededExtensions({ fuzzy, geo, tree }: FindOptions): FindExtension[] {
  return [
    ...(fuzzy.length > 0 ? (["pg_trgm", "unaccent"] as const) : []),
    ...(geo === null ? [] : (["cube"] as const)),
    ...(tree === undefined ? [] : (["ltree"] as const)),
  ];
}

/** The schema, quoted; `millrace` where nothing is known, which is where it would be made. */
export function extensionOf(schemas: ExtensionSchemas, name: FindExtension): string {
  return quote(schemas[name] ?? "millrace");
}

type Query = (sql: string, values: readonly unknown[]) => Promise<readonly Record<string, unknown>[]>;

export async function findSchemas(query: Query, options: FindOptions): Promise<ExtensionSchemas> {
  const names = neededExtensions(options);
  if (names.length === 0) return {};
  const rows = await query(
    "select e.extname as name, n.nspname as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = any($1::text[])",
    [names],
  );
  return Object.fromEntries(rows.map(({ name, schema }) => [name, schema]));
}

/** Each of them is there afterwards. Throws `STORE_EXTENSION_MISSING`, which names it and the command. */
export async function makeExtensions(query: Query, view: string, options: FindOptions): Promise<ExtensionSchemas> {
  const known = await findSchemas(query, options);
  for (const name of neededExtensions(options).filter((one) => known[one] === undefined)) {
    try {
      await query(`create extension if not exists ${name} schema millrace`, []);
    } catch (cause) {
      const server = serverError(cause);
      if (server === undefined || !isRefused(server.sqlState)) throw cause;
      throw new MillraceError(
        "STORE_EXTENSION_MISSING",
        `view "${view}" needs PostgreSQL's extension ${name}, and the store does not let it be made: ${server.message}`,
        {
          hint: `Install PostgreSQL's contrib modules if they are missing, run "create extension ${name}" in the store's database as somebody who may, then millrace views rebuild ${view}.`,
          details: { view, extension: name, sqlState: server.sqlState },
          cause,
        },
      );
    }
  }
  const schemas = await findSchemas(query, options);
  if (options.fuzzy.length > 0) await query(makeFold(extensionOf(schemas, "unaccent")), []);
  if (options.tree !== undefined) await query(makeTreePath(extensionOf(schemas, "ltree")), []);
  return schemas;
}

const textTypes = /^(text|character varying|character|name|json|jsonb|uuid|smallint|integer|bigint|numeric)\b/;
const numberTypes = /^(smallint|integer|bigint|numeric|real|double precision)\b/;

/** Throws `VIEW_OPTION_INVALID` for columns whose types the options cannot use. */
export async function checkTypes(query: Query, view: string, stateTable: string, options: FindOptions): Promise<void> {
  const rows = await query(tableColumns, [stateTable]);
  const types = new Map(rows.map(({ name, type }) => [name as string, type as string]));
  const check = (option: string, column: string, fits: RegExp, wanted: string, cast: string) => {
    const type = types.get(column) ?? "unknown";
    if (fits.test(type) && !type.endsWith("[]")) return;
    throw new MillraceError(
      "VIEW_OPTION_INVALID",
      `view "${view}": ${option} names "${column}", which is ${type} and no ${wanted}`,
      { hint: `Select it as ${cast}.`, details: { view, option, column, type } },
    );
  };
  for (const { column } of options.search?.columns ?? []) check("search", column, textTypes, "text", `${column}::text`);
  for (const column of options.fuzzy) check("fuzzy", column, textTypes, "text", `${column}::text`);
  for (const column of options.geo === null ? [] : [options.geo.lat, options.geo.lon]) {
    check("geo", column, numberTypes, "number", `${column}::double precision`);
  }
  for (const column of options.tree ?? [])
    check("tree", column, /^(text|character varying)\b/, "text", `${column}::text`);
}

/** Not permitted, not known to the server, no such file. */
function isRefused(sqlState: string): boolean {
  return ["42501", "0A000", "58P01", "22023", "55000"].includes(sqlState);
}
