import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom, systemRandom } from "../base/random.ts";
import { openReaders, type ReaderLogins, readerRole } from "../store/roles.ts";
import type { Login } from "../store/session.ts";
import { openGroup } from "./group.ts";
import { FixtureStore, live, ViewsFixture, viewOf } from "./group-fixture.ts";
import { openReader } from "./reader.ts";
import { tableShape } from "./source-fixture.ts";

function loginOf(url: string): Login {
  const { hostname: host, port, username: user, pathname } = new URL(url);
  return { host, port: Number(port), database: pathname.slice(1), user, password: undefined, ssl: false };
}

const versioned = { kind: "history", view: "order_totals", keepMs: null, store: false } as const;
const orders = tableShape("shop", "orders", ["id integer", "total integer"]);

test("people's tools read views and captured tables, and nothing of what stands behind them; the program's reads do", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  const writer = loginOf(fixture.database.url);
  const client = new pg.Client({ connectionString: fixture.database.url });
  await client.connect();
  const { shared, program } = await openReaders({ client, writer, statementTimeoutMs: 5_000, random: systemRandom });
  const { host: at, port: on, database, password = "" } = shared;
  const reader = { host: at, port: on, database, user: shared.user, password };
  const group = await openGroup({
    name: "main",
    engine: fixture.engine,
    store: Object.assign(new FixtureStore(fixture.database.url), { reader }),
    definitions: [{ ...viewOf("order_totals", "select id, total from shop.orders", "id"), history: versioned }],
    sources: [{ name: "shop", tables: [] }],
    mode: "start",
    clock: systemClock,
    random: seededRandom(2),
    diagnostics: silentDiagnostics,
  });
  const pools = [shared, program].map((login) => new pg.Pool({ ...login, ssl: false, max: 2 }));
  const [people, readers] = pools as [pg.Pool, pg.Pool];
  const views = openReader({ group, store: { readers, shared: people }, clock: systemClock });
  try {
    await shop.snapshot([{ table: orders, insert: ["1", "5"] }]);
    await live(group);
    for (const version of [1, 2]) {
      const limits = { rowsMax: 10, timeoutMs: 5_000 };
      for (const sql of [
        "select * from views.order_totals",
        "select * from order_totals",
        'select id, total from views."order_totals.history"',
        "select * from shop.orders",
      ]) {
        assert.deepEqual((await views.query(sql, limits)).rows, [[1, 5]], sql);
      }
      for (const name of [
        `order_totals__${version}`,
        `order_totals__${version}_log`,
        "order_totals__history",
        "histories",
        "groups",
        "positions",
        "meta",
      ]) {
        await assert.rejects(views.query(`table millrace.${name}`, limits), { code: "QUERY_INVALID" }, name);
      }
      const query = { filter: null, order: [], select: null, limit: 10, offset: 0, cursor: null };
      const { rows, position } = await views.rows("order_totals", query);
      assert.deepEqual(rows, ['{"id":1,"total":5}']);
      const asOfMicros = Date.UTC(2026, 0, 1) * 1_000;
      assert.deepEqual((await views.rows("order_totals", { ...query, asOfMicros })).rows, rows);
      assert.equal((await views.rows("order_totals.history", query)).rows.length, 1);
      assert.equal((await views.changesSince("order_totals", position, null)).outcome, "changes");
      await group.rebuild("order_totals");
      await live(group);
    }
  } finally {
    views.close();
    await Promise.all(pools.map((pool) => pool.end()));
    await group.close();
    await dropRoles(client, { shared, program });
    await client.end();
  }
});

test("what an earlier version let people's tools read of the program's state is taken back", async () => {
  await using database = await testDatabase();
  const writer = loginOf(database.url);
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const role = readerRole(writer.database);
  await client.query(`
    create role "${role}" login;
    alter default privileges grant usage on schemas to "${role}";
    alter default privileges grant select on tables to "${role}";
    create schema millrace;
    create table millrace.groups as select 1 as n;
    create schema shop;
    create table shop.orders as select 1 as n;
    alter default privileges revoke usage on schemas from "${role}";
    alter default privileges revoke select on tables from "${role}";
    create schema accounts;
    create table accounts.salaries as select 1 as n;
    alter default privileges grant usage on schemas to "${role}";
    alter default privileges grant select on tables to "${role}"`);
  const request = { client, writer, statementTimeoutMs: 5_000, random: systemRandom };
  const logins = await openReaders(request);
  await openReaders(request);
  await client.query("create schema later; create table later.orders as select 1 as n");
  const readable = async ({ user }: Login) => {
    const { rows } = await client.query<{ name: string }>(
      `select t.name from unnest($2::text[]) as t(name) where has_table_privilege($1, t.name, 'SELECT')
         and has_schema_privilege($1, split_part(t.name, '.', 1), 'USAGE')`,
      [user, ["millrace.groups", "shop.orders", "later.orders", "accounts.salaries", "millrace_store.logins"]],
    );
    return rows.map(({ name }) => name);
  };
  assert.deepEqual(await readable(logins.shared), ["shop.orders"]);
  const later = await client.query("select has_table_privilege($1, 'later.orders', 'SELECT') as readable", [role]);
  assert.deepEqual(later.rows, [{ readable: false }]);
  assert.deepEqual(await readable(logins.program), ["millrace.groups", "shop.orders", "later.orders"]);
  await dropRoles(client, logins);
  await client.end();
});

async function dropRoles(client: pg.Client, { shared, program }: ReaderLogins): Promise<void> {
  for (const { user } of [shared, program]) await client.query(`drop owned by "${user}" cascade; drop role "${user}"`);
}
