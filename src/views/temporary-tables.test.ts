/** Temporary tables of a connection: only what differs is made or dropped. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import { type TemporaryTable, TemporaryTables } from "./temporary-tables.ts";

const table = (name: string, columns = "a integer", of = ""): TemporaryTable => ({
  create: `create temp table ${name} (${columns})`,
  of,
});

test("a layout costs what differs from the one before, and nothing else of it is touched", async () => {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    const tables = new TemporaryTables(client);
    const standing = async () => {
      const { rows } = await client.query<{ relname: string; oid: number }>(
        "select relname, oid::int from pg_class where relnamespace = pg_my_temp_schema() and relkind = 'r' order by 1",
      );
      return new Map(rows.map(({ relname, oid }) => [relname, oid]));
    };
    const many = Array.from({ length: 120 }, (_, i) => table(`t_${i}`));
    await tables.set([...many, table('"odd ""name"'), table("changed"), table("redefined")]);
    const before = await standing();
    assert.equal(before.size, 123);

    await tables.set([
      ...many.slice(1),
      table('"odd ""name"'),
      table("changed", "a text"),
      table("redefined", "a integer", "another view"),
      table("later"),
    ]);
    const after = await standing();
    assert.deepEqual(
      [...before.keys()].filter((name) => !after.has(name)),
      ["t_0"],
    );
    assert.deepEqual(
      [...after.keys()].filter((name) => !before.has(name)),
      ["later"],
    );
    const madeAnew = [...after].flatMap(([name, oid]) => (before.has(name) && before.get(name) !== oid ? [name] : []));
    assert.deepEqual(madeAnew, ["changed", "redefined"]);

    await tables.add([table("later"), table("last")]);
    assert.equal((await standing()).size, after.size + 1);
    await tables.set([]);
    assert.equal((await standing()).size, 0);
  } finally {
    await client.end();
  }
});

test("what could not be made is made with the next layout", async () => {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    const tables = new TemporaryTables(client);
    await assert.rejects(tables.set([table("good"), table("bad", "a no_such_type")]), /no_such_type/);
    await tables.set([table("good"), table("bad")]);
    await client.query("select from pg_temp.good, pg_temp.bad");
  } finally {
    await client.end();
  }
});
