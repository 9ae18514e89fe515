/** The benchmarks of the Kafka door run tiny, with whatever this machine has of Kafka and of its clients. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Benchmark, type BenchmarkReport, runBenchmark } from "../../bench/harness.ts";
import { benchmark as consume } from "../../bench/kafka/consume.ts";
import { benchmark as footprint } from "../../bench/kafka/footprint.ts";
import { benchmark as nodeClients } from "../../bench/kafka/node-clients.ts";
import { benchmark as produce } from "../../bench/kafka/produce.ts";
import { benchmark as start } from "../../bench/kafka/start.ts";
import { javaMissing, kcatMissing } from "../../bench/kafka/support/clients.ts";
import { kafkaMissing } from "../support/kafka.ts";

process.env.MILLRACE_BENCH_KAFKA = "1";
/** They take minutes; the benchmarks that need no Kafka run tiny with the other tests. */
const short = process.env.MILLRACE_SOAK === "1" ? undefined : "skipped: the long form only (npm run test:soak)";
const hasKafka = kafkaMissing() === undefined;
const kcatIsMissing = kcatMissing() === undefined ? false : "skipped: no kcat is here";

test("librdkafka and Java produce to our broker, to Kafka and to a server that does nothing, and nothing is lost", {
  skip: short ?? (javaMissing() === undefined ? false : kcatIsMissing),
}, async () => {
  const report = await runTiny(produce);
  const clients = Number(kcatMissing() === undefined) + Number(javaMissing() === undefined);
  assert.equal(report.results.length, clients * (hasKafka ? 4 : 2));
});

test("librdkafka and Java read all that was produced, from each of them", {
  skip: short ?? kcatIsMissing,
}, async () => {
  const report = await runTiny(consume);
  assert.equal(report.results.length, (javaMissing() === undefined ? 3 : 2) * (hasKafka ? 3 : 2));
});

test("the clients of Node.js produce and read against each of them, and are compared with their own ceiling", {
  skip: short ?? false,
}, async () => {
  const report = await runTiny(nodeClients);
  assert.equal(report.results.length, 4 * (hasKafka ? 3 : 2));
  assert.ok(report.ratio !== null && report.ratio > 0);
});

test("the memory and the processor of both brokers are measured", { skip: short ?? false }, async () => {
  const report = await runTiny(footprint);
  assert.equal(report.results.length, (kcatMissing() === undefined ? 9 : 6) * (hasKafka ? 2 : 1));
});

test("both brokers acknowledge a record after each kind of start", { skip: short ?? false }, async () => {
  const report = await runTiny(start);
  assert.equal(report.results.length, 3 * (hasKafka ? 2 : 1));
});

/** What is not here is told, and all else has a figure. */
async function runTiny(benchmark: Benchmark): Promise<BenchmarkReport> {
  const report = await runBenchmark(benchmark, "tiny");
  for (const { name, value } of report.results) assert.ok(value >= 0, `${name}: ${value}`);
  assert.equal(report.notes?.some((note) => /^kafka/.test(note)) ?? false, !hasKafka);
  return report;
}
