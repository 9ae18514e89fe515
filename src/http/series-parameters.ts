/** Parameters that group rows by time, in a view with the option `series`: `bucket`, `fill` and `tz`. Throws `REQUEST_INVALID`. */
import { MillraceError } from "../base/errors.ts";
import type { SeriesQuery } from "../views/view-info.ts";

/** Names that are no columns. */
export const seriesParameters = ["bucket", "fill", "tz"] as const;

const units: Readonly<Record<string, { readonly unit: SeriesQuery["bucket"]["unit"]; readonly times: number }>> = {
  s: { unit: "second", times: 1 },
  m: { unit: "minute", times: 1 },
  h: { unit: "hour", times: 1 },
  d: { unit: "day", times: 1 },
  w: { unit: "day", times: 7 },
  mo: { unit: "month", times: 1 },
  y: { unit: "month", times: 12 },
};
const countMax = 10_000;

const fills: Readonly<Record<string, SeriesQuery["fill"]>> = {
  null: "null",
  "0": "zero",
  previous: "previous",
  linear: "linear",
};

/** Names and offsets of zones, which PostgreSQL looks up. */
const zoneForm = /^[A-Za-z0-9_+\-/:]{1,64}$/;

export function parseSeries(given: ReadonlyMap<string, string>): SeriesQuery | null {
  const bucket = given.get("bucket");
  if (bucket === undefined) {
    const alone = seriesParameters.find((name) => given.has(name));
    if (alone === undefined) return null;
    throw invalid(`${alone} has no buckets`, `Write bucket=1h&${alone}=${given.get(alone)?.slice(0, 40)}.`);
  }
  const [, count = "", unit = ""] = /^(\d{1,5})([a-z]+)$/.exec(bucket) ?? [];
  const known = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (known === undefined || Number(count) < 1 || Number(count) > countMax) {
    throw invalid(
      `bucket is ${JSON.stringify(bucket.slice(0, 40))}`,
      `It is a whole number up to ${countMax} with one of the units ${Object.keys(units).join(", ")}: bucket=15m.`,
    );
  }
  const fill = given.get("fill");
  if (fill !== undefined && !Object.hasOwn(fills, fill)) {
    throw invalid(`fill is ${JSON.stringify(fill.slice(0, 40))}`, `It is ${Object.keys(fills).join(", ")}.`);
  }
  const zone = given.get("tz") ?? null;
  if (zone !== null && !zoneForm.test(zone)) {
    throw invalid(`tz is ${JSON.stringify(zone.slice(0, 70))}`, "It is the name of a time zone: tz=Europe/Vienna.");
  }
  return {
    bucket: { count: Number(count) * known.times, unit: known.unit },
    fill: fill === undefined ? null : (fills[fill] ?? null),
    zone,
  };
}

function invalid(what: string, hint: string): MillraceError {
  return new MillraceError("REQUEST_INVALID", what, { hint });
}
