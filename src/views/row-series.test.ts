import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { column, GroupFixture, refusalOf } from "./reader-fixture.ts";
import type { Filter, RowQuery, Selected, SeriesQuery, ViewsReader } from "./view-info.ts";

const random = seededRandom(8);
const hour = 3_600_000;
const sensors = ["in", "out", null];
/** Around a change of clocks in Vienna, with gaps of hours and of days. */
const values = Array.from({ length: 300 }, (_, id) => ({
  id,
  at: Date.UTC(2026, 2, 26) + random.below(6) * 24 * hour + random.below(30) * 7 * 60_000,
  sensor: sensors[random.below(3)] as string | null,
  v: random.below(8) === 0 ? null : random.below(1_000),
}));
type Value = (typeof values)[number];

const none: RowQuery = { filter: null, order: [], select: null, limit: 10_000, offset: 0, cursor: null };
const select: Selected[] = ["sensor", { aggregate: "count", of: null }, { aggregate: "sum", of: { column: "v" } }];
const series = (count: number, unit: SeriesQuery["bucket"]["unit"], rest: Partial<SeriesQuery> = {}): SeriesQuery => {
  return { bucket: { count, unit }, fill: null, zone: null, ...rest };
};
const iso = (ms: number) => new Date(ms).toISOString().replace("Z", "000Z");
const between = (from: number, to: number): Filter => ({
  kind: "and",
  negated: false,
  of: [
    { kind: "compare", column: "at", operator: "gte", values: [iso(from)], negated: false },
    { kind: "compare", column: "at", operator: "lt", values: [iso(to)], negated: false },
  ],
});

describe("a time series", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    const columns = [column("id", "integer"), column("sensor", "text", true), column("v", "integer", true)];
    for (const [name, type] of [
      ["zoned", "timestamp with time zone"],
      ["local", "timestamp without time zone"],
      ["days", "date"],
    ] as const) {
      await fixture.createView(name, {
        columns: [...columns, column("at", type, true)],
        key: ["id"],
        reads: { series: { time: "at", by: ["sensor"] } },
      });
      const odd = [null, "infinity", "-infinity"].map((at, i) => ({ id: 1_000 + i, at, sensor: "in", v: 1 }));
      const upsert = [...values.map((one) => ({ ...one, at: iso(one.at) })), ...odd];
      await fixture.commit(name, { upsert });
    }
  });
  after(() => fixture[Symbol.asyncDispose]());

  const read = async (query: Partial<RowQuery>, view = "zoned") =>
    (await reader.rows(view, { ...none, select, ...query })).rows.map((row) => JSON.parse(row));

  /** Rows of the model by bucket and sensor, in the order of the answer. */
  function model(of: readonly Value[], bucket: (at: number) => string) {
    const groups = [...Map.groupBy(of, ({ at, sensor }) => JSON.stringify([bucket(at), sensor]))];
    return groups
      .map(([key, rows]) => {
        const [_bucket, sensor] = JSON.parse(key) as [string, string | null];
        const numbers = rows.flatMap(({ v }) => (v === null ? [] : [v]));
        const sum = numbers.length === 0 ? null : String(numbers.reduce((a, b) => a + b, 0));
        return { _bucket, sensor, count: String(rows.length), sum };
      })
      .toSorted(inOrder);
  }
  function inOrder(a: { _bucket: string; sensor: string | null }, b: { _bucket: string; sensor: string | null }) {
    if (a._bucket !== b._bucket) return a._bucket < b._bucket ? -1 : 1;
    return (a.sensor ?? "~") < (b.sensor ?? "~") ? -1 : 1;
  }

  test("buckets of seconds, minutes and hours are spans of absolute time", async () => {
    for (const [count, unit, ms] of [
      [1, "hour", hour],
      [7, "hour", 7 * hour],
      [15, "minute", 15 * 60_000],
      [90, "second", 90_000],
    ] as const) {
      const origin = Date.UTC(2000, 0, 1);
      const begin = (at: number) => origin + Math.floor((at - origin) / ms) * ms;
      assert.deepEqual(
        await read({ series: series(count, unit) }),
        model(values, (at) => iso(begin(at))),
      );
      assert.deepEqual(
        await read({ series: series(count, unit) }, "local"),
        model(values, (at) => iso(begin(at)).slice(0, 19)),
      );
    }
  });

  test("buckets of days, weeks and months are those of a calendar, across a change of clocks", async () => {
    const zone = "Europe/Vienna";
    const format = new Intl.DateTimeFormat("sv", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
    const day = (at: number) => format.format(at).slice(0, 10);
    const local = async (query: SeriesQuery) =>
      (await read({ series: query })).map((one) => ({ ...one, _bucket: format.format(new Date(one._bucket)) }));
    const dayNumber = (date: string) => Date.parse(`${date}T00:00:00Z`) / 86_400_000;
    const dateOf = (number: number) => new Date(number * 86_400_000).toISOString().slice(0, 10);
    const begun = (days: number) => (at: number) => {
      const monday = dayNumber("2000-01-03");
      return `${dateOf(monday + Math.floor((dayNumber(day(at)) - monday) / days) * days)} 00:00:00`;
    };
    assert.deepEqual(await local(series(1, "day", { zone })), model(values, begun(1)));
    assert.deepEqual(await local(series(7, "day", { zone })), model(values, begun(7)));
    assert.deepEqual(
      await local(series(1, "month", { zone })),
      model(values, (at) => `${day(at).slice(0, 7)}-01 00:00:00`),
    );
    assert.deepEqual(
      await local(series(36, "month", { zone })),
      model(values, () => "2024-01-01 00:00:00"),
    );
    const utc = (at: number) => iso(at).slice(0, 10);
    assert.deepEqual(
      await read({ series: series(1, "day") }),
      model(values, (at) => `${utc(at)}T00:00:00.000000Z`),
    );
    assert.deepEqual(
      await read({ series: series(1, "day") }, "days"),
      model(values, (at) => `${utc(at)}T00:00:00`),
    );
  });

  test("the first and the last value of each series are those of the least and the greatest time", async () => {
    const found = await read({
      select: ["sensor", { aggregate: "last", of: { column: "v" } }, { aggregate: "first", of: { column: "v" } }],
      filter: between(0, Date.UTC(2027, 0, 1)),
    });
    assert.equal(found.length, 3);
    for (const { sensor, first, last } of found) {
      const known = values.filter((one) => one.sensor === sensor && one.v !== null) as (Value & { v: number })[];
      const inTime = known.toSorted((a, b) => a.at - b.at || a.v - b.v);
      assert.deepEqual([first, last], [inTime[0]?.v, inTime.at(-1)?.v]);
    }
  });

  test("gaps are filled for every series, with nothing, zero, the value before or what lies between", async () => {
    const [from, to] = [Date.UTC(2026, 2, 25), Date.UTC(2026, 3, 2)];
    const begin = (at: number) => Math.floor(at / (6 * hour)) * 6 * hour;
    const grid = Array.from({ length: (to - from) / (6 * hour) }, (_, i) => from + i * 6 * hour);
    const mean: Selected[] = [
      "sensor",
      { aggregate: "count", of: null },
      { aggregate: "sum", of: { column: "v" } },
      { aggregate: "avg", of: { column: "v", cast: "float8" } },
      { aggregate: "min", of: { column: "id", cast: "text" }, alias: "text" },
    ];
    for (const fill of ["null", "zero", "previous", "linear"] as const) {
      const found = await read({ series: series(6, "hour", { fill }), select: mean, filter: between(from, to) });
      assert.equal(found.length, grid.length * sensors.length);
      for (const sensor of sensors) {
        const known = grid.map((bucket) => {
          const rows = values.filter((one) => one.sensor === sensor && begin(one.at) === bucket);
          const numbers = rows.flatMap(({ v }) => (v === null ? [] : [v]));
          const sum = numbers.length === 0 ? null : numbers.reduce((a, b) => a + b, 0);
          const text = rows.map(({ id }) => String(id)).toSorted()[0] ?? null;
          return { count: rows.length, sum, avg: sum === null ? null : sum / numbers.length, text };
        });
        const at = (i: number, name: "sum" | "avg"): number | null => {
          const own = known[i]?.[name] ?? null;
          if (own !== null || fill === "null") return own;
          if (fill === "zero") return 0;
          const before = known.findLastIndex((one, j) => j < i && one[name] !== null);
          const behind = known.findIndex((one, j) => j > i && one[name] !== null);
          const [low, high] = [known[before]?.[name] ?? null, known[behind]?.[name] ?? null];
          if (fill === "previous" || low === null) return low;
          return high === null ? null : low + ((high - low) * (i - before)) / (behind - before);
        };
        const rows = found.filter((one) => one.sensor === sensor);
        for (const [i, bucket] of grid.entries()) {
          const { _bucket, count, sum, avg, text } = rows[i];
          assert.deepEqual([_bucket, count], [iso(bucket), String(known[i]?.count)]);
          const near = (value: unknown, model: number | null) => {
            assert.equal(value === null, model === null, `${fill} ${_bucket}`);
            assert.ok(Math.abs(Number(value) - (model ?? 0)) < 1e-6, `${fill} ${value} is ${model}`);
          };
          near(sum, at(i, "sum"));
          near(avg, at(i, "avg"));
          const before = known.slice(0, i + 1).findLast((one) => one.text !== null)?.text ?? null;
          assert.equal(text, fill === "previous" ? before : (known[i]?.text ?? null));
        }
      }
    }
  });

  test("without bounds in the filter gaps are filled between the first and the last bucket of all", async () => {
    const rows = await read({
      series: series(1, "day", { fill: "null", zone: "Europe/Vienna" }),
      select: [{ aggregate: "count", of: null }],
    });
    assert.deepEqual(
      rows.map(({ _bucket }) => _bucket),
      [
        ...["2026-03-25T23", "2026-03-26T23", "2026-03-27T23", "2026-03-28T23"],
        ...["2026-03-29T22", "2026-03-30T22"],
      ].map((one) => `${one}:00:00.000000Z`),
    );
    const unknown = String(values.find(({ v }) => v === null)?.id);
    const one: Filter = { kind: "compare", column: "id", operator: "eq", values: [unknown], negated: false };
    const [alone] = await read({ series: series(1, "hour", { fill: "linear" }), filter: one });
    assert.deepEqual([alone.count, alone.sum], ["1", null]);
    const nothing: Filter = { kind: "compare", column: "id", operator: "lt", values: ["0"], negated: false };
    assert.deepEqual(await read({ series: series(1, "day", { fill: "zero" }), filter: nothing }), []);
  });

  test("filled buckets come by pages as at once", async () => {
    const query = { ...none, select, series: series(1, "hour", { fill: "linear" }) };
    const order = [{ column: "_bucket", descending: true, nulls: null }];
    const whole = await read({ series: query.series, order });
    const paged: unknown[] = [];
    for (let cursor: string | null = null, more = true; more; more = cursor !== null) {
      const page = await reader.rows("zoned", { ...query, order, limit: 50, cursor });
      paged.push(...page.rows.map((row) => JSON.parse(row)));
      cursor = page.next;
    }
    assert.deepEqual(paged, whole);
    assert.ok(whole.length > 300);
  });

  test("what has no meaning, and what would be too much, is refused", async () => {
    await refusalOf(
      read({ series: series(1, "hour", { zone: "Europe/Vienna" }) }, "local"),
      "REQUEST_INVALID",
      /tz has no meaning/,
    );
    await refusalOf(read({ series: series(1, "day", { zone: "Europe/Wien" }) }), "FILTER_INVALID", /Europe\/Wien/);
    await refusalOf(read({ series: series(1, "hour"), select: null }), "REQUEST_INVALID", /bucket needs/);
    await refusalOf(
      read({ series: series(1, "second", { fill: "null" }) }),
      "REQUEST_INVALID",
      /more than 100000 rows/,
    );
    const far = between(Date.UTC(1200, 0, 1), Date.UTC(2500, 0, 1));
    await refusalOf(read({ series: series(1, "hour", { fill: "null" }), filter: far }), "REQUEST_INVALID", /more than/);
    const wrong: Filter = { kind: "compare", column: "at", operator: "gte", values: ["never"], negated: false };
    await refusalOf(read({ series: series(1, "hour", { fill: "null" }), filter: wrong }), "FILTER_INVALID", /"at"/);
  });
});
