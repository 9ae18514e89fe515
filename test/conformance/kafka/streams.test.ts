import { test } from "node:test";
import { kafkaMissing } from "../../../tools/kafka-parts.ts";
import { proveWordCount } from "./word-count-killed.ts";

test("Kafka Streams counts every word exactly once while it and the broker are killed, as it does on Kafka", {
  skip: kafkaMissing() ?? false,
}, async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const seconds = process.env.MILLRACE_SOAK === "1" ? 20 : 10;
  await proveWordCount({ seed, linesPerSecond: 100, rounds: 2, seconds, say: (line) => t.diagnostic(line) });
});
