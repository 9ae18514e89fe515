import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { column, GroupFixture } from "../reader-fixture.ts";
import type { Filter, RowQuery, ViewsReader } from "../view-info.ts";
import type { Place } from "./find-query.ts";
import { blockOf, chordsOf, pointOf } from "./sphere.ts";

interface Found {
  readonly id: number;
  readonly _distance: number;
}

const random = seededRandom(11);
const degrees = (min: number, max: number) => min + ((max - min) * random.below(1_000_000_000)) / 1_000_000_000;

/** Everywhere, and many where it matters: at the poles, at the antimeridian, close together. */
const places: Place[] = [
  ...Array.from({ length: 300 }, () => ({ lat: degrees(-90, 90), lon: degrees(-180, 180) })),
  ...Array.from({ length: 200 }, () => ({ lat: degrees(47, 47.2), lon: degrees(15.3, 15.6) })),
  ...Array.from({ length: 60 }, () => ({ lat: degrees(89.9, 90), lon: degrees(-180, 180) })),
  ...Array.from({ length: 60 }, () => ({ lat: degrees(-90, -89.9), lon: degrees(-180, 180) })),
  ...Array.from({ length: 60 }, () => ({ lat: degrees(-17, -16), lon: degrees(179.5, 180) })),
  ...Array.from({ length: 60 }, () => ({ lat: degrees(-17, -16), lon: degrees(-180, -179.5) })),
  { lat: 90, lon: 0 },
  { lat: -90, lon: 77 },
  { lat: 0, lon: 180 },
  { lat: 0, lon: -180 },
];
const centers: Place[] = [
  { lat: 47.07, lon: 15.44 },
  { lat: 90, lon: 0 },
  { lat: -89.99, lon: 100 },
  { lat: -16.5, lon: 180 },
  { lat: -16.5, lon: -179.99 },
  { lat: 0, lon: 0 },
  ...Array.from({ length: 6 }, () => ({ lat: degrees(-90, 90), lon: degrees(-180, 180) })),
];

const bounds = { limit: 10_000, offset: 0, cursor: null };
const none: RowQuery = { filter: null, order: [], select: null, ...bounds };

/** The great circle on a sphere, within 0.57 % of the ellipsoid's. */
function haversine(a: Place, b: Place): number {
  const radians = (value: number) => (value * Math.PI) / 180;
  const [p1, p2] = [radians(a.lat), radians(b.lat)];
  const h = Math.sin((p2 - p1) / 2) ** 2 + Math.cos(p1) * Math.cos(p2) * Math.sin(radians(b.lon - a.lon) / 2) ** 2;
  return 2 * 6_371_008.8 * Math.asin(Math.min(1, Math.sqrt(h)));
}

describe("places of a view", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    await fixture.createView("places", {
      columns: [column("id", "integer"), column("lat", "numeric", true), column("lon", "double precision", true)],
      key: ["id"],
      find: { search: null, fuzzy: [], geo: { lat: "lat", lon: "lon" } },
    });
    const nowhere = [
      { lat: null, lon: 1 },
      { lat: 1, lon: null },
      { lat: "NaN", lon: 1 },
      { lat: 1, lon: "NaN" },
      { lat: "Infinity", lon: 1 },
      { lat: "1e400", lon: 1 },
      { lat: 90.001, lon: 1 },
      { lat: 1, lon: -180.5 },
      { lat: 1, lon: "-Infinity" },
    ];
    await fixture.commit("places", { upsert: [...places, ...nowhere].map((place, id) => ({ id, ...place })) });
  });
  after(() => fixture[Symbol.asyncDispose]());

  const read = async (query: Partial<RowQuery>): Promise<Found[]> =>
    (await reader.rows("places", { ...none, ...query })).rows.map((row) => JSON.parse(row));

  /** By the store's own function over every row, which `distances` holds against published ones. */
  async function all(center: Place): Promise<Found[]> {
    const { rows } = await fixture.admin.query(
      `select id, round(millrace.geodesic(lat::float8, lon, $1, $2)::numeric, 3)::float8 as _distance
       from views.places where id < $3 order by 2, 1`,
      [center.lat, center.lon, places.length],
    );
    return rows;
  }

  test("distances are those of the WGS 84 ellipsoid", async () => {
    const known: [Place, Place, number][] = [
      [{ lat: 0, lon: 0 }, { lat: 0, lon: 1 }, 111_319.4908],
      [{ lat: 0, lon: 5 }, { lat: 90, lon: 5 }, 10_001_965.7293],
      [{ lat: -37.951033417, lon: 144.424867889 }, { lat: -37.652821139, lon: 143.926495528 }, 54_972.271],
      [{ lat: 40.6, lon: -73.8 }, { lat: 51.6, lon: -0.5 }, 5_551_759.4003],
    ];
    for (const [a, b, metres] of known) {
      const { rows } = await fixture.admin.query("select millrace.geodesic($1, $2, $3, $4) as m", [
        a.lat,
        a.lon,
        b.lat,
        b.lon,
      ]);
      assert.ok(Math.abs(rows[0].m - metres) < 0.01, `${rows[0].m} is ${metres}`);
    }
    for (const center of centers) {
      for (const { id, _distance } of await all(center)) {
        const model = haversine(center, places[id] as Place);
        assert.ok(Math.abs(_distance - model) <= model * 0.0057 + 0.001, `${_distance} is about ${model}`);
      }
    }
  });

  test("within a distance are exactly those that are no farther, nearest first", async () => {
    for (const center of centers) {
      const everything = await all(center);
      for (const metres of [0, 1, 5_000, 30_000, 1_000_000, 15_000_000, 21_000_000]) {
        const filter: Filter = { kind: "within", center, metres, negated: false };
        const found = await read({ filter, find: { near: center } });
        const expected = everything.filter(({ _distance }) => _distance <= metres);
        assert.deepEqual(
          found.map(({ id, _distance }) => ({ id, _distance })),
          expected,
        );
      }
    }
  });

  test("the nearest are in the order of their distance, by pages as at once", async () => {
    for (const center of centers) {
      const expected = await all(center);
      assert.deepEqual(
        (await read({ find: { near: center }, limit: 7 })).map(({ id }) => id),
        expected.slice(0, 7).map(({ id }) => id),
      );
    }
    const near = centers[0] as Place;
    const paged: number[] = [];
    for (let cursor: string | null = null, more = true; more; more = cursor !== null) {
      const answer = await reader.rows("places", { ...none, find: { near }, limit: 100, cursor });
      paged.push(...answer.rows.map((row) => JSON.parse(row).id));
      cursor = answer.next;
    }
    assert.deepEqual(
      paged,
      (await all(near)).map(({ id }) => id),
    );
    const offset = await read({ find: { near }, limit: 5, offset: 20 });
    assert.deepEqual(
      offset.map(({ id }) => id),
      paged.slice(20, 25),
    );
  });

  test("a distance is compared, ordered by and selected like a column", async () => {
    const near = centers[0] as Place;
    const order = [{ column: "_distance", descending: true, nulls: null }];
    const filter: Filter = { kind: "compare", column: "_distance", operator: "lt", values: ["9000"], negated: false };
    const rows = await read({ find: { near }, filter, order, select: ["_distance"] });
    assert.ok(rows.length > 10);
    assert.deepEqual(
      rows,
      (await all(near))
        .filter(({ _distance }) => _distance < 9_000)
        .map(({ _distance }) => ({ _distance }))
        .reverse(),
    );
  });

  test("a box holds what lies between its sides, across the antimeridian and around a pole too", async () => {
    const boxes = [
      [15.3, 47.05, 15.5, 47.1],
      [179.7, -16.8, -179.7, -16.2],
      [170, -90, 180, 90],
      [-180, -1, -170, 1],
      [-180, -90, 180, 90],
      [-180, 89.95, 180, 90],
      [10, -30, -10, 30],
      [-100, -60, 100, 60],
      ...Array.from({ length: 30 }, () => {
        const [south, north] = [degrees(-90, 90), degrees(-90, 90)].sort((a, b) => a - b) as [number, number];
        return [degrees(-180, 180), south, degrees(-180, 180), north];
      }),
    ] as [number, number, number, number][];
    for (const [west, south, east, north] of boxes) {
      const found = await read({ filter: { kind: "box", west, south, east, north, negated: false } });
      const inside = ({ lat, lon }: Place) => {
        const at = Math.abs(lon) === 180 ? [180, -180] : [lon];
        const between = at.some((x) => (west > east ? x >= west || x <= east : x >= west && x <= east));
        return lat >= south && lat <= north && between;
      };
      const expected = places.flatMap((place, id) => (inside(place) ? [id] : []));
      assert.deepEqual(
        found.map(({ id }) => id),
        expected,
        `${west},${south},${east},${north}`,
      );
    }
  });

  test("the bounds on the sphere hold: of chords around a distance, and of blocks around boxes", () => {
    const chord = (a: Place, b: Place) => {
      const [p, q] = [pointOf(a), pointOf(b)];
      return Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
    };
    for (const center of centers) {
      for (const place of places) {
        const { inside, outside } = chordsOf(haversine(center, place));
        assert.ok(inside <= chord(center, place) + 1e-9 && chord(center, place) <= outside + 1e-9);
      }
    }
    for (let i = 0; i < 500; i++) {
      const [south, north] = [degrees(-90, 90), degrees(-90, 90)].sort((a, b) => a - b) as [number, number];
      const [west, east] = [degrees(-180, 180), degrees(-180, 180)];
      const { low, high } = blockOf({ south, north, west, east });
      for (let j = 0; j < 20; j++) {
        const lon = west + degrees(0, 1) * (west > east ? east + 360 - west : east - west);
        const point = pointOf({ lat: degrees(south, north), lon });
        assert.ok(point.every((value, axis) => value >= (low[axis] ?? 0) && value <= (high[axis] ?? 0)));
      }
    }
  });

  test("a live view tells what comes into a distance, and what leaves it", async () => {
    const center = centers[0] as Place;
    const filter: Filter = { kind: "within", center, metres: 2_000, negated: false };
    const box: Filter = { kind: "box", west: 15.4, east: 15.5, south: 47, north: 47.2, negated: false };
    const { position, pages } = await reader.snapshot("places", filter);
    const ids: number[] = [];
    for await (const page of pages) ids.push(...page.map((row) => JSON.parse(row).id));
    assert.deepEqual(
      ids.toSorted((a, b) => a - b),
      (await read({ filter })).map(({ id }) => id),
    );
    const [first = 0] = ids;
    await fixture.commit("places", {
      upsert: [
        { id: first, lat: 10, lon: 10 },
        { id: 5_000, ...center },
        { id: 5_001, lat: null, lon: 4 },
      ],
    });
    for (const one of [filter, box]) {
      const changes = await reader.changesSince("places", position, one);
      assert.equal(changes.outcome, "changes");
      assert.deepEqual(
        changes.outcome === "changes" &&
          changes.batches.flatMap((batch) => batch.changes.map(({ op, key }) => [op, key])),
        [
          ["delete", JSON.stringify({ id: first })],
          ["upsert", '{"id":5000}'],
        ],
      );
    }
    await fixture.commit("places", {
      upsert: [{ id: first, ...places[first] }],
      remove: [{ id: 5_000 }, { id: 5_001 }],
    });
  });
});
