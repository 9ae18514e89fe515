/** Kafka's own command line tools: what a person at a terminal gets, without ids, times and ports. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isInternal, type Json } from "../client.ts";
import type { Step, Tour } from "../step.ts";

const tools = {
  topics: "org.apache.kafka.tools.TopicCommand",
  configs: "kafka.admin.ConfigCommand",
  produce: "org.apache.kafka.tools.ConsoleProducer",
  consume: "org.apache.kafka.tools.consumer.ConsoleConsumer",
  groups: "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
  allGroups: "org.apache.kafka.tools.GroupsCommand",
  offsets: "org.apache.kafka.tools.GetOffsetShell",
  deleteRecords: "org.apache.kafka.tools.DeleteRecordsCommand",
  transactions: "org.apache.kafka.tools.TransactionsCommand",
  acls: "org.apache.kafka.tools.AclCommand",
  reassign: "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
  logDirs: "org.apache.kafka.tools.LogDirsCommand",
  features: "org.apache.kafka.tools.FeatureCommand",
  elect: "org.apache.kafka.tools.LeaderElectionCommand",
  versions: "org.apache.kafka.tools.BrokerApiVersionsCommand",
} as const;

type Tool = keyof typeof tools;

interface Run {
  readonly input?: string;
  /** A file's content; `FILE` among the arguments stands for its path. */
  readonly file?: Json;
  /** Lines in any order. */
  readonly sorted?: boolean;
}

interface Said {
  readonly exitCode: number | string;
  readonly out: string;
  readonly err: string;
}

async function say(tour: Tour, tool: Tool, words: string, { input, file, sorted }: Run = {}): Promise<Json> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-tool-"));
  try {
    const path = join(folder, "file.json");
    if (file !== undefined) writeFileSync(path, JSON.stringify(file));
    const args = words
      .split(" ")
      .filter(Boolean)
      .map((word) => (word === "FILE" ? path : word));
    const answer = await tour.ask("tool", { tool: tools[tool], args, ...(input === undefined ? {} : { input }) });
    if (typeof answer !== "object" || answer === null || !("out" in answer)) return answer;
    const { exitCode, out, err } = answer as unknown as Said;
    const lines = [...plain(out), ...plain(err).map((line) => `! ${line}`)];
    return { exitCode, said: sorted ? lines.sort() : lines };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Lines without what differs from run to run: ids, times, ports, widths of columns, stack traces. */
function plain(text: string): string[] {
  return text
    .split("\n")
    .filter(
      (line) =>
        line.trim() !== "" &&
        !isInternal(line) &&
        !/^\s+at |^\s*\.\.\. \d+ more|^Caused by: |^SLF4J|^WARNING: /.test(line),
    )
    .map((line) =>
      line
        .replace(/\b[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}\b/g, "<id>")
        .replace(/(TopicId: )\S+/g, "$1<id>")
        .replace(/\b127\.0\.0\.1:\d+/g, "127.0.0.1:<port>")
        .replace(/\/tmp\/[^\s"',]*/g, "<path>")
        .replace(/\bconsole-consumer-\d+/g, "console-consumer-<n>")
        .replace(/\bEpoch: \d+$/g, "Epoch: <n>")
        .replace(/^\[\d{4}-[^\]]*\] /, "")
        .replace(/\b1[6-9]\d{11}\b/g, "<time>")
        .replace(/\s+/g, " ")
        .trim()
        .replace(/\b\d+ \d+ (Empty|Ongoing|Complete\w+)$/, "<node> <id> $1"),
    );
}

/** Several runs of tools make one step. */
function step(name: string, ...runs: readonly (readonly [tool: Tool, words: string, run?: Run])[]): Step {
  return {
    name,
    run: async (tour) => {
      const answers: Json[] = [];
      for (const [tool, words, run] of runs) answers.push(await say(tour, tool, words, run));
      return answers;
    },
  };
}

const topic = "tools";
const consumeFlags = "--timeout-ms 8000 --formatter-property print.key=true --formatter-property key.separator==";

export const consoleToolSteps: readonly Step[] = [
  step(
    "kafka-topics makes, lists and describes",
    ["topics", `--create --topic ${topic} --partitions 3 --replication-factor 1 --config retention.ms=-1`],
    ["topics", `--create --topic ${topic} --partitions 3`],
    ["topics", `--create --topic ${topic} --if-not-exists`],
    ["topics", "--create --topic in/valid"],
    ["topics", "--create --topic odd --config no.such.setting=1"],
    ["topics", "--create --topic odd --replication-factor 3"],
    ["topics", "--list", { sorted: true }],
    ["topics", `--describe --topic ${topic}`],
    ["topics", "--describe --topic nothing-here"],
    ["topics", "--describe --under-replicated-partitions"],
    ["topics", "--describe --topics-with-overrides --exclude-internal"],
  ),
  step(
    "kafka-topics adds partitions and deletes",
    ["topics", `--alter --topic ${topic} --partitions 4`],
    ["topics", `--alter --topic ${topic} --partitions 2`],
    ["topics", "--alter --topic nothing-here --partitions 2"],
    ["topics", "--create --topic passing"],
    ["topics", "--delete --topic passing"],
    ["topics", "--delete --topic nothing-here"],
  ),
  step(
    "kafka-configs changes and tells settings",
    ["configs", `--entity-type topics --entity-name ${topic} --alter --add-config max.message.bytes=50000`],
    ["configs", `--entity-type topics --entity-name ${topic} --alter --add-config cleanup.policy=[compact,delete]`],
    ["configs", `--entity-type topics --entity-name ${topic} --describe`, { sorted: true }],
    ["configs", `--entity-type topics --entity-name ${topic} --alter --delete-config max.message.bytes`],
    ["configs", `--entity-type topics --entity-name ${topic} --alter --add-config cleanup.policy=delete`],
    ["configs", `--entity-type topics --entity-name ${topic} --alter --add-config retention.ms=soon`],
    ["configs", `--entity-type topics --entity-name ${topic} --alter --add-config no.such.setting=1`],
    ["configs", "--entity-type topics --entity-name nothing-here --describe"],
    ["configs", `--entity-type topics --entity-name ${topic} --describe --all`, { sorted: true }],
  ),
  step(
    "kafka-configs tells a broker's settings",
    ["configs", "--entity-type brokers --entity-name 1 --describe"],
    ["configs", "--entity-type brokers --entity-default --describe"],
  ),
  step(
    "kafka-configs tells users and clients that have quotas",
    ["configs", "--entity-type users --describe"],
    ["configs", "--entity-type clients --describe"],
  ),
  step(
    "kafka-console-producer writes what kafka-console-consumer reads",
    [
      "produce",
      `--topic ${topic} --reader-property parse.key=true --reader-property key.separator==`,
      { input: "a=1\nb=2\nc=3\nd=4\ne=5\na=6\n" },
    ],
    ["consume", `--topic ${topic} --from-beginning --max-messages 6 ${consumeFlags}`, { sorted: true }],
    ["consume", `--topic ${topic} --partition 0 --offset 0 --max-messages 1 ${consumeFlags}`],
    ["consume", `--topic ${topic} --group readers --from-beginning --max-messages 6 ${consumeFlags}`, { sorted: true }],
  ),
  step(
    "kafka-get-offsets tells the ends",
    ["offsets", `--topic ${topic}`],
    ["offsets", `--topic ${topic} --time earliest`],
    ["offsets", `--topic ${topic} --time latest --partitions 0,2`],
    ["offsets", `--topic ${topic} --time 1000000000000`],
    ["offsets", "--topic-partitions nothing-here:0"],
  ),
  step(
    "kafka-consumer-groups lists and describes",
    ["groups", "--list", { sorted: true }],
    ["groups", "--list --state", { sorted: true }],
    ["groups", "--describe --group readers", { sorted: true }],
    ["groups", "--describe --group readers --state"],
    ["groups", "--describe --group readers --members"],
    ["groups", "--describe --group nobody"],
    ["allGroups", "--list", { sorted: true }],
  ),
  step(
    "kafka-consumer-groups sets and deletes offsets, and groups",
    ["groups", `--group readers --topic ${topic} --reset-offsets --to-earliest --dry-run`, { sorted: true }],
    ["groups", `--group readers --topic ${topic}:0 --reset-offsets --shift-by -1 --execute`],
    ["groups", `--group readers --topic ${topic}:1 --reset-offsets --to-offset 0 --execute`],
    ["groups", `--group made --topic ${topic} --reset-offsets --to-latest --execute`, { sorted: true }],
    ["groups", "--group readers --describe --offsets", { sorted: true }],
    ["groups", `--group readers --topic ${topic}:2 --delete-offsets`],
    ["groups", `--group nobody --topic ${topic} --delete-offsets`],
    ["groups", "--group readers --delete"],
    ["groups", "--group nobody --delete"],
    ["groups", "--list", { sorted: true }],
  ),
  step(
    "kafka-delete-records moves the beginning",
    [
      "deleteRecords",
      "--offset-json-file FILE",
      { file: { version: 1, partitions: [{ topic, partition: 0, offset: 1 }] } },
    ],
    [
      "deleteRecords",
      "--offset-json-file FILE",
      { file: { version: 1, partitions: [{ topic, partition: 0, offset: 99 }] } },
    ],
    ["offsets", `--topic ${topic} --time earliest`],
  ),
  step(
    "kafka-transactions lists, describes and finds what hangs",
    ["transactions", "list", { sorted: true }],
    ["transactions", "describe --transactional-id nobody"],
    ["transactions", `describe-producers --topic ${topic} --partition 3`],
    ["transactions", "find-hanging --broker-id 1"],
  ),
  step(
    "kafka-acls is told that nothing is guarded",
    ["acls", "--list"],
    ["acls", `--add --allow-principal User:alice --operation read --topic ${topic}`],
  ),
  step(
    "kafka-reassign-partitions and kafka-leader-election leave one node as it is",
    ["reassign", "--list"],
    ["elect", `--election-type preferred --topic ${topic} --partition 0`],
    ["elect", "--election-type preferred --topic nothing-here --partition 0"],
  ),
  {
    name: "kafka-log-dirs describes the disk",
    run: async (tour) => {
      const told = await say(tour, "logDirs", `--describe --topic-list ${topic}`);
      const { exitCode, said = [] } = Object(told) as { exitCode?: Json; said?: string[] };
      const { version, brokers } = JSON.parse(said.find((line) => line.startsWith("{")) ?? "{}") as {
        version?: number;
        brokers?: {
          logDirs: { error: Json; partitions: { partition: string; size: number; isFuture: boolean }[] }[];
        }[];
      };
      const partitions = brokers?.flatMap(({ logDirs }) => logDirs.flatMap((dir) => dir.partitions)) ?? [];
      return {
        exitCode: exitCode ?? null,
        said: said.filter((line) => !line.startsWith("{")),
        version: version ?? null,
        partitions: partitions.map(({ partition, size, isFuture }) => `${partition} ${size > 0} ${isFuture}`).sort(),
      };
    },
  },
  step("kafka-features describes the levels", ["features", "describe"]),
  {
    name: "kafka-broker-api-versions lists every API and its versions",
    run: async (tour) => {
      const told = await say(tour, "versions", "");
      const { exitCode, said = [] } = Object(told) as { exitCode?: Json; said?: string[] };
      const apis = said.flatMap((line): [string, string][] => {
        const [, name, versions] = /^(\w+)\(\d+\): (.*?),?$/.exec(line) ?? [];
        return name === undefined ? [] : [[name, (versions ?? "").replace(/ \[usable: .*/, "")]];
      });
      return { exitCode: exitCode ?? null, ...Object.fromEntries(apis) };
    },
  },
];
