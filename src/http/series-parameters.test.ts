import assert from "node:assert/strict";
import { test } from "node:test";
import { parseQueryString } from "./query-string.ts";
import { parseLiveQuery, parseRowQuery } from "./row-query.ts";

const parse = (query: string) => parseRowQuery(parseQueryString(query), { rowsMax: 10_000 }).series;

test("buckets have a whole number and a unit, and may be filled and of a time zone", () => {
  assert.deepEqual(parse("bucket=15m"), { bucket: { count: 15, unit: "minute" }, fill: null, zone: null });
  assert.deepEqual(parse("bucket=2w&fill=0&tz=Europe/Vienna"), {
    bucket: { count: 14, unit: "day" },
    fill: "zero",
    zone: "Europe/Vienna",
  });
  const units = { s: [1, "second"], h: [1, "hour"], d: [1, "day"], mo: [1, "month"], y: [12, "month"] };
  for (const [unit, [count, name]] of Object.entries(units)) {
    assert.deepEqual(parse(`bucket=1${unit}`)?.bucket, { count, unit: name });
  }
  for (const fill of ["null", "previous", "linear"]) assert.equal(parse(`bucket=1d&fill=${fill}`)?.fill, fill);
  assert.equal(parse("limit=5"), undefined);
});

test("what is no bucket is refused, and a live view has none", () => {
  for (const [query, message] of [
    ["bucket=1", /bucket is "1"/],
    ["bucket=0h", /bucket is "0h"/],
    ["bucket=1.5h", /bucket is/],
    ["bucket=10001h", /bucket is/],
    ["bucket=1h'", /bucket is/],
    ["bucket=1constructor", /bucket is/],
    ["fill=0", /fill has no buckets/],
    ["tz=UTC", /tz has no buckets/],
    ["bucket=1h&fill=1", /fill is "1"/],
    ["bucket=1h&fill=toString", /fill is/],
    ["bucket=1h&tz=a'b", /tz is/],
    ["bucket=1h&bucket=2h", /given twice/],
  ] as const) {
    assert.throws(() => parse(query), { code: "REQUEST_INVALID", message }, query);
  }
  assert.throws(() => parseLiveQuery(parseQueryString("bucket=1h")), /"bucket" has no meaning for a live view/);
});
