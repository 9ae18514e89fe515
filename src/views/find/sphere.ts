/**
 * Places as points of the unit sphere, with latitude and longitude taken as if the Earth were one, and what that says of
 * distances along the WGS 84 ellipsoid. Pure.
 *
 * A path of the angle θ on that sphere is between `radiusMin` · θ and `radiusMax` · θ metres long on the ellipsoid, for its
 * radii of curvature lie between b²/a and a²/b. So distances on the sphere bound those on the ellipsoid from both sides.
 */
import type { Place } from "./find-query.ts";

const equatorM = 6_378_137;
const poleM = equatorM * (1 - 1 / 298.257223563);
const radiusMin = poleM ** 2 / equatorM;
const radiusMax = equatorM ** 2 / poleM;

/** By how much the angle of a nearer place may be larger than that of a farther one. */
export const angleRatio = radiusMax / radiusMin;

/** What rounding of coordinates may come to, on the unit sphere: under a tenth of a millimetre. */
const slack = 1e-11;
/** Longer than every chord. */
const everything = 2.1;

export type Point = readonly [number, number, number];

export function pointOf({ lat, lon }: Place): Point {
  const [phi, lambda] = [radians(lat), radians(lon)];
  return [Math.cos(phi) * Math.cos(lambda), Math.cos(phi) * Math.sin(lambda), Math.sin(phi)];
}

/** Chords of the unit sphere: what is nearer than `inside` is within the metres, what is farther than `outside` is not. */
export function chordsOf(metres: number): { readonly inside: number; readonly outside: number } {
  return {
    inside: Math.max(0, chordOf(metres / radiusMax) - slack),
    outside: chordOf(metres / radiusMin) + slack,
  };
}

function chordOf(angle: number): number {
  return angle >= Math.PI ? everything : 2 * Math.sin(angle / 2);
}

export interface Box {
  readonly south: number;
  readonly north: number;
  readonly west: number;
  readonly east: number;
}

/** Corners of a block in space that holds all points of the box. */
export function blockOf({ south, north, west, east }: Box): { readonly low: Point; readonly high: Point } {
  const span = west > east ? east + 360 - west : east - west;
  const holds = (lon: number) => (((lon - west) % 360) + 360) % 360 <= span;
  const ends = [west, east].map(radians);
  const circle = span >= 360;
  const range = (of: (angle: number) => number, highest: number, lowest: number): [number, number] => {
    const values = ends.map(of);
    return [circle || holds(lowest) ? -1 : Math.min(...values), circle || holds(highest) ? 1 : Math.max(...values)];
  };
  const [cosLow, cosHigh] = range(Math.cos, 0, 180);
  const [sinLow, sinHigh] = range(Math.sin, 90, -90);
  const widths = [radians(south), radians(north)].map(Math.cos);
  const widest = south <= 0 && north >= 0 ? 1 : Math.max(...widths);
  const narrowest = Math.max(0, Math.min(...widths));
  const least = (value: number) => (value < 0 ? value * widest : value * narrowest) - slack;
  const most = (value: number) => (value > 0 ? value * widest : value * narrowest) + slack;
  return {
    low: [least(cosLow), least(sinLow), Math.sin(radians(south)) - slack],
    high: [most(cosHigh), most(sinHigh), Math.sin(radians(north)) + slack],
  };
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}
