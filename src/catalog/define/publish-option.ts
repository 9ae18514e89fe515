/** The option `publish` of `view(…)`: the compacted topic that the view's rows are written to. */
import { MillraceError } from "../../base/errors.ts";
import { checkDefinedTopic, type TopicDefinition } from "./topic.ts";

/** A topic by its name, or as its definition says: how many partitions, the largest batch, the schema of the values. */
export type PublishInput = string | TopicDefinition<never, unknown>;

export interface Publishing {
  readonly topic: string;
  /** Null where the topic was given by its name. */
  readonly definition: TopicDefinition<never, unknown> | null;
}

/** Throws `DEFINITION_INVALID`, `PUBLISH_TOPIC_NOT_COMPACTED`. */
export function publishOption(view: string, input: PublishInput): Publishing {
  if (typeof input !== "string" && input?.kind !== "topic") {
    throw new MillraceError("DEFINITION_INVALID", `view "${view}": publish is neither a name nor a topic`, {
      hint: `Write publish: "${view}", or publish: topic("${view}", { … }).`,
      details: { view, option: "publish" },
    });
  }
  if (typeof input === "string") {
    checkDefinedTopic(input);
    return Object.freeze({ topic: input, definition: null });
  }
  checkPublishable(view, input);
  return Object.freeze({ topic: input.name, definition: input });
}

/** Rows are JSON, and the topic has the last of each key for ever. Throws as `publishOption` does. */
export function checkPublishable(
  view: string,
  { name, settings, schema, keySchema }: TopicDefinition<never, unknown>,
): void {
  const { cleanup = "compact", durability = "fsync" } = settings;
  if (cleanup !== "compact") throw notCompacted(view, name, cleanup);
  if (durability !== "fsync") {
    throw new MillraceError(
      "DEFINITION_INVALID",
      `view "${view}" is published to topic "${name}", which is not durable`,
      {
        hint: 'Leave durability: "os" out: what a power cut took from the topic would not be published again.',
        details: { view, topic: name },
      },
    );
  }
  const other = [schema, keySchema].find((one) => one?.registered && one.registered.type !== "JSON");
  if (!other) return;
  const type = other.registered?.type;
  throw new MillraceError("DEFINITION_INVALID", `view "${view}" is published as JSON, and topic "${name}" is ${type}`, {
    hint: "Give the topic a JSON Schema, or one of zod, valibot or arktype, or none.",
    details: { view, topic: name },
  });
}

/** The last row of each key must stay for ever, and a tombstone take it away. */
export function notCompacted(view: string, topic: string, cleanup: string): MillraceError {
  return new MillraceError(
    "PUBLISH_TOPIC_NOT_COMPACTED",
    `view "${view}" is published to topic "${topic}", whose cleanup is "${cleanup}"`,
    {
      hint: 'Say cleanup: "compact" of it (and leave retention out), or publish to a topic that is not there yet.',
      details: { view, topic, cleanup },
    },
  );
}
