import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../base/clock.ts";
import { sql, type ViewOptions, view } from "../../catalog/definitions.ts";
import { compileView } from "../compile.ts";
import type { Group } from "../group.ts";
import { live, until, ViewsFixture } from "../group-fixture.ts";
import { openReader } from "../reader.ts";
import { type FixtureChange, tableShape } from "../source-fixture.ts";
import type { Filter, RowQuery, ViewsReader } from "../view-info.ts";

const towns = tableShape("geo", "towns", [
  "id integer",
  "name text",
  "lat numeric(9,6)",
  "lon numeric(9,6)",
  "since timestamp with time zone",
]);
const text = (query: string) => sql(Object.assign([query], { raw: [query] }));
const rows = "select id, name, lat, lon, since from geo.towns";
const townsView = (options: ViewOptions, query = rows) => view("towns", text(query), { key: "id", ...options });
const searched = townsView({ search: ["name"], fuzzy: ["name"], geo: { lat: "lat", lon: "lon" } });

const town = (id: number, name: string, lat = "47.07", lon = "15.44"): FixtureChange => ({
  table: towns,
  insert: [`${id}`, name, lat, lon, null],
});

function readerOf(fixture: ViewsFixture, group: Group): ViewsReader {
  return openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
}

const graz = { lat: 47.07, lon: 15.44 };
const none: RowQuery = { filter: null, order: [], select: ["id"], limit: 100, offset: 0, cursor: null };
const similar: Filter = { kind: "similar", column: "name", text: "grats", part: false, threshold: 0.3, negated: false };

async function found(reader: ViewsReader, query: Partial<RowQuery>): Promise<number[]> {
  return (await reader.rows("towns", { ...none, ...query })).rows.map((row) => JSON.parse(row).id);
}

const words = (word: string): Partial<RowQuery> => ({ filter: { kind: "search", text: word, negated: false } });

test("a view is searched from the first moment that it can be read, and as its rows change", async () => {
  await using fixture = await ViewsFixture.open();
  const source = await fixture.source("geo", [towns]);
  const group = await fixture.group([searched]);
  await source.snapshot([town(1, "Graz"), town(2, "Linz", "48.3", "14.3"), town(3, "Nowhere", "0", "0")]);
  await live(group);
  const reader = readerOf(fixture, group);
  assert.deepEqual(await found(reader, words("graz")), [1]);
  assert.deepEqual(await found(reader, { filter: similar }), [1]);
  assert.deepEqual(await found(reader, { find: { near: graz } }), [1, 2, 3]);
  await source.commit(
    { table: towns, update: ["1", "Linz an der Donau", "48.31", "14.29", null] },
    { table: towns, delete: ["3", null, null, null, null] },
    town(4, "Graz"),
  );
  await fixture.settled(group);
  assert.deepEqual(await found(reader, words("graz")), [4]);
  assert.deepEqual(await found(reader, words("linz")), [1, 2]);
  assert.deepEqual(await found(reader, { filter: similar }), [4]);
  assert.deepEqual(await found(reader, { find: { near: graz } }), [4, 2, 1]);
  const { rows: columns } = await fixture.pool.query("select * from views.towns limit 1");
  assert.deepEqual(Object.keys(columns[0]), ["id", "name", "lat", "lon", "since"]);
  const [row = ""] = (await reader.rows("towns", { ...none, select: null })).rows;
  assert.deepEqual(Object.keys(JSON.parse(row)), ["id", "name", "lat", "lon", "since"]);
  const info = group.info("towns");
  assert.deepEqual(info.find?.fuzzy, ["name"]);
  const explained = await reader.explain("towns");
  for (const index of [/using gin \("_millrace_search"\)/, /gin_trgm_ops\)/, /using gist \("_millrace_geo"\)/]) {
    assert.match(explained, index);
  }
});

test("a view that gets an option is read as it was until it can be searched, and is searched after a restart", async () => {
  await using fixture = await ViewsFixture.open();
  const source = await fixture.source("geo", [towns]);
  const group = await fixture.group([townsView({})]);
  await source.snapshot([town(1, "Graz")]);
  await live(group);
  const reader = readerOf(fixture, group);
  await assert.rejects(found(reader, words("graz")), { code: "VIEW_OPTION_MISSING" });
  await group.reload([searched]);
  assert.deepEqual(await found(reader, {}), [1]);
  await live(group);
  assert.deepEqual(await found(reader, words("graz")), [1]);
  await group.reload([townsView({ geo: { lat: "lat", lon: "lon" } })]);
  await live(group);
  await assert.rejects(found(reader, words("graz")), { code: "VIEW_OPTION_MISSING" });
  assert.deepEqual(await found(reader, { find: { near: graz } }), [1]);
  await group.close();
  const again = await fixture.group([townsView({ geo: { lat: "lat", lon: "lon" } })]);
  await live(again);
  const { rows: versions } = await fixture.pool.query(
    "select version from millrace.view_versions where state = 'live'",
  );
  assert.deepEqual(versions, [{ version: 3 }], "nothing was built anew");
  await source.commit(town(2, "Gratkorn", "47.13", "15.34"));
  await fixture.settled(again);
  assert.deepEqual(await found(readerOf(fixture, again), { find: { near: graz } }), [1, 2]);
});

test("views of every class are searched: sums, and what is run again by key", async () => {
  await using fixture = await ViewsFixture.open();
  const source = await fixture.source("geo", [towns]);
  const kept = "select name, count(*) as n from geo.towns group by name having count(*) > 1";
  const summed = view("counts", text(kept), { search: ["name"], fuzzy: ["name"] });
  const keyed = view("last", text("select name, max(id) as id from geo.towns group by name"), { search: ["name"] });
  const group = await fixture.group([summed, keyed]);
  await source.snapshot([town(1, "Graz"), town(2, "Graz"), town(3, "Linz")]);
  await live(group);
  const reader = readerOf(fixture, group);
  const query = (word: string): RowQuery => ({ ...none, select: null, ...words(word) });
  assert.deepEqual((await reader.rows("counts", query("graz or linz"))).rows, ['{"name":"Graz","n":"2"}']);
  await source.commit(town(4, "Linz"), town(5, "Graz"));
  await fixture.settled(group);
  assert.deepEqual((await reader.rows("counts", query("linz"))).rows, ['{"name":"Linz","n":"2"}']);
  assert.deepEqual((await reader.rows("last", query("graz"))).rows, ['{"name":"Graz","id":5}']);
});

test("an extension that the store lacks fails the view that needs it, and says which command would help", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.pool.query(
    `create function no_extensions() returns event_trigger language plpgsql as
       $$ begin raise exception 'extension "cube" is not available' using errcode = '0A000'; end $$;
     create event trigger no_extensions on ddl_command_start when tag in ('CREATE EXTENSION') execute function no_extensions()`,
  );
  const source = await fixture.source("geo", [towns]);
  const plain = view("plain", text(rows), { search: ["name"] });
  const group = await fixture.group([plain, townsView({ geo: { lat: "lat", lon: "lon" } })]);
  await source.snapshot([town(1, "Graz")]);
  const failed = () => group.info("towns").state;
  await until(group, () => failed().kind === "failed" && group.info("plain").state.kind === "live");
  const refusal = {
    code: "VIEW_FAILED",
    message: /extension cube/,
    hint: /create extension cube/,
    details: { view: "towns", code: "STORE_EXTENSION_MISSING" },
  };
  await assert.rejects(found(readerOf(fixture, group), {}), refusal);
  assert.equal((failed() as { error?: { code?: string } }).error?.code, "STORE_EXTENSION_MISSING");
  await group.close();
  const again = await fixture.group([plain, townsView({ geo: { lat: "lat", lon: "lon" } })]);
  await assert.rejects(found(readerOf(fixture, again), {}), refusal);
  await fixture.pool.query(
    "drop event trigger no_extensions; create schema elsewhere; create extension cube schema elsewhere",
  );
  await again.rebuild("towns");
  await live(again);
  assert.deepEqual(await found(readerOf(fixture, again), { find: { near: graz } }), [1]);
});

test("a column of a type that cannot be searched so fails its view, with the cast that would help", async () => {
  await using fixture = await ViewsFixture.open();
  const source = await fixture.source("geo", [towns]);
  const geo = view("by_name", text(rows), { geo: { lat: "name", lon: "lon" } });
  const group = await fixture.group([townsView({ search: ["since"] }), geo]);
  await source.snapshot([town(1, "Graz")]);
  await until(group, () => group.list().every(({ state }) => state.kind === "failed"));
  const errors = group.list().map(({ state }) => (state.kind === "failed" ? state.error : null));
  assert.ok(errors.every((error) => error?.code === "VIEW_OPTION_INVALID"));
  assert.deepEqual(errors.map((error) => error?.hint).toSorted(), [
    "Select it as name::double precision.",
    "Select it as since::text.",
  ]);
});

test("paths of a captured column are a tree from the first moment, and a row without one stands in none", async () => {
  await using fixture = await ViewsFixture.open();
  const nodes = tableShape("geo", "nodes", ["id integer", "path text"]);
  const source = await fixture.source("geo", [nodes]);
  const node = (id: number, path: string): FixtureChange => ({ table: nodes, insert: [`${id}`, path] });
  const query = text("select id, path from geo.nodes");
  const group = await fixture.group([
    view("nodes", query, { key: "id", tree: "path" }),
    view("numbers", query, { key: "id", tree: "id" }),
  ]);
  await source.snapshot([node(1, "Top.Science"), node(2, "no path"), node(3, "Top")]);
  await until(group, () => group.list().every(({ state }) => state.kind !== "building"));
  const reader = readerOf(fixture, group);
  const below = async () => {
    const filter: Filter = { kind: "compare", column: "path", operator: "cd", values: ["Top"], negated: false };
    return (await reader.rows("nodes", { ...none, filter })).rows.map((row) => JSON.parse(row).id);
  };
  assert.deepEqual(await below(), [1, 3]);
  await source.commit(
    { table: nodes, update: ["1", "Bottom.Science"] },
    { table: nodes, update: ["2", "Top.Arts"] },
    node(4, "Top..Arts"),
  );
  await fixture.settled(group);
  assert.deepEqual(await below(), [2, 3]);
  assert.deepEqual((await reader.rows("nodes", { ...none, filter: null })).rows.length, 4);
  assert.deepEqual(group.info("nodes").find?.tree, ["path"]);
  assert.match(await reader.explain("nodes"), /using gist \("_millrace_tree_1" "millrace"\.gist_ltree_ops/);
  const { state } = group.info("numbers");
  assert.ok(state.kind === "failed" && state.error.code === "VIEW_OPTION_INVALID");
  assert.equal(state.error.hint, "Select it as id::text.");
});

test("a tree in a store that lacks ltree fails its view alone, and takes the extension from where it is", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.pool.query(
    `create function no_extensions() returns event_trigger language plpgsql as
       $$ begin raise exception 'extension "ltree" is not available' using errcode = '0A000'; end $$;
     create event trigger no_extensions on ddl_command_start when tag in ('CREATE EXTENSION') execute function no_extensions()`,
  );
  const source = await fixture.source("geo", [towns]);
  const group = await fixture.group([townsView({ tree: "name" })]);
  await source.snapshot([town(1, "Styria.Graz")]);
  const failed = () => group.info("towns").state;
  await until(group, () => failed().kind === "failed");
  const state = failed();
  assert.ok(state.kind === "failed" && state.error.code === "STORE_EXTENSION_MISSING");
  assert.match(state.error.hint ?? "", /create extension ltree/);
  await fixture.pool.query(
    "drop event trigger no_extensions; create schema elsewhere; create extension ltree schema elsewhere",
  );
  await group.rebuild("towns");
  await live(group);
  const filter: Filter = { kind: "tree", column: null, question: { is: "lquery", text: "*.Graz" }, negated: false };
  assert.deepEqual(await found(readerOf(fixture, group), { filter }), [1]);
  assert.deepEqual(await found(readerOf(fixture, group), { filter, find: { tree: { column: null } } }), [1]);
});

test("options name columns of the select list, or the nearest one is said", async () => {
  const mirrors = [{ id: 1, shape: towns }];
  const compile = (options: ViewOptions, query = rows) =>
    compileView({ view: townsView(options, query), mirrors, version: 1 });
  await assert.rejects(compile({ search: ["nmae"] }), {
    code: "VIEW_OPTION_INVALID",
    hint: 'Did you mean "name"?',
    message: /its search names "nmae"/,
  });
  await assert.rejects(compile({ fuzzy: ["q"] }), { code: "VIEW_OPTION_INVALID", hint: /^The columns are id/ });
  await assert.rejects(compile({ geo: { lat: "lat", lon: "long" } }), { hint: 'Did you mean "lon"?' });
  await assert.rejects(compile({ search: ["_rank"] }, 'select id, name as "_rank" from geo.towns'), {
    code: "VIEW_OPTION_INVALID",
    message: /"_rank" has the name of what searching adds/,
  });
  await assert.rejects(compile({ tree: "nam" }), { message: /its tree names "nam"/, hint: 'Did you mean "name"?' });
  const depth = 'select id, name, id as "_depth" from geo.towns';
  await assert.rejects(compile({ tree: "name" }, depth), { message: /"_depth" has the name of what searching adds/ });
  await compile({ search: ["name"] }, depth);
  await assert.rejects(compile({}, "select id, name::ltree from geo.towns"), {
    code: "VIEW_UNSUPPORTED",
    hint: /\{ tree: "path" \}/,
  });
  const hashes = [{}, { search: ["name"] }, { search: ["name"], fuzzy: ["name"] }, { tree: "name" }].map(
    async (options) => {
      return (await compile(options)).hash;
    },
  );
  assert.equal(new Set(await Promise.all(hashes)).size, 4);
});
