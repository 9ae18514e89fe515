/** Other people's clients of registries, unmodified, against ours; what they write goes through the Kafka door. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { SchemaRegistry, SchemaType } from "@kafkajs/confluent-schema-registry";
import kafkajs from "kafkajs";
import { findPythonSerializers } from "../../../tools/kafka-parts.ts";
import { type Program, runProgram } from "../../support/program.ts";

const topics = ["orders-avro", "orders-json", "orders-protobuf"] as const;
const python = findPythonSerializers();
const pythonMissing = python === undefined ? "skipped: the serializers of confluent-kafka could not be had" : false;

function start(env: Readonly<Record<string, string>> = {}): Promise<Program> {
  return runProgram({ script: ["src/cli/millrace.ts", "start", "test/conformance/registry/app.ts"], env });
}

/** It writes Protobuf without the way to the message, which the wire format has between the id and the payload. */
function withMessageIndex(encoded: Buffer): Buffer {
  return Buffer.concat([encoded.subarray(0, 5), Buffer.from([0]), encoded.subarray(5)]);
}

function isInvalidRecord(error: unknown): boolean {
  return (error as { type?: string }).type === "INVALID_RECORD";
}

async function runPython(program: Program, command: string, login = "-"): Promise<unknown[]> {
  const script = join(import.meta.dirname, "serializers.py");
  const args = ["-B", script, program.kafka, `${program.address}/registry`, login, command];
  const { stdout } = await promisify(execFile)(python ?? "", args, { timeout: 120_000 });
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

describe("clients of registries", () => {
  let program: Program;
  let kafka: kafkajs.Kafka;
  let registry: SchemaRegistry;

  before(async () => {
    program = await start();
    kafka = new kafkajs.Kafka({ brokers: [program.kafka], logLevel: kafkajs.logLevel.NOTHING });
    registry = new SchemaRegistry({ host: `${program.address}/registry` });
  });

  after(() => program[Symbol.asyncDispose]());

  async function idOf(topic: string): Promise<number> {
    return registry.getLatestSchemaId(`${topic}-value`);
  }

  test("@kafkajs/confluent-schema-registry registers schemas of each type, and finds them again", async () => {
    const avro = JSON.stringify({ type: "record", name: "A", namespace: "k", fields: [{ name: "a", type: "int" }] });
    const json = JSON.stringify({ $id: "https://k/a.json", type: "object", properties: { a: { type: "integer" } } });
    const proto = 'syntax = "proto3";\npackage k;\nmessage A {\n  int32 a = 1;\n}\n';
    for (const [type, schema] of [
      [SchemaType.AVRO, avro],
      [SchemaType.JSON, json],
      [SchemaType.PROTOBUF, proto],
    ] as const) {
      const subject = `kafkajs/${type}`;
      const { id } = await registry.register({ type, schema }, { subject });
      assert.deepEqual(await registry.register({ type, schema }, { subject }), { id });
      assert.equal(await registry.getRegistryIdBySchema(subject, { type, schema }), id);
      assert.equal(await registry.getLatestSchemaId(subject), id);
      const bytes = await registry.encode(id, { a: 5 });
      assert.equal(JSON.stringify(await registry.decode(bytes)), '{"a":5}');
    }
    await assert.rejects(registry.getLatestSchemaId("nobody"), (error: never) => {
      return (error as { status: number }).status === 404;
    });
  });

  test("@kafkajs/confluent-schema-registry: what it writes to topics with a schema is taken, and what does not fit is not", async () => {
    const producer = kafka.producer({ retry: { retries: 0 } });
    await producer.connect();
    try {
      for (const topic of topics) {
        const encoded = await registry.encode(await idOf(topic), { id: "kafkajs", total: 1.5 });
        const value = topic === "orders-protobuf" ? withMessageIndex(encoded) : encoded;
        await producer.send({ topic, messages: [{ value }] });
        const cut = value.subarray(0, value.length - 1);
        for (const bad of [Buffer.from("rubbish"), cut, Buffer.from([0, 0, 0, 1, 0, 9])]) {
          await assert.rejects(producer.send({ topic, messages: [{ value: bad }] }), isInvalidRecord, topic);
        }
      }
      await producer.send({ topic: "free", messages: [{ value: "rubbish" }] });
    } finally {
      await producer.disconnect();
    }
  });

  test("confluent-kafka for Python registers, compares and deletes", { skip: pythonMissing }, async () => {
    const [answers] = await runPython(program, "registry");
    assert.deepEqual(answers, {
      id: true,
      lookup: 1,
      latest: 1,
      versions: [1],
      subjects: true,
      compatible: [true, false],
      incompatible: [409, 409],
      unknown: [404, 40401],
      set: { compatibility: "FULL" },
      get: "FULL",
      types: ["AVRO", "JSON", "PROTOBUF"],
      delete: [1],
      permanent: [1],
    });
  });

  test("confluent-kafka for Python: what its serializers write is taken, and what does not fit is not", {
    skip: pythonMissing,
  }, async () => {
    const [written, refused] = await runPython(program, "write");
    assert.deepEqual(written, Object.fromEntries(topics.map((topic) => [topic, "written"])));
    assert.deepEqual(refused, Object.fromEntries(topics.map((topic) => [topic, "INVALID_RECORD"])));
  });

  test("each reads what the other has written", { skip: pythonMissing }, async () => {
    const [found] = await runPython(program, "read");
    const both = [
      { id: "kafkajs", total: 1.5 },
      { id: "python", total: 2.5 },
    ];
    assert.deepEqual(found, Object.fromEntries(topics.map((topic) => [topic, both])));
    for (const topic of topics) assert.deepEqual(await consumed(topic, 2), both, topic);
  });

  async function consumed(topic: string, count: number): Promise<unknown[]> {
    const consumer = kafka.consumer({ groupId: `kafkajs-${topic}` });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const values: unknown[] = [];
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachMessage: async ({ message }) => {
            values.push(JSON.parse(JSON.stringify(await registry.decode(message.value as Buffer))));
            if (values.length === count) resolve();
          },
        })
        .catch(reject);
    });
    await consumer.disconnect();
    return values;
  }
});

const key = "0123456789abcdef0123456789abcdef";

test("clients that know Basic only give the key as their password", { skip: pythonMissing }, async () => {
  await using program = await start({ MILLRACE_KEY: key });
  const [answers] = await runPython(program, "registry", `anybody:${key}`);
  assert.equal((answers as { id: boolean }).id, true);
  await assert.rejects(runPython(program, "registry", "anybody:another"), /401/);
  const registry = new SchemaRegistry({
    host: `${program.address}/registry`,
    auth: { username: "anybody", password: key },
  });
  assert.ok((await registry.getLatestSchemaId("orders-avro-value")) > 0);
});
