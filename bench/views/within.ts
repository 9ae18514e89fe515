/** How fast is what lies within 5 km found in a view of a million places, compared with the plain index query? */
import { seededRandom } from "../../src/base/random.ts";
import type { RowQuery } from "../../src/views/view-info.ts";
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { askInTurn, withSearchedView } from "./support/searched-view.ts";

const sizes = { full: { rows: 1_000_000, questions: 1_000 }, tiny: { rows: 300, questions: 3 } } as const;
/** About as large as France. */
const area = { south: 44, north: 50, west: 0, east: 8 };
const metres = 5_000;
const limit = 100;

async function run(size: BenchmarkSize, progress: Progress) {
  const { rows, questions } = sizes[size];
  const random = seededRandom(1);
  const between = (min: number, max: number) => min + ((max - min) * random.below(1_000_000_000)) / 1_000_000_000;
  const place = () => ({ lat: between(area.south, area.north), lon: between(area.west, area.east) });
  const table = {
    columns: "split_part(u.text, ' ', 1)::double precision as lat, split_part(u.text, ' ', 2)::double precision as lon",
    options: { geo: { lat: "lat", lon: "lon" } },
    texts: Array.from({ length: rows }, () => Object.values(place()).join(" ")),
  };
  const asked = Array.from({ length: questions }, place);
  return await withSearchedView(table, progress, async ({ reader, bare, buildS }) => {
    await bare.query(
      "create schema plain; create extension earthdistance schema millrace;" +
        "set search_path = millrace, pg_catalog, public; set jit = off;" +
        "create table plain.places as select id, n, lat, lon from views.found;" +
        "create index on plain.places using gist (ll_to_earth(lat, lon)); analyze plain.places",
    );
    const query: Omit<RowQuery, "filter"> = { order: [], select: null, limit, offset: 0, cursor: null };
    const [within, plain, nearest] = await askInTurn(asked, {
      within: async (center) => {
        const filter = { kind: "within", center, metres, negated: false } as const;
        return (await reader.rows("found", { ...query, filter, find: { near: center } })).rows.length;
      },
      "plain query": async ({ lat, lon }) => {
        const sql =
          "select id, n, lat, lon, earth_distance(ll_to_earth($1, $2), ll_to_earth(lat, lon)) as d from plain.places " +
          "where earth_box(ll_to_earth($1, $2), $3) @> ll_to_earth(lat, lon) " +
          "and earth_distance(ll_to_earth($1, $2), ll_to_earth(lat, lon)) <= $3 order by d, id, n limit 100";
        return (await bare.query(sql, [lat, lon, metres])).rows.length;
      },
      nearest: async (near) => (await reader.rows("found", { ...query, filter: null, find: { near } })).rows.length,
    });
    if (!within || !plain || !nearest) throw new Error("nothing was asked");
    return {
      results: [{ ...within, details: { ...within.details, buildS } }, plain, nearest],
      bound: "plain query",
    } as const;
  });
}

export const benchmark: Benchmark = {
  question: "How fast is what lies within 5 km found in a view of a million places?",
  method:
    "places at random between 44° and 50° north and 0° and 8° east; the 100 nearest of those within 5 km of a random place, by their distance on the ellipsoid; by the reader of views in this process, against earth_box and earth_distance (on a sphere) by a bare client on a table with an index of ll_to_earth; one after the other in turn, embedded PostgreSQL",
  notMeasured: "HTTP; many readers at once; writes at the same time; more rows than fit into memory",
  run,
};
