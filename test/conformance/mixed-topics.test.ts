/** One topic, many doors: what comes in by HTTP, from a captured table or from a Kafka client is read by all of them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Kafka, type KafkaMessage, logLevel, Partitioners } from "kafkajs";
import pg from "pg";
import { testDatabase } from "../support/postgres.ts";
import { eventually, type Program, runProgram } from "../support/program.ts";

interface Event {
  readonly partition: number;
  readonly offset: number;
  readonly key: unknown;
  readonly value: unknown;
}

describe("one topic has many doors", () => {
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let program: Program;
  let kafka: Kafka;

  before(async () => {
    database = await testDatabase();
    await run("create table items (id int primary key, name text, price numeric(10, 2))");
    program = await runProgram({
      script: ["src/cli/millrace.ts", "start", "test/conformance/mixed-topics/app.ts"],
      env: { STOCK_URL: database.url },
    });
    kafka = new Kafka({ brokers: [program.kafka], logLevel: logLevel.NOTHING });
  });

  after(async () => {
    await program?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
  });

  async function run(...statements: string[]): Promise<void> {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  }

  /** The first `count` messages of the topic, in the order of partitions and offsets. */
  async function consume(topic: string, count: number): Promise<(KafkaMessage & { readonly partition: number })[]> {
    const consumer = kafka.consumer({ groupId: `reader-of-${topic}` });
    const messages: (KafkaMessage & { readonly partition: number })[] = [];
    await consumer.connect();
    try {
      await consumer.subscribe({ topic, fromBeginning: true });
      const whole = Promise.withResolvers<void>();
      await consumer.run({
        eachMessage: async ({ partition, message }) => {
          messages.push({ ...message, partition });
          if (messages.length >= count) whole.resolve();
        },
      });
      await whole.promise;
    } finally {
      await consumer.disconnect();
    }
    return messages.sort((a, b) => a.partition - b.partition || Number(a.offset) - Number(b.offset));
  }

  async function events(topic: string): Promise<Event[]> {
    const answer = await fetch(`${program.address}/v1/topics/${topic}/events?from=earliest&limit=1000`);
    assert.equal(answer.status, 200, await answer.clone().text());
    return ((await answer.json()) as { readonly events: Event[] }).events;
  }

  test("what is published by HTTP is read by a Kafka client, each event from the partition of its key", async () => {
    await fetch(`${program.address}/v1/topics/orders`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ partitions: 4 }),
    });
    const keys = Array.from({ length: 20 }, (_, i) => `customer-${i}`);
    const sent = await fetch(`${program.address}/v1/topics/orders`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(keys.map((key, i) => ({ key, value: { order: i } }))),
    });
    assert.ok(sent.ok, await sent.clone().text());
    const messages = await consume("orders", keys.length);
    assert.deepEqual(messages.map(({ key }) => key?.toString()).sort(), [...keys].sort());
    const first = messages.find(({ key }) => key?.toString() === "customer-7");
    assert.deepEqual(JSON.parse(first?.value?.toString() ?? ""), { order: 7 });
  });

  test("what a Kafka client produces is read by HTTP, in the partition that HTTP itself would choose", async () => {
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    const keys = Array.from({ length: 20 }, (_, i) => `customer-${i}`);
    await producer.send({
      topic: "orders",
      messages: keys.map((key) => ({ key, value: JSON.stringify({ again: key }) })),
    });
    await producer.disconnect();
    const all = await events("orders");
    assert.equal(all.length, 40);
    for (const key of keys) {
      const partitions = new Set(all.filter((event) => event.key === key).map(({ partition }) => partition));
      assert.equal(partitions.size, 1, `${key} by both doors`);
    }
    const again = all.find(({ value }) => (value as { readonly again?: string }).again === "customer-3");
    assert.equal(again?.key, "customer-3");
  });

  test("the changes of a captured table are read by a Kafka client as Debezium's", async () => {
    await run(
      "insert into items values (1, 'lamp', 12.50)",
      "update items set price = 13 where id = 1",
      "delete from items where id = 1",
    );
    const messages = await consume("stock.public.items", 4);
    assert.deepEqual(
      messages.map(({ value }) => (value ? JSON.parse(value.toString()).op : null)),
      ["c", "u", "d", null],
      "the last one is the tombstone",
    );
    assert.deepEqual(JSON.parse(messages[0]?.key?.toString() ?? ""), { id: 1 });
    const created = JSON.parse(messages[0]?.value?.toString() ?? "");
    assert.deepEqual(created.after, { id: 1, name: "lamp", price: "12.50" });
    assert.equal(created.source.table, "items");
  });

  test("a Kafka client does not write to what a source owns", async () => {
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, retry: { retries: 0 } });
    await producer.connect();
    await assert.rejects(
      producer.send({ topic: "stock.public.items", messages: [{ value: "forged" }] }),
      (error: Error & { readonly type?: string }) => /TOPIC_AUTHORIZATION_FAILED/.test(`${error.type} ${error.cause}`),
    );
    await producer.disconnect();
  });

  test("nobody reads credentials through a door", async () => {
    const answer = await fetch(`${program.address}/v1/topics/_millrace.catalog/events?from=earliest`);
    assert.equal(answer.status, 403);
    await eventually(async () => {
      const live = await fetch(`${program.address}/v1/topics/_millrace.catalog/live?from=earliest`);
      await live.body?.cancel();
      return live.status === 403 ? true : undefined;
    });
  });
});
