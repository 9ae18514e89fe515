/**
 * Terms that search, as SQL. Over a version's rows the hidden columns are read, by their indexes; over change rows, which
 * have none, the same expressions are computed. What a client sent travels as parameters.
 */
import { type FindOptions, quote } from "../../catalog/definitions.ts";
import type { ColumnsOfView } from "../row-column.ts";
import { columnOf } from "../row-column.ts";
import type { Parameters } from "../row-filter.ts";
import type { Filter } from "../view-info.ts";
import { boxOf, inPolygonSql, type Polygon, tileBox, tileSql } from "./area.ts";
import {
  configuration,
  fuzzyColumn,
  fuzzyExpression,
  geoColumn,
  geoExpression,
  type LiveFind,
  latExpression,
  lonExpression,
  searchColumn,
  searchExpression,
} from "./find-columns.ts";
import { extensionOf } from "./find-extensions.ts";
import { foldFunction, geodesic } from "./find-functions.ts";
import type { FindFilter, Place } from "./find-query.ts";
import { optionMissing } from "./option-missing.ts";
import { type Box, blockOf, chordsOf, type Point, pointOf } from "./sphere.ts";
import { treeTerm, treeTermSql } from "./tree.ts";

/** A view as terms are printed for it: `hidden` where its hidden columns can be read. */
export interface FindableView extends ColumnsOfView {
  readonly find?: LiveFind;
  readonly hidden?: boolean;
}

/** A condition that is true, false or null. Throws `VIEW_OPTION_MISSING`, `COLUMN_UNKNOWN`. */
export function findTermSql(view: FindableView, term: FindFilter, alias: string, parameters: Parameters): string {
  switch (term.kind) {
    case "search":
      return `${searchSql(view, alias)} @@ ${searchQuery(view, term.text, parameters)}`;
    case "similar":
      return similarSql(view, term, alias, parameters);
    case "within":
      return withinSql(view, term.center, term.metres, alias, parameters);
    case "box":
      return boxSql(view, term, alias, parameters);
    case "area":
      return `(${term.polygons.map((one) => polygonSql(view, one, alias, parameters)).join(" or ")})`;
    case "tile":
      return inTileSql(view, term, alias, parameters);
    case "tree":
      return treeTermSql(view, term, alias, parameters);
  }
}

export function searchSql(view: FindableView, alias: string): string {
  const { options } = searchable(view);
  return view.hidden ? `${alias}.${quote(searchColumn)}` : `(${searchExpression(options, `${alias}.`)})`;
}

/** The query of a text, an expression of type `tsquery`, with the synonyms of its words. */
export function searchQuery(view: FindableView, text: string, parameters: Parameters): string {
  const { search } = searchable(view).options;
  const language = configuration(search.language);
  const asked = wordsQuery(language, text, parameters);
  return (search.synonyms ?? []).reduce((query, list, i) => withSynonyms(query, list, i, language), asked);
}

/** Each of the words becomes a lexeme that no text has, and that one all of the words: so none is replaced in what replaces another. */
function withSynonyms(query: string, words: readonly string[], i: number, language: string): string {
  const word = (text: string) => `to_tsquery(${language}, '${text}')`;
  const list = `'''millrace ${i}'''::tsquery`;
  const marked = words.reduce((of, one) => `ts_rewrite(${of}, ${word(one)}, ${list})`, query);
  return `ts_rewrite(${marked}, ${list}, ${word(words.join(" | "))})`;
}

function wordsQuery(language: string, text: string, parameters: Parameters): string {
  const prefix = /^(|.*[\s(])([\p{L}\p{N}]+)\*\s*$/su.exec(text);
  const words = (part: string) => `websearch_to_tsquery(${language}, ${parameters.addText(part, "q")})`;
  if (prefix === null || ((prefix[1] ?? "").split('"').length - 1) % 2 === 1) return words(text);
  const [, before = "", last = ""] = prefix;
  // Letters and digits: nothing that the grammar of queries reads.
  const begins = `to_tsquery(${language}, ${parameters.addText(`${last}:*`, "q")})`;
  const other = /^(.*)\sor\s+$/isu.exec(before);
  if (other) return `(${words(other[1] ?? "")} || ${begins})`;
  return before.trim() === "" ? begins : `(${words(before)} && ${begins})`;
}

type SimilarTerm = Extract<FindFilter, { kind: "similar" }>;

function similarSql(view: FindableView, term: SimilarTerm, alias: string, parameters: Parameters): string {
  const { value, wanted, schema } = similarParts(view, term, alias, parameters);
  const exact = () => `${similarity(term, schema, value, wanted)} >= ${parameters.addFloat(term.threshold)}::real`;
  if (!view.hidden) return exact();
  // The operator, which is what the index serves, takes its threshold from the transaction's settings.
  const indexed = `${value} operator(${schema}.${term.part ? "%>" : "%"}) ${wanted}`;
  return parameters.settings.isOnly(term) ? indexed : `(${indexed} and ${exact()})`;
}

/** How similar, from 0 to 1. */
export function similaritySql(view: FindableView, term: SimilarTerm, alias: string, parameters: Parameters): string {
  const { value, wanted, schema } = similarParts(view, term, alias, parameters);
  return similarity(term, schema, value, wanted);
}

function similarity({ part }: SimilarTerm, schema: string, value: string, wanted: string): string {
  return part ? `${schema}.word_similarity(${wanted}, ${value})` : `${schema}.similarity(${value}, ${wanted})`;
}

function similarParts(view: FindableView, term: SimilarTerm, alias: string, parameters: Parameters) {
  const column = columnOf(view, term.column).name;
  const find = view.find;
  if (!find?.options.fuzzy.includes(column)) {
    throw optionMissing(view.name, `has no fuzzy index of the column "${column}"`, "fuzzy", JSON.stringify([column]));
  }
  return {
    value: view.hidden ? `${alias}.${quote(fuzzyColumn(find.options, column))}` : fuzzyExpression(column, `${alias}.`),
    wanted: `${foldFunction}(${parameters.addText(term.text, column)})`,
    schema: extensionOf(find.schemas, "pg_trgm"),
  };
}

function withinSql(view: FindableView, center: Place, metres: number, alias: string, parameters: Parameters): string {
  const find = locatable(view);
  const { inside, outside } = chordsOf(metres);
  const [place, from] = [placeSql(view, alias), pointSql(find, pointOf(center), parameters)];
  const cube = extensionOf(find.schemas, "cube");
  const chord = `${place} operator(${cube}.<->) ${from}`;
  const reach = parameters.addFloat(outside);
  const exact = `${distanceSql(view, center, alias, parameters)} <= ${parameters.addFloat(metres)}`;
  return (
    `(${place} operator(${cube}.<@) ${cube}.cube_enlarge(${from}, ${reach}, 3) and ${chord} <= ${reach} ` +
    `and (${chord} < ${parameters.addFloat(inside)} or ${exact}))`
  );
}

/** Metres between the row's place and another one; null where the row has none. */
export function distanceSql(view: FindableView, to: Place, alias: string, parameters: Parameters): string {
  const { options } = locatable(view);
  const [lat, lon] = [latExpression(options, `${alias}.`), lonExpression(options, `${alias}.`)];
  return `${geodesic}(${lat}, ${lon}, ${parameters.addFloat(to.lat)}, ${parameters.addFloat(to.lon)})`;
}

/** The length of the chord between the row's place and another one, by which the index finds the nearest. */
export function chordSql(view: FindableView, to: Place, alias: string, parameters: Parameters): string {
  const find = locatable(view);
  const operator = `operator(${extensionOf(find.schemas, "cube")}.<->)`;
  return `${placeSql(view, alias)} ${operator} ${pointSql(find, pointOf(to), parameters)}`;
}

type BoxTerm = Extract<FindFilter, { kind: "box" }>;

function boxSql(view: FindableView, box: BoxTerm, alias: string, parameters: Parameters): string {
  const { lat, lon } = coordinatesSql(view, alias);
  const [south, north, west, east] = [box.south, box.north, box.west, box.east].map((n) => parameters.addFloat(n));
  // The antimeridian has two names.
  const edge = box.west === -180 ? ` or ${lon} = 180` : box.east === 180 ? ` or ${lon} = -180` : "";
  const between =
    box.west > box.east ? `${lon} >= ${west} or ${lon} <= ${east}` : `${lon} between ${west} and ${east}${edge}`;
  const around = aroundSql(view, box, alias, parameters);
  return `(${around} and ${lat} between ${south} and ${north} and (${between}))`;
}

/** What can be in the box, by the index. */
function aroundSql(view: FindableView, box: Box, alias: string, parameters: Parameters): string {
  const cube = extensionOf(locatable(view).schemas, "cube");
  const { low, high } = blockOf(box);
  const block = `${cube}.cube(${pointValues(low, parameters)}, ${pointValues(high, parameters)})`;
  return `${placeSql(view, alias)} operator(${cube}.<@) ${block}`;
}

function polygonSql(view: FindableView, polygon: Polygon, alias: string, parameters: Parameters): string {
  const { lat, lon } = coordinatesSql(view, alias);
  const around = aroundSql(view, boxOf(polygon), alias, parameters);
  return `(${around} and ${inPolygonSql(polygon, lat, lon, parameters)})`;
}

type TileTerm = Extract<FindFilter, { kind: "tile" }>;

function inTileSql(view: FindableView, { zoom, x, y }: TileTerm, alias: string, parameters: Parameters): string {
  const { lat, lon } = coordinatesSql(view, alias);
  const tile = tileSql(zoom, lat, lon);
  const around = aroundSql(view, tileBox(zoom, x, y), alias, parameters);
  return `(${around} and ${tile.x} = ${parameters.addNumber(x)} and ${tile.y} = ${parameters.addNumber(y)})`;
}

/** Floats; null where they are not on the globe. Throws `VIEW_OPTION_MISSING`. */
export function coordinatesSql(view: FindableView, alias: string): { readonly lat: string; readonly lon: string } {
  const { options } = locatable(view);
  return { lat: latExpression(options, `${alias}.`), lon: lonExpression(options, `${alias}.`) };
}

export function placeSql(view: FindableView, alias: string): string {
  const { options, schemas } = locatable(view);
  return view.hidden ? `${alias}.${quote(geoColumn)}` : geoExpression(options, schemas, `${alias}.`);
}

export function pointSql(find: LiveFind, point: Point, parameters: Parameters): string {
  return `${extensionOf(find.schemas, "cube")}.cube(${pointValues(point, parameters)})`;
}

function pointValues(point: Point, parameters: Parameters): string {
  return `array[${point.map((n) => parameters.addFloat(n)).join(", ")}]`;
}

/** Throws `VIEW_OPTION_MISSING`. */
export function searchable(view: FindableView): LiveFind & {
  readonly options: FindOptions & { readonly search: NonNullable<FindOptions["search"]> };
} {
  const { find } = view;
  if (find?.options.search) return { ...find, options: { ...find.options, search: find.options.search } };
  throw optionMissing(view.name, "is not searched by words", "search", '["title"]');
}

/** Throws `VIEW_OPTION_MISSING`. */
export function locatable(view: FindableView): LiveFind {
  if (view.find?.options.geo) return view.find;
  throw optionMissing(view.name, "has no places", "geo", '{ lat: "lat", lon: "lon" }');
}

/** The terms that search, wherever they stand. */
export function findTerms(view: FindableView, filter: Filter | null): FindFilter[] {
  if (filter === null) return [];
  if (filter.kind === "compare") return [treeTerm(view, filter)].filter((one) => one !== null);
  return "of" in filter ? filter.of.flatMap((one) => findTerms(view, one)) : [filter];
}
