/** How long does one small Produce take, alone on its connection? */
import { systemClock } from "../../src/base/clock.ts";
import { produce } from "../../src/kafka/apis/produce.ts";
import { decodeResponseFrame, encodeRequestFrame } from "../../src/kafka/frames.ts";
import { type Benchmark, type BenchmarkSize, type Progress, percentile } from "../harness.ts";
import { randomBatch } from "../log/support/batches.ts";
import { alternate, outcomeOf } from "./support/alternation.ts";
import { BareClient } from "./support/bare-client.ts";
import { expectRecords, makeTopic } from "./support/topics.ts";

const sizes = { full: { rounds: 5, requests: 2_000 }, tiny: { rounds: 0, requests: 10 } } as const;
const recordBytes = 1024;
const version = 9;

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, requests } = sizes[size];
  const records = randomBatch(1, recordBytes);
  const alternated = await alternate({
    size,
    subjects: ["millrace", "kafka, flush.messages=1", "kafka", "null server"],
    rounds,
    progress,
    async measure(subject, round) {
      await using client = await BareClient.open(subject.port);
      const name = `single-${round}`;
      await makeTopic(client, name);
      const latenciesMs: number[] = [];
      for (let i = 0; i < requests; i++) {
        const topicData = [{ name, partitionData: [{ index: 0, records }] }];
        const frame = encodeRequestFrame(produce, version, i, "bench", { acks: -1, timeoutMs: 10_000, topicData });
        const beganMs = systemClock.monotonicMs();
        const answer = await client.send(frame);
        latenciesMs.push(systemClock.monotonicMs() - beganMs);
        expectAcknowledged(answer);
      }
      await expectRecords(subject, name, requests);
      const p99Ms = percentile(latenciesMs, 0.99);
      return { "one Produce of 1 KB": { value: percentile(latenciesMs, 0.5), unit: "ms p50", details: { p99Ms } } };
    },
  });
  return outcomeOf([alternated], "one Produce of 1 KB, kafka, flush.messages=1");
}

function expectAcknowledged(answer: Buffer): void {
  const { responses } = decodeResponseFrame(produce, version, answer).response;
  const errorCode = responses[0]?.partitionResponses[0]?.errorCode;
  if (errorCode !== 0) throw new Error(`a Produce was answered with error ${errorCode}`);
}

export const benchmark: Benchmark = {
  question: "kafka/round-trip: how long does one Produce take with one in flight?",
  method:
    "Requests of Produce 9 with one record of 1 KB, acks=all, over a bare socket on loopback, each sent when the last one is answered; subjects in turn, medians of the rounds' percentiles, the first round is warm-up",
  notMeasured: "a client's own work, several connections, a network",
  run,
};
