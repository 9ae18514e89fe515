import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as z from "zod";
import { topic } from "../catalog/define/topic.ts";
import type { AnyTopicDefinition } from "../catalog/definitions.ts";
import { applyTopics } from "./apply-topics.ts";
import { type OpenRegistry, openRegistry } from "./registry.fixture.ts";
import { schemasTopicName } from "./registry-records.ts";

const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;
const apply = ({ engine, registry }: OpenRegistry, ...definitions: AnyTopicDefinition[]) =>
  applyTopics(engine, registry, definitions);
const versions = ({ registry }: OpenRegistry, name: string) => registry.state.versions(`${name}-value`).size;

describe("topics by definition", () => {
  test("are created with what the definition says, and left alone when they are so", async () => {
    await using open = await openRegistry();
    const clicks = topic("clicks", { partitions: 3, retention: "7d", retentionSize: "1GB", cleanup: "compact,delete" });
    assert.deepEqual(
      (await apply(open, clicks)).map((plan) => plan.topic),
      ["create"],
    );
    const settings = open.engine.topic("clicks")?.settings;
    assert.equal(settings?.partitions, 3);
    assert.equal(settings?.retentionMs, 7 * 86_400_000);
    assert.equal(settings?.retentionBytes, 1024 ** 3);
    assert.equal(settings?.cleanup, "compact,delete");
    assert.deepEqual(
      (await apply(open, clicks)).map((plan) => plan.topic),
      ["keep"],
    );
  });

  test("are altered in what the definition names, and in nothing else", async () => {
    await using open = await openRegistry();
    await open.engine.createTopic("clicks", { partitions: 2, retentionMs: 5, batchBytesMax: 2_048 });
    await apply(open, topic("clicks", { partitions: 4, retention: "forever" }));
    const settings = open.engine.topic("clicks")?.settings;
    assert.deepEqual([settings?.partitions, settings?.retentionMs, settings?.batchBytesMax], [4, null, 2_048]);
  });

  test("with fewer partitions than there are, or of a source, are refused before anything is written", async () => {
    await using open = await openRegistry();
    await open.engine.createTopic("clicks", { partitions: 4 });
    await open.engine.createTopic("shop.public.orders", {}, { readOnly: true });
    const other = topic("other", { schema: z.object({ a: z.string() }) });
    for (const bad of [topic("clicks", { partitions: 2 }), topic("shop.public.orders")]) {
      await assert.rejects(apply(open, other, bad), hasCode("TOPIC_CHANGE_REFUSED"));
    }
    assert.equal(open.engine.topic("other"), undefined);
    assert.equal(versions(open, "other"), 0);
  });
});

describe("schemas of topics", () => {
  const v1 = z.object({ id: z.string() });

  test("that old data cannot be read with are refused before anything is written, with path, kind and the way out", async () => {
    await using open = await openRegistry();
    await apply(open, topic("orders", { schema: v1 }));
    const before = open.engine.offsets(schemasTopicName, 0).highWatermark;
    const other = topic("other", { partitions: 2 });
    const changed = topic("orders", { schema: z.object({ id: z.number() }), partitions: 3 });
    await assert.rejects(apply(open, other, changed), (error: never) => {
      const { code, message, hint, details } = error as {
        code: string;
        message: string;
        hint: string;
        details: { problems: { path: string; kind: string; version: number }[] };
      };
      assert.equal(code, "SCHEMA_INCOMPATIBLE");
      assert.match(message, /topic "orders"/);
      assert.match(message, /TYPE_CHANGED/);
      assert.match(hint, /upcast: \{ 1:/);
      assert.match(details.problems[0]?.path ?? "", /properties\/id/);
      return true;
    });
    assert.equal(open.engine.offsets(schemasTopicName, 0).highWatermark, before);
    assert.equal(open.engine.topic("other"), undefined);
    assert.equal(open.engine.topic("orders")?.settings.partitions, 1);
  });

  test("may gain an optional member, and not a required one", async () => {
    await using open = await openRegistry();
    await apply(open, topic("orders", { schema: v1 }));
    await apply(open, topic("orders", { schema: v1.extend({ note: z.string().optional() }) }));
    await apply(
      open,
      topic("orders", { schema: v1.extend({ note: z.string().optional(), n: z.number().default(1) }) }),
    );
    assert.equal(versions(open, "orders"), 3);
    const required = topic("orders", { schema: v1.extend({ more: z.string() }) });
    await assert.rejects(apply(open, required), hasCode("SCHEMA_INCOMPATIBLE"));
  });

  test("that something translates to are taken", async () => {
    await using open = await openRegistry();
    await apply(open, topic("orders", { schema: v1 }));
    const schema = z.object({ id: z.number() });
    const wrong = topic("orders", { schema, upcast: { 2: (old: unknown) => old } });
    await assert.rejects(apply(open, wrong), hasCode("SCHEMA_INCOMPATIBLE"));
    await apply(open, topic("orders", { schema, upcast: { 1: ({ id }: { id: string }) => ({ id: Number(id) }) } }));
    assert.equal(versions(open, "orders"), 2);
  });

  test("are compared as the definition says, and the registry keeps that", async () => {
    await using open = await openRegistry();
    await apply(open, topic("orders", { schema: v1 }));
    await apply(open, topic("orders", { schema: z.object({ id: z.number() }), compatibility: "none" }));
    assert.equal(versions(open, "orders"), 2);
    assert.equal(open.registry.state.config("orders-value")?.compatibility, "NONE");
  });

  test("that cannot be printed are validated and not registered", async () => {
    await using open = await openRegistry();
    const schema = { "~standard": { version: 1 as const, vendor: "own", validate: (value: unknown) => ({ value }) } };
    await apply(open, topic("orders", { schema }));
    assert.equal(versions(open, "orders"), 0);
    assert.ok(open.engine.topic("orders"));
  });
});
