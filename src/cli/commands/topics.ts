import type { List, TopicAnswer } from "../answers.ts";
import { segment } from "../answers.ts";
import { apiOf, type CommandModule, printJson } from "../command.ts";
import { printFacts } from "../facts.ts";
import { printBytes, printCount } from "../quantity.ts";
import { printTable } from "../table.ts";

export const topicsCommand: CommandModule = (program, context) => {
  const { terminal } = context;
  const topics = program.command("topics").description("topics of the log: list, show");
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
      const topic = answer as TopicAnswer;
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
    });
};

/** What Millrace keeps for itself is seldom what is looked for. */
function internalLast(topics: readonly TopicAnswer[]): TopicAnswer[] {
  const internal = ({ name }: TopicAnswer): boolean => name.startsWith("_");
  return [...topics.filter((topic) => !internal(topic)), ...topics.filter(internal)];
}
