/** No statement of a benchmark's view reads a large table from one end to the other for a few changed rows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import type { ViewDefinition } from "../../src/catalog/definitions.ts";
import { compileView } from "../../src/views/compile.ts";
import { viewOf } from "../../src/views/group-fixture.ts";
import { createMirror } from "../../src/views/mirror.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { upkeepOf } from "../../src/views/upkeep.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import * as twentyViews from "../path/definitions/twenty-views.ts";
import { viewOfOrders } from "./many-views.ts";
import { customers, orders, products, salesQuery } from "./support/sales.ts";

const rows = 50_000;
const ticks = tableShape("clock", "ticks", ["id integer", "sent double precision", "area integer"]);
const mirrors = [orders, customers, products, ticks].map((shape, i) => ({ id: i + 1, shape }));

const fills = [
  `insert into shop.orders select i, 1 + i % 10000, 1 + i % 1000, 'paid', i % 500, i % 9, null, '' from generate_series(1, ${rows}) i`,
  "insert into shop.customers select i, 'region ' || i % 20, '' from generate_series(1, 10000) i",
  "insert into shop.products select i, 'category ' || i % 10, '' from generate_series(1, 1000) i",
  `insert into clock.ticks select i, i, i % 5000 from generate_series(1, ${rows}) i`,
];

const definitions: readonly ViewDefinition[] = [
  viewOf("sales", salesQuery),
  viewOfOrders(1),
  viewOfOrders(2),
  ...Object.values(twentyViews).filter((one): one is ViewDefinition => one.kind === "view"),
];

test(`no statement of the benchmarks' views reads a table of ${rows} rows whole for a few changes`, async () => {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await client.query("set jit = off");
    await client.query("create schema millrace; create schema views");
    for (const statement of [...mirrors.flatMap(({ shape }) => createMirror(shape)), ...fills])
      await client.query(statement);
    await client.query("analyze");
    let statements = 0;
    for (const [i, view] of definitions.entries()) {
      const compiled = await compileView({ view, mirrors, version: i + 1 });
      for (const { mirrorId, columns } of compiled.mirrorIndexes) {
        const { shape } = mirrors[mirrorId - 1] as (typeof mirrors)[number];
        await client.query(`create index on ${shape.source}.${shape.table} (${columns.join(", ")})`);
      }
      for (const statement of [...compiled.create, compiled.fill]) await client.query(statement);
      await client.query(`analyze ${compiled.stateTable}`);
      const { plans } = await upkeepOf(client, compiled, mirrors);
      statements += plans.length;
      for (const { about, lines, readWhole } of plans)
        assert.deepEqual(readWhole, [], `${view.name}, ${about}:\n${lines.join("\n")}`);
    }
    assert.ok(statements >= 2 * definitions.length);
  } finally {
    await client.end();
  }
});
