/** What Millrace calls its things in a source's database and in the log. */
import { createHash } from "node:crypto";
import { MillraceError } from "../base/errors.ts";
import type { PostgresDefinition, TableDefinition } from "../catalog/definitions.ts";

/** PostgreSQL cuts names at 63 bytes; the longest that we add is 26. */
const sourceNameLength = 36;

/** Of the slot and of the publication: one log, one name, so that two programs on one database do not take each other's. */
export function slotName(source: string, logId: string): string {
  const name =
    source.length <= sourceNameLength
      ? source
      : `${source.slice(0, sourceNameLength - 9)}_${createHash("sha256").update(source).digest("hex").slice(0, 8)}`;
  return `millrace_${name}_${logId.replaceAll("-", "").slice(0, 8)}`;
}

/** Of the publication for tables that are append-only. */
export function appendOnlyPublication(slot: string): string {
  return `${slot}_append`;
}

/** Debezium's: source, schema and table, with what a topic's name cannot have as `_`. */
export function topicName(source: string, table: TableDefinition): string {
  return (table.topic ?? `${source}.${table.schema}.${table.table}`).replace(/[^A-Za-z0-9._-]/g, "_").slice(0, 249);
}

export function transactionTopic(source: string): string {
  return `${source}.transaction`;
}

/** What `pg_logical_emit_message` wrote; Debezium's name. */
export function messageTopic(source: string): string {
  return `${source}.message`;
}

/** Rows that could not be read or keyed. */
export function rejectedTopic(source: string): string {
  return `${source}.rejected`;
}

/** Topics of a source that are of no table. */
export function ownTopics(source: string): string[] {
  return [transactionTopic(source), rejectedTopic(source), messageTopic(source)];
}

/** Throws `SOURCE_TOPIC_COLLISION`. */
export function refuseTopicCollision(definition: PostgresDefinition): void {
  const taken = new Map<string, string>([
    [transactionTopic(definition.name), "the transactions"],
    [rejectedTopic(definition.name), "the rows set aside"],
    [messageTopic(definition.name), "the logical messages"],
  ]);
  for (const table of definition.tables) {
    const topic = topicName(definition.name, table);
    const other = taken.get(topic);
    const named = `table "${table.schema}.${table.table}"`;
    if (other !== undefined) {
      throw new MillraceError(
        "SOURCE_TOPIC_COLLISION",
        `source "${definition.name}": ${named} and ${other} would both be written to topic "${topic}"`,
        {
          hint: `Give one of them a topic: { name: "${table.schema}.${table.table}", topic: "another.name" }.`,
          details: { source: definition.name, topic },
        },
      );
    }
    taken.set(topic, named);
  }
}
