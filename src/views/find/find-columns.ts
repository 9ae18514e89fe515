/**
 * What a version's table has beside the view's own columns, so that the view can be searched: hidden columns that
 * PostgreSQL computes (`generated … stored`), their indexes, and the relation that shows them to readers. Pure.
 *
 * Always true: nothing that a row holds can make a hidden column fail, since that would stop the view: texts are cut,
 * and neither coordinates out of range nor texts that are no paths have one. The expressions are the same for a stored
 * column and for a change row.
 */
import { type FindOptions, quote } from "../../catalog/definitions.ts";
import { contentColumn, copyColumn } from "../compiled-view.ts";
import { extensionOf, type FindExtension } from "./find-extensions.ts";
import { foldFunction, geodesicFunction, treePathFunction } from "./find-functions.ts";

/** Where the extensions are, by name: an own store may have them in any schema. */
export type ExtensionSchemas = Readonly<Partial<Record<FindExtension, string>>>;

/** A version that can be searched, as readers know it. */
export interface LiveFind {
  readonly options: FindOptions;
  /** Quoted and qualified: the public columns, and the hidden ones; without a key those that tell rows apart as well. */
  readonly relation: string;
  readonly schemas: ExtensionSchemas;
}

interface VersionTables {
  readonly name: string;
  readonly version: number;
  readonly stateTable: string;
  readonly publicView: string;
  readonly key: readonly string[] | null;
  readonly find?: FindOptions;
}

export const searchColumn = "_millrace_search";
export const geoColumn = "_millrace_geo";

export function fuzzyColumn(options: FindOptions, column: string): string {
  return `_millrace_fuzzy_${options.fuzzy.indexOf(column) + 1}`;
}

export function treeColumn(options: FindOptions, column: string): string {
  return `_millrace_tree_${(options.tree ?? []).indexOf(column) + 1}`;
}

/**
 * A `tsvector` takes a megabyte. The longest words are four bytes a character, and a compound is in it whole and in parts:
 * of all columns together no more characters than these.
 */
const searchCharactersMax = 100_000;
/** Trigrams of more are not what anybody looks for. */
const fuzzyCharactersMax = 1_000;

/** The weighted words of a row. */
export function searchExpression({ search }: FindOptions, alias: string): string {
  if (search === null) throw new Error("the view has no search");
  const each = Math.floor(searchCharactersMax / search.columns.length);
  return search.columns
    .map(({ column, weight }) => {
      const text = `left(coalesce(${alias}${quote(column)}::text, ''), ${each})`;
      return `setweight(to_tsvector(${configuration(search.language)}, ${text}), '${weight}')`;
    })
    .join(" || ");
}

/** One of `searchLanguages`. */
export function configuration(language: string): string {
  return `'pg_catalog.${language}'::regconfig`;
}

/** The text of a column as it is compared: small letters without accents. */
export function fuzzyExpression(column: string, alias: string): string {
  return `${foldFunction}(left(${alias}${quote(column)}::text, ${fuzzyCharactersMax}))`;
}

/** The path of a column as an `ltree`; null where it is none, or longer or deeper than an index takes. */
export function treeExpression(column: string, alias: string): string {
  return `${treePathFunction}(${alias}${quote(column)}::text)`;
}

/**
 * A text by which paths are ordered as a tree is walked: each before what is below it. A blank comes before every character
 * of a label, so that what is below a path is what begins with its text and a blank.
 */
export function treeKey(path: string): string {
  return `(translate(${path}::text, '.', ' ') collate "C")`;
}

/** The coordinate as a float where it is on the globe; null else. */
export function latExpression({ geo }: FindOptions, alias: string): string {
  return coordinate(`${alias}${quote(geo?.lat ?? "")}`, 90);
}

export function lonExpression({ geo }: FindOptions, alias: string): string {
  return coordinate(`${alias}${quote(geo?.lon ?? "")}`, 180);
}

/** Compared in the column's own type: NaN lies beyond, and a numeric may be no float. */
function coordinate(value: string, max: number): string {
  return `(case when ${value} between -${max} and ${max} then ${value}::double precision end)`;
}

/** The place as a point of the unit sphere; null when it is none. */
export function geoExpression(options: FindOptions, schemas: ExtensionSchemas, alias: string): string {
  const [lat, lon] = [`radians(${latExpression(options, alias)})`, `radians(${lonExpression(options, alias)})`];
  const place = `array[cos(${lat}) * cos(${lon}), cos(${lat}) * sin(${lon}), sin(${lat})]`;
  const valid = `${latExpression(options, alias)} is not null and ${lonExpression(options, alias)} is not null`;
  return `(case when ${valid} then ${extensionOf(schemas, "cube")}.cube(${place}) end)`;
}

export function findRelation({ name, version }: Pick<VersionTables, "name" | "version">): string {
  return `millrace.${quote(`${name}__${version}_find`)}`;
}

/** Before the version is filled. */
export function findTables(view: VersionTables, schemas: ExtensionSchemas): string[] {
  const { find } = view;
  if (find === undefined) return [];
  const columns = hiddenColumns(find, schemas);
  const apart = view.key === null ? [quote(contentColumn), quote(copyColumn)] : [];
  const shown = [...columns.map(({ name }) => name), ...apart];
  const added = columns.map(({ name, type, sql }) => `add column ${name} ${type} generated always as (${sql}) stored`);
  return [
    ...(find.geo === null ? [] : [geodesicFunction]),
    `alter table ${view.stateTable} ${added.join(", ")}`,
    // The select of the public view, with the hidden columns behind its own.
    view.publicView
      .replace(
        /^create or replace view .*? as select /,
        () => `create or replace view ${findRelation(view)} as select `,
      )
      .replace(` from ${view.stateTable}`, (from) => `, ${shown.join(", ")}${from}`),
  ];
}

/** After it is filled. */
export function findIndexes({ stateTable, find }: VersionTables, schemas: ExtensionSchemas): string[] {
  if (find === undefined) return [];
  return hiddenColumns(find, schemas).flatMap(({ index, more = [] }) =>
    [index, ...more].map((one) => `create index on ${stateTable} using ${one}`),
  );
}

function hiddenColumns(find: FindOptions, schemas: ExtensionSchemas) {
  const columns: { name: string; type: string; sql: string; index: string; more?: readonly string[] }[] = [];
  if (find.search !== null) {
    const name = quote(searchColumn);
    columns.push({ name, type: "tsvector", sql: searchExpression(find, ""), index: `gin (${name})` });
  }
  for (const column of find.fuzzy) {
    const name = quote(fuzzyColumn(find, column));
    // Measured: GiST is six times slower at half similar and a million names, with signatures of any length.
    const index = `gin (${name} ${extensionOf(schemas, "pg_trgm")}.gin_trgm_ops)`;
    columns.push({ name, type: "text", sql: fuzzyExpression(column, ""), index });
  }
  if (find.geo !== null) {
    const name = quote(geoColumn);
    const type = `${extensionOf(schemas, "cube")}.cube`;
    columns.push({ name, type, sql: geoExpression(find, schemas, ""), index: `gist (${name})` });
  }
  for (const column of find.tree ?? []) {
    const name = quote(treeColumn(find, column));
    const schema = extensionOf(schemas, "ltree");
    // Patterns, with signatures that are found to tell a million labels apart; below and above in the order of pages; one level.
    const index = `gist (${name} ${schema}.gist_ltree_ops (siglen = 100))`;
    const more = [`btree (${treeKey(name)})`, `btree (${schema}.nlevel(${name}), ${treeKey(name)})`];
    columns.push({ name, type: `${schema}.ltree`, sql: treeExpression(column, ""), index, more });
  }
  return columns;
}
