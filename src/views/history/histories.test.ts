import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../base/clock.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { sql, topic, type ViewDefinition, view } from "../../catalog/definitions.ts";
import { topicTables } from "../../catalog/topic-table.ts";
import type { Group } from "../group.ts";
import { live, until, ViewsFixture } from "../group-fixture.ts";
import { openReader } from "../reader.ts";
import { type FixtureChange, tableShape } from "../source-fixture.ts";
import { publish, settled } from "../topics-fixture.ts";
import type { RowQuery } from "../view-info.ts";

const rates = tableShape("shop", "rates", ["country text", "rate numeric(5,2)"], { key: ["country"] });
const sales = tableShape("shop", "sales", [
  "id integer",
  "country text",
  "amount integer",
  "at timestamp with time zone",
]);

const rate = (country: string, value: string): FixtureChange => ({ table: rates, insert: [country, value] });
const sale = (id: number, country: string, amount: number, at: string): FixtureChange => ({
  table: sales,
  insert: [`${id}`, country, `${amount}`, at],
});

const ratesView = view("rates", sql`select country, rate from shop.rates`, { history: true });
const noon = Date.UTC(2026, 2, 1, 12);
const minute = 60_000;

const versions = `select country, rate::text, _valid_from::text as from, _valid_to::text as to from views."rates.history"`;

test("each change of a row closes its version and opens the next at the time of its transaction", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [rates]);
  shop.atMs = noon;
  await shop.snapshot([rate("AT", "20"), rate("DE", "19")]);
  const group = await fixture.group([ratesView]);
  await live(group);
  shop.atMs = noon + minute;
  await shop.commit({ table: rates, update: ["AT", "21"] });
  shop.atMs = noon + 2 * minute;
  await shop.commitTogether([[{ table: rates, update: ["AT", "22"] }], [{ table: rates, delete: ["DE", "19"] }]]);
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows(versions), [
    '{"country":"AT","rate":"20.00","from":"2026-03-01 12:00:00+00","to":"2026-03-01 12:01:00+00"}',
    '{"country":"AT","rate":"21.00","from":"2026-03-01 12:01:00+00","to":"2026-03-01 12:02:00+00"}',
    '{"country":"AT","rate":"22.00","from":"2026-03-01 12:02:00+00","to":null}',
    '{"country":"DE","rate":"19.00","from":"2026-03-01 12:00:00+00","to":"2026-03-01 12:02:00.000001+00"}',
  ]);
});

test("the history of a view that had no rows begins with its first change, whenever that was", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [rates]);
  // After its rows, as a view is that is defined today and gets events of before.
  shop.atMs = noon + minute;
  await shop.snapshot([]);
  const group = await fixture.group([ratesView]);
  await live(group);
  shop.atMs = noon;
  await shop.commit(rate("AT", "20"));
  await fixture.settled(group);
  shop.atMs = noon - minute;
  await shop.commit({ table: rates, update: ["AT", "21"] });
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows(versions), [
    '{"country":"AT","rate":"20.00","from":"2026-03-01 12:00:00+00","to":"2026-03-01 12:00:00.000001+00"}',
    '{"country":"AT","rate":"21.00","from":"2026-03-01 12:00:00.000001+00","to":null}',
  ]);
  const since = "select since::text from millrace.histories";
  assert.deepEqual(await fixture.rows(since), ['{"since":"2026-03-01 12:00:00+00"}']);
});

const taxes = view(
  "taxes",
  sql`select s.id, s.amount * r.rate / 100 as tax from shop.sales s join ${ratesView.history} r
      on r.country = s.country and r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)`,
  { key: "id" },
);

test("a join as of a moment takes the version that was valid then, in the batch of the change", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [rates, sales]);
  shop.atMs = noon;
  await shop.snapshot([rate("AT", "20"), sale(1, "AT", 100, "2026-03-01 12:00:30+00")]);
  const group = await fixture.group([taxes, ratesView]);
  await live(group);
  const taxed = "select id, trim_scale(tax)::text as tax from views.taxes";
  assert.deepEqual(await fixture.rows(taxed), ['{"id":1,"tax":"20"}']);
  shop.atMs = noon + minute;
  await shop.commit(
    { table: rates, update: ["AT", "10"] },
    sale(2, "AT", 100, "2026-03-01 12:00:59+00"),
    sale(3, "AT", 100, "2026-03-01 12:01:00+00"),
  );
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows(taxed), ['{"id":1,"tax":"20"}', '{"id":2,"tax":"20"}', '{"id":3,"tax":"10"}']);
  await group.rebuild("rates");
  await group.rebuild("taxes");
  await live(group);
  assert.deepEqual(await fixture.rows(taxed), ['{"id":1,"tax":"20"}', '{"id":2,"tax":"20"}', '{"id":3,"tax":"10"}']);
});

const everything: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };

function readerOf(fixture: ViewsFixture, group: Group) {
  return openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
}

/** A shop with a history that has changed once. */
async function changedOnce(fixture: ViewsFixture, definitions: readonly ViewDefinition[], options = {}) {
  const shop = await fixture.source("shop", [rates, sales]);
  shop.atMs = noon;
  await shop.snapshot([rate("AT", "20"), rate("DE", "19"), sale(1, "AT", 100, "2026-03-01 12:00:30+00")]);
  const group = await fixture.group(definitions, options);
  await live(group);
  shop.atMs = noon + minute;
  await shop.commit({ table: rates, update: ["AT", "21"] });
  await fixture.settled(group);
  return { shop, group };
}

test("a view is read as of a moment, by filter and by key, and its versions are read as rows", async () => {
  await using fixture = await ViewsFixture.open();
  const plain = view("plain", sql`select country from shop.rates`);
  const { group } = await changedOnce(fixture, [ratesView, plain]);
  const reader = readerOf(fixture, group);
  const asOfMicros = noon * 1_000;
  const at = (micros: number) => ({ ...everything, asOfMicros: micros });
  const rows = async (name: string, query: RowQuery) => (await reader.rows(name, query)).rows;
  assert.deepEqual(await rows("rates", at(asOfMicros)), [
    '{"country":"AT","rate":"20.00"}',
    '{"country":"DE","rate":"19.00"}',
  ]);
  assert.deepEqual((await rows("rates", at((noon + minute) * 1_000)))[0], '{"country":"AT","rate":"21.00"}');
  // The last microsecond before the change is the version before.
  assert.deepEqual((await rows("rates", at((noon + minute) * 1_000 - 1)))[0], '{"country":"AT","rate":"20.00"}');
  const keyed = async (options: object) => (await reader.row("rates", ["AT"], null, options)).row?.body;
  assert.deepEqual(
    [await keyed({}), await keyed({ asOfMicros }), await keyed({})],
    ['{"country":"AT","rate":"21.00"}\n', '{"country":"AT","rate":"20.00"}\n', '{"country":"AT","rate":"21.00"}\n'],
  );
  const { position, results } = await reader.readAll([
    { view: "rates", query: at(asOfMicros) },
    { view: "rates", key: ["AT"], select: ["rate"] },
  ]);
  assert.deepEqual(
    [position, results.map((one) => ("rows" in one ? one.rows.length : one.row))],
    [group.position(), [2, '{"rate":"21.00"}']],
  );
  const history = await reader.rows("rates.history", {
    ...everything,
    select: ["rate", "_valid_to"],
    limit: 2,
    count: "exact",
  });
  assert.deepEqual(
    [history.total, history.rows],
    [3, ['{"rate":"20.00","_valid_to":"2026-03-01T12:01:00.000000Z"}', '{"rate":"21.00","_valid_to":null}']],
  );
  const next = await reader.rows("rates.history", { ...everything, select: ["rate"], cursor: history.next });
  assert.deepEqual(next.rows, ['{"rate":"19.00"}']);
  await assert.rejects(rows("rates", at(asOfMicros - 1)), {
    code: "HISTORY_BEGINS_LATER",
    details: { view: "rates", since: "2026-03-01T12:00:00.000000Z" },
  });
  await assert.rejects(rows("plain", at(asOfMicros)), { code: "VIEW_OPTION_MISSING" });
  await assert.rejects(rows("plain.history", everything), { code: "VIEW_OPTION_MISSING" });
  await assert.rejects(rows("rates.history", at(asOfMicros)), { code: "REQUEST_INVALID" });
  await assert.rejects(reader.snapshot("rates.history", null), { code: "REQUEST_INVALID" });
  await assert.rejects(reader.changesSince("rates.history", group.position(), null), { code: "REQUEST_INVALID" });
  assert.throws(() => reader.info("rates.history"), { code: "VIEW_UNKNOWN" });
  reader.close();
});

const kept = 'select country, rate::text, _valid_to is null as now from views."rates.history"';

test("a definition with more columns keeps the versions, one with other columns begins anew, and one without the option ends them", async () => {
  await using fixture = await ViewsFixture.open();
  const define = (text: string, options = {}) => view("rates", { ...sql``, text }, options);
  const uses = (columns: string) => view("uses", { ...sql``, text: `select ${columns} from views."rates.history"` });
  const { group } = await changedOnce(fixture, [ratesView, uses("country, _valid_from, rate")], { mode: "dev" });
  const reload = async (...views: readonly ViewDefinition[]) => {
    await group.reload(views);
    await until(group, () =>
      group.list().every(({ state }) => state.kind === "live" && state.replacement === undefined),
    );
  };
  await reload(
    define("select country, rate, 1 as more from shop.rates", { history: true }),
    uses("country, _valid_from, more"),
  );
  assert.deepEqual(
    await fixture.rows(`select rate::text, more from (select * from views."rates.history" where country = 'AT') q`),
    ['{"rate":"20.00","more":null}', '{"rate":"21.00","more":1}', '{"rate":"21.00","more":null}'],
  );
  assert.deepEqual(
    await fixture.rows("select country, more from views.uses where country = 'AT' and more is not null"),
    ['{"country":"AT","more":1}'],
  );
  await reload(
    define("select country, rate::text as rate from shop.rates", { history: true }),
    uses("country, _valid_from, rate"),
  );
  assert.deepEqual(await fixture.rows(kept), [
    '{"country":"AT","rate":"21.00","now":true}',
    '{"country":"DE","rate":"19.00","now":true}',
  ]);
  assert.deepEqual(await fixture.rows("select country, rate from views.uses"), [
    '{"country":"AT","rate":"21.00"}',
    '{"country":"DE","rate":"19.00"}',
  ]);
  await reload(define("select country, rate::text as rate from shop.rates"));
  const left = "select relname from pg_class where relname like 'rates%history%'";
  assert.deepEqual(await fixture.rows(left), []);
  assert.deepEqual(await fixture.rows("select view from millrace.histories"), []);
});

test("a history goes with its view in dev, and stays in start", async () => {
  for (const mode of ["dev", "start"] as const) {
    await using fixture = await ViewsFixture.open();
    const { group } = await changedOnce(fixture, [ratesView], { mode });
    await group.reload([]);
    const there = (await fixture.rows("select 1 from pg_class where relname = 'rates.history'")).length;
    assert.equal(there, mode === "dev" ? 0 : 1);
    await group.reload([ratesView]);
    await live(group);
    assert.equal((await fixture.rows(kept)).length, mode === "dev" ? 2 : 3);
  }
});

test("a new snapshot closes and opens what differs, and nothing else", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await changedOnce(fixture, [ratesView, taxes]);
  shop.atMs = noon + 2 * minute;
  await shop.snapshot([rate("AT", "21"), rate("FR", "18"), sale(1, "AT", 100, "2026-03-01 12:00:30+00")]);
  await fixture.settled(group);
  await live(group);
  assert.deepEqual(await fixture.rows(versions), [
    '{"country":"AT","rate":"20.00","from":"2026-03-01 12:00:00+00","to":"2026-03-01 12:01:00+00"}',
    '{"country":"AT","rate":"21.00","from":"2026-03-01 12:01:00+00","to":null}',
    '{"country":"DE","rate":"19.00","from":"2026-03-01 12:00:00+00","to":"2026-03-01 12:02:00+00"}',
    '{"country":"FR","rate":"18.00","from":"2026-03-01 12:02:00+00","to":null}',
  ]);
  assert.deepEqual(await fixture.rows("select id, trim_scale(tax)::text as tax from views.taxes"), [
    '{"id":1,"tax":"20"}',
  ]);
});

test("what reads the history of a view that fails fails with it, and is right again when that is", async () => {
  await using fixture = await ViewsFixture.open();
  const inverse = view("inverse", sql`select country, 100 / rate as share from shop.rates`, { history: true });
  const over = view("over", sql`select country, count(*) as n from ${inverse.history} group by country`);
  const { shop, group } = await changedOnce(fixture, [inverse, over]);
  await shop.commit({ table: rates, update: ["AT", "0"] });
  await until(group, () => group.info("over").state.kind === "failed");
  assert.equal(group.info("inverse").state.kind, "failed");
  await shop.commit({ table: rates, update: ["AT", "50"] });
  await fixture.settled(group);
  await group.rebuild("inverse");
  await live(group);
  assert.deepEqual(await fixture.rows("select country, n from views.over"), [
    '{"country":"AT","n":3}',
    '{"country":"DE","n":1}',
  ]);
});

test("versions that ended longer ago than they are kept go, with what was computed from them", async () => {
  await using fixture = await ViewsFixture.open();
  const short = view("rates", ratesView.sql, { history: { keep: "1h" } });
  const clock = new VirtualClock(noon + 10 * minute);
  const { group } = await changedOnce(fixture, [short, taxes], { clock });
  assert.equal((await fixture.rows("select id from views.taxes")).length, 1);
  clock.advance(50 * minute);
  await until(group, () => true);
  assert.equal((await fixture.rows(kept)).length, 3);
  clock.advance(minute + 1);
  for (; (await fixture.rows(kept)).length === 3; clock.advance(5_000))
    await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(await fixture.rows(kept), [
    '{"country":"AT","rate":"21.00","now":true}',
    '{"country":"DE","rate":"19.00","now":true}',
  ]);
  assert.deepEqual(await fixture.rows("select id from views.taxes"), []);
  const reader = readerOf(fixture, group);
  await assert.rejects(reader.rows("rates", { ...everything, asOfMicros: (noon + minute / 2) * 1_000 }), {
    code: "HISTORY_BEGINS_LATER",
  });
  reader.close();
});

test("each record of a topic is a change by itself, at its own time, and none is later than now", async () => {
  await using fixture = await ViewsFixture.open();
  const prices = topic("prices", {
    cleanup: "compact",
    schema: { type: "object", properties: { price: { type: "integer" } } },
  });
  const definitions = [view("prices", sql`select _key, price from ${prices}`, { history: true })];
  await fixture.engine.createTopic("prices");
  const clock = new VirtualClock(noon);
  const group = await fixture.group(definitions, { topics: topicTables({ topics: [prices], webhooks: [] }), clock });
  await live(group);
  clock.advance(minute);
  for (const [price, timestamp] of [
    [1, noon + 1_000],
    [2, noon + 2_000],
    [3, noon + 9e9],
  ] as const) {
    await publish(fixture, "prices", { key: "a", value: { price }, timestamp });
  }
  await settled(fixture, group, "prices");
  assert.deepEqual(await fixture.rows('select price, _valid_from::text as from from views."prices.history"'), [
    '{"price":1,"from":"2026-03-01 12:00:01+00"}',
    '{"price":2,"from":"2026-03-01 12:00:02+00"}',
    '{"price":3,"from":"2026-03-01 12:01:00+00"}',
  ]);
});

test("a policy holds for the past as it does for now, on every way to it", async () => {
  await using fixture = await ViewsFixture.open();
  const own = view("rates", ratesView.sql, { history: true, policy: "country = claim('country')" });
  const { group } = await changedOnce(fixture, [own]);
  const reader = readerOf(fixture, group);
  const bearer = reader.as({ kind: "bearer", claims: { country: "AT" } });
  const asOfMicros = noon * 1_000;
  assert.deepEqual((await bearer.rows("rates", { ...everything, asOfMicros })).rows, [
    '{"country":"AT","rate":"20.00"}',
  ]);
  assert.equal((await bearer.row("rates", ["DE"], null, { asOfMicros })).row, null);
  const past = { ...everything, select: ["country", "rate"] };
  assert.deepEqual((await bearer.rows("rates.history", past)).rows, [
    '{"country":"AT","rate":"20.00"}',
    '{"country":"AT","rate":"21.00"}',
  ]);
  const { results } = await bearer.readAll([
    { view: "rates", query: { ...everything, asOfMicros } },
    { view: "rates.history", query: past },
  ]);
  assert.deepEqual(
    results.map((one) => "rows" in one && one.rows.length),
    [1, 2],
  );
  assert.equal((await reader.as({ kind: "operator" }).rows("rates.history", past)).rows.length, 3);
  await assert.rejects(reader.rows("rates", { ...everything, asOfMicros }), { code: "CALLER_UNKNOWN" });
  await assert.rejects(reader.rows("rates.history", past), { code: "CALLER_UNKNOWN" });
  reader.close();
});
