/** How long the log keeps what views over topics are made of. */
import { printDuration, printSize } from "../base/units.ts";
import type { TopicSettings } from "../engine/engine.ts";
import type { Definitions } from "./collect.ts";

export interface TopicRetention {
  /** As it is told: `30d`, `10GB in each partition`. */
  readonly told: string;
  /**
   * What the log has of younger records says all that a view can see of them; null where it does not: what goes by size has any
   * age, and a watermark is made of the records before one.
   */
  readonly youngerMs: number | null;
}

/** By topic. Those whose last record of each key is kept for ever, or all, are not in it. */
export type TopicRetentions = ReadonlyMap<string, TopicRetention>;

/** What is left out of a definition is as `settingsOf` says that the log has it, and else for ever. */
export function topicRetentions(
  { topics, webhooks }: Pick<Definitions, "topics" | "webhooks">,
  settingsOf: (topic: string) => TopicSettings | undefined = () => undefined,
): TopicRetentions {
  const found = new Map<string, TopicRetention>();
  for (const { name, settings, watermark } of topics) {
    const { cleanup, retentionMs, retentionBytes } = { ...settingsOf(name), ...settings };
    if (cleanup !== "compact") note(name, retentionMs, retentionBytes, watermark === undefined);
  }
  for (const { name, retentionMs } of webhooks) note(name, retentionMs, null, true);
  return found;

  function note(
    name: string,
    ms: number | null | undefined,
    bytes: number | null | undefined,
    eachForItself: boolean,
  ): void {
    const bounds = [ms && printDuration(ms), bytes && `${printSize(bytes)} in each partition`].filter((one) => one);
    const youngerMs = eachForItself && !bytes && ms ? ms : null;
    if (bounds.length > 0) found.set(name, { told: bounds.join(", "), youngerMs });
  }
}
