/**
 * Makes topics be as their definitions say: created, altered where that can be, their schemas registered. All of it is
 * planned first, so that a definition that is refused leaves everything as it was.
 */
import { MillraceError } from "../base/errors.ts";
import type { TopicDefinition } from "../catalog/define/topic.ts";
import type { TopicSchema } from "../catalog/define/topic-schema.ts";
import type { Engine, TopicInfo, TopicSettings } from "../engine/engine.ts";
import type { CompatibilityLevel } from "../schema/registry/compatibility.ts";
import { decideConfig, incompatible, levelOf } from "./registry-decisions.ts";
import type { SchemaRegistry } from "./schema-registry.ts";
import type { SchemaText, SubjectProblem } from "./schema-texts.ts";
import { subjectOfKeys, subjectOfValues } from "./topic-schemas.ts";

type Definition = TopicDefinition<never, unknown>;

export interface TopicPlan {
  readonly name: string;
  readonly topic: "create" | "alter" | "keep";
  readonly settings: Partial<TopicSettings>;
  /** Of the keys and of the values, those that have a schema which is registered. */
  readonly subjects: readonly SubjectPlan[];
}

interface SubjectPlan {
  readonly subject: string;
  readonly schema: SchemaText;
  /** Null leaves it as it is. */
  readonly level: CompatibilityLevel | null;
  readonly isNew: boolean;
  readonly translated: ReadonlySet<number>;
  readonly exempt: (problem: SubjectProblem) => boolean;
}

/** Throws what `planTopics` throws, and then nothing was written; else what creating, altering and registering throw. */
export async function applyTopics(
  engine: Engine,
  registry: SchemaRegistry,
  definitions: readonly Definition[],
  published: ReadonlySet<string> = new Set(),
): Promise<readonly TopicPlan[]> {
  const plans = planTopics(engine, registry, definitions, published);
  for (const { name, topic, settings, subjects } of plans) {
    if (topic === "create") await engine.createTopic(name, settings);
    if (topic === "alter") await engine.alterTopic(name, settings);
    for (const subject of subjects) await register(registry, subject);
  }
  return plans;
}

/**
 * Topics that a view is `published` to are made and altered by who publishes; their schemas are as those of others.
 * Throws `TOPIC_CHANGE_REFUSED`, `SCHEMA_INCOMPATIBLE`, `SCHEMA_INVALID`, `REGISTRY_READ_ONLY`. Writes nothing.
 */
export function planTopics(
  engine: Pick<Engine, "topic">,
  registry: SchemaRegistry,
  definitions: readonly Definition[],
  published: ReadonlySet<string> = new Set(),
): readonly TopicPlan[] {
  return definitions.map((definition) => {
    const { name, settings } = definition;
    if (published.has(name)) return { name, topic: "keep", settings, subjects: planSubjects(registry, definition) };
    const known = engine.topic(name);
    if (known) assertChangeable(known, settings);
    const topic = known ? (isSo(known, settings) ? "keep" : "alter") : "create";
    return { name, topic, settings, subjects: planSubjects(registry, definition) };
  });
}

function assertChangeable(known: TopicInfo, { partitions }: Partial<TopicSettings>): void {
  const { name, settings, readOnly } = known;
  if (readOnly) {
    throw new MillraceError("TOPIC_CHANGE_REFUSED", `topic "${name}" is written by Millrace, and cannot be defined`, {
      hint: "Give the topic another name: this one is that of a source or of Millrace itself.",
      details: { topic: name },
    });
  }
  if (partitions === undefined || partitions >= settings.partitions) return;
  throw new MillraceError(
    "TOPIC_CHANGE_REFUSED",
    `topic "${name}" has ${settings.partitions} partitions, and its definition wants ${partitions}`,
    {
      hint: `Partitions are only ever added: write partitions: ${settings.partitions}, or take a new topic.`,
      details: { topic: name, partitions: settings.partitions },
    },
  );
}

function isSo({ settings }: TopicInfo, wanted: Partial<TopicSettings>): boolean {
  return (Object.keys(wanted) as (keyof TopicSettings)[]).every((name) => settings[name] === wanted[name]);
}

function planSubjects(registry: SchemaRegistry, definition: Definition): SubjectPlan[] {
  const { name, schema, keySchema, compatibility } = definition;
  const none: ReadonlyMap<number, unknown> = new Map();
  return [
    { subject: subjectOfKeys(name), schema: keySchema, upcast: none },
    { subject: subjectOfValues(name), schema, upcast: definition.upcast },
  ].flatMap(({ subject, schema: one, upcast }) => {
    return one ? planSubject(registry, { name, subject, schema: one, compatibility, upcast }) : [];
  });
}

interface SubjectSchema extends Pick<Definition, "name" | "compatibility"> {
  readonly subject: string;
  readonly schema: TopicSchema;
  readonly upcast: ReadonlyMap<number, unknown>;
}

function planSubject(registry: SchemaRegistry, wanted: SubjectSchema): SubjectPlan[] {
  const { name, subject, schema, compatibility, upcast } = wanted;
  const { registered } = schema;
  if (!registered) return [];
  const text: SchemaText = { type: registered.type, text: registered.text, references: registered.references };
  const candidate = registry.candidate(subject, text, true);
  const translated = new Set(upcast.keys());
  const level = compatibility ?? levelOf(registry.state, subject);
  const exempt = schema.standard ? isStripped : () => false;
  const isNew = registry.find(subject, candidate, { deleted: false }) === undefined;
  const isLevelNew = compatibility !== null && registry.state.config(subject)?.compatibility !== compatibility;
  const problems = isNew ? registry.problems(subject, candidate, level) : [];
  const open = problems.filter((problem) => !exempt(problem) && !translated.has(problem.version));
  if (open.length > 0) throw refusal(name, incompatible(subject, open));
  return [{ subject, schema: text, level: isLevelNew ? compatibility : null, isNew, translated, exempt }];
}

/**
 * What a Standard Schema does not name it takes no notice of, so that an optional member that is named from now on was
 * nobody's before: for an open JSON Schema that would be a change that old data might not fit.
 */
function isStripped({ kind }: SubjectProblem): boolean {
  return kind === "OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL";
}

async function register(registry: SchemaRegistry, plan: SubjectPlan): Promise<void> {
  const { subject, schema, level, isNew, translated, exempt } = plan;
  if (level !== null) {
    await registry.change((state) => decideConfig(state, subject, { compatibility: level }, registry.limits));
  }
  if (isNew) await registry.register(subject, schema, { normalize: true, translated, exempt });
}

function refusal(topic: string, { message, details }: MillraceError): MillraceError {
  const version = Number(details.version);
  return new MillraceError("SCHEMA_INCOMPATIBLE", `topic "${topic}": ${message}`, {
    hint: `Make the change one that old data can be read with (a default, an optional member), translate old values with upcast: { ${version}: (old) => … }, or say compatibility: "none".`,
    details: { ...details, topic },
  });
}
