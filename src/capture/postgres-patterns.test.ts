import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { postgres } from "../catalog/definitions.ts";
import { planMatches } from "./matched-tables.ts";
import { failure, PostgresFixture, until } from "./postgres-fixture.ts";
import { comesToEqual } from "./replayed-table.fixture.ts";
import { soon } from "./source.suite.ts";
import type { Source } from "./source.ts";

const settings = { auditMs: 10, heartbeatMs: 20 };
const two = `create schema audit; create table audit.a (id int primary key, v text); create table audit.b (id int primary key);
  create table orders (id int primary key); insert into audit.a values (1, 'one'); insert into audit.b values (1); insert into orders values (1)`;

const tablesOf = (source: Source) => source.status().tables.map(({ schema, table }) => `${schema}.${table}`);

async function becomes(source: Source, tables: readonly string[]): Promise<void> {
  while (JSON.stringify(tablesOf(source).sort()) !== JSON.stringify(tables)) await soon();
  await until(source, (state) => state === "streaming");
}

async function begun(fixture: PostgresFixture): Promise<string[]> {
  return (await fixture.events()).flatMap((event) =>
    event.status === "TABLE_BEGIN" ? [event.table.table] : event.status === "SNAPSHOT_BEGIN" ? ["all"] : [],
  );
}

test("tables by pattern are captured beside those that are named, less what is taken away", async () => {
  await using fixture = await PostgresFixture.open(`${two}; create table audit.tmp_1 (id int primary key)`);
  const source = fixture.source(["orders", "audit.*", "!audit.tmp_*"], { settings });
  await fixture.caughtUp(source);
  assert.deepEqual(tablesOf(source), ["public.orders", "audit.a", "audit.b"]);
  await fixture.sql("insert into audit.a values (2, 'two'); insert into audit.tmp_1 values (1)");
  for (const table of ["orders", "audit.a", "audit.b"]) await comesToEqual(fixture, source, table);
});

test("a table that comes to match while others stream is read alone, and after a restart it is a captured one", async () => {
  await using fixture = await PostgresFixture.open(two);
  let source = fixture.source(["audit.*"], { settings });
  await fixture.caughtUp(source);
  await fixture.sql("create table audit.c (id int primary key, v text); insert into audit.c values (1, 'before')");
  await becomes(source, ["audit.a", "audit.b", "audit.c"]);
  await fixture.sql("insert into audit.c values (2, 'after'); insert into audit.a values (2, 'two')");
  await comesToEqual(fixture, source, "audit.c");
  await comesToEqual(fixture, source, "audit.a");
  assert.deepEqual(await begun(fixture), ["all", "c"]);
  await fixture.restart();
  await fixture.sql(
    "insert into audit.c values (3, 'away'); create table audit.d (id int primary key); insert into audit.d values (1)",
  );
  source = fixture.source(["audit.*"], { settings });
  await comesToEqual(fixture, source, "audit.c");
  await comesToEqual(fixture, source, "audit.d");
  assert.deepEqual(await begun(fixture), ["all", "c", "d"]);
});

test("tables that come one after the other have frontiers of their own, and a place in those of all", async () => {
  await using fixture = await PostgresFixture.open(two);
  const source = fixture.source(["audit.*"], { settings });
  await fixture.caughtUp(source);
  for (const name of ["c", "d"]) {
    await fixture.sql(
      `begin; create table audit.${name} (id int primary key); insert into audit.${name} values (1); insert into audit.a values (${name === "c" ? 5 : 6}); commit`,
    );
    while (!tablesOf(source).includes(`audit.${name}`)) await soon();
    await fixture.sql(`insert into audit.${name} values (2)`);
    await comesToEqual(fixture, source, `audit.${name}`);
  }
  for (const event of await fixture.events()) {
    if (!("frontier" in event) || event.frontier === undefined) continue;
    for (const offset of Object.values(event.frontier)) assert.ok(Number.isInteger(offset), JSON.stringify(event));
  }
});

test("patterns may match nothing yet; the first tables are read when they are there", async () => {
  await using fixture = await PostgresFixture.open("create schema log");
  const tables = ["log.*", { name: "public.log_*", appendOnly: true }] as never;
  const source = fixture.source(tables, { settings });
  await fixture.caughtUp(source);
  assert.ok(source.status().warnings.includes('no table matches "log.*"'));
  await fixture.sql(
    "create table log.x (id int primary key); insert into log.x values (1); create table log_y (v text); insert into log_y values ('a')",
  );
  await becomes(source, ["log.x", "public.log_y"]);
  await fixture.sql("insert into log.x values (2); insert into log_y values ('b')");
  await comesToEqual(fixture, source, "log.x");
  await comesToEqual(fixture, source, "log_y");
  assert.deepEqual((await begun(fixture)).toSorted(), ["all", "log_y", "x"]);
});

test("what matches and cannot be captured is passed over, and said; by its name it is refused", async () => {
  await using fixture = await PostgresFixture.open(
    `${two}; create view audit.v as select 1 as id; create unlogged table audit.u (id int primary key); create table audit.keyless (v text);
     create table audit."a!" (id int primary key); create table audit.a_ (id int primary key);
     create table audit.parts (id int primary key) partition by range (id); create table audit.part partition of audit.parts default`,
  );
  const source = fixture.source(["audit.*"], { settings });
  await fixture.caughtUp(source);
  assert.deepEqual(tablesOf(source), ["audit.a", "audit.a!", "audit.b", "audit.parts"]);
  const said = (table: string) =>
    source.status().warnings.find((line) => line.startsWith(`"audit.${table}" matches "audit.*"`)) ?? "";
  assert.match(said("v"), /not captured: .*is a view/);
  assert.match(said("u"), /is unlogged/);
  assert.match(said("keyless"), /no primary key/);
  assert.match(said("a_"), /another table has its topic/);
  assert.equal(said("part"), "");
  // It is put right, and captured without a word.
  await fixture.sql("alter table audit.keyless replica identity full; insert into audit.keyless values ('x')");
  await becomes(source, ["audit.a", "audit.a!", "audit.b", "audit.keyless", "audit.parts"]);
  await comesToEqual(fixture, source, "audit.keyless");
  await source.stop();
  assert.equal((await failure(fixture.source(["audit.v", "audit.*"]))).code, "SOURCE_TABLE_UNKNOWN");
});

for (const [what, change, back] of [
  [
    "is dropped",
    "drop table audit.a",
    "create table audit.a (id int primary key, v text); insert into audit.a values (7, 'new')",
  ],
  [
    "is renamed",
    "alter table audit.a rename to z; alter table audit.z set schema public",
    "alter table z set schema audit; alter table audit.z rename to a",
  ],
  ["loses its key", "alter table audit.a drop constraint a_pkey", "alter table audit.a add primary key (id)"],
] as const) {
  for (const away of [false, true]) {
    test(`a matched table that ${what} ${away ? "while nobody captures" : "live"} leaves the others, and is read when it matches again`, async () => {
      await using fixture = await PostgresFixture.open(two);
      let source = fixture.source(["audit.*"], { settings });
      await fixture.caughtUp(source);
      const publication = source.status().slot;
      const step = async (sql: string) => {
        if (away) await fixture.restart();
        await fixture.sql(sql);
        if (away) source = fixture.source(["audit.*"], { settings });
      };
      await step(change);
      const published =
        "select c.relname as name from pg_publication_rel r join pg_publication p on p.oid = prpubid join pg_class c on c.oid = prrelid where pubname = $1";
      while ((await fixture.sql(published, [publication])).length > 1) await soon();
      await fixture.sql("insert into audit.b values (2)");
      await comesToEqual(fixture, source, "audit.b");
      // What was captured of it can be read as ever.
      await becomes(source, ["audit.a", "audit.b"]);
      await step(back);
      await fixture.sql("insert into audit.a values (8, 'eight')");
      await comesToEqual(fixture, source, "audit.a");
      assert.equal((await begun(fixture)).filter((one) => one === "all").length, 1);
    });
  }
}

test("a matched table that gets another name that matches is read under it", async () => {
  await using fixture = await PostgresFixture.open(two);
  const source = fixture.source(["audit.*"], { settings });
  await fixture.caughtUp(source);
  await fixture.sql(
    "begin; alter table audit.a rename to z; insert into audit.z values (2, 'two'); commit; insert into audit.b values (2)",
  );
  await comesToEqual(fixture, source, "audit.z");
  await comesToEqual(fixture, source, "audit.b");
});

test("a new table that the role may not publish is said, and stops nothing", async () => {
  await using fixture = await PostgresFixture.open(two);
  const role = `role_${randomBytes(5).toString("hex")}`;
  await fixture.sql(`create role ${role} login replication password 'secret'; grant create on database ${fixture.database.name} to ${role};
    grant usage on schema audit to ${role}; alter table audit.a owner to ${role}; alter table audit.b owner to ${role}`);
  try {
    const url = fixture.database.url.replace(/\/\/[^@]*@/, `//${role}:secret@`);
    const source = fixture.source(["audit.*"], { url, settings });
    await fixture.caughtUp(source);
    await fixture.sql(
      `create table audit.foreign_one (id int primary key); grant select on audit.foreign_one to ${role}`,
    );
    while (!source.status().warnings.some((line) => /"audit.foreign_one" matches .* does not own it/.test(line)))
      await soon();
    await fixture.sql("insert into audit.a values (3, 'three')");
    await comesToEqual(fixture, source, "audit.a");
    assert.deepEqual(tablesOf(source), ["audit.a", "audit.b"]);
    await source.stop({ release: true });
  } finally {
    await fixture.sql(
      "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()",
    );
    await fixture.sql(`reassign owned by ${role} to current_user; drop owned by ${role}; drop role ${role}`);
  }
});

test("of two tables of one topic the first is captured, and a named one before both", () => {
  const relation = (table: string) => ({
    schema: "public",
    table,
    published: false,
    publishable: true,
    kind: "r",
    persistence: "p",
  });
  const definition = postgres("shop", { url: "postgres://u@h/d", tables: ["a_b", "*"] });
  const { wanted, warnings } = planMatches(definition, ["a b", "a_b", "c d", "c_d"].map(relation));
  assert.deepEqual(
    wanted.map(({ table }) => table),
    ["c d"],
  );
  assert.deepEqual(
    warnings.map((line) => line.slice(0, 14)),
    ['"public.a b" m', '"public.c_d" m'],
  );
});
