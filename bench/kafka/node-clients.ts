/** How near do Node.js' own clients come to their ceiling, which is what they reach against a server that does nothing? */
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { runChild } from "../log/support/child.ts";
import { alternate, type Figures, outcomeOf } from "./support/alternation.ts";
import type { NodeClient, NodeClientPhase, NodeClientTask } from "./support/node-client-child.ts";
import type { Subject } from "./support/subjects.ts";
import { expectRecords, prepareTopic, topicOf } from "./support/topics.ts";

const recordBytes = 1024;
const recordsPerBatch = 100;
const inFlight = 4;
const sizes = {
  full: { rounds: 5, warmUpBatches: 200, batches: 1_000 },
  tiny: { rounds: 0, warmUpBatches: 0, batches: 10 },
} as const;
const clients: readonly NodeClient[] = ["kafkajs", "@platformatic/kafka"];
const child = new URL("support/node-client-child.ts", import.meta.url);
const million = 1_000_000;

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, warmUpBatches, batches } = sizes[size];
  const alternated = await alternate({
    size,
    subjects: ["millrace", "kafka", "null server"],
    rounds,
    progress,
    options: { recordBytes, recordsPerBatch },
    async measure(subject, round) {
      const figures: Record<string, Figures> = {};
      for (const client of clients) {
        const records = (warmUpBatches + batches) * recordsPerBatch;
        const topic = topicOf(client.replace(/\W/g, ""), round, records);
        const task = { client, bootstrap: subject.bootstrap, topic, recordBytes, recordsPerBatch, inFlight };
        const { produced, consumed } = await runClient(subject, { ...task, warmUpBatches, batches });
        figures[`${client} produces`] = produced;
        figures[`${client} consumes`] = consumed;
      }
      return figures;
    },
  });
  return outcomeOf([alternated], "kafkajs produces, null server");
}

async function runClient(
  subject: Subject,
  task: NodeClientTask,
): Promise<{ readonly produced: Figures; readonly consumed: Figures }> {
  await prepareTopic(subject, task.topic);
  await using running = runChild(child, [JSON.stringify(task)]);
  const produced = figuresOf((await running.message()) as NodeClientPhase);
  await expectRecords(subject, task.topic, (task.warmUpBatches + task.batches) * recordsPerBatch);
  const consumed = figuresOf((await running.message()) as NodeClientPhase);
  return { produced, consumed };
}

function figuresOf({ records, seconds, cpuSeconds }: NodeClientPhase): Figures {
  const details = { clientBusy: cpuSeconds / seconds, clientCpuSecondsPerMillion: (cpuSeconds / records) * million };
  return { value: records / seconds, unit: "records/s", details };
}

export const benchmark: Benchmark = {
  question: "kafka/node-clients: how near do clients of Node.js come to their own ceiling?",
  method:
    `kafkajs 2.2.4 and @platformatic/kafka 2.12.1 in a process of their own send batches of ${recordsPerBatch} records of 1 KB with ${inFlight} in flight, acks=all, to one partition, then read it as the one member of a ` +
    "group, without commits. Both phases have a warm-up of their own in each process, which is not timed; offsets and the partition's end are compared with what was sent. The null server acknowledges unread and " +
    "answers the same batch again and again: what is reached against it is the client's ceiling. Subjects in turn, medians of the rounds, the first round is warm-up",
  notMeasured: "joining a group, commits, compression, several partitions, a network",
  run,
};
