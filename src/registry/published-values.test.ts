import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { VirtualClock } from "../base/virtual-clock.ts";
import { PostgresFixture } from "../capture/postgres-fixture.ts";
import { publishVia } from "../catalog/define/outbox.ts";
import { topic } from "../catalog/define/topic.ts";
import { applyTopics } from "./apply-topics.ts";
import { SchemaRegistry } from "./schema-registry.ts";
import { TopicSchemas } from "./topic-schemas.ts";

const paid = topic("paid", { schema: z.object({ order: z.string() }), key: "order" });

test("what an application publishes with its transaction fits the topic's schema, or is set aside with the reason", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const { engine, client } = fixture;
  const registry = await SchemaRegistry.open({ engine, clock: new VirtualClock() });
  await applyTopics(engine, registry, [paid]);
  const schemas = new TopicSchemas({ registry, engine });
  schemas.set([paid]);
  const source = fixture.source(["t"], { admit: ({ name }, record) => schemas.misfitOf(name, record) });
  await fixture.caughtUp(source);
  await client.query("begin");
  await client.query("insert into t values (1)");
  await paid.publish({ order: "7" }, { via: client });
  await assert.rejects(paid.publish({ order: 7 } as never, { via: client }), /does not fit topic "paid"/);
  // As one that does not use the definition.
  await publishVia("paid", { order: 8 }, { via: client, key: "8" });
  await client.query("commit");
  await fixture.caughtUp(source);
  const records = await fixture.read("paid");
  assert.deepEqual(
    records.map(({ key, value }) => [String(key), String(value)]),
    [["7", '{"order":"7"}']],
  );
  const rejected = await fixture.read("shop.rejected");
  assert.equal(rejected.length, 1);
  const told = JSON.stringify(
    rejected.map(({ value, headers }) => [String(value), headers.map((one) => String(one.value))]),
  );
  assert.match(told, /does not fit topic \\+"paid\\+": \/order/);
  await registry.close();
});
