/** Which views are published to which topics, and what of that could not live together. Pure. */
import { MillraceError } from "../base/errors.ts";
import type { TopicSettings } from "../engine/engine.ts";
import { checkPublishable } from "./define/publish-option.ts";
import { topic as defineTopic } from "./define/topic.ts";
import type { AnyTopicDefinition, SourceDefinition, ViewDefinition, WebhookDefinition } from "./definitions.ts";

export interface Publication {
  readonly view: string;
  /** That the view is in; absent in `main`. */
  readonly group?: string;
  readonly topic: string;
  /** What the topic's definition says of it, and that it is compacted and durable. */
  readonly settings: Partial<TopicSettings>;
}

interface Others {
  readonly sources: readonly SourceDefinition[];
  readonly webhooks: readonly WebhookDefinition[];
  /** Those that the module exports. */
  readonly topics: readonly AnyTopicDefinition[];
}

/**
 * The publications, and the definitions of all topics: those that are published to are compacted, and are among them where
 * only a view names them. Throws `PUBLISH_TOPIC_TAKEN`,
 * `PUBLISH_TOPIC_NOT_COMPACTED`, `DEFINITION_INVALID` and `DEFINITION_DUPLICATE`.
 */
export function publicationsOf(
  views: readonly ViewDefinition[],
  others: Others,
): { readonly published: readonly Publication[]; readonly topics: readonly AnyTopicDefinition[] } {
  const topics = new Map(others.topics.map((definition) => [definition.name, definition]));
  const byTopic = new Map<string, Publication>();
  for (const { name: view, publish, group } of views) {
    if (!publish) continue;
    const { topic, definition } = publish;
    const exported = topics.get(topic);
    if (definition && exported && exported !== definition) {
      throw new MillraceError("DEFINITION_DUPLICATE", `view "${view}" is published to another topic "${topic}"`, {
        hint: "The module exports a topic of this name: publish to that one, or give one of them another name.",
        details: { view, topic },
      });
    }
    refuseWriters(view, topic, others);
    const first = byTopic.get(topic);
    if (first) throw publishTaken(view, topic, `view "${first.view}"`);
    const said = definition ?? exported;
    if (said) checkPublishable(view, said);
    const compacted = compactedTopic(topic, said);
    topics.set(topic, compacted);
    byTopic.set(topic, { view, ...(group === undefined ? {} : { group }), topic, settings: compacted.settings });
  }
  return { published: [...byTopic.values()], topics: [...topics.values()] };
}

/** A topic that lost what its publisher's progress says that it has would never get it again: its records are durable. */
function compactedTopic(name: string, said: AnyTopicDefinition | null | undefined): AnyTopicDefinition {
  const kept = { cleanup: "compact", durability: "fsync" } as const;
  if (!said) return defineTopic(name, kept);
  return Object.freeze({ ...said, settings: Object.freeze({ ...said.settings, ...kept }) });
}

function refuseWriters(view: string, topic: string, { sources, webhooks }: Others): void {
  const source = sources.find(({ name, tables }) => {
    return topic.startsWith(`${name}.`) || tables.some((table) => table.topic === topic);
  });
  if (source) throw publishTaken(view, topic, `source "${source.name}"`);
  if (webhooks.some(({ name }) => name === topic)) throw publishTaken(view, topic, `webhook "${topic}"`);
}

export function publishTaken(view: string, topic: string, owner: string): MillraceError {
  return new MillraceError("PUBLISH_TOPIC_TAKEN", `view "${view}" is published to topic "${topic}" of ${owner}`, {
    hint: "Give it a topic of its own: only one writer can know what a compacted topic has to hold.",
    details: { view, topic },
  });
}

/** Of a view that turned out to have no key. */
export function publishKeyMissing(view: string, topic: string): MillraceError {
  return new MillraceError(
    "PUBLISH_KEY_MISSING",
    `view "${view}" has no key, so that topic "${topic}" cannot have a record for each of its rows`,
    {
      hint: "Show the columns that tell its rows apart: primary keys of what it reads, or what it groups by.",
      details: { view, topic },
    },
  );
}

/**
 * The error of each view that reads, by way of topics, what it is published to; by name. `topicsRead` answers the topics
 * that a view reads itself or through other views.
 */
export function publishCycles(
  views: readonly ViewDefinition[],
  topicsRead: (view: ViewDefinition) => readonly string[],
): ReadonlyMap<string, MillraceError> {
  const publishers = new Map(views.flatMap((view) => (view.publish ? [[view.publish.topic, view] as const] : [])));
  const errors = new Map<string, MillraceError>();
  for (const view of publishers.values()) {
    const circle = circleFrom(view, publishers, topicsRead);
    if (circle) errors.set(view.name, cycleError(view, circle));
  }
  return errors;
}

/** The views from the one that this one reads to itself again; null where it is in no circle. */
function circleFrom(
  start: ViewDefinition,
  publishers: ReadonlyMap<string, ViewDefinition>,
  topicsRead: (view: ViewDefinition) => readonly string[],
): readonly ViewDefinition[] | null {
  const seen = new Set<ViewDefinition>();
  const walk = (view: ViewDefinition, path: readonly ViewDefinition[]): readonly ViewDefinition[] | null => {
    for (const topic of topicsRead(view)) {
      const next = publishers.get(topic);
      if (next === start) return [...path, next];
      if (next === undefined || seen.has(next)) continue;
      seen.add(next);
      const found = walk(next, [...path, next]);
      if (found) return found;
    }
    return null;
  };
  return walk(start, []);
}

function cycleError({ name }: ViewDefinition, circle: readonly ViewDefinition[]): MillraceError {
  const steps = circle.map((view) => `topic "${view.publish?.topic}" of view "${view.name}"`);
  return new MillraceError(
    "PUBLISH_CYCLE",
    `view "${name}" is published in a circle: it reads ${steps.join(", which reads ")}`,
    {
      hint: "Let one of them read what the others are made of, instead of their topic.",
      details: { view: name, topics: circle.map((view) => view.publish?.topic) },
    },
  );
}
