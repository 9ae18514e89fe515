/**
 * Areas on the globe: polygons whose sides are straight lines in longitude and latitude, as those of GeoJSON are (RFC 7946,
 * section 3.1.1), cells of geohashes and tiles of web maps. Pure.
 *
 * A place on a side belongs to one of two areas that share the side, never to both: a side belongs to what lies east or north of it.
 */
import type { Parameters } from "../row-filter.ts";
import type { Box } from "./sphere.ts";

/** Longitude and latitude; across the antimeridian longitudes go on beyond 180. */
export type Position = readonly [lon: number, lat: number];
export type Ring = readonly Position[];
/** The outer ring and its holes. */
export type Polygon = readonly Ring[];

function lonsOf(polygon: Polygon): number[] {
  return (polygon[0] ?? []).map(([lon]) => lon);
}

/** A box around the polygon, with its sides in degrees from -180 to 180. */
export function boxOf(polygon: Polygon): Box {
  const lats = (polygon[0] ?? []).map(([, lat]) => lat);
  const [west, east] = [Math.min(...lonsOf(polygon)), Math.max(...lonsOf(polygon))];
  const [south, north] = [Math.min(...lats), Math.max(...lats)];
  if (east - west >= 360) return { south, north, west: -180, east: 180 };
  return { south, north, west: normal(west), east: normal(east) };
}

function normal(lon: number): number {
  return lon < -180 || lon > 180 ? lon - 360 * Math.floor((lon + 180) / 360) : lon;
}

/** True for places in the polygon: those from which a line to the east crosses its sides an odd number of times. */
export function inPolygonSql(polygon: Polygon, lat: string, lon: string, parameters: Parameters): string {
  const west = Math.min(...lonsOf(polygon));
  const sides = polygon.flatMap((ring) => sidesOf(ring, west));
  const [x1, y1, x2, y2] = [0, 1, 2, 3].map((at) => parameters.addFloats(sides.map((one) => one[at] ?? 0)));
  const from = parameters.addFloat(west);
  const at = `(${lon} - 360 * floor((${lon} - ${from}) / 360))`;
  return (
    `(select count(*) % 2 = 1 from unnest(${x1}, ${y1}, ${x2}, ${y2}) as s(x1, y1, x2, y2) ` +
    `where s.y1 <= ${lat} and ${lat} < s.y2 and ${at} < s.x1 + (s.x2 - s.x1) * ((${lat} - s.y1) / (s.y2 - s.y1)))`
  );
}

/** A hole may be written one turn away from what it is in: its longitudes are counted from the west of that. */
function sidesOf(ring: Ring, west: number): [number, number, number, number][] {
  const turns = 360 * Math.floor((Math.min(...ring.map(([lon]) => lon)) - west) / 360);
  // The pole is on no side.
  const positions = ring.map(([lon, lat]): Position => [lon - turns, lat === 90 ? 90 + 1e-12 : lat]);
  return positions.slice(1).flatMap((end, i) => side(positions[i] as Position, end));
}

/** From south to north, so that two areas compute a side that they share alike; none where it is level. */
function side([x1, y1]: Position, [x2, y2]: Position): [number, number, number, number][] {
  if (y1 === y2) return [];
  return y1 < y2 ? [[x1, y1, x2, y2]] : [[x2, y2, x1, y1]];
}

export const geohashLengthMax = 12;
export const zoomMax = 24;

const geohashAlphabet = "0123456789bcdefghjkmnpqrstuvwxyz";

/** The geohash of a place (G. Niemeyer, 2008): bits of longitude and latitude in turn, five a character. Null where there is no place. */
export function geohashSql(length: number, lat: string, lon: string): string {
  const [lonBits, latBits] = [Math.ceil((length * 5) / 2), Math.floor((length * 5) / 2)];
  const cell = (degrees: string, span: number, bits: number) => {
    return `least(floor((${degrees} + ${span / 2}) / ${span} * ${2 ** bits}), ${2 ** bits - 1})::bigint`;
  };
  const bit =
    `case when i % 2 = 0 then ${cell(lon, 360, lonBits)} >> (${lonBits - 1} - i / 2) ` +
    `else ${cell(lat, 180, latBits)} >> (${latBits - 1} - i / 2) end`;
  const characters = `select i / 5 as c, sum(((${bit}) & 1) << (4 - i % 5))::integer as v from generate_series(0, ${length * 5 - 1}) as i group by 1`;
  return `(select string_agg(substr('${geohashAlphabet}', 1 + d.v, 1), '' order by d.c) from (${characters}) as d)`;
}

/** Column and row of the tile of a web map (spherical Mercator) that has the place; what is nearer to the poles is in the last row. */
export function tileSql(zoom: number, lat: string, lon: string): { readonly x: string; readonly y: string } {
  const tiles = 2 ** zoom;
  const within = (value: string) => `greatest(0, least(${tiles - 1}, floor(${value} * ${tiles})))::integer`;
  const sine = `sin(radians(greatest(-89.9, least(89.9, ${lat}))))`;
  return {
    x: within(`((${lon} + 180) / 360)`),
    y: within(`(0.5 - ln((1 + ${sine}) / (1 - ${sine})) / ${4 * Math.PI})`),
  };
}

/** A box that holds all places of the tile. */
export function tileBox(zoom: number, x: number, y: number): Box {
  const tiles = 2 ** zoom;
  const lat = (row: number) => (Math.atan(Math.sinh(Math.PI * (1 - (2 * row) / tiles))) * 180) / Math.PI;
  return {
    west: (x / tiles) * 360 - 180,
    east: ((x + 1) / tiles) * 360 - 180,
    north: y === 0 ? 90 : lat(y),
    south: y === tiles - 1 ? -90 : lat(y + 1),
  };
}
