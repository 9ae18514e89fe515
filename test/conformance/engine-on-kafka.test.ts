/** The engine's port on a real Kafka: the suite that the embedded engine passes. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { silentMetrics } from "../../src/base/metrics.ts";
import { seededRandom, systemRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { parseBrokerAddresses } from "../../src/engine/cluster/broker-address.ts";
import { openClusterEngine } from "../../src/engine/cluster/cluster-engine.ts";
import type { EngineFixture } from "../../src/engine/engine.fixture.ts";
import { batchOf, nowMs, withCode } from "../../src/engine/engine.fixture.ts";
import { engineSuite } from "../../src/engine/engine.suite.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { IdempotentAppends } from "../../src/http/idempotent-appends.ts";
import { ProgressTable } from "../../src/ownership/progress-table.ts";
import { namespaced } from "../support/engine-namespace.ts";
import { type Kafka, kafkaMissing, startKafka } from "../support/kafka.ts";

const missing = kafkaMissing();
let kafka: Kafka;
let opened = 0;

async function open(): Promise<EngineFixture> {
  const prefix = `suite-${++opened}.`;
  const openOne = async () => {
    const options = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
    return namespaced(
      await openClusterEngine({ ...options, brokers: parseBrokerAddresses(kafka.bootstrap, "kafka") }),
      prefix,
    );
  };
  let engine = await openOne();
  return {
    engine,
    clock: new VirtualClock(nowMs),
    async reopen() {
      await engine.close();
      engine = await openOne();
      return engine;
    },
    dispose: () => engine.close(),
  };
}

/** How many there were when this was written: none is to be lost by oversight. */
const testsMin = 87;

if (missing !== undefined) test("the engine's port on a Kafka cluster", { skip: missing });
else {
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka[Symbol.asyncDispose]());

  const count = engineSuite("on a Kafka cluster", open, {
    "virtual time": "a broker has a clock of its own",
    "exact bytes": "a broker's segments have a megabyte at least, and what is retired goes from its disk later",
    "plain batches": "batches get a producer of the process, so that none is doubled when an answer is lost",
    "every epoch": "a coordinator passes over an epoch when it fences a holder, and marks an end with the next one",
    "late repetitions": "a coordinator takes a late repetition for the holder's own",
    "late answers": "a broker looks first whether the partition is in the transaction",
    "first sequences": "a broker takes any sequence of a producer that the partition does not know",
    "batches without a sequence": "a broker takes none",
    "ids of its own": "a coordinator knows no difference",
    "latest of what is kept": "a broker remembers the latest time of what was deleted",
  });

  test("requests with an idempotency key are appended once, and answered the same after a start", async () => {
    const fixture = await open();
    await fixture.engine.createTopic("t", { partitions: 2 });
    const disk = new SimulatedDisk(seededRandom(1));
    const plan = () => [0, 1].map((partition) => ({ partition, batch: batchOf("a") }));
    const request = { topic: "t", topicId: fixture.engine.topic("t")?.id ?? "", key: "k", fingerprint: "f", plan };
    const openAppends = async (engine: Engine) => {
      const tools = { engine, disk, clock: systemClock, diagnostics: silentDiagnostics, metrics: silentMetrics };
      const progress = await ProgressTable.open(tools);
      return new IdempotentAppends({ ...tools, progress, directory: "/ids", windowMs: 3_600_000 });
    };
    const first = await openAppends(fixture.engine);
    const { places, replayed } = await first.append(request);
    assert.deepEqual([places.length, replayed], [2, false]);
    assert.deepEqual(await first.append(request), { places, replayed: true });
    // Nothing of it is closed.
    const second = await openAppends(await fixture.reopen());
    assert.deepEqual(await second.append(request), { places, replayed: true });
    await assert.rejects(second.append({ ...request, fingerprint: "g" }), withCode("IDEMPOTENCY_KEY_REUSED"));
    await second.close();
    await fixture.dispose();
  });

  test("as many tests run on a cluster as did before", () => {
    assert.ok(count >= testsMin, `${count} tests, not ${testsMin}`);
  });
}
