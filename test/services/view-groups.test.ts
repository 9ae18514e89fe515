/** Groups of views in the whole program: beside `main` in the embedded server, and in another server that dies and comes back. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import pg from "pg";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { group, postgres, sql, view } from "../../src/index.ts";
import { readRunningFile } from "../../src/running-file.ts";
import { startMillrace } from "../../src/server.ts";
import { readSettings } from "../../src/settings.ts";
import { KillablePostgres } from "../support/killable-postgres.ts";
import { testDatabase } from "../support/postgres.ts";
import { eventually } from "../support/program.ts";

test("groups beside main and in another server keep the same tables; the death of one server stops nobody else", async () => {
  const data = mkdtempSync(join(tmpdir(), "millrace-groups-"));
  await using database = await testDatabase();
  await using server = await KillablePostgres.start();
  const client = new pg.Client({ connectionString: database.url });
  client.on("error", () => {});
  await client.connect();
  await client.query("create table orders (id int primary key, customer text, amount int)");
  await client.query("insert into orders values (1, 'ann', 10), (2, 'bob', 20)");
  const shop = postgres("shop", { url: database.url, tables: ["orders"] });
  const beside = group("beside");
  const far = group("far", { store: server.url });
  const sums = sql`select customer, sum(amount) as total from ${shop.orders} group by customer`;
  const definitions = [
    shop,
    beside,
    far,
    view("orders_list", sql`select id, customer, amount from ${shop.orders}`),
    view("sums_beside", sums, { group: beside }),
    view("sums_far", sums, { group: far, publish: "sums-far" }),
    view(
      "far_read_here",
      sql`select _key as k, _value->>'customer' as customer, _value->>'total' as total from topics."sums-far"`,
    ),
  ];
  const ports = { MILLRACE_PORT: "0", MILLRACE_STORE_PORT: "0", MILLRACE_KAFKA_PORT: "0" };
  const start = () =>
    startMillrace({
      definitions,
      mode: "start",
      settings: readSettings(data, { ...ports, MILLRACE_DATA: data }),
      diagnostics: silentDiagnostics,
      version: "0.0.0",
    });
  let running = await start();
  const ask = (path: string, body?: object) =>
    fetch(`${running.addresses.http}${path}`, {
      ...(body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
  const rows = async (path: string) => (await ask(`/v1/views/${path}`)).json();
  const becomes = (path: string, wanted: unknown) =>
    eventually(async () => JSON.stringify(await rows(path)) === JSON.stringify(wanted) || undefined);
  const sumsAre = (ann: string) => [
    { customer: "ann", total: ann },
    { customer: "bob", total: "20" },
  ];
  try {
    for (const name of ["sums_beside", "sums_far", "far_read_here"])
      await becomes(`${name}?select=customer,total&order=customer`, sumsAre("10"));
    await client.query("insert into orders values (3, 'ann', 5)");
    const fresh = await ask("/v1/views/sums_far?after=now&order=customer");
    assert.deepEqual(await fresh.json(), sumsAre("15"));
    const token = String(fresh.headers.get("millrace-token"));
    assert.deepEqual(await rows(`sums_beside?after=${token}&order=customer`), sumsAre("15"), "its inputs, at least");
    assert.equal(((await rows(`orders_list?after=${token}`)) as unknown[]).length, 3);
    await becomes("far_read_here?select=customer,total&order=customer", sumsAre("15"));

    const many = await ask("/v1/read", { reads: [{ view: "sums_far" }, { view: "sums_beside" }] });
    assert.equal(((await many.json()) as { code: string }).code, "READ_ACROSS_GROUPS");
    const count = "select count(*)::int as n from views.sums_far";
    assert.deepEqual((await (await ask("/v1/query", { sql: count, group: "far" })).json()).rows, [[2]]);
    assert.equal((await ask("/v1/query", { sql: count })).status, 400);
    const { groupStores = {} } = (await readRunningFile(data)) ?? {};
    assert.deepEqual(
      Object.entries(groupStores).map(([name, { port, database }]) => [name, port === server.port, database]),
      [
        ["beside", false, "millrace_beside"],
        ["far", true, "postgres"],
      ],
    );
    const metrics = await (await ask("/metrics")).text();
    assert.match(metrics, /millrace_views_group_state\{group="far",state="running"\} 1/);
    assert.match(metrics, /millrace_view_state\{group="beside",state="live",view="sums_beside"\} 1/);

    await server.kill();
    await eventually(async () => ((await ask("/v1/views/sums_far")).status === 503 ? true : undefined));
    assert.equal(((await rows("sums_far")) as { code: string }).code, "STORE_UNAVAILABLE");
    await client.query("update orders set amount = 6 where id = 3");
    assert.deepEqual(await rows("sums_beside?after=now&order=customer"), sumsAre("16"));
    assert.equal(((await rows("orders_list?after=now")) as unknown[]).length, 3);
    assert.deepEqual(
      await rows("far_read_here?select=customer,total&order=customer"),
      sumsAre("15"),
      "its topic stands where it was",
    );
    const ready = await eventually(async () => {
      const answer = await ask("/readyz");
      const { warnings } = (await answer.json()) as { warnings: { part: string }[] };
      return warnings.some(({ part }) => part === "group far") ? answer.status : undefined;
    });
    assert.equal(ready, 200);
    await server.start();
    await becomes("sums_far?order=customer", sumsAre("16"));
    await becomes("far_read_here?select=customer,total&order=customer", sumsAre("16"));

    // A start without that server is one without that group, until it is there.
    await running.stop();
    await server.kill();
    running = await start();
    await becomes("sums_beside?order=customer", sumsAre("16"));
    assert.equal((await ask("/v1/views/sums_far")).status, 503);
    await client.query("delete from orders where id = 3");
    await becomes("sums_beside?order=customer", sumsAre("10"));
    await server.start();
    await becomes("sums_far?order=customer", sumsAre("10"));
    await becomes("far_read_here?select=customer,total&order=customer", sumsAre("10"));
  } finally {
    await running.stop();
    await client.end();
    rmSync(data, { recursive: true, force: true });
  }
});
