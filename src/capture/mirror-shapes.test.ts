/** Changes of a table's shape whose rows PostgreSQL does not send: mirrors and views must be the plain query all the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { viewOf } from "../views/group-fixture.ts";
import { MirrorFixture } from "./mirror-fixture.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import { soon } from "./source.suite.ts";

const queries = {
  whole: "select * from TABLE",
  counted: "select v, count(*) as n, sum(amount) as amount from TABLE group by v",
} as const;

for (const [what, sql] of [
  ["a column with a default", "alter table t add column extra int not null default 3"],
  [
    "a column with a default that is another for each row",
    "alter table t add column extra int default (nextval('numbers'))",
  ],
  [
    "a column's type with an expression",
    "alter table t alter v type integer using length(v), alter amount type numeric(20,4) using amount * 2",
  ],
  ["a column's type that keeps its text", "alter table t alter v type varchar(100)"],
  [
    "a column's type, and rows of the same transaction",
    "begin; update t set v = v || v where id = 1; alter table t alter v type integer using length(v); insert into t values (90, 9, 9); commit",
  ],
  [
    "a dropped and a new column of the same name",
    "alter table t drop column amount, add column amount bigint default 7",
  ],
] as const) {
  test(`${what}: mirrors and views are the plain query`, async () => {
    await using fixture = await PostgresFixture.open(`
      create sequence numbers; create table t (id int primary key, v text not null, amount numeric(12,2) not null);
      insert into t select i, repeat('x', i % 3), i * 1.5 from generate_series(1, 20) i`);
    const source = fixture.source(["t"], { settings: { auditMs: 20 } });
    await fixture.caughtUp(source);
    const views = Object.entries(queries).map(([name, text]) => viewOf(name, text.replace("TABLE", "shop.t")));
    await using mirrors = await MirrorFixture.open(fixture, views);
    await mirrors.follow(source);
    await fixture.sql("update t set amount = amount + 1 where id < 5");
    await fixture.sql(sql);
    const readings = async () =>
      (await fixture.events()).filter(({ status }) => /^(SNAPSHOT|TABLE)_END$/.test(status)).length;
    while ((await readings()) < 2) await soon();
    await fixture.sql("update t set amount = amount + 1 where id between 3 and 7; delete from t where id = 8");
    await fixture.caughtUp(source);
    await mirrors.follow(source);
    for (const [name, text] of Object.entries(queries)) {
      const rows = (from: string) => `select to_jsonb(q)::text as row from (${from}) q order by 1`;
      const server = await fixture.sql(rows(text.replace("TABLE", "t")));
      assert.deepEqual(await mirrors.rows(rows(`select * from views.${name}`)), server, name);
      assert.deepEqual(await mirrors.rows(rows(text.replace("TABLE", "shop.t"))), server, `${name} over the mirror`);
    }
  });
}
