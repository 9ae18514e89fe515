import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import type { Source } from "./source.ts";

const begun = async (fixture: PostgresFixture) =>
  (await fixture.events()).flatMap((event) =>
    event.status === "TABLE_BEGIN" ? [`${event.table.table}: ${event.reason}`] : [],
  );

test("a table is read anew alone, when somebody asks for it, while the others go on", async () => {
  await using fixture = await PostgresFixture.open(
    `create table a (id int primary key); create table b (id int primary key); create schema s; create table s.c (id int primary key);
     insert into a select generate_series(1, 50); insert into b values (1); insert into s.c values (1)`,
  );
  const source = fixture.source(["a", "b", "s.c"]);
  await assert.rejects(source.readTable("a"), { code: "SOURCE_UNREACHABLE" });
  await fixture.caughtUp(source);
  await source.readTable("public.a");
  await source.readTable("s.c");
  await fixture.caughtUp(source);
  await source.readTable("b");
  await fixture.caughtUp(source);
  assert.deepEqual(await begun(fixture), ["a: it was asked for", "c: it was asked for", "b: it was asked for"]);
  assert.equal((await fixture.values("shop.public.a")).length, 100);
  assert.equal((await fixture.events()).filter(({ status }) => status === "SNAPSHOT_BEGIN").length, 1);
});

test("a table that is not captured is not read, and one that cannot be captured any more says why", async () => {
  await using fixture = await PostgresFixture.open("create table a (id int primary key); create table other (id int)");
  const source = fixture.source(["a"], { settings: { auditMs: 3_600_000 } });
  await fixture.caughtUp(source);
  for (const name of ["other", "public.other", "", "c", "pg_catalog.pg_class"]) {
    await assert.rejects(source.readTable(name), { code: "TABLE_UNKNOWN" }, name);
  }
  await fixture.sql("alter table a drop constraint a_pkey");
  await assert.rejects(source.readTable("a"), { code: "SOURCE_TABLE_WITHOUT_KEY" });
  assert.equal(source.status().state.kind, "streaming");
  assert.deepEqual(await begun(fixture), []);
});

test("the status counts the rows of each table by the source's statistics, and tells what its server may keep", async () => {
  await using fixture = await PostgresFixture.open(
    "create table a (id int primary key); insert into a select generate_series(1, 1000); analyze a",
  );
  const source = fixture.source(["a"]);
  await fixture.caughtUp(source);
  const [table] = source.status().tables;
  assert.deepEqual([table?.table, table?.rowsEstimated, source.status().walAllowance], ["a", 1_000, undefined]);
});

test("a first load tells of each table how far it is", async () => {
  await using fixture = await PostgresFixture.open(
    "create table a (id int primary key); insert into a select generate_series(1, 100); create table b (id int primary key)",
  );
  // The clock is looked at when a table begins to be read.
  const seen: string[][] = [];
  let source: Source | undefined;
  let looking = false;
  const monotonicMs = () => {
    if (source !== undefined && !looking) {
      looking = true;
      if (source.status().state.kind === "snapshotting") seen.push(source.status().reading.map(({ table }) => table));
      looking = false;
    }
    return systemClock.monotonicMs();
  };
  source = fixture.source(["a", "b"], { clock: { ...systemClock, monotonicMs } });
  await fixture.caughtUp(source);
  assert.deepEqual(source.status().reading, []);
  assert.deepEqual(seen.find((tables) => tables.length > 0)?.sort(), ["public.a", "public.b"]);
});
