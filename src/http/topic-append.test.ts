import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import { partitionOfKey } from "../records/murmur2.ts";
import { hasCode } from "./door-fixture.ts";
import type { EventInput } from "./event-input.ts";
import { planAppend, TopicAppender } from "./topic-append.ts";

function event(key: string | null, bytes = 10, partition?: number): EventInput {
  return { key: key === null ? null : Buffer.from(key), value: Buffer.alloc(bytes, 0x61), partition };
}

async function openTopic(settings: { partitions: number; batchBytesMax?: number }) {
  const random = seededRandom(1);
  const disk = new SimulatedDisk(random);
  const clock = systemClock;
  const engine = await openEmbeddedEngine({ disk, directory: "/log", clock, random, diagnostics: silentDiagnostics });
  return { engine, topic: await engine.createTopic("wide", settings) };
}

const place = { nowMs: 1_000, keylessPartition: 2 };

test("a key decides the partition as Kafka's partitioner does, a named partition wins, the rest go to one", async () => {
  const { engine, topic } = await openTopic({ partitions: 4 });
  const planned = planAppend(topic, [event("a"), event("a", 10, 3), event(null), event(null)], place);
  const counts = new Map(planned.map(({ partition, batch }) => [partition, batch.readInt32BE(57)]));
  assert.deepEqual(
    counts,
    new Map([
      [partitionOfKey(Buffer.from("a"), 4), 1],
      [3, 1],
      [2, 2],
    ]),
  );
  assert.throws(() => planAppend(topic, [event("a", 10, 4)], place), hasCode("PARTITION_UNKNOWN"));
  await engine.close();
});

test("batches stay below the topic's limit", async () => {
  const { engine, topic } = await openTopic({ partitions: 1, batchBytesMax: 2_048 });
  const planned = planAppend(
    topic,
    Array.from({ length: 50 }, () => event("a", 300)),
    place,
  );
  assert.ok(planned.length >= 8);
  for (const { batch } of planned) assert.ok(batch.length <= 2_048);
  assert.throws(() => planAppend(topic, [event("a", 2_048)], place), hasCode("RECORD_TOO_LARGE"));
  await engine.close();
});

test("many appends at once take turns with a few producers, and each is whole", async () => {
  const { engine, topic } = await openTopic({ partitions: 2 });
  const appender = new TopicAppender(engine);
  const both = () => planAppend(topic, [event(null, 10, 0), event(null, 10, 1)], place);
  const results = await Promise.all(Array.from({ length: 20 }, () => appender.append("wide", both())));
  for (const partition of [0, 1]) {
    const offsets = results.map((result) => result[partition]?.baseOffset);
    assert.equal(new Set(offsets).size, 20);
    const { lastStable, highWatermark } = engine.offsets("wide", partition);
    assert.equal(lastStable, highWatermark);
  }
  await engine.close();
});
