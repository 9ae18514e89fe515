import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import { readCatalogue } from "./catalogue.ts";
import { inOneMoment } from "./source-connection.ts";

test("a table that is made anew while the catalogue is looked at is one that can be read", async () => {
  await using database = await testDatabase();
  const [reader, owner] = [1, 2].map(() => new pg.Client({ connectionString: database.url })) as [pg.Client, pg.Client];
  await Promise.all([reader.connect(), owner.connect()]);
  try {
    await owner.query("create table t (id integer primary key)");
    await inOneMoment(reader, async () => {
      await reader.query("select from pg_class limit 1");
      await owner.query("drop table t; create table t (id integer primary key, more text)");
      const [table] = await readCatalogue(reader, [{ schema: "public", table: "t" }]);
      assert.equal(table?.readable, true);
    });
  } finally {
    await Promise.all([reader.end(), owner.end()]);
  }
});
