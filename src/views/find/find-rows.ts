/**
 * Reads that search, made into ordinary ones: the view gets the members that searching adds as columns of a subquery, which
 * PostgreSQL pulls up, so that they can be selected, compared, ordered by and continued from like any other.
 */

import { MillraceError } from "../../base/errors.ts";
import { quote } from "../../catalog/definitions.ts";
import { columnOf } from "../row-column.ts";
import type { Parameters } from "../row-filter.ts";
import { isTextType } from "../row-type.ts";
import type { Filter, RowQuery, Selected, ViewColumn } from "../view-info.ts";
import { geohashSql, tileSql } from "./area.ts";
import type { LiveFind } from "./find-columns.ts";
import { configuration } from "./find-columns.ts";
import { extensionOf } from "./find-extensions.ts";
import {
  chordSql,
  coordinatesSql,
  distanceSql,
  type FindableView,
  findTerms,
  locatable,
  placeSql,
  pointSql,
  searchable,
  searchQuery,
  searchSql,
  similaritySql,
} from "./find-filter.ts";
import type { FindFilter } from "./find-query.ts";
import { angleRatio, pointOf } from "./sphere.ts";
import { treePlaceSql } from "./tree.ts";

interface SearchableRows extends FindableView {
  readonly publicView: string;
}

export interface Found<View> {
  readonly view: View;
  readonly query: RowQuery;
  /**
   * A condition that bounds how far the rows of the page can be, found by the index; `matching` is the condition that
   * they meet, over `alias`. Null where the order is another one.
   */
  readonly bound: ((matching: (alias: string) => string) => string) | null;
}

/** The view with its hidden columns, when a filter's terms search. */
export function findIn<View extends SearchableRows>(view: View, filter: Filter | null, parameters: Parameters): View {
  const terms = findTerms(view, filter);
  if (terms.length === 0 || view.find === undefined) return view;
  parameters.settings.expect(terms);
  return { ...view, publicView: view.find.relation, hidden: true };
}

/** Throws `VIEW_OPTION_MISSING`, `COLUMN_UNKNOWN`, `FILTER_INVALID`. */
export function findRows<View extends SearchableRows>(
  view: View,
  query: RowQuery,
  parameters: Parameters,
): Found<View> {
  const terms = findTerms(view, query.filter);
  const { search, near, highlight, geohash, zoom, tree } = query.find ?? {};
  const cells = geohash !== undefined || zoom !== undefined;
  if (near || cells) locatable(view);
  if (terms.length === 0 && !near && !cells) return { view, query, bound: null };
  const base = view.find === undefined ? view : { ...view, publicView: view.find.relation, hidden: true };
  parameters.settings.expect(terms);
  const similar = similarTerms(query.filter);
  const added: { column: ViewColumn; sql: string }[] = [];
  const add = (name: string, type: string, nullable: boolean, sql: string) =>
    added.push({ column: { name, type, nullable }, sql });
  if (search !== undefined) {
    const rank = `ts_rank(${searchSql(base, "r")}, ${searchQuery(base, search, parameters)})`;
    add("_rank", "double precision", false, rounded(rank, 6));
  }
  if (similar.length > 0) {
    const each = similar.map((term) => `coalesce(${similaritySql(base, term, "r", parameters)}, 0)`);
    add("_similarity", "double precision", false, rounded(`(${each.join(" + ")}) / ${each.length}`, 4));
  }
  if (near) add("_distance", "double precision", false, rounded(distanceSql(base, near, "r", parameters), 3));
  if (geohash !== undefined)
    add(
      "_geohash",
      "text",
      true,
      cellSql(base, (lat, lon) => geohashSql(geohash, lat, lon)),
    );
  if (zoom !== undefined) {
    const tile = (lat: string, lon: string) => {
      const { x, y } = tileSql(zoom, lat, lon);
      return `concat_ws('/', ${zoom}, ${x}, ${y})`;
    };
    add("_tile", "text", true, cellSql(base, tile));
  }
  if (tree) {
    const { depth, place } = treePlaceSql(base, tree.column, "r");
    add("_depth", "integer", false, depth);
    add("_tree", "text", false, place);
  }
  if (highlight) add("_highlight", "json", false, highlightSql(base, highlight, search ?? "", parameters));
  const rows = `select r.*${added.map(({ column, sql }) => `, ${sql} as ${quote(column.name)}`).join("")} from ${base.publicView} as r`;
  const placed = near ? ` where ${placeSql(base, "r")} is not null` : "";
  const names = added.map(({ column }) => column.name);
  const found = {
    ...base,
    publicView: `(${rows}${placed})`,
    columns: [...view.columns, ...added.map(({ column }) => column)],
  };
  const order = query.order.length > 0 ? query.order : defaultOrder(names);
  const select = selectFound(query.select, view.columns, names);
  const nearest = near && order[0]?.column === "_distance" && !order[0].descending && order[0].path === undefined;
  const bound = (matching: (alias: string) => string) => {
    const find = view.find as LiveFind;
    const cube = extensionOf(find.schemas, "cube");
    const center = pointSql(find, pointOf(near as NonNullable<typeof near>), parameters);
    const chord = (alias: string) => chordSql(base, near as NonNullable<typeof near>, alias, parameters);
    const rowsMax = parameters.addNumber(query.offset + query.limit + 1);
    // The ellipsoid may order places otherwise than the sphere, but not by more than this ratio.
    const reach =
      `(select ${angleRatio} * max(c.chord) + 1e-11 from (select ${chord("n")} as chord from ${found.publicView} as n ` +
      `where ${matching("n")} order by ${chord("n")} limit ${rowsMax}) as c)`;
    return `${placeSql(base, "v")} operator(${cube}.<@) ${cube}.cube_enlarge(${center}, ${reach}, 3)`;
  };
  return { view: found, query: { ...query, order, select }, bound: nearest ? bound : null };
}

/** What all rows of the answer resemble. */
function similarTerms(filter: Filter | null): Extract<FindFilter, { kind: "similar" }>[] {
  if (filter?.kind === "similar") return filter.negated ? [] : [filter];
  if (filter?.kind === "and" && !filter.negated) return filter.of.flatMap(similarTerms);
  return [];
}

function defaultOrder(added: readonly string[]): RowQuery["order"] {
  if (added.includes("_distance")) return [{ column: "_distance", descending: false, nulls: null }];
  if (added.includes("_tree")) return [{ column: "_tree", descending: false, nulls: null }];
  const column = ["_rank", "_similarity"].find((one) => added.includes(one));
  return column === undefined ? [] : [{ column, descending: true, nulls: "last" }];
}

/** What was asked for by a parameter of its own comes by itself; ranks and places in a tree are selected. */
function selectFound(
  select: RowQuery["select"],
  columns: readonly ViewColumn[],
  added: readonly string[],
): readonly Selected[] {
  const own = columns.map(({ name }): Selected => name);
  const byThemselves = added.filter((name) => !["_rank", "_similarity", "_tree"].includes(name));
  if (select === null || select.length === 0) return [...own, ...byThemselves];
  const expanded = select.flatMap((one) => (typeof one === "object" && "all" in one ? own : [one]));
  return added.includes("_highlight") && !expanded.includes("_highlight") ? [...expanded, "_highlight"] : expanded;
}

/** Null where the row has no place. */
function cellSql(view: FindableView, of: (lat: string, lon: string) => string): string {
  const { lat, lon } = coordinatesSql(view, "r");
  return `(case when ${placeSql(view, "r")} is not null then ${of(lat, lon)} end)`;
}

function rounded(value: string, digits: number): string {
  return `round((${value})::numeric, ${digits})::double precision`;
}

/**
 * HTML: the text is escaped before PostgreSQL puts its marks in, so that nothing but those is a tag. An entity is one word
 * to its parser, which is never cut.
 */
function highlightSql(view: FindableView, columns: readonly string[], search: string, parameters: Parameters): string {
  const { options } = searchable(view);
  const language = configuration(options.search.language);
  const query = searchQuery(view, search, parameters);
  const members = columns.map((name) => {
    const column = columnOf(view, name);
    if (!isTextType(column.type)) {
      throw new MillraceError(
        "FILTER_INVALID",
        `highlight names column "${name}", which is ${column.type} and no text`,
        {
          details: { column: name, type: column.type },
        },
      );
    }
    const text = `left(r.${quote(name)}::text, ${highlightCharactersMax})`;
    return `${parameters.addText(name, "highlight")}, ts_headline(${language}, ${escaped(text)}, ${query}, '${marks}')`;
  });
  return `json_build_object(${members.join(", ")})`;
}

const highlightCharactersMax = 100_000;
const marks = 'StartSel=<mark>, StopSel=</mark>, MaxFragments=2, MinWords=8, MaxWords=24, FragmentDelimiter=" … "';

function escaped(text: string): string {
  const entities = [
    ["&", "&amp;"],
    ["<", "&lt;"],
    [">", "&gt;"],
    ['"', "&quot;"],
    ["''", "&#39;"],
  ] as const;
  return entities.reduce((sql, [character, entity]) => `replace(${sql}, '${character}', '${entity}')`, text);
}
