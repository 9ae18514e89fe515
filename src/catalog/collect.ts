/** Gathers the definitions that a module exports, and refuses what could not live together. */
import { MillraceError } from "../base/errors.ts";
import { lateView } from "./define/window-option.ts";
import type {
  AnyTopicDefinition,
  Definition,
  GroupDefinition,
  SourceDefinition,
  ViewDefinition,
  WebhookDefinition,
} from "./definitions.ts";
import { mainGroup, mirrorName } from "./definitions.ts";
import { type Publication, publicationsOf } from "./publishing.ts";

export interface Definitions {
  readonly sources: readonly SourceDefinition[];
  readonly webhooks: readonly WebhookDefinition[];
  readonly views: readonly ViewDefinition[];
  /** Those beside `main`. */
  readonly groups: readonly GroupDefinition[];
  /** Those that only a view is published to are among them. */
  readonly topics: readonly AnyTopicDefinition[];
  readonly published: readonly Publication[];
}

/**
 * Exports that are definitions, or arrays of them, each once; other exports are the module's own affair. A source that
 * only a view refers to is not collected: `arrange` says so.
 */
export function collectDefinitions(namespace: Readonly<Record<string, unknown>>): Definition[] {
  const found = new Set<Definition>();
  for (const value of Object.values(namespace)) {
    for (const candidate of Array.isArray(value) ? value : [value]) {
      if (isDefinition(candidate)) found.add(candidate);
    }
  }
  return [...found];
}

/** Sorts definitions by noun. Throws `DEFINITION_DUPLICATE`, `DEFINITION_INVALID`, `VIEW_GROUP_UNKNOWN`, `SOURCE_TOPIC_COLLISION`, and what `publicationsOf` throws. */
export function arrange(definitions: readonly Definition[]): Definitions {
  const sources = unique(
    "source",
    definitions.filter((one) => one.kind === "source"),
  );
  const webhooks = unique(
    "webhook",
    definitions.filter((one) => one.kind === "webhook"),
  );
  const views = unique(
    "view",
    definitions.filter((one) => one.kind === "view"),
  );
  const topics = unique(
    "topic",
    definitions.filter((one) => one.kind === "topic"),
  );
  const groups = unique(
    "group",
    definitions.filter((one) => one.kind === "group"),
  );
  refuseSharedStore(groups);
  for (const view of views) refuseGroupless(view, groups);
  for (const view of views) refuseUnexported(view, { sources, webhooks, views, topics });
  for (const source of sources) refuseTwins(source);
  for (const { name } of topics) refuseForeign(name, sources);
  for (const { name } of webhooks) refuseTaken(name, sources, topics);
  const kept = [...views, ...views.flatMap(lateView)];
  return { sources, webhooks, views: kept, groups, ...publicationsOf(views, { sources, webhooks, topics }) };
}

function isDefinition(value: unknown): value is Definition {
  return (
    typeof value === "object" &&
    value !== null &&
    "kind" in value &&
    ((value.kind === "source" && "type" in value) ||
      (value.kind === "webhook" && "verify" in value) ||
      (value.kind === "topic" && "keyOf" in value) ||
      (value.kind === "group" && "store" in value) ||
      (value.kind === "view" && "sql" in value))
  );
}

/** The addresses may hold passwords, and are not shown. */
function refuseSharedStore(groups: readonly GroupDefinition[]): void {
  const byStore = Object.values(Object.groupBy(groups, ({ store }) => store ?? ""));
  const shared = byStore.find((all) => all !== undefined && all.length > 1 && all[0]?.store !== null);
  if (!shared) return;
  throw new MillraceError(
    "DEFINITION_INVALID",
    `groups ${shared.map(({ name }) => `"${name}"`).join(" and ")} have one store`,
    {
      hint: "Give each a database of its own; they may be in one server.",
    },
  );
}

function refuseGroupless({ name, group }: ViewDefinition, groups: readonly GroupDefinition[]): void {
  if (group === undefined || groups.some((one) => one.name === group)) return;
  throw new MillraceError(
    "VIEW_GROUP_UNKNOWN",
    `view "${name}" is in group "${group}", which the module does not export`,
    {
      hint: `Write \`export const ${group} = group("${group}")\`. There are ${[mainGroup, ...groups.map((one) => one.name)].join(", ")}.`,
      details: { view: name, group },
    },
  );
}

/** A view may read what the module defines, and the topics that its views are published to. */
function refuseUnexported(
  { name, sql }: ViewDefinition,
  { sources, webhooks, views, topics }: Omit<Definitions, "published" | "groups">,
): void {
  const topicNames = [...topics.map((topic) => topic.name), ...views.flatMap(({ publish }) => publish?.topic ?? [])];
  for (const { to } of sql.references) {
    if (to.kind === "table" && !sources.some((source) => source.name === to.source)) {
      throw unexported(name, `source "${to.source}"`, `export const ${to.source} = postgres("${to.source}", …)`);
    }
    if (to.kind === "topic" && !topicNames.includes(to.name)) {
      throw unexported(name, `topic "${to.name}"`, `export const events = topic("${to.name}", …)`);
    }
    if (to.kind === "webhook" && !webhooks.some((one) => one.name === to.name)) {
      throw unexported(name, `webhook "${to.name}"`, `export const ${to.name} = webhook("${to.name}", …)`);
    }
  }
}

function unexported(view: string, what: string, statement: string): MillraceError {
  return new MillraceError("DEFINITION_INVALID", `view "${view}" reads ${what}, which the module does not export`, {
    hint: `Write \`${statement}\`.`,
  });
}

function unique<T extends Definition>(noun: string, definitions: readonly T[]): readonly T[] {
  const names = new Set<string>();
  for (const { name } of definitions) {
    if (names.has(name)) {
      throw new MillraceError("DEFINITION_DUPLICATE", `two ${noun}s are called "${name}"`, {
        hint: `Give one of them another name: ${noun} names are unique in a module.`,
        details: { name },
      });
    }
    names.add(name);
  }
  return definitions;
}

/** What a source writes nobody else does, also before the source has made its topics. */
function refuseForeign(topic: string, sources: readonly SourceDefinition[]): void {
  const owner = sources.find(({ name, tables }) => {
    return topic.startsWith(`${name}.`) || tables.some((table) => table.topic === topic);
  });
  if (!owner) return;
  throw new MillraceError("DEFINITION_INVALID", `topic "${topic}" has the name of a topic of source "${owner.name}"`, {
    hint: `Give it one that does not begin with "${owner.name}.".`,
  });
}

/** A webhook is a source among the others, and its topic is called as it is. */
function refuseTaken(name: string, sources: readonly SourceDefinition[], topics: readonly AnyTopicDefinition[]): void {
  const other = sources.some((source) => source.name === name)
    ? "source"
    : topics.some((topic) => topic.name === name)
      ? "topic"
      : undefined;
  if (other !== undefined) {
    throw new MillraceError("DEFINITION_DUPLICATE", `a webhook and a ${other} are called "${name}"`, {
      hint: "Give one of them another name: a webhook is a source, and its topic is called as it is.",
      details: { name },
    });
  }
  const table = sources.flatMap(({ tables }) => tables).find(({ topic }) => topic === name);
  if (!table) return;
  throw new MillraceError("SOURCE_TOPIC_COLLISION", `table "${table.table}" and webhook "${name}" have one topic`, {
    hint: "Give the webhook another name, or the table another topic.",
  });
}

function refuseTwins(source: SourceDefinition): void {
  const seen = new Set<string>();
  for (const { schema, table } of source.tables) {
    const name = mirrorName(schema, table);
    if (seen.has(name)) {
      throw new MillraceError("DEFINITION_DUPLICATE", `source "${source.name}" names table "${schema}.${table}" twice`);
    }
    seen.add(name);
  }
}
