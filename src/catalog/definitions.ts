/**
 * Definitions: plain immutable values that a module exports. Nothing registers itself; `collect.ts` gathers the
 * exports of a module. Names are checked where they are given, while the caller's line is still on the stack.
 */
import type { GroupDefinition } from "./define/group.ts";
import type { PostgresDefinition } from "./define/postgres.ts";
import type { TopicDefinition } from "./define/topic.ts";
import type { ViewDefinition } from "./define/view.ts";
import type { WebhookDefinition } from "./define/webhook.ts";

export type { FindOptions, SearchColumn, SearchOption, SearchWeight } from "./define/find-options.ts";
export { type GroupDefinition, type GroupOptions, group, mainGroup } from "./define/group.ts";
export {
  type HistoryInput,
  type HistoryOption,
  isOnlyCopy,
  type ViewHistory,
  versionsOf,
} from "./define/history-option.ts";
export { mirrorName, quote } from "./define/names.ts";
export {
  type PostgresDefinition,
  type PostgresOptions,
  postgres,
  type TableDefinition,
  type TableReference,
} from "./define/postgres.ts";
export type { Publishing } from "./define/publish-option.ts";
export type { GraphOption, IndexField, IndexOption, ReadOptions, SeriesOption } from "./define/read-options.ts";
export type { ListedEvent, ListPage, ListRequest, ReconcileDefinition, ReconcileOptions } from "./define/reconcile.ts";
export type { StandardSchema } from "./define/standard-schema.ts";
export { patternOf, type TablePattern } from "./define/table-pattern.ts";
export { type TopicDefinition, type TopicOptions, topic } from "./define/topic.ts";
export type { AvroInput, JsonSchemaInput, ProtobufInput } from "./define/topic-schema.ts";
export {
  type SqlReference,
  type SqlText,
  sql,
  type ViewDefinition,
  type ViewOptions,
  type ViewWithHistory,
  view,
} from "./define/view.ts";
export type { ViewReference, ViewReferenceInput } from "./define/view-references.ts";
export {
  type WebhookChallenge,
  type WebhookChallengeAnswer,
  type WebhookDefinition,
  type WebhookFunction,
  type WebhookOptions,
  type WebhookRequest,
  type WebhookValue,
  type WebhookVerdict,
  type WebhookVerifier,
  webhook,
} from "./define/webhook.ts";
export type { SessionInput, ViewSession, ViewWindow, WindowInput } from "./define/window-option.ts";

export type SourceDefinition = PostgresDefinition;
export type AnyTopicDefinition = TopicDefinition<never, unknown>;
export type Definition = SourceDefinition | WebhookDefinition | ViewDefinition | GroupDefinition | AnyTopicDefinition;
