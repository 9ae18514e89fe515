import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom, systemRandom } from "../base/random.ts";
import { arrange } from "../catalog/collect.ts";
import { sql, type ViewDefinition, type ViewOptions, view } from "../catalog/definitions.ts";
import { openReaders } from "../store/roles.ts";
import { checkDefinitions } from "./check.ts";
import { openGroup } from "./group.ts";
import { FixtureStore, live, until, ViewsFixture } from "./group-fixture.ts";
import { type Caller, operator } from "./policy/caller.ts";
import { openReader } from "./reader.ts";
import { refusalOf } from "./reader-fixture.ts";
import { tableShape } from "./source-fixture.ts";
import type { RowQuery, ViewsReader } from "./view-info.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer_id integer", "team text"]);
const everything: RowQuery = { filter: null, order: [], select: ["id"], limit: 10, offset: 0, cursor: null };
const query = sql`select id, customer_id from shop.orders`;
const wide = sql`select id, customer_id, team from shop.orders`;
const seven: Caller = { kind: "bearer", claims: { sub: "7", team: "red" } };
const own = "customer_id = claim('sub')";

function ordersOf(options: ViewOptions, of = query): ViewDefinition {
  return view("orders_of", of, { key: "id", ...options });
}

async function open(definitions: readonly ViewDefinition[], mode: "dev" | "start" = "start") {
  const fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  const group = await fixture.group(definitions, { mode });
  const insert = (id: number, customer: number, team: string) => ({
    table: orders,
    insert: [String(id), String(customer), team],
  });
  await shop.snapshot([insert(1, 7, "red"), insert(2, 8, "red"), insert(3, 7, "blue")]);
  await live(group);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  return { fixture, shop, group, reader, close: () => reader.close() };
}

async function idsOf(reader: ViewsReader, caller: Caller, name = "orders_of"): Promise<string> {
  return (await reader.as(caller).rows(name, everything)).rows.map((row) => JSON.parse(row).id).join();
}

test("a policy that comes, changes and goes holds at once, and the version before shows nobody more than either allows", async () => {
  const { fixture, group, reader, close } = await open([ordersOf({})]);
  await using _ = fixture;
  const anyone: Caller = { kind: "anyone" };
  assert.equal(await idsOf(reader, anyone), "1,2,3");
  const { version, generation } = { ...group.readable("orders_of"), ...group.position() };
  // While a version is built that has the policy, the one before is read by it. Builds wait for a lock of the mirror.
  const held = new pg.Client({ connectionString: fixture.database.url });
  await held.connect();
  await held.query("begin; lock table shop.orders in access exclusive mode");
  await group.reload([ordersOf({ policy: own })]);
  assert.equal(group.readable("orders_of").version, version);
  await refusalOf(idsOf(reader, anyone), "CALLER_UNKNOWN");
  assert.equal(await idsOf(reader, seven), "1,3");
  // A policy over a column that the version has not: nobody is shown anything until the next one is there.
  await group.reload([ordersOf({ policy: "team = claim('team')" }, wide)]);
  assert.equal(group.readable("orders_of").version, version);
  await refusalOf(idsOf(reader, seven), "VIEW_BUILDING");
  await held.query("rollback");
  await live(group);
  assert.equal(await idsOf(reader, seven), "1,2");
  // Who follows begins with the rows of the new policy.
  assert.ok(group.position().generation > generation);
  // One that goes holds until the version without it is there.
  await held.query("begin; lock table shop.orders in access exclusive mode");
  await group.reload([ordersOf({}, wide)]);
  await refusalOf(idsOf(reader, anyone), "CALLER_UNKNOWN");
  assert.equal(await idsOf(reader, seven), "1,2");
  await held.query("rollback");
  await until(
    group,
    () => group.info("orders_of").policy === undefined && group.readable("orders_of").policy === undefined,
  );
  assert.equal(await idsOf(reader, anyone), "1,2,3");
  await held.end();
  close();
});

test("a view that nobody defines any more keeps its policy, and so does one that has failed", async () => {
  const { fixture, shop, group, reader, close } = await open([ordersOf({ policy: own })]);
  await using _ = fixture;
  await group.reload([]);
  assert.equal(group.info("orders_of").state.kind, "removed");
  await refusalOf(idsOf(reader, { kind: "anyone" }), "CALLER_UNKNOWN");
  assert.equal(await idsOf(reader, seven), "1,3");
  const failing = ordersOf({ policy: own }, sql`select id, 7 / (id - 9) as share, customer_id from shop.orders`);
  await group.reload([failing]);
  await live(group);
  await shop.commit({ table: orders, insert: ["9", "7", "red"] });
  await until(group, () => group.info("orders_of").state.kind === "failed");
  const stale = async (caller: Caller) =>
    (await reader.as(caller).rows("orders_of", { ...everything, stale: true })).rows
      .map((row) => JSON.parse(row).id)
      .join();
  assert.equal(await stale(seven), "1,3");
  await refusalOf(stale({ kind: "anyone" }), "CALLER_UNKNOWN");
  const one = await reader.as(seven).row("orders_of", ["2"], null, { stale: true });
  assert.equal(one.row, null);
  close();
});

test("equal rows of a view without a key are a caller's own as often as they are there, live too", async () => {
  const teams = view("teams", sql`select customer_id, team from shop.orders`, { policy: own });
  const { fixture, shop, group, reader, close } = await open([teams]);
  await using _ = fixture;
  await shop.commit({ table: orders, insert: ["4", "7", "red"] });
  await fixture.settled(group);
  const all = {
    ...everything,
    select: ["team"],
    order: [{ column: "team", descending: false, nulls: null }],
    limit: 2,
  };
  const first = await reader.as(seven).rows("teams", all);
  const { position, pages } = await reader.as(seven).snapshot("teams", null);
  const rest = await reader.as(seven).rows("teams", { ...all, cursor: first.next });
  assert.deepEqual([...first.rows, ...rest.rows], ['{"team":"blue"}', '{"team":"red"}', '{"team":"red"}']);
  assert.equal((await Array.fromAsync(pages)).flat().length, 3);
  await shop.commit({ table: orders, update: ["1", "8", "red"] });
  await fixture.settled(group);
  const changes = await reader.as(seven).changesSince("teams", position, null);
  assert.ok(changes.outcome === "changes");
  const row = '{"customer_id":7,"team":"red"}';
  assert.deepEqual(
    changes.batches.map((batch) => batch.changes),
    [[{ op: "delete", key: null, row, count: 1 }]],
  );
  close();
});

test("of a view's history a caller is shown the versions of rows that were its own, and of late events nothing", async () => {
  const { fixture, shop, group, reader, close } = await open([ordersOf({ policy: own, history: true })]);
  await using _ = fixture;
  await shop.commit({ table: orders, update: ["1", "8", "red"] }, { table: orders, update: ["2", "7", "red"] });
  await fixture.settled(group);
  const versions = async (caller: Caller) => {
    const select = ["id", "customer_id"];
    const { rows } = await reader.as(caller).rows("orders_of.history", { ...everything, select });
    return rows.map((row) => Object.values(JSON.parse(row)).join("/")).join();
  };
  assert.equal(await versions(operator), "1/7,1/8,2/8,2/7,3/7");
  assert.equal(await versions(seven), "1/7,2/7,3/7");
  await refusalOf(versions({ kind: "anyone" }), "CALLER_UNKNOWN");
  const asOf = { ...everything, asOfMicros: 4_102_444_800_000_000 };
  assert.deepEqual((await reader.as(seven).rows("orders_of", asOf)).rows, ['{"id":2}', '{"id":3}']);
  await refusalOf(reader.rows("orders_of", asOf), "CALLER_UNKNOWN");
  const one = (id: string) => reader.as(seven).row("orders_of", [id], ["id"], { asOfMicros: asOf.asOfMicros });
  assert.deepEqual([(await one("1")).row, (await one("2")).row?.body], [null, '{"id":2}\n']);
  const [, late] = arrange([view("clicks_of", sql`select 1`, { policy: own, window: { ends: "ends" } })]).views;
  assert.deepEqual([late?.name, late?.policy], ["clicks_of.late", "false"]);
  close();
});

test("a view that reads one with a policy says its own, or that it has none", async () => {
  const hidden = ordersOf({ policy: own });
  const over = (options: ViewOptions, from = sql`select id from ${hidden}`, name = "over") =>
    view(name, from, { key: "id", ...options });
  const shapes = [orders];
  const check = async (...views: ViewDefinition[]) =>
    (await checkDefinitions([hidden, ...views], shapes)).map(({ error }) => error?.code);
  assert.deepEqual(await check(over({})), [undefined, "VIEW_POLICY_MISSING"]);
  assert.deepEqual(await check(over({ policy: null })), [undefined, undefined]);
  assert.deepEqual(await check(over({ policy: "id = claim('id')" })), [undefined, undefined]);
  // Also across one that says that it has none.
  const middle = over({ policy: null });
  const top = over({}, sql`select id from ${middle}`, "top");
  assert.deepEqual(await check(middle, top), [undefined, undefined, "VIEW_POLICY_MISSING"]);
  // And by its history.
  const versioned = ordersOf({ policy: own, history: true });
  const ofVersions = view("of_versions", sql`select id, _valid_from from views."orders_of.history"`);
  const [, past] = await checkDefinitions([versioned, ofVersions], shapes);
  assert.equal(past?.error?.code, "VIEW_POLICY_MISSING");
  const [wrong] = await checkDefinitions([ordersOf({ policy: "custmer_id = claim('sub')" })], shapes);
  assert.equal(wrong?.error?.code, "VIEW_POLICY_INVALID");
  assert.equal(wrong?.error?.hint, 'Did you mean "customer_id"?');
});

test("what a policy looks for without an index is told when definitions are checked", async () => {
  const warningsOf = async (options: ViewOptions) => {
    const [checked] = await checkDefinitions([ordersOf(options)], [orders]);
    return checked?.warnings.filter((one) => one.startsWith("its policy"));
  };
  const warning = `its policy looks for rows by "customer_id", which no index begins with: add index: ["customer_id"]`;
  assert.deepEqual(await warningsOf({ policy: own }), [warning]);
  for (const served of [{ index: ["customer_id"] }, { index: [["customer_id", "id"]] }]) {
    assert.deepEqual(await warningsOf({ policy: own, ...served }), []);
  }
  assert.deepEqual(await warningsOf({ policy: "id = claim('id')" }), []);
  assert.deepEqual(await warningsOf({ policy: "customer_id > 5" }), []);
});

test("an index that the policy's column has is used for a caller's rows", async () => {
  const { fixture, group, close } = await open([ordersOf({ policy: own, index: ["customer_id"] })]);
  await using _ = fixture;
  const { policy, publicView } = group.readable("orders_of");
  assert.ok(policy && "sql" in policy);
  const statement = `select * from ${publicView} as p where ${policy.sql("p", `'{"one": {"sub": "7"}}'::jsonb`)}`;
  const client = new pg.Client({ connectionString: fixture.database.url });
  await client.connect();
  await client.query("set enable_seqscan = off");
  const { rows } = await client.query(`explain ${statement}`);
  assert.match(JSON.stringify(rows), /Index Cond: \(customer_id = /);
  assert.equal((await client.query(statement)).rows.length, 2);
  await client.end();
  close();
});

test("people's tools see no view with a policy, from the moment on when it has one", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  const { hostname: host, port, username: user, pathname } = new URL(fixture.database.url);
  const writer = { host, port: Number(port), database: pathname.slice(1), user, password: undefined, ssl: false };
  const client = new pg.Client({ connectionString: fixture.database.url });
  await client.connect();
  const { shared, program } = await openReaders({ client, writer, statementTimeoutMs: 5_000, random: systemRandom });
  const group = await openGroup({
    name: "main",
    engine: fixture.engine,
    store: Object.assign(new FixtureStore(fixture.database.url), {
      reader: { ...shared, password: shared.password ?? "" },
    }),
    definitions: [
      ordersOf({}),
      view("teams", sql`select id, team from shop.orders`, { key: "id", policy: "team = claim('team')" }),
    ],
    sources: [{ name: "shop", tables: [] }],
    mode: "start",
    clock: systemClock,
    random: seededRandom(2),
    diagnostics: silentDiagnostics,
  });
  const pools = [shared, program].map((login) => new pg.Pool({ ...login, ssl: false, max: 2 }));
  const [people, readers] = pools as [pg.Pool, pg.Pool];
  const reader = openReader({ group, store: { readers, shared: people }, clock: systemClock });
  const limits = { rowsMax: 10, timeoutMs: 5_000 };
  const mayRead = (name: string) =>
    reader.query(`select count(*)::int from views.${name}`, limits).then(
      ({ rows }) => rows[0]?.[0],
      (error) => error.details.sqlState,
    );
  try {
    await shop.snapshot([{ table: orders, insert: ["1", "7", "red"] }]);
    await live(group);
    assert.deepEqual([await mayRead("orders_of"), await mayRead("teams")], [1, "42501"]);
    // The program's own role reads it for those who are shown it.
    assert.equal(await idsOf(reader, seven, "teams"), "1");
    await client.query("begin; lock table shop.orders in access exclusive mode");
    const held = view("teams", sql`select id, team from shop.orders`, { key: "id", policy: "team = claim('team')" });
    await group.reload([ordersOf({ policy: own }), held]);
    assert.equal(await mayRead("orders_of"), "42501");
    await client.query("rollback");
    await live(group);
    assert.equal(await mayRead("orders_of"), "42501");
    await group.reload([ordersOf({}), held]);
    await until(group, () => group.readable("orders_of").policy === undefined);
    assert.equal(await mayRead("orders_of"), 1);
    assert.equal(await idsOf(reader, operator), "1");
  } finally {
    reader.close();
    await Promise.all(pools.map((pool) => pool.end()));
    await group.close();
    for (const login of [shared, program])
      await client.query(`drop owned by "${login.user}" cascade; drop role "${login.user}"`);
    await client.end();
  }
});
