import { test } from "node:test";

test("@confluentinc/kafka-javascript and node-rdkafka on Kafka and on Millrace", {
  skip: "skipped: their binaries come by install scripts, which the project does not run; kcat and confluent-kafka take the tour with the same librdkafka",
});
