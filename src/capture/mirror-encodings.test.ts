/** Views over a source whose events are not JSON. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { viewOf } from "../views/group-fixture.ts";
import { MirrorFixture } from "./mirror-fixture.ts";
import { PostgresFixture } from "./postgres-fixture.ts";

const large = "repeat(md5(random()::text), 200)";

for (const identity of ["default", "full"]) {
  test(`views of Avro events are the query on the source, replica identity ${identity}: large values stay under a changed key`, async () => {
    await using fixture = await PostgresFixture.open(
      `create table t (id int primary key, "a b" text, n int, doc text); alter table t alter doc set storage external;
       alter table t replica identity ${identity}; insert into t values (1, 'x', 1, ${large}), (2, 'y', null, ${large})`,
    );
    fixture.encoding = "avro";
    const source = await fixture.running(["t"]);
    const sql = (table: string) => `select id, "a b", n, md5(doc) as doc from ${table}`;
    await using mirror = await MirrorFixture.open(fixture, [viewOf("v", sql("shop.t"))]);
    await mirror.follow(source);
    for (const change of [
      "update t set id = 5 where id = 1",
      "begin; update t set n = 7 where id = 2; update t set id = 6 where id = 2; commit",
      `insert into t values (7, null, null, ${large})`,
      "delete from t where id = 6",
      "update t set n = null where id = 7",
    ]) {
      await fixture.sql(change);
      await fixture.caughtUp(source);
      await mirror.follow(source);
      const rows = await mirror.rows('select id, "a b", n, doc from views.v order by id');
      assert.deepEqual(rows, await fixture.sql(`${sql("t")} order by id`), change);
    }
  });
}
