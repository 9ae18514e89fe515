/** Publishing in the whole program: with its doors, a view over the topic that another is published to, and reloads. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import pg from "pg";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { MillraceError } from "../../src/base/errors.ts";
import { postgres, sql, topic, view } from "../../src/index.ts";
import { startMillrace } from "../../src/server.ts";
import { readSettings } from "../../src/settings.ts";
import { testDatabase } from "../support/postgres.ts";
import { eventually } from "../support/program.ts";

interface Publishing {
  readonly state: { readonly kind: string };
  readonly behind: number | null;
  readonly records: number;
}

test("a view is published while the program runs, read as a topic by another view, handed back and taken again", async () => {
  const data = mkdtempSync(join(tmpdir(), "millrace-publishing-"));
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  client.on("error", () => {});
  await client.connect();
  await client.query("create table orders (id int primary key, status text); insert into orders values (1, 'new')");
  const shop = postgres("shop", { url: database.url, tables: ["orders"] });
  const cards = (options = {}) => view("cards", sql`select id, status from ${shop.orders}`, options);
  const published = { publish: "cards-topic" };
  const count = view("counted", sql`select count(*) as n from topics."cards-topic"`);
  const ports = { MILLRACE_PORT: "0", MILLRACE_STORE_PORT: "0", MILLRACE_KAFKA_PORT: "0" };
  const running = await startMillrace({
    definitions: [shop, cards(published), count],
    mode: "dev",
    settings: readSettings(data, { ...ports, MILLRACE_DATA: data }),
    diagnostics: silentDiagnostics,
    version: "0.0.0",
  });
  const get = async (path: string) => (await fetch(`${running.addresses.http}${path}`)).json();
  const publishing = async () => {
    const { items } = (await get("/v1/views")) as { items: { name: string; publishing?: Publishing }[] };
    return items.find(({ name }) => name === "cards")?.publishing;
  };
  const upToDate = () =>
    eventually(async () => {
      const now = await publishing();
      return now?.state.kind === "publishing" && now.behind === 0 ? now : undefined;
    });
  const counted = (n: string) =>
    eventually(async () => JSON.stringify(await get("/v1/views/counted")) === JSON.stringify([{ n }]) || undefined);
  const append = async (key: string) => {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ key, value: "somebody's" });
    return (await fetch(`${running.addresses.http}/v1/topics/cards-topic`, { method: "POST", headers, body })).status;
  };
  try {
    await upToDate();
    await client.query("insert into orders values (2, 'new')");
    await counted("2");
    assert.equal(await append("3"), 403);

    await running.reload([shop, cards(), count]);
    assert.equal(await publishing(), undefined);
    assert.equal(await append("3"), 200);
    await counted("3");

    const strict = (type: string) => topic("strict", { schema: { type: "object", properties: { a: { type } } } });
    await running.reload([shop, cards(published), count, strict("string")]);
    assert.equal((await upToDate()).records, 1, "what is not the view's was taken away, and nothing else written");
    await counted("2");
    assert.equal(await append("4"), 403);

    // What is refused leaves the publishers of before.
    const refused = running.reload([shop, cards({ publish: "other" }), count, strict("number")]);
    await assert.rejects(refused, (error) => MillraceError.is(error, "SCHEMA_INCOMPATIBLE"));
    await upToDate();
    await client.query("delete from orders where id = 1");
    await counted("1");
  } finally {
    await running.stop();
    await client.end();
    rmSync(data, { recursive: true, force: true });
  }
});
