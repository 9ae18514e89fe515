import assert from "node:assert/strict";
import { test } from "node:test";
import { parseArea } from "./area-parameter.ts";
import { parseQueryString } from "./query-string.ts";
import { parseLiveQuery, parseRowQuery } from "./row-query.ts";

const square = [
  [
    [
      [15, 47],
      [16, 47],
      [16, 48.5],
      [15, 47],
    ],
  ],
];

test("an area is GeoJSON or well-known text", () => {
  for (const text of [
    '{"type":"Polygon","coordinates":[[[15,47],[16,47],[16,48.5],[15,47]]]}',
    ' {"coordinates":[[[[15,47],[16,47,300],[16,48.5],[15,47]]]],"type":"MultiPolygon"} ',
    "POLYGON((15 47,16 47,16 48.5,15 47))",
    "polygon ( ( 15 47 , 16 47, +16.0 4.85e1 , 15 47 ) )",
    "MultiPolygon(((15 47, 16 47, 16 48.5, 15 47)))",
  ]) {
    assert.deepEqual(parseArea(text), square, text);
  }
  assert.equal(parseArea("MULTIPOLYGON(((0 0,9 0,9 9,0 0),(1 1,2 1,2 2,1 1)),((20 0,21 0,21 1,20 0)))").length, 2);
});

test("across the antimeridian longitudes go on beyond 180, and sides are as they are written", () => {
  assert.deepEqual(parseArea("POLYGON((170 0,190 0,190 9,170 0))"), [
    [
      [
        [170, 0],
        [190, 0],
        [190, 9],
        [170, 0],
      ],
    ],
  ]);
  assert.deepEqual(parseArea("POLYGON((170 0,-170 0,-170 9,170 0))"), [
    [
      [
        [170, 0],
        [-170, 0],
        [-170, 9],
        [170, 0],
      ],
    ],
  ]);
});

test("what is no area is refused, with how it is written", () => {
  const many = Array.from({ length: 2_001 }, (_, i) => `${i / 100} 1`).join(",");
  for (const [text, message] of [
    ["", /neither GeoJSON nor/],
    ["CIRCLE(1 2)", /neither GeoJSON nor/],
    ["POLYGON((15 47,16 47,16 48,15 47)", /do not fit/],
    ["POLYGON(15 47,16 47,16 48,15 47)", /ring/],
    ["POLYGON((15 47,16 47,15 47))", /fewer than four/],
    ["POLYGON((15 47,16 47,16 48,15 48))", /does not end where it begins/],
    ["POLYGON((15 97,16 47,16 48,15 97))", /position \[15,97\]/],
    ["POLYGON((541 47,16 47,16 48,541 47))", /position/],
    ["POLYGON((15 a,16 47,16 48,15 47))", /neither/],
    ["POLYGON((15 1e400,16 47,16 48,15 47))", /position/],
    ["POLYGON(())", /do not fit|ring/],
    ["{", /no JSON/],
    ['{"type":"Point","coordinates":[1,2]}', /is a "Point"/],
    ['{"type":"Polygon"}', /without a ring/],
    ['{"type":"Polygon","coordinates":[[[15,47],[16,null],[16,48],[15,47]]]}', /position \[16,null\]/],
    ['{"type":"MultiPolygon","coordinates":{"length":5}}', /no polygon/],
    [`POLYGON((${many},0 1))`, /more than 2000/],
  ] as const) {
    assert.throws(() => parseArea(text), { code: "FILTER_INVALID", message }, text);
  }
});

test("areas and tiles are filters, also of live views; cells are members of rows", () => {
  const parse = (query: string) => parseRowQuery(parseQueryString(query), { rowsMax: 10_000 });
  const query = parse("area=POLYGON((15%2047,16%2047,16%2048.5,15%2047))&tile=12/2223/1430&geohash=6&zoom=0");
  assert.deepEqual(query.filter, {
    kind: "and",
    negated: false,
    of: [
      { kind: "area", polygons: square, negated: false },
      { kind: "tile", zoom: 12, x: 2223, y: 1430, negated: false },
    ],
  });
  assert.deepEqual(query.find, { geohash: 6, zoom: 0 });
  assert.deepEqual(parseLiveQuery(parseQueryString("tile=0/0/0")).filter, {
    kind: "tile",
    zoom: 0,
    x: 0,
    y: 0,
    negated: false,
  });
  for (const wrong of [
    "tile=1/2/0",
    "tile=25/0/0",
    "tile=1/0",
    "tile=-1/0/0",
    "geohash=0",
    "geohash=13",
    "zoom=25",
    "zoom=a",
  ]) {
    assert.throws(() => parse(wrong), { code: "FILTER_INVALID" }, wrong);
  }
  assert.throws(() => parseLiveQuery(parseQueryString("geohash=5")), { code: "FILTER_INVALID", message: /live view/ });
});
