import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { VirtualClock } from "../base/virtual-clock.ts";
import { topic } from "../catalog/define/topic.ts";
import type { EmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import { produce } from "../kafka/apis/produce.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import { applyTopics } from "../registry/apply-topics.ts";
import { SchemaRegistry } from "../registry/schema-registry.ts";
import { TopicSchemas } from "../registry/topic-schemas.ts";
import { batchOf, openDoor } from "./door.fixture.ts";

const orders = topic("orders", { schema: z.object({ id: z.string() }) });

async function schemasOf(engine: EmbeddedEngine): Promise<TopicSchemas> {
  const registry = await SchemaRegistry.open({ engine, clock: new VirtualClock() });
  await applyTopics(engine, registry, [orders]);
  await engine.createTopic("free");
  await registry.close();
  const schemas = new TopicSchemas({ registry, engine });
  schemas.set([orders]);
  return schemas;
}

test("Produce to a topic with a schema refuses a batch whose records do not fit, and names them (KIP-467)", async () => {
  await using open = await openDoor({}, {}, {}, {}, schemasOf);
  const client = await open.client();
  const send = async (name: string, ...values: string[]) => {
    const topicData = [{ name, partitionData: [{ index: 0, records: batchOf(...values) }] }];
    const { responses } = await client.ask(produce, 9, {
      acks: -1,
      timeoutMs: 1_000,
      transactionalId: null,
      topicData,
    });
    const answer = responses[0]?.partitionResponses[0];
    assert.ok(answer);
    return answer;
  };
  const refused = await send("orders", '{"id":"1"}', '{"id":2}', "{");
  assert.equal(refused.errorCode, kafkaErrors.INVALID_RECORD);
  assert.match(refused.errorMessage ?? "", /record 1 does not fit topic "orders"/);
  assert.deepEqual(
    refused.recordErrors.map(({ batchIndex }) => batchIndex),
    [1, 2],
  );
  assert.match(refused.recordErrors[0]?.batchIndexErrorMessage ?? "", /^\/id: /);
  assert.equal(open.engine.offsets("orders", 0).highWatermark, 0, "nothing of it was written");
  assert.equal((await send("orders", '{"id":"1"}')).errorCode, 0);
  assert.equal((await send("free", "{")).errorCode, 0);
});
