/** The engine comes into a Kafka cluster by every way in that it knows, and says who refused it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { authority, serverCertificate, serverKey } from "../../src/broker/certificates.fixture.ts";
import { parseBrokerAddresses } from "../../src/engine/cluster/broker-address.ts";
import { type ClusterEngineOptions, openClusterEngine } from "../../src/engine/cluster/cluster-engine.ts";
import { batchOf, valuesOf, withCode } from "../../src/engine/engine.fixture.ts";
import { type Kafka, kafkaMissing, startKafka } from "../support/kafka.ts";

const mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const;

describe("logging in to a Kafka cluster", { skip: kafkaMissing() ?? false }, () => {
  let kafka: Kafka;

  before(async () => {
    kafka = await startKafka({
      listeners: { SASL: "SASL_PLAINTEXT", TLS: "SSL", BOTH: "SASL_SSL" },
      users: { alice: "secret" },
      certificate: { key: serverKey, chain: serverCertificate },
    });
  });
  after(() => kafka[Symbol.asyncDispose]());

  const open = (listener: string, more: Partial<ClusterEngineOptions>) => {
    const brokers = parseBrokerAddresses(kafka.bootstrapOf(listener), "brokers");
    const tools = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
    return openClusterEngine({ ...tools, brokers, ...more });
  };

  const works = async (listener: string, more: Partial<ClusterEngineOptions>) => {
    const engine = await open(listener, more);
    await engine.createTopic(listener);
    await engine.append({ topic: listener, partition: 0, batch: batchOf("a") });
    assert.ok((await valuesOf(engine, listener)).includes("a"));
    await engine.close();
  };

  const tls = { ca: authority, servername: "localhost" };

  for (const mechanism of mechanisms) {
    test(`with a password by ${mechanism}`, async () => {
      await works("SASL", { sasl: { mechanism, username: "alice", password: "secret" } });
      const wrong = open("SASL", { sasl: { mechanism, username: "alice", password: "guessed" } });
      await assert.rejects(wrong, withCode("CLUSTER_REFUSED"));
      const nobody = open("SASL", { sasl: { mechanism, username: "mallory", password: "secret" } });
      await assert.rejects(nobody, withCode("CLUSTER_REFUSED"));
    });
  }

  test("inside of TLS, where the authority is the one that signed", async () => {
    await works("TLS", { tls });
    await assert.rejects(open("TLS", { tls: { servername: "localhost" } }), withCode("CLUSTER_REFUSED"));
    await assert.rejects(open("TLS", { tls: { ca: authority, servername: "other" } }), withCode("CLUSTER_REFUSED"));
    await works("BOTH", { tls, sasl: { mechanism: "SCRAM-SHA-512", username: "alice", password: "secret" } });
  });
});
