import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { topic } from "../catalog/define/topic.ts";
import { applyTopics } from "../registry/apply-topics.ts";
import { openRegistry } from "../registry/registry.fixture.ts";
import { TopicSchemas } from "../registry/topic-schemas.ts";
import { ask, openTestDoor } from "./door-fixture.ts";

/** Of every problem document, and what this one has of its own: `recordErrors` are for those who speak Kafka. */
const problemMembers = ["action", "code", "detail", "events", "hint", "status", "title", "topic", "type"];

const orders = topic("orders", { schema: z.object({ id: z.string() }), partitions: 2 });

test("an append to a topic with a schema is refused whole, with the path and the reason for each event", async () => {
  await using open = await openRegistry();
  const { engine, registry } = open;
  await applyTopics(engine, registry, [orders]);
  const schemas = new TopicSchemas({ registry, engine });
  schemas.set([orders]);
  const door = await openTestDoor({ engine, registry, schemas });
  const send = (body: string, type = "application/json") =>
    ask(door, "/v1/topics/orders", { method: "POST", headers: { "content-type": type }, body });
  try {
    const refused = await send('[{"value":{"id":"1"}},{"value":{"id":2}},{"value":null}]');
    assert.equal(refused.status, 422);
    const problem = refused.json() as {
      code: string;
      topic: string;
      events: { index: number; problems: { path: string; message: string }[] }[];
    };
    assert.equal(problem.code, "SCHEMA_MISMATCH");
    assert.deepEqual(Object.keys(problem).sort(), problemMembers);
    assert.deepEqual(
      problem.events.map(({ index, problems }) => [index, problems[0]?.path]),
      [
        [1, "/id"],
        [2, ""],
      ],
    );
    assert.equal((await send("not json", "application/octet-stream")).status, 422);
    assert.equal((await send('{"value":{"id":5}}\n', "application/x-ndjson")).status, 422);
    for (const partition of [0, 1]) assert.equal(engine.offsets("orders", partition).highWatermark, 0);
    assert.equal((await send('[{"value":{"id":"1"}},{"value":{"id":"2"}}]')).status, 200);
    assert.equal((await send('{"id":"3"}', "application/octet-stream")).status, 200);
  } finally {
    await door.close();
  }
});
