/**
 * Parameters that search a view by its options: `q`, `highlight` and `suggest`, `near` and `within`, `bbox`, `area` and `tile`, `geohash` and `zoom`; and the operators `similar`
 * and `word_similar` of a column's filter. Throws `FILTER_INVALID`.
 */
import { MillraceError } from "../base/errors.ts";
import { geohashLengthMax, zoomMax } from "../views/find/area.ts";
import {
  type FindFilter,
  type FindQuery,
  type Place,
  similarThreshold,
  wordSimilarThreshold,
} from "../views/find/find-query.ts";
import { parseArea } from "./area-parameter.ts";

/** Names that are no columns. */
export const findParameters = [
  ...(["q", "highlight", "suggest", "near", "within", "bbox"] as const),
  ...(["area", "tile", "geohash", "zoom"] as const),
] as const;

type Given = ReadonlyMap<string, string>;

export interface FindParameters {
  readonly filters: readonly FindFilter[];
  /** Null when nothing is added to rows. */
  readonly find: FindQuery | null;
}

const searchLengthMax = 1_000;
const highlightMax = 20;
/** Half of the way around, and a little. */
const metresMax = 21_000_000;

export function parseFind(given: Given): FindParameters {
  const search = searchText(given.get("q"));
  const near = given.has("near") ? place(given.get("near") ?? "") : undefined;
  const within = given.get("within");
  const bbox = given.get("bbox");
  if (within !== undefined && near === undefined) {
    throw invalid("within has no place to be within of", "Write near=47.07,15.44&within=5km.");
  }
  const filters: FindFilter[] = [];
  if (search !== undefined) filters.push({ kind: "search", text: search, negated: false });
  if (near && within !== undefined) {
    filters.push({ kind: "within", center: near, metres: metres(within), negated: false });
  }
  if (bbox !== undefined) filters.push(box(bbox));
  const area = given.get("area");
  if (area !== undefined) filters.push({ kind: "area", polygons: parseArea(area), negated: false });
  const tiled = given.get("tile");
  if (tiled !== undefined) filters.push(tile(tiled));
  const geohash = length(given, "geohash", 1, geohashLengthMax);
  const zoom = length(given, "zoom", 0, zoomMax);
  const highlight = highlighted(given.get("highlight"), search);
  const suggest = suggested(given.get("suggest"), search);
  if ([search, near, geohash, zoom].every((one) => one === undefined)) return { filters, find: null };
  return {
    filters,
    find: {
      ...(search === undefined ? {} : { search }),
      ...(near === undefined ? {} : { near }),
      ...(highlight === undefined ? {} : { highlight }),
      ...(suggest ? { suggest } : {}),
      ...(geohash === undefined ? {} : { geohash }),
      ...(zoom === undefined ? {} : { zoom }),
    },
  };
}

/** For a live view, whose rows have no order and nothing added. */
export function parseFindFilters(given: Given): readonly FindFilter[] {
  const added = ["highlight", "suggest", "geohash", "zoom"].find((name) => given.has(name));
  if (added !== undefined) throw invalid(`${added} has no meaning for a live view`, "Leave it out.");
  if (given.has("near") && !given.has("within")) {
    throw invalid("near alone is an order, which a live view does not have", "Add within=5km, or read the rows.");
  }
  return parseFind(given).filters;
}

function searchText(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (text.trim() === "")
    throw invalid("q is empty", 'Write q=words; "a phrase", or and -not are known, and word* begins one.');
  if (text.length > searchLengthMax) throw invalid(`q has more than ${searchLengthMax} characters`);
  return text;
}

function highlighted(text: string | undefined, search: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  if (search === undefined) throw invalid("highlight has no words to mark", "Write q=words&highlight=title.");
  const columns = text.split(",");
  if (columns.some((one) => one === "")) throw invalid("highlight names no column", "Write highlight=title,body.");
  if (columns.length > highlightMax) throw invalid(`highlight names more than ${highlightMax} columns`);
  return [...new Set(columns)];
}

function suggested(text: string | undefined, search: string | undefined): true | undefined {
  if (text === undefined) return undefined;
  if (search === undefined) throw invalid("suggest has no words to replace", "Write q=words&suggest=true.");
  if (text === "true") return true;
  throw invalid(`suggest is ${JSON.stringify(text.slice(0, 40))}`, "Write suggest=true.");
}

const numberForm = /^[+-]?(?:\d{1,17}(?:\.\d{0,17})?|\.\d{1,17})$/;

function numbers(text: string, count: number): number[] | null {
  const parts = text.split(",").map((part) => part.trim());
  return parts.length === count && parts.every((part) => numberForm.test(part)) ? parts.map(Number) : null;
}

function place(text: string): Place {
  const [lat, lon] = numbers(text, 2) ?? [];
  if (lat !== undefined && lon !== undefined && isLat(lat) && isLon(lon)) return { lat, lon };
  throw invalid(
    `near is ${JSON.stringify(text.slice(0, 60))}`,
    "It is latitude,longitude in degrees, latitude from -90 to 90 and longitude from -180 to 180: near=47.07,15.44.",
  );
}

function box(text: string): FindFilter {
  const [west, south, east, north] = numbers(text, 4) ?? [];
  const known = west !== undefined && south !== undefined && east !== undefined && north !== undefined;
  if (known && isLon(west) && isLon(east) && isLat(south) && isLat(north) && south <= north) {
    return { kind: "box", south, north, west, east, negated: false };
  }
  throw invalid(
    `bbox is ${JSON.stringify(text.slice(0, 80))}`,
    "It is minlon,minlat,maxlon,maxlat in degrees; minlon is greater than maxlon in a box across the antimeridian.",
  );
}

function tile(text: string): FindFilter {
  const [zoom, x, y] = /^\d{1,2}\/\d{1,8}\/\d{1,8}$/.test(text) ? text.split("/").map(Number) : [];
  if (zoom !== undefined && x !== undefined && y !== undefined && zoom <= zoomMax && Math.max(x, y) < 2 ** zoom) {
    return { kind: "tile", zoom, x, y, negated: false };
  }
  throw invalid(
    `tile is ${JSON.stringify(text.slice(0, 40))}`,
    `It is zoom/x/y, zoom up to ${zoomMax}, x and y below 2 to the power of zoom: tile=12/2223/1439.`,
  );
}

/** Of a cell that is added to rows. */
function length(given: Given, name: string, min: number, max: number): number | undefined {
  const text = given.get(name);
  if (text === undefined) return undefined;
  const value = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw invalid(`${name} is ${JSON.stringify(text.slice(0, 40))}`, `It is a whole number from ${min} to ${max}.`);
}

function isLat(degrees: number): boolean {
  return degrees >= -90 && degrees <= 90;
}

function isLon(degrees: number): boolean {
  return degrees >= -180 && degrees <= 180;
}

const units: Readonly<Record<string, number>> = { m: 1, km: 1_000, mi: 1_609.344, nmi: 1_852 };

function metres(text: string): number {
  const match = /^([^a-z]*)([a-z]+)$/.exec(text);
  const unit = match && Object.hasOwn(units, match[2] ?? "") ? units[match[2] ?? ""] : undefined;
  const value = numberForm.test(match?.[1] ?? "") ? Number(match?.[1]) * (unit ?? Number.NaN) : Number.NaN;
  if (value >= 0 && value <= metresMax) return value;
  throw invalid(
    `within is ${JSON.stringify(text.slice(0, 40))}`,
    `It is a number with one of the units ${Object.keys(units).join(", ")}, at most ${metresMax / 1_000}km: within=5km.`,
  );
}

const similarForm = /(word_)?similar(?:\(([^()]*)\))?\./y;

/** The beginning of `similar.smith`, `similar(0.5).smith`, `word_similar.smith` at a place of a text; null when it is none. */
export function similarOperator(text: string, at: number): { part: boolean; threshold: number; end: number } | null {
  similarForm.lastIndex = at;
  const match = similarForm.exec(text);
  if (match === null) return null;
  const part = match[1] !== undefined;
  const given = match[2];
  const threshold =
    given === undefined ? (part ? wordSimilarThreshold : similarThreshold) : numberForm.test(given) ? Number(given) : 0;
  if (!(threshold >= 0.1 && threshold <= 1)) {
    throw invalid(
      `similar has the threshold ${JSON.stringify(given?.slice(0, 40))}`,
      "It is a number from 0.1 to 1: name=similar(0.5).smith.",
    );
  }
  return { part, threshold, end: similarForm.lastIndex };
}

function invalid(what: string, hint?: string): MillraceError {
  return new MillraceError("FILTER_INVALID", what, hint === undefined ? {} : { hint });
}
