import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toStandardJsonSchema } from "@valibot/to-json-schema";
import { type } from "arktype";
import fc from "fast-check";
import * as v from "valibot";
import * as z from "zod";
import { topic } from "../catalog/define/topic.ts";
import type { AnyTopicDefinition } from "../catalog/definitions.ts";
import { BatchBuilder, encodeBatch } from "../records/batch-builder.ts";
import { codec } from "../records/compression.ts";
import { encodeWire } from "../schema/registry/wire.ts";
import { applyTopics } from "./apply-topics.ts";
import { type OpenRegistry, openRegistry } from "./registry.fixture.ts";
import { decideDeleteVersion } from "./registry-decisions.ts";
import { TopicSchemas } from "./topic-schemas.ts";

const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;

async function guard(open: OpenRegistry, ...definitions: AnyTopicDefinition[]): Promise<TopicSchemas> {
  await applyTopics(open.engine, open.registry, definitions);
  const schemas = new TopicSchemas(open);
  schemas.set(definitions);
  return schemas;
}

const records = (...values: unknown[]) =>
  values.map((value) => ({ value: Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)) }));

interface Given {
  readonly key?: Buffer | null;
  readonly value: Buffer | null;
}

interface Told {
  readonly index: number;
  readonly problems: readonly { readonly path: string; readonly message: string }[];
}

function misfits(schemas: TopicSchemas, name: string, given: readonly Given[]): Told[] {
  try {
    schemas.check(
      name,
      given.map(({ key = null, value }) => ({ key, value })),
    );
    return [];
  } catch (error) {
    assert.ok(hasCode("SCHEMA_MISMATCH")(error), String(error));
    return (error as { details: { events: Told[] } }).details.events;
  }
}

const libraries = {
  zod: z.object({ id: z.string(), total: z.number().min(0), note: z.string().optional() }),
  valibot: toStandardJsonSchema(
    v.object({ id: v.string(), total: v.pipe(v.number(), v.minValue(0)), note: v.optional(v.string()) }),
  ),
  arktype: type({ id: "string", total: "number >= 0", "note?": "string" }),
  "JSON Schema": {
    type: "object",
    properties: { id: { type: "string" }, total: { type: "number", minimum: 0 }, note: { type: "string" } },
    required: ["id", "total"],
  },
} as const;

for (const [name, schema] of Object.entries(libraries)) {
  describe(`a topic with a schema of ${name}`, () => {
    test("takes what fits and refuses what does not, with the place of the event, the path and the reason", async () => {
      await using open = await openRegistry();
      const schemas = await guard(open, topic("orders", { schema: schema as never }) as AnyTopicDefinition);
      assert.deepEqual(
        misfits(schemas, "orders", records({ id: "1", total: 5 }, { id: "2", total: 0, note: "x" })),
        [],
      );
      const told = misfits(
        schemas,
        "orders",
        records({ id: "1", total: 5 }, { id: 2, total: 1 }, { id: "3", total: -1 }),
      );
      assert.deepEqual(
        told.map(({ index, problems }) => [index, problems[0]?.path]),
        [
          [1, "/id"],
          [2, "/total"],
        ],
      );
      for (const { problems } of told) assert.ok((problems[0]?.message.length ?? 0) > 3);
      assert.equal(misfits(schemas, "orders", records(Buffer.from("{"))).length, 1);
      assert.equal(misfits(schemas, "orders", records(Buffer.from([0xff, 0x00]))).length, 1);
      assert.equal(misfits(schemas, "orders", [{ value: null }]).length, 1);
      assert.deepEqual(misfits(schemas, "others", records(5)), []);
    });

    test("is registered below <topic>-value, once", async () => {
      await using open = await openRegistry();
      const definition = topic("orders", { schema: schema as never }) as AnyTopicDefinition;
      await guard(open, definition);
      await guard(open, definition);
      assert.deepEqual([...open.registry.state.versions("orders-value").keys()], [1]);
      assert.equal(open.registry.parsed(1)?.type, "JSON");
    });
  });
}

test("a value whose writer is gone is told with the reason", async () => {
  await using open = await openRegistry();
  const schemas = await guard(open, topic("orders", { schema: libraries.zod }));
  assert.equal(schemas.misfitOf("orders", { key: null, value: Buffer.from('{"id":"1","total":1}') }), null);
  assert.equal(schemas.misfitOf("others", { key: null, value: null }), null);
  assert.match(
    schemas.misfitOf("orders", { key: null, value: Buffer.from('{"id":1,"total":1}') }) ?? "",
    /topic "orders": \/id: /,
  );
});

test("a tombstone is for compacted topics", async () => {
  await using open = await openRegistry();
  const schemas = await guard(open, topic("latest", { schema: libraries.zod, cleanup: "compact" }));
  assert.deepEqual(misfits(schemas, "latest", [{ value: null }]), []);
});

test("a value with an id has to fit the version that it names, whatever the definition's own is", async () => {
  await using open = await openRegistry();
  const old = topic("orders", { schema: libraries.zod });
  await guard(open, old);
  const schemas = await guard(open, topic("orders", { schema: libraries.zod.extend({ more: z.string().optional() }) }));
  assert.deepEqual([...open.registry.state.versions("orders-value").keys()], [1, 2]);
  const framed = (id: number, value: unknown) => records(encodeWire(id, Buffer.from(JSON.stringify(value))));
  assert.deepEqual(misfits(schemas, "orders", framed(1, { id: "1", total: 1 })), []);
  assert.deepEqual(misfits(schemas, "orders", framed(2, { id: "1", total: 1, more: "x" })), []);
  assert.equal(misfits(schemas, "orders", framed(2, { id: "1", total: 1, more: 5 })).length, 1);
  assert.equal(misfits(schemas, "orders", framed(1, { id: "1" })).length, 1);
  await open.registry.register("elsewhere-value", { type: "JSON", text: '{"type":"number"}', references: [] });
  assert.equal(misfits(schemas, "orders", framed(3, 5)).length, 1, "the id of another subject");
  assert.equal(misfits(schemas, "orders", framed(77, 5)).length, 1, "an id that there is not");
  const old1 = open.registry.state.versions("orders-value").get(1) as never;
  await open.registry.change((state) => decideDeleteVersion(state, old1, { permanent: false }));
  const [written] = framed(1, { id: "1", total: 1 });
  assert.equal(misfits(schemas, "orders", [written as never]).length, 1, "a version that is deleted");
  assert.equal(schemas.read("orders", written?.value as Buffer).version, 1, "which is still read");
});

const record = { type: "record", name: "Order", fields: [{ name: "id", type: "string" }] };

test("values of Avro come in the wire format only, and are looked into", async () => {
  await using open = await openRegistry();
  const schemas = await guard(open, topic("orders", { schema: { avro: record } }));
  const good = Buffer.concat([Buffer.from([2]), Buffer.from("7")]);
  assert.deepEqual(misfits(schemas, "orders", records(encodeWire(1, good))), []);
  assert.equal(misfits(schemas, "orders", records(encodeWire(1, good.subarray(0, 1)))).length, 1);
  const [told] = misfits(schemas, "orders", records({ id: "7" }));
  assert.match(told?.problems[0]?.message ?? "", /wire format/);
  assert.deepEqual(schemas.read("orders", encodeWire(1, good)), { value: { id: "7" }, version: 1 });
});

test("values of Protobuf come in the wire format only, and are looked into", async () => {
  await using open = await openRegistry();
  const protobuf = 'syntax = "proto3";\nmessage Order { string id = 1; int32 count = 2; }\n';
  const schemas = await guard(open, topic("orders", { schema: { protobuf } }));
  const message = Buffer.from([0x0a, 1, 0x37, 0x10, 5]);
  const framed = (bytes: Buffer) => records(encodeWire(1, Buffer.concat([Buffer.from([0]), bytes])));
  assert.deepEqual(misfits(schemas, "orders", framed(message)), []);
  assert.equal(misfits(schemas, "orders", framed(message.subarray(0, 2))).length, 1);
  assert.equal(misfits(schemas, "orders", records({ id: "7" })).length, 1);
  assert.deepEqual(schemas.read("orders", framed(message)[0]?.value as Buffer), {
    value: { id: "7", count: 5 },
    version: 1,
  });
});

describe("a topic whose keys have a schema", () => {
  const value = Buffer.from("1");
  const keys = (...all: (string | Buffer | null)[]) =>
    all.map((key) => ({ key: typeof key === "string" ? Buffer.from(key) : key, value }));
  const faults = (schemas: TopicSchemas, ...all: (string | Buffer | null)[]) =>
    misfits(schemas, "orders", keys(...all)).map(({ index, problems }) => [index, problems[0]?.path]);

  test("takes texts and JSON that fit, and refuses the rest, and records without a key", async () => {
    await using open = await openRegistry();
    const texts = await guard(open, topic("orders", { keySchema: z.string().min(2) }));
    assert.deepEqual(faults(texts, "ab", "42", '"ab"', "a", null, Buffer.from([0xff])), [
      [3, "key"],
      [4, "key"],
      [5, "key"],
    ]);
    const objects = await guard(
      open,
      topic("orders", { keySchema: z.object({ id: z.number() }), compatibility: "none" }),
    );
    assert.deepEqual(faults(objects, '{"id":1}', '{"id":"1"}', "x"), [
      [1, "key/id"],
      [2, "key"],
    ]);
    assert.match(objects.misfitOf("orders", { key: null, value }) ?? "", /there is no key/);
    assert.equal(objects.misfitOf("orders", { key: Buffer.from('{"id":1}'), value }), null);
    assert.deepEqual([...open.registry.state.versions("orders-key").keys()], [1, 2]);
    assert.equal(open.registry.state.versions("orders-value").size, 0);
  });

  test("takes Avro by the id of a version of its own subject only, also in batches", async () => {
    await using open = await openRegistry();
    const schemas = await guard(open, topic("orders", { schema: { avro: '"int"' }, keySchema: { avro: '"long"' } }));
    const id = (subject: string) => open.registry.state.versions(subject).get(1)?.id ?? 0;
    const number = Buffer.from([2]);
    const good = { key: encodeWire(id("orders-key"), number), value: encodeWire(id("orders-value"), number) };
    assert.deepEqual(
      misfits(schemas, "orders", [good, { ...good, key: good.value }, { ...good, key: number }]).length,
      2,
    );
    const builder = new BatchBuilder();
    builder.add(good.key, good.value, 0);
    schemas.checkBatch("orders", builder.finish());
    builder.add(good.value, good.value, 0);
    assert.throws(() => schemas.checkBatch("orders", builder.finish()), hasCode("SCHEMA_MISMATCH"));
  });

  test("refuses a definition's own key that does not fit before anything is sent to the database", async () => {
    const orders = topic("orders", { key: "id", keySchema: z.string().min(2) });
    const via = { query: () => assert.fail("nothing is sent") } as never;
    await assert.rejects(orders.publish({ id: "a" }, { via }), hasCode("SCHEMA_MISMATCH"));
    await assert.rejects(orders.publish({}, { via }), /the key does not fit topic "orders"/);
    await assert.rejects(orders.publish({ id: "ab" }, { via, key: null }), hasCode("SCHEMA_MISMATCH"));
  });
});

describe("batches of clients", () => {
  test("are looked into, compressed or not, and each record that does not fit is named", async () => {
    await using open = await openRegistry();
    const schemas = await guard(open, topic("orders", { schema: libraries.zod }));
    for (const attributes of [0, codec.gzip, codec.zstd, codec.lz4, codec.snappy]) {
      const builder = new BatchBuilder();
      for (const total of [1, -1, 2, -2]) builder.add(null, Buffer.from(JSON.stringify({ id: "1", total })), 0);
      assert.throws(
        () => schemas.checkBatch("orders", builder.finish(attributes)),
        (error: never) => {
          const { code, details } = error as { code: string; details: { events: { index: number }[] } };
          assert.equal(code, "SCHEMA_MISMATCH");
          assert.deepEqual(
            details.events.map(({ index }) => index),
            [1, 3],
          );
          return true;
        },
      );
      builder.add(null, Buffer.from('{"id":"1","total":1}'), 0);
      schemas.checkBatch("orders", builder.finish(attributes));
    }
  });

  test("of whatever bytes are refused with a code of the log, or of the schema", async () => {
    await using open = await openRegistry();
    const schemas = await guard(open, topic("orders", { schema: libraries.zod }));
    const good = encodeBatch([{ key: null, value: Buffer.from('{"id":"1","total":1}') }], 0);
    const codes = new Set(["BATCH_CORRUPT", "RECORD_INVALID", "RECORD_TOO_LARGE", "SCHEMA_MISMATCH"]);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }), (changes) => {
        const batch = Buffer.from(good);
        for (const [at, value] of changes) batch[at] = value;
        try {
          schemas.checkBatch("orders", batch);
        } catch (error) {
          assert.ok(codes.has((error as { code: string }).code), String(error));
        }
      }),
    );
  });
});

test("whatever bytes a value has, a check answers, and refuses or takes it for good reason", async () => {
  await using open = await openRegistry();
  const schemas = await guard(
    open,
    topic("json", { schema: libraries.zod }) as AnyTopicDefinition,
    topic("avro", { schema: { avro: record } }) as AnyTopicDefinition,
  );
  const ids = fc.constantFrom(1, 2, 3, 0, 2 ** 31 - 1);
  const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array));
  const framed = fc.tuple(ids, bytes).map(([id, payload]) => encodeWire(id, payload));
  fc.assert(
    fc.property(fc.constantFrom("json", "avro"), fc.oneof(bytes, framed), (name, value) => {
      const told = misfits(schemas, name, [{ value }]);
      if (told.length === 0) assert.doesNotThrow(() => schemas.read(name, value));
    }),
  );
});

test("a schema that fails, or promises, is a value that does not fit", async () => {
  await using open = await openRegistry();
  const strange = (validate: (value: unknown) => never) => ({
    "~standard": {
      version: 1 as const,
      vendor: "test",
      validate: (value: unknown) => (value === undefined ? { value } : validate(value)),
    },
  });
  const fails = strange(() => {
    throw new Error("oh");
  });
  const promises = strange(() => Promise.reject(new Error("late")) as never);
  const schemas = await guard(
    open,
    topic("fails", { schema: fails as never }) as AnyTopicDefinition,
    topic("promises", { schema: promises as never }) as AnyTopicDefinition,
  );
  assert.match(misfits(schemas, "fails", records(1))[0]?.problems[0]?.message ?? "", /oh/);
  assert.match(misfits(schemas, "promises", records(1))[0]?.problems[0]?.message ?? "", /promises/);
});

describe("reading", () => {
  const v1 = z.object({ name: z.string() });
  const v2 = z.object({ first: z.string(), last: z.string() });
  const v3 = v2.extend({ full: z.string().default("none") });

  test("translates a value of an old version, step by step, to the definition's own", async () => {
    await using open = await openRegistry();
    await guard(open, topic("people", { schema: v1 }));
    const split = ({ name }: { name: string }) => ({ first: name.split(" ")[0], last: name.split(" ")[1] });
    await guard(open, topic("people", { schema: v2, upcast: { 1: split as never } }));
    const schemas = await guard(open, topic("people", { schema: v3, upcast: { 1: split as never } }));
    const old = Buffer.from('{"name":"Ada Lovelace"}');
    assert.deepEqual(schemas.read("people", old), {
      value: { first: "Ada", last: "Lovelace", full: "none" },
      version: 1,
    });
    assert.deepEqual(schemas.read("people", encodeWire(1, old)).value, {
      first: "Ada",
      last: "Lovelace",
      full: "none",
    });
    const own = Buffer.from('{"first":"Ada","last":"L","full":"Ada L"}');
    assert.deepEqual(schemas.read("people", own), { value: JSON.parse(own.toString()), version: 3 });
    assert.throws(() => schemas.read("people", Buffer.from('{"nothing":1}')), hasCode("SCHEMA_MISMATCH"));
    assert.throws(() => schemas.read("people", Buffer.from("{")), hasCode("SCHEMA_MISMATCH"));
    assert.throws(() => schemas.read("others", own), hasCode("TOPIC_UNKNOWN"));
  });

  test("a translation that fails is told, and stops nothing", async () => {
    await using open = await openRegistry();
    await guard(open, topic("people", { schema: v1 }));
    const fail = () => {
      throw new Error("no surname");
    };
    const schemas = await guard(open, topic("people", { schema: v2, upcast: { 1: fail } }));
    assert.throws(() => schemas.read("people", Buffer.from('{"name":"Ada"}')), /no surname/);
  });
});
