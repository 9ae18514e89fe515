/** The registry where the log is a real Kafka: the same, and its owners fence each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { parseBrokerAddresses } from "../../../src/engine/cluster/broker-address.ts";
import { openClusterEngine } from "../../../src/engine/cluster/cluster-engine.ts";
import { avro } from "../../../src/registry/registry.fixture.ts";
import { SchemaRegistry } from "../../../src/registry/schema-registry.ts";
import { kafkaMissing, startKafka } from "../../support/kafka.ts";

const tools = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };

test("two processes on one Kafka register by turns, see each other's schemas, and find them after a restart", {
  skip: kafkaMissing() ?? false,
}, async () => {
  await using kafka = await startKafka();
  const brokers = parseBrokerAddresses(kafka.bootstrap, "kafka");
  const open = async () => {
    const engine = await openClusterEngine({ ...tools, brokers });
    return { engine, registry: await SchemaRegistry.open({ ...tools, engine }) };
  };
  const both = [await open(), await open()] as const;
  const close = async () => {
    for (const { engine, registry } of both) {
      await registry.close();
      await engine.close();
    }
  };
  try {
    const ids: number[] = [];
    for (let i = 0; i < 6; i++) {
      const { registry } = both[i % 2] as (typeof both)[0];
      ids.push((await registry.register("orders", avro(...Array.from({ length: i + 1 }, (_, n) => `f${n}?`)))).id);
    }
    assert.deepEqual(ids, [1, 2, 3, 4, 5, 6]);
    await assert.rejects(both[0].registry.register("orders", avro("other")), /incompatible/);
    for (const { registry } of both) {
      await registry.readToEnd();
      assert.deepEqual([...registry.state.versions("orders").keys()], [1, 2, 3, 4, 5, 6]);
    }
  } finally {
    await close();
  }
  const again = await open();
  try {
    assert.equal((await again.registry.register("more", avro("more"))).id, 7);
    assert.equal(again.registry.parsed(3)?.type, "AVRO");
  } finally {
    await again.registry.close();
    await again.engine.close();
  }
});
