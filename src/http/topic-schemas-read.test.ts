/** Values in the wire format, as pages of events and feeds tell them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import { openFeeds } from "../feeds/feeds.ts";
import { openRegistry } from "../registry/registry.fixture.ts";
import { RegistryReader } from "../registry/registry-reader.ts";
import { readJson } from "../schema/json-token.ts";
import { encodeAvro } from "../schema/registry/avro/encode-avro.ts";
import { parseSchema } from "../schema/registry/parse-schema.ts";
import { encodeWire } from "../schema/registry/wire.ts";
import { ask, openTestDoor } from "./door-fixture.ts";

const avroText = JSON.stringify({
  type: "record",
  name: "Order",
  fields: [
    { name: "id", type: "long" },
    { name: "note", type: ["null", "string"] },
    { name: "seal", type: "bytes" },
  ],
});
const protoText = 'syntax = "proto3";\nmessage Order {\n  int64 id = 1;\n  string note = 2;\n}\n';

function avroBytes(json: string): Buffer {
  const schema = parseSchema("AVRO", avroText);
  assert.equal(schema.type, "AVRO");
  return encodeAvro(schema.type === "AVRO" ? schema.root : ({} as never), readJson(json), { unions: "plain" });
}

interface Page {
  readonly events: readonly { readonly key: unknown; readonly value: unknown; readonly unread?: unknown }[];
}

test("values with a schema are read as JSON of one form, by pages and feeds; bytes that cannot be read say why", async () => {
  await using open = await openRegistry();
  const { engine, registry } = open;
  const register = async (subject: string, type: "AVRO" | "JSON" | "PROTOBUF", text: string) =>
    (await registry.register(subject, { type, text, references: [] })).id;
  const avro = await register("t-value", "AVRO", avroText);
  const proto = await register("t-proto", "PROTOBUF", protoText);
  const json = await register("t-json", "JSON", '{"type":"object"}');
  const key = await register("t-key", "AVRO", '"string"');
  await engine.createTopic("t");
  const wire = new RegistryReader(registry);
  const feeds = openFeeds({ engine, wire, clock: new VirtualClock(), views: {} as never });
  const door = await openTestDoor({ engine, wire, feeds });
  const avroValue = avroBytes('{"id":9007199254740993,"note":"ä","seal":"\\u0000\\u00ff"}');
  const values = [
    encodeWire(avro, avroValue),
    encodeWire(proto, Buffer.from([0x08, 0x07, 0x12, 0x01, 0x78]), [0]),
    encodeWire(json, Buffer.from('{\n "a": 1.0}')),
    encodeWire(avro, avroValue.subarray(0, 3)),
    encodeWire(4_000, Buffer.from("x")),
    Buffer.from([0, 1]),
    Buffer.from('{"plain":1}'),
  ];
  const headers = { "content-type": "application/octet-stream" };
  for (const body of values) {
    assert.equal((await ask(door, "/v1/topics/t", { method: "POST", headers, body })).status, 200);
  }
  const keyed = { key: { base64: encodeWire(key, Buffer.from("\u0006abc")).toString("base64") }, value: null };
  const event = { "content-type": "application/json" };
  await ask(door, "/v1/topics/t", { method: "POST", headers: event, body: JSON.stringify(keyed) });

  const { events } = (await ask(door, "/v1/topics/t/events")).json() as Page;
  assert.deepEqual(
    events.map(({ value }) => value),
    [
      { id: "9007199254740993", note: "ä", seal: "AP8=" },
      { id: "7", note: "x" },
      { a: 1 },
      ...values.slice(3, 6).map((bytes) => ({ base64: bytes.toString("base64") })),
      { plain: 1 },
      null,
    ],
  );
  assert.equal(events.at(-1)?.key, "abc");
  const reasons = events.map(({ unread }) => (unread as { value?: string } | undefined)?.value);
  assert.match(reasons[3] ?? "", /the bytes end too early|bytes are said to follow/);
  assert.equal(reasons[4], "no schema has the id 4000");
  assert.deepEqual([reasons[0], reasons[5], reasons[6]], [undefined, undefined, undefined]);

  // Both forms can be sent again; that of bytes is what was written.
  const raw = (await ask(door, "/v1/topics/t/events?format=base64")).json() as Page;
  assert.deepEqual(
    raw.events.map(({ value }) => value),
    [...values.map((bytes) => ({ base64: bytes.toString("base64") })), null],
  );
  for (const page of [events, raw.events]) {
    const again = await ask(door, "/v1/topics/t", { method: "POST", headers: event, body: JSON.stringify(page) });
    assert.equal(again.status, 200, again.text);
  }
  assert.equal((await ask(door, "/v1/topics/t/events?format=raw")).status, 400);

  const feed = await feeds.openTopicFeed({ topic: "t", from: { kind: "earliest" } });
  const { value: frame } = await feed.next();
  const told = (JSON.parse(String(frame?.data)) as Page).events;
  assert.deepEqual(told.slice(0, events.length), events);
  await feed.return?.();
  await feeds.close();
  await door.close();
});

test("a schema that another process has just registered is asked for", async () => {
  await using open = await openRegistry();
  const other = await open.another();
  const wire = new RegistryReader(open.registry);
  const { id } = await other.register("t-value", { type: "AVRO", text: avroText, references: [] });
  const bytes = encodeWire(id, avroBytes('{"id":1,"note":null,"seal":""}'));
  // Null where it has been heard of already.
  await wire.unread(bytes);
  assert.deepEqual(wire.read(bytes), { ok: true, json: '{"id":"1","note":null,"seal":""}' });
  assert.equal(wire.unread(bytes), null);
});
