/** How long the log keeps what views over topics are made of. */
import { printDuration, printSize } from "../base/units.ts";
import type { TopicSettings } from "../engine/engine.ts";
import type { Definitions } from "./collect.ts";

/** As it is told, by topic: `30d`, `10GB`. Those whose last record of each key is kept for ever, or all, are not in it. */
export type TopicRetentions = ReadonlyMap<string, string>;

/** What is left out of a definition is as `settingsOf` says that the log has it, and else for ever. */
export function topicRetentions(
  { topics, webhooks }: Pick<Definitions, "topics" | "webhooks">,
  settingsOf: (topic: string) => TopicSettings | undefined = () => undefined,
): TopicRetentions {
  const found = new Map<string, string>();
  for (const { name, settings } of topics) {
    const { cleanup, retentionMs, retentionBytes } = { ...settingsOf(name), ...settings };
    if (cleanup !== "compact") note(name, retentionMs, retentionBytes);
  }
  for (const { name, retentionMs } of webhooks) note(name, retentionMs, null);
  return found;

  function note(name: string, ms: number | null | undefined, bytes: number | null | undefined): void {
    const bounds = [ms && printDuration(ms), bytes && `${printSize(bytes)} in each partition`].filter((one) => one);
    if (bounds.length > 0) found.set(name, bounds.join(", "));
  }
}
