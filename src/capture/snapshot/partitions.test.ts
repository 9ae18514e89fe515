import assert from "node:assert/strict";
import { test } from "node:test";
import { PostgresFixture } from "../postgres-fixture.ts";
import { comesToEqual } from "../replayed-table.fixture.ts";
import { soon } from "../source.suite.ts";

const table = `create table t (id int, region int, v text not null default 'x', primary key (region, id)) partition by list (region);
  create table t1 partition of t for values in (1); create table t2 partition of t for values in (2) partition by list (id);
  create table t2a partition of t2 for values in (1, 2, 3); insert into t select i, r from generate_series(1, 3) i, generate_series(1, 2) r`;
const filled = "create table p (like t including all); insert into p values (1, 3), (2, 3)";

interface Case {
  readonly what: string;
  /** Each is a transaction. */
  readonly statements: readonly string[];
}

/** Rows come and go without a word in the stream. */
const unseen: readonly Case[] = [
  { what: "a table with rows is attached", statements: [filled, "alter table t attach partition p for values in (3)"] },
  {
    what: "a table is made, filled and attached in one transaction",
    statements: [`begin; ${filled}; alter table t attach partition p for values in (3); commit`],
  },
  {
    what: "a table of partitions is attached",
    statements: [
      `create table s (like t including all) partition by list (id); create table s1 partition of s for values in (1); insert into s values (1, 3);
       alter table t attach partition s for values in (3)`,
    ],
  },
  { what: "a partition is detached", statements: ["alter table t detach partition t1"] },
  { what: "a partition is dropped", statements: ["drop table t1"] },
  { what: "a partition of a partition is dropped", statements: ["drop table t2a"] },
  { what: "a partition is truncated alone", statements: ["truncate t1"] },
  {
    what: "a partition is detached, changed and attached again",
    statements: [
      "begin; alter table t detach partition t1; update t1 set v = 'away'; delete from t1 where id = 3; alter table t attach partition t1 for values in (1); commit",
    ],
  },
];

for (const { what, statements } of unseen) {
  for (const away of [false, true]) {
    test(`${what}, ${away ? "while nobody captures" : "live"}: the table is read again`, async () => {
      await using fixture = await PostgresFixture.open(table);
      const settings = { auditMs: 20, heartbeatMs: 20 };
      let source = fixture.source(["t"], { settings });
      await fixture.caughtUp(source);
      if (away) await fixture.restart();
      for (const statement of statements) await fixture.sql(statement);
      if (away) source = fixture.source(["t"], { settings });
      await fixture.sql("update t set v = v || '!' where id = 2");
      await comesToEqual(fixture, source);
    });
  }
}

test("partitions that are made empty, or attached empty, read nothing: their rows are in the stream", async () => {
  await using fixture = await PostgresFixture.open(table);
  const source = fixture.source(["t"], { settings: { auditMs: 5, heartbeatMs: 20 } });
  await fixture.caughtUp(source);
  for (const statement of [
    "begin; create table t3 partition of t for values in (3); insert into t values (1, 3); commit",
    "create table t4 (like t including all)",
    "alter table t attach partition t4 for values in (4)",
    "create table t2b partition of t2 for values in (4)",
    "insert into t select 4, r from generate_series(2, 4) r",
    "alter table t1 set (fillfactor = 50)",
    "analyze t",
  ]) {
    await fixture.sql(statement);
    await fixture.caughtUp(source);
    for (let i = 0; i < 20; i++) await soon();
  }
  await comesToEqual(fixture, source);
  const begun = (await fixture.events()).flatMap((event) => (event.status === "TABLE_BEGIN" ? event.reason : []));
  assert.deepEqual(begun, []);
});

test("a partition that is attached while the table is read is in it at its end", async () => {
  await using fixture = await PostgresFixture.open(
    `create table a (id int primary key); ${table}; insert into t select i, 1, repeat('y', 500) from generate_series(4, 300) i`,
  );
  const settings = { auditMs: 60_000, heartbeatMs: 20, chunkBytes: 16 * 1024 };
  await fixture.caughtUp(fixture.source(["a"], { settings }));
  await fixture.restart();
  const source = fixture.source(["a", "t"], { settings });
  while (!(await fixture.events()).some(({ status }) => status === "TABLE_CHUNK")) await soon();
  await fixture.sql(`${filled}; alter table t attach partition p for values in (3)`);
  await comesToEqual(fixture, source);
});
