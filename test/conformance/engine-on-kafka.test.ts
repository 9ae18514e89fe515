/** The engine's port on a real Kafka: the suite that the embedded engine passes. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { parseBrokerAddresses } from "../../src/engine/cluster/broker-address.ts";
import { openClusterEngine } from "../../src/engine/cluster/cluster-engine.ts";
import type { EngineFixture } from "../../src/engine/engine.fixture.ts";
import { nowMs } from "../../src/engine/engine.fixture.ts";
import { engineSuite } from "../../src/engine/engine.suite.ts";
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

  test("as many tests run on a cluster as did before", () => {
    assert.ok(count >= testsMin, `${count} tests, not ${testsMin}`);
  });
}
