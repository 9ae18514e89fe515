import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { postgres } from "../catalog/definitions.ts";
import { knownTables } from "../cli/source-look.ts";
import { grantSql } from "./grant-sql.ts";
import { PostgresFixture } from "./postgres-fixture.ts";

const tables = [
  { name: "orders", columns: { except: ["card"] }, where: "id > 0" },
  "audit.events",
  { name: "clicks", appendOnly: true },
] as const;

test("the script that is printed is all that a new role needs, and nothing more than that", async () => {
  await using fixture = await PostgresFixture.open(`create schema audit;
    create table orders (id int primary key, card text, twice int generated always as (id * 2) stored); create table clicks (at text); create table secrets (id int primary key);
    create table audit.events (id int, day int, primary key (id, day)) partition by range (day);
    create table audit.events_1 partition of audit.events for values from (0) to (100)`);
  const role = `grant ${randomBytes(5).toString("hex")}`;
  const { name } = fixture.database;
  const definition = postgres("shop", { url: fixture.database.url, tables });
  const request = { definition, role, database: name, logId: fixture.engine.logId };
  assert.throws(() => grantSql(request), /only the database knows/);
  const script = grantSql({ ...request, known: await knownTables(definition) });
  try {
    // It can be run again.
    await fixture.sql(script);
    await fixture.sql(script);
    const url = new URL(fixture.database.url);
    url.username = encodeURIComponent(role);
    const source = fixture.source(tables as never, { url: url.href });
    await fixture.caughtUp(source);
    await fixture.sql(
      "insert into orders values (1, 'secret'), (-1, 'out'); insert into clicks values ('now'); insert into audit.events values (1, 7)",
    );
    await fixture.caughtUp(source);
    assert.deepEqual(
      (await fixture.values("shop.public.orders")).map((value) => value.after),
      [{ id: 1 }],
    );
    assert.equal((await fixture.values("shop.public.clicks")).length, 1);
    assert.equal((await fixture.values("shop.audit.events")).length, 1);
    const client = await fixture.connect(url.href);
    await assert.rejects(client.query("select from secrets"), /permission denied/);
    await assert.rejects(client.query("insert into orders values (2)"), /permission denied/);
    await assert.rejects(client.query("create publication mine"), /permission denied/);
    await source.stop({ release: true });
  } finally {
    await fixture.sql(
      "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()",
    );
    await fixture.sql(`drop owned by "${role}"; drop role "${role}"`);
  }
});

test("before there is a log the publication is left to a second run, and no name ends a comment", () => {
  const definition = postgres("shop", { url: "postgres://u@h/d", tables: ["orders"] });
  const script = grantSql({ definition, role: 'a"\n; drop table orders; --', database: "shop", logId: null });
  assert.match(script, /run\n-- millrace sources grant-sql again/);
  assert.doesNotMatch(script, /create publication/);
  assert.doesNotMatch(script.replace(/"[^"]*(""[^"]*)*"|'[^']*(''[^']*)*'/g, ""), /^; drop/m);
});
