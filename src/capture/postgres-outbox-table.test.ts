import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutboxTableOptions } from "../catalog/define/outbox-table.ts";
import { postgres } from "../catalog/definitions.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import type { Source } from "./source.ts";

const outbox = `create table outbox (id uuid primary key default gen_random_uuid(), aggregatetype text, aggregateid text,
  type text, payload jsonb, raw bytea)`;

function open(fixture: PostgresFixture, options: Partial<OutboxTableOptions> = {}): Source {
  const { url } = fixture.database;
  const definition = postgres("shop", { url, tables: ["orders"], outbox: { table: "outbox", ...options } });
  return fixture.source(["orders"], { definition } as never);
}

async function opened(): Promise<PostgresFixture> {
  const fixture = await PostgresFixture.open(`create table orders (id int primary key); ${outbox}`);
  await fixture.engine.createTopic("outbox.event.order");
  return fixture;
}

const told = async (fixture: PostgresFixture, topic: string) =>
  (await fixture.read(topic)).map(({ key, value, headers }) => [
    String(key),
    value === null ? null : String(value),
    Object.fromEntries(headers.map((header) => [header.key, header.value === null ? null : String(header.value)])),
  ]);

test("a row of the outbox is an event of the topic of its aggregate, in the transaction that inserted it; the table is captured as any", async () => {
  await using fixture = await opened();
  const source = open(fixture, { headers: { eventType: "type" } });
  await fixture.caughtUp(source);
  await fixture.sql(`begin; insert into orders values (1);
    insert into outbox values ('00000000-0000-0000-0000-000000000001', 'order', '1', 'Placed', '{"id": 1}');
    delete from outbox; commit`);
  await fixture.sql("begin; insert into outbox values (default, 'order', '2', 'Never', '{}'); rollback");
  await fixture.sql("insert into outbox values ('00000000-0000-0000-0000-000000000002', 'order', '1', null, null)");
  await fixture.sql("update outbox set type = 'changed'");
  await fixture.caughtUp(source);
  assert.deepEqual(await told(fixture, "outbox.event.order"), [
    ["1", '{"id": 1}', { id: "00000000-0000-0000-0000-000000000001", eventType: "Placed" }],
    ["1", null, { id: "00000000-0000-0000-0000-000000000002", eventType: null }],
  ]);
  const ops = (await fixture.values("shop.public.outbox")).filter((value) => value !== null).map(({ op }) => op);
  assert.deepEqual(ops, ["c", "d", "c", "u"]);
  const ends = (await fixture.events()).filter((event) => event.status === "END");
  assert.deepEqual(
    ends.map(({ published }) => published),
    [
      { "outbox.event.order": { 0: 1 } },
      { "outbox.event.order": { 0: ends[1]?.published?.["outbox.event.order"]?.[0] } },
      undefined,
    ],
  );
});

test("columns and route can be others; what a row publishes nowhere is set aside, and goes there by a retry", async () => {
  await using fixture = await opened();
  const source = open(fixture, { route: "events-${routedByValue}", columns: { by: "type", payload: "raw" } });
  await fixture.caughtUp(source);
  await fixture.sql("insert into outbox (type, aggregateid, raw) values ('mail', 'k', '\\x00ff'), (null, 'k', '')");
  await fixture.caughtUp(source);
  const reasons = (await fixture.read("shop.rejected")).map(({ value }) => JSON.parse(String(value)).reason);
  assert.deepEqual(reasons, [
    'there is no topic "events-mail"',
    'the row\'s "type" is empty, so that it belongs to no topic',
  ]);
  assert.equal((await fixture.read("shop.public.outbox")).length, 2);
  await fixture.engine.createTopic("events-mail");
  const { written, refused } = await source.retry();
  assert.deepEqual([written, refused], [1, 1]);
  const [record] = await fixture.read("events-mail");
  assert.deepEqual([String(record?.key), record?.value], ["k", Buffer.from([0, 255])]);
  assert.equal((await fixture.read("shop.public.outbox")).length, 2);
});

test("rows are deleted once the log has what they say, and only then; others stay", async () => {
  await using fixture = await opened();
  await fixture.sql("insert into outbox (aggregatetype, aggregateid) values ('order', 'before the source')");
  const source = open(fixture, { deleteAfterCapture: true });
  await fixture.caughtUp(source);
  await fixture.sql(
    "insert into outbox (aggregatetype, aggregateid) select 'order', i::text from generate_series(1, 2500) i",
  );
  await fixture.sql("insert into outbox (aggregatetype, aggregateid) values ('nobody', 'stays')");
  for (;;) {
    await fixture.caughtUp(source);
    const rows = await fixture.sql("select aggregateid from outbox order by 1");
    if (rows.length > 2) continue;
    assert.deepEqual(
      rows.map(({ aggregateid }) => aggregateid),
      ["before the source", "stays"],
    );
    break;
  }
  assert.equal((await fixture.read("outbox.event.order")).length, 2500);
});

test("an outbox whose options are none is refused where it is written", () => {
  const options = { url: "postgres://x/y", tables: ["orders"] } as const;
  for (const wrong of [
    {},
    { table: "" },
    { table: "o", route: "a b" },
    { table: "o", columns: { nope: "x" } },
    { table: "o", more: 1 },
  ]) {
    assert.throws(() => postgres("shop", { ...options, outbox: wrong as never }), { code: "DEFINITION_INVALID" });
  }
});
