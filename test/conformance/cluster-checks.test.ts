/** What `doctor` says of Kafka clusters that are well, and of some that are not. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { parseBrokerAddresses } from "../../src/engine/cluster/broker-address.ts";
import { checkCluster } from "../../src/engine/cluster/cluster-checks.ts";
import { openClusterEngine } from "../../src/engine/cluster/cluster-engine.ts";
import { kafkaMissing, startKafka } from "../support/kafka.ts";

const optionsOf = (bootstrap: string) => ({
  brokers: parseBrokerAddresses(bootstrap, "brokers"),
  clock: systemClock,
  random: systemRandom,
  diagnostics: silentDiagnostics,
});

const statesOf = async (bootstrap: string) => {
  const checks = await checkCluster(optionsOf(bootstrap));
  return Object.fromEntries(checks.map(({ what, state }) => [what.replace("Kafka ", ""), state]));
};

describe("looking at a Kafka cluster", { skip: kafkaMissing() ?? false }, () => {
  test("three brokers with copies are well, with Millrace's topics on them", async () => {
    await using kafka = await startKafka({ nodes: 3, heapMegabytes: 400 });
    const engine = await openClusterEngine(optionsOf(kafka.bootstrap));
    await engine.createTopic("t");
    await engine.close();
    const allWell = { brokers: "ok", transactions: "ok", copies: "ok", elections: "ok", topics: "ok" };
    assert.deepEqual(await statesOf(kafka.bootstrap), allWell);
  });

  test("one broker is warned of, and transactions that can tear and careless elections fail", async () => {
    const properties = { "unclean.leader.election.enable": "true" };
    await using kafka = await startKafka({ features: { "transaction.version": 1 }, properties });
    assert.deepEqual(await statesOf(kafka.bootstrap), {
      brokers: "ok",
      transactions: "failed",
      copies: "warning",
      elections: "failed",
      topics: "ok",
    });
  });
});
