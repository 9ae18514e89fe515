/** Topics as the definitions want them before anything reads or writes them. */
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Definitions } from "../catalog/collect.ts";
import type { Engine } from "../engine/engine.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import { applyTopics } from "../registry/apply-topics.ts";
import type { SchemaRegistry } from "../registry/schema-registry.ts";
import { loadParser } from "../views/compile.ts";
import { publishCirclesAmong } from "../views/graph.ts";
import { makeTopics, releaseTopic, topicsPublished } from "./published-topic.ts";

export interface TopicTools {
  readonly engine: Engine;
  readonly registry: SchemaRegistry;
  readonly progress: ProgressTable;
  readonly diagnostics: Diagnostics;
}

/**
 * Hands back the topics that nothing is published to any more, makes and alters those that are defined, registers their
 * schemas, and makes those that are to be published to. Throws `PUBLISH_CYCLE` before anything is written, and what `applyTopics`
 * and the log throw.
 */
export async function prepareTopics(
  { engine, registry, progress, diagnostics }: TopicTools,
  { views, topics, published }: Pick<Definitions, "views" | "topics" | "published">,
): Promise<void> {
  await loadParser();
  for (const circle of publishCirclesAmong(views).values()) throw circle;
  const names = new Set(published.map(({ topic }) => topic));
  await progress.readToEnd();
  for (const topic of topicsPublished(progress)) {
    if (names.has(topic)) continue;
    await releaseTopic(engine, progress, topic);
    diagnostics.info("nothing is published to the topic any more; anybody may write to it", { topic });
  }
  await applyTopics(engine, registry, topics, names);
  await makeTopics(engine, progress, published);
}
