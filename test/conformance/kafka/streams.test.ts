import { test } from "node:test";
import { kafkaMissing } from "../../../tools/kafka-parts.ts";
import { proveWordCount } from "./word-count-killed.ts";

test("Kafka Streams counts every word exactly once while it and the broker are killed, as it does on Kafka", {
  skip: kafkaMissing() ?? false,
}, async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  await proveWordCount({ seed, linesPerSecond: 100, rounds: 2, seconds: 20, say: (line) => t.diagnostic(line) });
});
