import { test } from "node:test";
import { kafkaMissing } from "../../tools/kafka-parts.ts";
import { proveWordCount } from "../conformance/kafka/word-count-killed.ts";

test("Kafka Streams counts exactly once through a hundred kills", { skip: kafkaMissing() ?? false }, async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  await proveWordCount({ seed, linesPerSecond: 100, rounds: 25, seconds: 900, say: (line) => t.diagnostic(line) });
});
