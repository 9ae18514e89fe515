/** Captured tables in Avro: read by another's client with the registry, and by all of our own doors as if they were JSON. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { SchemaRegistry, SchemaType } from "@kafkajs/confluent-schema-registry";
import avsc, { type ForSchemaOptions } from "avsc";
import kafkajs from "kafkajs";
import pg from "pg";
import { testDatabase } from "../../support/postgres.ts";
import { eventually, type Program, runProgram } from "../../support/program.ts";

const topic = "shop.public.orders";

interface Page {
  readonly events: readonly { readonly key: unknown; readonly value: Envelope | null; readonly unread?: unknown }[];
}

interface Envelope {
  readonly op: string;
  readonly after: Readonly<Record<string, unknown>> | null;
}

const changes = `
  insert into orders values (3, 'paid', 7.25, '\\x00ff', now(), 3000000000);
  update orders set status = 'sent' where id = 1;
  update orders set id = 4 where id = 2;
  delete from orders where id = 3;
  alter table orders add column "the note" text;
  insert into orders values (5, 'new', 1.10, null, null, -1, 'ä');
`;

test("a captured table in Avro is read by @kafkajs/confluent-schema-registry, by events, feeds and views", async () => {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await client.query(
      `create table orders (id int primary key, status text, total numeric(12, 2), seal bytea, at timestamptz, big bigint);
       insert into orders values (1, 'new', 10.50, null, '2026-01-02 03:04:05.5+00', 9007199254740993), (2, 'new', 2, '', null, null)`,
    );
    const script = ["src/cli/millrace.ts", "start", "test/conformance/registry/captured-app.ts"];
    await using program = await runProgram({ script, env: { SHOP_URL: database.url } });
    await follows(program, client);
    await client.query(changes);
    await follows(program, client);
    const { events } = (await ask(program, `/v1/topics/${topic}/events?limit=100`)) as Page;
    assert.ok(events.length >= 9);
    assert.ok(events.every((event) => event.unread === undefined));
    assert.deepEqual(events.at(-1)?.key, { id: 5 });
    assert.equal(events.at(-1)?.value?.after?.["the note"], "ä");
    assert.deepEqual(events.find(({ value }) => value?.after?.id === 3)?.value?.after?.seal, "AP8=");
    assert.equal(await firstFeedEvent(program), JSON.stringify(events[0]?.value));
    await sameByClient(program, events);
  } finally {
    await client.end();
  }
});

/** The view is the query on the source. */
async function follows(program: Program, client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    "select status, count(*)::text as n, sum(total)::text as total from orders group by status order by status",
  );
  await eventually(async () => {
    const answer = await fetch(`${program.address}/v1/views/by_status?order=status`);
    return answer.ok && isDeepStrictEqual(await answer.json(), rows) ? true : undefined;
  });
}

const exactLong = avsc.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64LE(value);
    return buffer;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === "bigint",
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
});

/** What it decodes is what our door tells, value for value. */
async function sameByClient(program: Program, events: Page["events"]): Promise<void> {
  // avsc has no number for what lies past 2^53, as all times in nanoseconds do.
  const typeHook: ForSchemaOptions["typeHook"] = (schema) => (schema === "long" ? exactLong : undefined) as never;
  const registry = new SchemaRegistry({ host: `${program.address}/registry` }, { [SchemaType.AVRO]: { typeHook } });
  const kafka = new kafkajs.Kafka({ brokers: [program.kafka], logLevel: kafkajs.logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: "captured" });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const found: { readonly key: unknown; readonly value: Envelope | null }[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      const take = async ({ message }: kafkajs.EachMessagePayload) => {
        const [key, value] = await Promise.all([message.key, message.value].map((one) => one && registry.decode(one)));
        found.push({ key, value: value as Envelope | null });
        if (found.length === events.length) resolve();
      };
      // What it throws would be tried again for ever.
      consumer.run({ eachMessage: (message) => take(message).catch(reject) }).catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
  for (const [i, { key, value }] of found.entries()) {
    const ours = events[i];
    assert.deepEqual({ ...(key as object) }, ours?.key);
    assert.equal(value?.op, ours?.value?.op);
    const after = value?.after ?? null;
    if (after === null) assert.equal(ours?.value?.after ?? null, null);
    else {
      const { seal, the_note, big, ...rest } = after;
      const { seal: ourSeal, "the note": ourNote, big: ourBig, ...ourRest } = ours?.value?.after ?? {};
      assert.deepEqual(rest, ourRest);
      assert.deepEqual(seal === null ? null : Buffer.from(seal as Uint8Array).toString("base64"), ourSeal);
      assert.equal(the_note, ourNote);
      assert.equal(big === null ? null : Number(big), ourBig);
    }
  }
}

async function ask(program: Program, path: string): Promise<unknown> {
  const answer = await fetch(`${program.address}${path}`);
  assert.equal(answer.status, 200, path);
  return answer.json();
}

async function firstFeedEvent(program: Program): Promise<string> {
  const stop = new AbortController();
  const answer = await fetch(`${program.address}/v1/topics/${topic}/live?from=earliest`, { signal: stop.signal });
  let text = "";
  for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    const [, data] = /event: events[\s\S]*?data: (.*)\n/.exec(text) ?? [];
    if (data === undefined) continue;
    stop.abort();
    return JSON.stringify((JSON.parse(data) as Page).events[0]?.value);
  }
  throw new Error("the feed ended");
}
