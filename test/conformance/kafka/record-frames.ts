/**
 * Records what a real Kafka answers to the scenario, and the messages of Kafka's own classes, for tests that have no Kafka:
 * run by hand when the scenario, an API or Kafka's version changes (docs/guide/development.md).
 */
import { systemClock } from "../../../src/base/clock.ts";
import { DoorClient } from "../../../src/broker/door.fixture.ts";
import { initProducerId } from "../../../src/kafka/apis/init-producer-id.ts";
import { kafkaVersion } from "../../../tools/kafka-parts.ts";
import { kafkaMissing, startKafka } from "../../support/kafka.ts";
import { recordJavaMessages } from "./wire/java-messages.ts";
import { writeRecording } from "./wire/recording.ts";
import { scenario } from "./wire/scenario.ts";
import { runScript } from "./wire/script.ts";

const missing = kafkaMissing();
if (missing !== undefined) {
  console.error(`record-frames: ${missing}`);
  process.exit(3);
}
await using kafka = await startKafka({
  listeners: { SASL: "SASL_PLAINTEXT" },
  users: { alice: "secret" },
  properties: {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "log.retention.ms": "-1",
  },
});
const clients: DoorClient[] = [];
// Kafka's first producer id is 0, which also stands for none.
const first = await DoorClient.connect(Number(kafka.bootstrap.split(":")[1]));
const anyProducer = { transactionalId: null, transactionTimeoutMs: 60_000 };
while ((await first.ask(initProducerId, 4, anyProducer)).errorCode !== 0) await systemClock.sleep(25);
first.close();
const exchanges = await runScript(scenario, async (connection) => {
  const bootstrap = connection.startsWith("sasl") ? kafka.bootstrapOf("SASL") : kafka.bootstrap;
  const client = await DoorClient.connect(Number(bootstrap.split(":")[1]));
  clients.push(client);
  return client;
});
for (const client of clients) client.close();
writeRecording(kafkaVersion, exchanges);
const messageCount = recordJavaMessages();
console.log(`record-frames: ${exchanges.length} exchanges, ${messageCount} messages`);
