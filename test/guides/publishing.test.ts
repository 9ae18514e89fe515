import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { arrange } from "../../src/catalog/collect.ts";
import { decodeCommitted } from "../../src/engine/records.ts";
import { ProgressTable } from "../../src/ownership/progress-table.ts";
import { Publishers } from "../../src/publish/publishers.ts";
import { FixtureStore, live, ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { eventually } from "../support/program.ts";
import { orderCards, shop } from "./publishing-app.ts";

const orders = tableShape("shop", "orders", ["id integer", "status text"]);
const lines = tableShape("shop", "order_lines", ["id integer", "order_id integer", "price numeric(8,2)"]);

test("the guide's topic has the records that it says", async () => {
  await using fixture = await ViewsFixture.open();
  const source = await fixture.source("shop", [orders, lines]);
  const { engine } = fixture;
  const group = await fixture.group([orderCards]);
  await source.snapshot([]);
  await live(group);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const progress = await ProgressTable.open({ engine, clock: systemClock });
  const tools = { engine, clock: systemClock, diagnostics: silentDiagnostics, progress, reader, misfitOf: () => null };
  const publishers = new Publishers({ ...tools, store: new FixtureStore(fixture.database.url) });
  await publishers.apply(arrange([shop, orderCards]).published);
  const published = () => eventually(async () => publishers.of("order_cards")?.behind === 0 || undefined);
  await published();
  const commits = [
    [
      { table: orders, insert: ["10", "new"] },
      { table: lines, insert: ["1", "10", "9.50"] },
      { table: lines, insert: ["2", "10", "3.00"] },
    ],
    [{ table: orders, update: ["10", "paid"] }],
    [{ table: orders, delete: ["10", null] }],
  ];
  for (const changes of commits) {
    await source.commit(...changes);
    await fixture.settled(group);
    await published();
  }
  await publishers.close();
  const found: string[] = [];
  for (let partition = 0; partition < 3; partition++) {
    const place = { topic: "order-cards", partition, offset: 0, isolation: "read_committed", bytesMax: 1e6 } as const;
    for (const { key, value } of decodeCommitted(await engine.read(place), 0)) found.push(`${key} ${value}`);
  }
  const guide = readFileSync(new URL("../../docs/guide/publishing-views.md", import.meta.url), "utf8");
  const told = [...guide.matchAll(/^(\d+) +(\{.*\}|null)$/gm)].map(([, key, value]) => `${key} ${value}`);
  assert.equal(told.length, 3);
  assert.deepEqual(found, told);
});
