/** `area=`: a polygon or several, as GeoJSON (RFC 7946) or as well-known text. Throws `FILTER_INVALID`. */
import { MillraceError } from "../base/errors.ts";
import type { Polygon, Position, Ring } from "../views/find/area.ts";

const positionsMax = 2_000;
const lonMax = 540;

export function parseArea(text: string): readonly Polygon[] {
  const found = /^\s*\{/.test(text) ? ofGeoJson(text) : ofWellKnownText(text);
  if (!Array.isArray(found) || found.length === 0) throw invalid("has no polygon");
  let positions = 0;
  return found.map((polygon: unknown) => {
    if (!Array.isArray(polygon) || polygon.length === 0) throw invalid("has a polygon without a ring");
    return polygon.map((ring: unknown) => {
      if (!Array.isArray(ring) || ring.length < 4) throw invalid("has a ring of fewer than four positions");
      positions += ring.length;
      if (positions > positionsMax) throw invalid(`has more than ${positionsMax} positions`);
      return checked(ring.map(position));
    });
  });
}

function ofGeoJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid("is no JSON");
  }
  const { type, coordinates } = value as { type?: unknown; coordinates?: unknown };
  if (type === "Polygon") return [coordinates];
  if (type === "MultiPolygon") return coordinates;
  throw invalid(`is a ${JSON.stringify(type)?.slice(0, 40)}`);
}

/** `POLYGON((15 47, 16 47, 16 48, 15 47))`, `MULTIPOLYGON(((…)), ((…)))`: brackets and numbers, made those of JSON. */
function ofWellKnownText(text: string): unknown {
  const match = /^\s*(multi)?polygon\s*(\([\d\s.,()eE+-]*\))\s*$/i.exec(text);
  if (match === null) throw invalid("is neither GeoJSON nor POLYGON((…)) or MULTIPOLYGON(((…)))");
  const lists = (match[2] ?? "")
    .replaceAll(/\(\s*(?=[\d.+-])/g, "([")
    .replaceAll(/(?<=[\d.])\s*\)/g, "])")
    .replaceAll(/(?<=[\d.])\s*,\s*(?=[\d.+-])/g, "],[")
    .replaceAll(/(?<=[\d.])\s+(?=[\d.+-])/g, ",")
    .replaceAll("(", "[")
    .replaceAll(")", "]");
  try {
    const value: unknown = JSON.parse(lists.replaceAll(/(?<=[[,])\+/g, ""));
    return match[1] === undefined ? [value] : value;
  } catch {
    throw invalid("has brackets or numbers that do not fit");
  }
}

function position(value: unknown): Position {
  const [lon, lat] = Array.isArray(value) ? (value as unknown[]) : [];
  if (typeof lon === "number" && typeof lat === "number" && Math.abs(lat) <= 90 && Math.abs(lon) <= lonMax) {
    return [lon, lat];
  }
  throw invalid(`has a position ${JSON.stringify(value)?.slice(0, 60)}`);
}

function checked(ring: Ring): Ring {
  const [first, last] = [ring[0], ring.at(-1)];
  if (first?.[0] !== last?.[0] || first?.[1] !== last?.[1])
    throw invalid("has a ring that does not end where it begins");
  return ring;
}

function invalid(what: string): MillraceError {
  return new MillraceError("FILTER_INVALID", `area ${what}`, {
    hint: 'Positions are longitude and latitude in degrees: area={"type":"Polygon","coordinates":[[[15,47],[16,47],[16,48],[15,47]]]}, or area=POLYGON((15 47,16 47,16 48,15 47)).',
  });
}
