import type { Command } from "commander";
import { MillraceError } from "../../base/errors.ts";
import type { List, TopicAnswer } from "../answers.ts";
import { segment } from "../answers.ts";
import { apiOf, type CommandModule, printJson } from "../command.ts";
import { printFacts } from "../facts.ts";
import { printBytes, printCount } from "../quantity.ts";
import { printTable } from "../table.ts";
import type { Terminal } from "../terminal.ts";

/** Names are those of the door's settings, written as options: `retentionSize` is `--retention-size`. The door checks them. */
interface SettingOptions {
  readonly json?: true;
  readonly [setting: string]: unknown;
}

export const topicsCommand: CommandModule = (program, context) => {
  const { terminal } = context;
  const topics = program.command("topics").description("topics of the log: list, show, create, alter");
  topics
    .command("list")
    .description("all topics with how much they hold")
    .option("--json", "as JSON")
    .action(async ({ json }: { json?: true }) => {
      const answer = await apiOf(context).get("/v1/topics");
      if (json) return printJson(terminal, answer);
      const rows = internalLast((answer as List<TopicAnswer>).items).map((topic) => {
        const events = topic.partitions.reduce((sum, { logStart, lastStable }) => sum + lastStable - logStart, 0);
        const size = printBytes(topic.sizeBytes);
        return [
          topic.name,
          String(topic.partitions.length),
          printCount(events),
          size,
          topic.readOnly ? "Millrace" : "anyone",
        ];
      });
      printTable(
        terminal,
        [
          { title: "topic" },
          { title: "partitions", align: "right" },
          { title: "offsets", align: "right" },
          { title: "size", align: "right" },
          { title: "written by" },
        ],
        rows,
      );
    });
  topics
    .command("show <topic>")
    .description("one topic: its settings and the offsets of its partitions")
    .option("--json", "as JSON")
    .action(async (name: string, { json }: { json?: true }) => {
      const answer = await apiOf(context).get(`/v1/topics/${segment(name)}`);
      if (json) return printJson(terminal, answer);
      printTopic(terminal, answer as TopicAnswer);
    });
  withSettings(
    topics
      .command("create <topic>")
      .description("create a topic; the same settings again answer the topic that is there")
      .addHelpText(
        "after",
        "\nExamples:\n  $ millrace topics create clicks --partitions 4 --retention 7d\n  $ millrace topics create latest --cleanup compact --tombstone-retention 2d",
      ),
  ).action(async (name: string, { json, ...settings }: SettingOptions) => {
    const answer = await apiOf(context).put(`/v1/topics/${segment(name)}`, settings);
    if (json) return printJson(terminal, answer);
    printTopic(terminal, answer as TopicAnswer);
  });
  withSettings(
    topics
      .command("alter <topic>")
      .description("change the settings that are given; partitions are only ever added")
      .addHelpText(
        "after",
        "\nRecords stay where they are when partitions are added: a key may lead to another partition from then on.\n\nExamples:\n  $ millrace topics alter clicks --retention 30d --retention-size 100GB\n  $ millrace topics alter clicks --partitions 8",
      ),
  ).action(async (name: string, { json, ...settings }: SettingOptions) => {
    if (Object.keys(settings).length === 0) {
      throw new MillraceError("REQUEST_INVALID", `what is to change of topic ${name} is not given`, {
        hint: "Try millrace topics alter --help.",
      });
    }
    const answer = await apiOf(context).patch(`/v1/topics/${segment(name)}`, settings);
    if (json) return printJson(terminal, answer);
    printTopic(terminal, answer as TopicAnswer);
  });
};

function withSettings(command: Command): Command {
  return command
    .option("--partitions <count>", "how many", numberOrText)
    .option("--retention <duration>", "how long records are kept: 7d, or forever")
    .option("--retention-size <size>", "how much a partition keeps: 10GB, or unlimited")
    .option("--cleanup <how>", "delete, compact, or compact,delete")
    .option("--max-batch <size>", "the largest record batch")
    .option("--segment <size>", "the largest segment")
    .option("--segment-age <duration>", "a segment is closed when its first record is this old")
    .option("--durability <how>", "fsync, or os: answered when written, which a power cut can lose")
    .option(
      "--dirty-ratio <ratio>",
      "the share not yet compacted at which a partition is compacted: 0 to 1",
      numberOrText,
    )
    .option("--tombstone-retention <duration>", "how long a tombstone stays once compaction has met it")
    .option("--compaction-lag <duration>", "younger records are not compacted")
    .option("--compaction-lag-max <duration>", "older records are compacted whatever the ratio; or unlimited")
    .option("--json", "as JSON");
}

/** What is no number is left for the door to refuse, which says what it takes. */
function numberOrText(text: string): number | string {
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

function printTopic(terminal: Terminal, topic: TopicAnswer): void {
  printFacts(terminal, {
    topic: topic.name,
    id: topic.id,
    created: topic.createdAt,
    "written by": topic.readOnly ? "Millrace only" : "anyone",
    size: printBytes(topic.sizeBytes),
    ...Object.fromEntries(Object.entries(topic.settings).map(([key, value]) => [key, String(value)])),
  });
  terminal.print("");
  printTable(
    terminal,
    ["partition", "from", "to (committed)", "to"].map((title) => ({ title, align: "right" as const })),
    topic.partitions.map((one) => [one.partition, one.logStart, one.lastStable, one.highWatermark].map(String)),
  );
}

/** What Millrace keeps for itself is seldom what is looked for. */
function internalLast(topics: readonly TopicAnswer[]): TopicAnswer[] {
  const internal = ({ name }: TopicAnswer): boolean => name.startsWith("_");
  return [...topics.filter((topic) => !internal(topic)), ...topics.filter(internal)];
}
