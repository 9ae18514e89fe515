/** The topic of a source: made when it is missing, given what its definition says now, refused when it is somebody else's. */
import { MillraceError } from "../../base/errors.ts";
import type { WebhookDefinition } from "../../catalog/definitions.ts";
import { defaultTopicSettings, type Engine, type TopicInfo, type TopicSettings } from "../../engine/engine.ts";

/** For the headers, the id and the key beside the body. */
const besideBodyBytes = 64 * 1024;

/** Throws `TOPIC_EXISTS` for a topic that others write, or with another count of partitions; and what the log throws. */
export async function openHookTopic(engine: Engine, definition: WebhookDefinition): Promise<TopicInfo> {
  const wanted = settingsOf(definition);
  const known = engine.topic(definition.name);
  if (!known) return await engine.createTopic(definition.name, wanted, { readOnly: true });
  const refusal = refusalOf(known, definition);
  if (refusal) throw refusal;
  const { retentionMs, batchBytesMax } = known.settings;
  // What is kept may be larger than what is taken now.
  const batchBytes = Math.max(batchBytesMax, wanted.batchBytesMax);
  if (retentionMs === wanted.retentionMs && batchBytesMax === batchBytes) return known;
  return await engine.alterTopic(definition.name, { retentionMs: wanted.retentionMs, batchBytesMax: batchBytes });
}

function settingsOf({ partitions, retentionMs, bodyBytesMax }: WebhookDefinition) {
  const batchBytesMax = Math.max(defaultTopicSettings.batchBytesMax, bodyBytesMax + besideBodyBytes);
  return { partitions, retentionMs, batchBytesMax } satisfies Partial<TopicSettings>;
}

function refusalOf({ readOnly, settings }: TopicInfo, definition: WebhookDefinition): MillraceError | undefined {
  const { name, partitions } = definition;
  if (!readOnly) {
    return new MillraceError("TOPIC_EXISTS", `topic "${name}" is there already, and others may write to it`, {
      hint: "Give the webhook another name, or delete the topic.",
      details: { topic: name },
    });
  }
  if (settings.partitions === partitions) return undefined;
  return new MillraceError("TOPIC_EXISTS", `topic "${name}" has ${settings.partitions} partitions, not ${partitions}`, {
    hint: `Write partitions: ${settings.partitions}. The count is final: events of a key keep their order by it.`,
    details: { topic: name, partitions: settings.partitions },
  });
}
