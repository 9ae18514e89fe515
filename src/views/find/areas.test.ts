import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { parseArea } from "../../http/area-parameter.ts";
import { column, GroupFixture, refusalOf } from "../reader-fixture.ts";
import type { Filter, RowQuery, ViewsReader } from "../view-info.ts";
import { boxOf, type Polygon, type Position, tileBox } from "./area.ts";
import type { FindQuery, Place } from "./find-query.ts";

const random = seededRandom(31);
const degrees = (min: number, max: number) => min + ((max - min) * random.below(1_000_000_000)) / 1_000_000_000;
const places: Place[] = [
  ...Array.from({ length: 400 }, () => ({ lat: degrees(-90, 90), lon: degrees(-180, 180) })),
  ...Array.from({ length: 200 }, () => ({ lat: degrees(47, 48), lon: degrees(15, 16) })),
  ...Array.from({ length: 100 }, () => ({ lat: degrees(-18, -16), lon: degrees(178, 180) })),
  ...Array.from({ length: 100 }, () => ({ lat: degrees(-18, -16), lon: degrees(-180, -178) })),
  // On the sides and corners of what follows.
  ...Array.from({ length: 200 }, () => ({ lat: random.below(37) * 5 - 90, lon: random.below(73) * 5 - 180 })),
];
const nowhere = [
  { lat: null, lon: 1 },
  { lat: 91, lon: 1 },
  { lat: 1, lon: "NaN" },
];
const none: RowQuery = { filter: null, order: [], select: ["id"], limit: 10_000, offset: 0, cursor: null };

/** By a line to the south, one turn at a time; places on a side are for another test. */
function contains(polygon: Polygon, { lat, lon }: Place): boolean {
  let crossed = 0;
  for (const ring of polygon) {
    for (const turn of [-720, -360, 0, 360, 720]) {
      const x = lon + turn;
      for (let i = 1; i < ring.length; i++) {
        const [[x1, y1], [x2, y2]] = [ring[i - 1] as Position, ring[i] as Position];
        if (x1 > x !== x2 > x && y1 + ((x - x1) / (x2 - x1)) * (y2 - y1) < lat) crossed++;
      }
    }
  }
  return crossed % 2 === 1;
}

function star(lat: number, lon: number, size: number, corners: number): string {
  const ring = Array.from({ length: corners }, (_, i) => {
    const angle = (2 * Math.PI * i) / corners;
    const reach = size * (i % 2 === 0 ? 1 : 0.4);
    return `${(lon + reach * Math.cos(angle)).toFixed(6)} ${(lat + reach * Math.sin(angle)).toFixed(6)}`;
  });
  return `(${[...ring, ring[0]].join(", ")})`;
}

describe("areas of a view", () => {
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
    await fixture.commit("places", { upsert: [...places, ...nowhere].map((place, id) => ({ id, ...place })) });
  });
  after(() => fixture[Symbol.asyncDispose]());

  const read = async (query: Partial<RowQuery>) =>
    (await reader.rows("places", { ...none, ...query })).rows.map((row) => JSON.parse(row));
  const idsIn = async (filter: Filter): Promise<number[]> => (await read({ filter })).map(({ id }) => id);
  const area = (text: string): Filter & { polygons: readonly Polygon[] } => {
    return { kind: "area", polygons: parseArea(text), negated: false };
  };

  test("places in a polygon are those of a plain model: with holes, across the antimeridian, several at once", async () => {
    const texts = [
      `POLYGON(${star(47.5, 15.5, 0.45, 14)})`,
      `POLYGON(${star(10, 20, 60, 9)}, ${star(10, 20, 20, 7)})`,
      `POLYGON(${star(-17, 180, 1.5, 11)})`,
      `POLYGON(${star(-17, -180, 1.5, 11)}, ${star(-17, 180, 0.4, 5)})`,
      `MULTIPOLYGON((${star(47.2, 15.2, 0.2, 8)}), (${star(-17, 180, 1, 6)}), (${star(0, -100, 40, 30)}))`,
      "POLYGON((-179.5 -20.2, 179.5 -20.2, 179.5 -10.2, -179.5 -10.2, -179.5 -20.2))",
      "POLYGON((170.5 -20.2, 189.5 -20.2, 189.5 -10.2, 170.5 -10.2, 170.5 -20.2))",
      '{"type":"Polygon","coordinates":[[[-180,60.5],[0,70.5],[180,60.5],[180,90],[-180,90],[-180,60.5]]]}',
      '{"type":"MultiPolygon","coordinates":[[[[15,47],[15.7,47.1],[15.3,47.9],[15,47]]],[[[100.5,0.5],[110,1],[101,30],[100.5,0.5]]]]}',
    ];
    for (const text of texts) {
      const filter = area(text);
      const model = places.flatMap((place, id) => {
        return filter.polygons.some((one) => contains(one, place)) ? [id] : [];
      });
      assert.ok(model.length > 0, text);
      assert.deepEqual(await idsIn(filter), model, text);
      const rest = await idsIn({ ...filter, negated: true });
      assert.deepEqual(
        rest.filter((id) => id < places.length),
        places.flatMap((_, id) => (model.includes(id) ? [] : [id])),
      );
    }
  });

  test("areas that share their sides share no place, and leave none out", async () => {
    const seen = new Map<number, number>();
    for (let west = -180; west < 180; west += 45) {
      for (let south = -90; south < 90; south += 45) {
        const [east, north, middle] = [west + 45, south + 45, `${west + 20} ${south + 15}`];
        const corners = [`${west} ${south}`, `${east} ${south}`, `${east} ${north}`, `${west} ${north}`];
        for (let i = 0; i < 4; i++) {
          const ring = [corners[i], corners[(i + 1) % 4], middle, corners[i]];
          const turned = i % 2 === 0 ? ring : ring.toReversed();
          for (const id of await idsIn(area(`POLYGON((${turned.join(", ")}))`))) seen.set(id, (seen.get(id) ?? 0) + 1);
        }
      }
    }
    for (const id of places.keys()) assert.equal(seen.get(id), 1, JSON.stringify(places[id]));
    assert.equal(seen.size, places.length);
  });

  test("the box around a polygon holds it", () => {
    assert.deepEqual(boxOf(parseArea("POLYGON((170 1, 190 2, 180 9, 170 1))")[0] as Polygon), {
      south: 1,
      north: 9,
      west: 170,
      east: -170,
    });
    const world = boxOf(
      parseArea("POLYGON((-180 -90, 0 -90, 180 -90, 180 90, 0 90, -180 90, -180 -90))")[0] as Polygon,
    );
    assert.deepEqual([world.west, world.east], [-180, 180]);
  });

  /** Halving the globe in turn, as the geohash is defined. */
  function geohash({ lat, lon }: Place, length: number): string {
    const [lons, lats] = [[-180, 180] as [number, number], [-90, 90] as [number, number]];
    let hash = "";
    for (let c = 0; c < length; c++) {
      let value = 0;
      for (let b = 0; b < 5; b++) {
        const [range, at] = (c * 5 + b) % 2 === 0 ? [lons, lon] : [lats, lat];
        const middle = (range[0] + range[1]) / 2;
        value = value * 2 + (at >= middle ? 1 : 0);
        range[at >= middle ? 0 : 1] = middle;
      }
      hash += "0123456789bcdefghjkmnpqrstuvwxyz"[value];
    }
    return hash;
  }

  test("geohashes are those of their definition, and group places", async () => {
    for (const length of [1, 2, 5, 6, 12]) {
      const find: FindQuery = { geohash: length };
      const rows = await read({ find, select: null });
      assert.deepEqual(
        rows.map(({ id, _geohash }) => [id, _geohash]),
        [...places, ...nowhere].map((place, id) => [id, id < places.length ? geohash(place as Place, length) : null]),
      );
    }
    const counted = await read({ find: { geohash: 2 }, select: ["_geohash", { aggregate: "count", of: null }] });
    const model = Map.groupBy(places, (place) => geohash(place, 2));
    assert.deepEqual(
      counted.map(({ _geohash, count }) => [_geohash, count]),
      [...model]
        .map(([hash, of]) => [hash, String(of.length)])
        .toSorted((a, b) => ((a[0] ?? "") < (b[0] ?? "") ? -1 : 1))
        .concat([[null, "3"]] as never),
    );
    const filter: Filter = { kind: "compare", column: "_geohash", operator: "like", values: ["u2%"], negated: false };
    assert.equal((await read({ find: { geohash: 5 }, filter })).length, model.get("u2")?.length);
  });

  test("tiles are those of web maps: what is in a tile has its name, and each place is in one", async () => {
    const known = await read({
      find: { zoom: 12 },
      select: ["_tile"],
      limit: 1,
      filter: area("POLYGON((15 47, 16 47, 16 48, 15 48, 15 47))"),
    });
    assert.match(known[0]._tile, /^12\/22[12]\d\/14[2-3]\d$/);
    for (const zoom of [0, 1, 3, 7]) {
      const rows = await read({ find: { zoom }, select: null });
      const tiles = Map.groupBy(rows, ({ _tile }) => _tile);
      assert.equal(tiles.get(null)?.length, nowhere.length);
      for (const [name, of] of tiles) {
        if (name === null) continue;
        const [z, x = 0, y = 0] = name.split("/").map(Number);
        assert.equal(z, zoom);
        const box = tileBox(zoom, x, y);
        for (const { id } of of) {
          const { lat, lon } = places[id] as Place;
          assert.ok(
            lat >= box.south - 1e-9 && lat <= box.north + 1e-9 && lon >= box.west - 1e-9 && lon <= box.east + 1e-9,
          );
        }
        if (of.length < 3 && zoom > 3) continue;
        assert.deepEqual(
          await idsIn({ kind: "tile", zoom, x, y, negated: false }),
          of.map(({ id }) => id),
        );
      }
    }
  });

  test("a live view tells what comes into an area and what leaves it", async () => {
    const filter = area("POLYGON((15 47, 16 47, 16 48, 15 48, 15 47))");
    const { position } = await reader.snapshot("places", filter);
    const [inside = 0] = await idsIn(filter);
    await fixture.commit("places", {
      upsert: [
        { id: inside, lat: 1, lon: 1 },
        { id: 9_000, lat: 47.5, lon: 15.5 },
      ],
    });
    const tile: Filter = { kind: "tile", zoom: 5, x: 17, y: 11, negated: false };
    for (const one of [filter, tile]) {
      const changes = await reader.changesSince("places", position, one);
      assert.deepEqual(
        changes.outcome === "changes" &&
          changes.batches.flatMap((batch) => batch.changes.map(({ op, key }) => [op, key])),
        [
          ["delete", JSON.stringify({ id: inside })],
          ["upsert", '{"id":9000}'],
        ],
      );
    }
    await fixture.commit("places", { upsert: [{ id: inside, ...places[inside] }], remove: [{ id: 9_000 }] });
  });

  test("a view without places has no areas and no cells", async () => {
    await fixture.createView("plain", { columns: [column("id", "integer")], key: ["id"] });
    const plain = (query: Partial<RowQuery>) => reader.rows("plain", { ...none, ...query });
    await refusalOf(plain({ filter: area("POLYGON((0 0, 1 0, 1 1, 0 0))") }), "VIEW_OPTION_MISSING", /no places/);
    await refusalOf(plain({ filter: { kind: "tile", zoom: 1, x: 0, y: 0, negated: false } }), "VIEW_OPTION_MISSING");
    await refusalOf(plain({ find: { geohash: 5 } }), "VIEW_OPTION_MISSING");
    await refusalOf(plain({ find: { zoom: 5 } }), "VIEW_OPTION_MISSING");
  });
});
