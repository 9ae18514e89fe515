import { test } from "node:test";
import { kafkaMissing } from "../../tools/kafka-parts.ts";
import { proveWordCount } from "../conformance/kafka/word-count-killed.ts";

test("Kafka Streams counts exactly once for ten minutes of kills", { skip: kafkaMissing() ?? false }, async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  await proveWordCount({ seed, lines: 60_000, seconds: 600, killEveryMs: 8_000, say: (line) => t.diagnostic(line) });
});
