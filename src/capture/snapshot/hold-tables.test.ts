import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Client } from "pg";
import { systemClock } from "../../base/clock.ts";
import { postgres } from "../../catalog/definitions.ts";
import type { ColumnShape, TableShape } from "../../schema/table-shape.ts";
import { PostgresFixture } from "../postgres-fixture.ts";
import { ChunkReader } from "./chunk-reader.ts";
import { holdTables } from "./hold-tables.ts";
import { nextChunk } from "./key-chunks.ts";

const schema = `
  create table t (id int primary key, a text); insert into t values (1, 'one');
  create table p (id int primary key, a text) partition by range (id);
  create table p1 partition of p for values from (0) to (10); insert into p values (1, 'one');
  create table child () inherits (t)`;

async function inSnapshotOfBefore(change: string, work: (client: Client) => Promise<void>): Promise<void> {
  await using fixture = await PostgresFixture.open(schema);
  const exporter = await fixture.connect();
  await exporter.query("begin isolation level repeatable read");
  const { rows } = await exporter.query<{ id: string }>("select pg_export_snapshot() as id");
  if (change !== "") await fixture.sql(change);
  const client = await fixture.connect();
  await client.query("begin isolation level repeatable read read only");
  await client.query(`set transaction snapshot '${rows[0]?.id}'`);
  await work(client as unknown as Client);
}

async function tablesOf(client: Client) {
  const { rows } = await client.query<{ oid: number; name: string; kind: string }>(
    "select oid::int8::float8 as oid, relname as name, relkind as kind from pg_class where relname in ('t', 'p') order by relname",
  );
  return rows.map(({ oid, name, kind }) => ({ oid, read: { shape: shapeOf(name), kind } }));
}

function shapeOf(table: string): TableShape {
  return { source: "shop", schema: "public", table, topic: table, columns: [], key: null, appendOnly: false };
}

describe("tables are kept as a snapshot sees them", () => {
  const moved: readonly [what: string, change: string, answer: RegExp][] = [
    ["rewritten", "alter table t alter column a type text using upper(a)", /"public.t" was written anew/],
    ["truncated", "truncate t", /"public.t" was written anew/],
    ["packed", "vacuum full t", /"public.t" was written anew/],
    [
      "rewritten through its partitions",
      "alter table p alter column a type text using upper(a)",
      /"public.p" was written/,
    ],
    ["dropped", "drop table t cascade", /"public.t" was dropped/],
  ];
  for (const [what, change, answer] of moved) {
    test(`a table that was ${what} since is named`, async () => {
      await inSnapshotOfBefore(change, async (client) => {
        assert.match(String(await holdTables(client, await tablesOf(client))), answer);
      });
    });
  }

  test("rows, columns and indexes that change leave them in it", async () => {
    const change = "insert into t values (2, 'two'); alter table t add column b text; create index on t (a); analyze t";
    await inSnapshotOfBefore(change, async (client) => {
      assert.equal(await holdTables(client, await tablesOf(client)), null);
    });
  });

  test("a chunk that waited for a table that is written anew has its rows", async () => {
    await using fixture = await PostgresFixture.open(schema);
    const reader = await ChunkReader.open(
      postgres("shop", { url: fixture.database.url, tables: ["t"] }),
      systemClock,
      new AbortController().signal,
    );
    try {
      const other = await fixture.connect();
      await other.query("begin; alter table t alter column a type text using upper(a)");
      const columns = ["id", "a"].map((name) => ({ name }) as ColumnShape);
      const shape = { ...shapeOf("t"), columns, key: ["id"] };
      const table = { shape, kind: "r", where: null, collations: {} };
      const reading = reader.read(table, nextChunk(table, null, 10), 1_000);
      while ((await fixture.sql("select from pg_locks where not granted and relation = 't'::regclass")).length === 0);
      await other.query("commit");
      assert.deepEqual((await reading).lines.map(String), ["1\tONE\n"]);
    } finally {
      await reader.close();
    }
  });

  test("what would write one anew waits until the transaction ends", async () => {
    await inSnapshotOfBefore("", async (client) => {
      assert.equal(await holdTables(client, await tablesOf(client)), null);
      const { rows } = await client.query<{ name: string }>(
        "select relation::regclass::text as name from pg_locks where pid = pg_backend_pid() and mode = 'AccessShareLock' and relation in ('t'::regclass, 'p'::regclass, 'p1'::regclass, 'child'::regclass) order by 1",
      );
      // Of an inherited table its own rows are captured only.
      assert.deepEqual(
        rows.map(({ name }) => name),
        ["p", "p1", "t"],
      );
    });
  });
});
