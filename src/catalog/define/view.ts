/** `view(…)` and the `sql` that it is made of. */
import { MillraceError } from "../../base/errors.ts";
import { type FindOptions, type FindOptionsInput, findOptionNames, findOptions } from "./find-options.ts";
import { type GroupInput, groupOption } from "./group.ts";
import { type HistoryOption, historyOption, type ViewHistory } from "./history-option.ts";
import { checkName, identifierBytesMax, mirrorName, quote, refuseUnknown } from "./names.ts";
import { policyOption } from "./policy-option.ts";
import type { TableReference } from "./postgres.ts";
import { type PublishInput, type Publishing, publishOption } from "./publish-option.ts";
import { type ReadOptions, type ReadOptionsInput, readOptionNames, readOptions } from "./read-options.ts";
import { refreshOption } from "./refresh-option.ts";
import type { TopicDefinition } from "./topic.ts";
import { type ViewReference, type ViewReferenceInput, viewReferences } from "./view-references.ts";
import type { WebhookDefinition } from "./webhook.ts";
import { type ViewWindow, type WindowInput, windowOption } from "./window-option.ts";

/** What a view's SQL refers to: `${shop.orders}`, `${orderCards}`, `${rates.history}`, `${payments}`, `${stripe}`. */
export type SqlReference =
  | TableReference
  | ViewDefinition
  | ViewHistory
  | TopicDefinition<never, unknown>
  | WebhookDefinition;

export interface SqlText {
  readonly kind: "sql";
  readonly text: string;
  /** References in the order of their appearance, each with its place in `text`. */
  readonly references: readonly {
    readonly to: SqlReference;
    readonly start: number;
    readonly end: number;
  }[];
}

export interface ViewDefinition {
  readonly kind: "view";
  readonly name: string;
  readonly sql: SqlText;
  /** Columns of the view; null when it is to be derived. */
  readonly key: readonly string[] | null;
  /** Absent when the view has none of these options. */
  readonly find?: FindOptions;
  /** Absent when it is read as rows only. */
  readonly reads?: ReadOptions;
  /** Absent when the view refers to no other. */
  readonly references?: readonly ViewReference[];
  /** Absent when it is only to be kept with each change. */
  readonly refreshMs?: number;
  /** Versions of its rows are kept, or the store may be the only copy of what the log has let go; absent when neither. */
  readonly history?: "store" | ViewHistory;
  /** Absent when it is not published. */
  readonly publish?: Publishing;
  /** Which rows a caller is shown: a condition, or null where its author says that there is none; absent where nothing is said. */
  readonly policy?: string | null;
  /** Absent when its rows do not belong to windows that end. */
  readonly window?: ViewWindow;
  /** Of the view of events that came too late for the window: the SQL is that of the view with the window. */
  readonly late?: true;
  /** Absent in `main`. */
  readonly group?: string;
}

/** SQL with references to tables, topics and views; any other value is refused, for a definition has no parameters. */
export function sql(strings: TemplateStringsArray, ...values: readonly SqlReference[]): SqlText {
  let text = "";
  const references: { to: SqlReference; start: number; end: number }[] = [];
  strings.forEach((piece, i) => {
    text += piece;
    if (i === values.length) return;
    const to = values[i];
    const spelled = spelledOf(to);
    if (to === undefined || spelled === null) {
      throw new MillraceError(
        "DEFINITION_INVALID",
        `\${…} number ${i + 1} in sql\`…\` is neither a table nor a topic nor a view`,
        { hint: "Write constants into the SQL itself; is the table named in the source's tables?" },
      );
    }
    references.push({ to, start: text.length, end: text.length + spelled.length });
    text += spelled;
  });
  return Object.freeze({ kind: "sql", text, references: Object.freeze(references) });
}

/** Null for what SQL cannot refer to. */
function spelledOf(to: SqlReference | null | undefined): string | null {
  switch (to?.kind) {
    case "table":
      return `${quote(to.source)}.${quote(mirrorName(to.schema, to.table))}`;
    case "view":
      return `views.${quote(to.name)}`;
    case "history":
      return `views.${quote(`${to.view}.history`)}`;
    case "topic":
    case "webhook":
      return `topics.${quote(tableName(to.name))}`;
    default:
      return null;
  }
}

/** PostgreSQL would cut a longer one, and read another topic. */
function tableName(topic: string): string {
  if (Buffer.byteLength(topic) <= identifierBytesMax) return topic;
  throw new MillraceError("DEFINITION_INVALID", `topic "${topic}" cannot be read by views: its name is too long`, {
    hint: `A topic that views read has a name of at most ${identifierBytesMax} bytes.`,
    details: { topic },
  });
}

export interface ViewOptions extends FindOptionsInput, ReadOptionsInput {
  /** Columns that identify a row; derived from primary keys and group keys when left out. */
  readonly key?: string | readonly string[];
  /**
   * For a query that cannot be kept change by change: it is run again as a whole once it is so old (`"30s"`, from 1s to 1d)
   * and something that it reads has changed, and at once for who waits for a token. A query that can be kept is.
   */
  readonly refresh?: string;
  /**
   * `"store"`: the view may read topics whose records the log lets go after a time. What is gone from the log then is only
   * in the store, which has to be backed up: it cannot be rebuilt. `true`, or `{ keep: "400d" }`: each row's versions are kept,
   * with the time from which and up to which they were valid, for reads `as_of` a time, and for SQL as `${rates.history}`.
   */
  readonly history?: HistoryOption;
  /**
   * Rows of other views that belong to a row, by name: `{ customer: { view: "customers", on: { customer_id: "id" } } }`.
   * Reads embed them (`?select=id,customer(name)`), and from the other side (`customers?select=id,orders(id)`).
   */
  readonly references?: Readonly<Record<string, ViewReferenceInput>>;
  /**
   * The compacted topic that has the view's rows: a record for each change, exactly once and in order for each key, null when
   * the row is gone. A name, or a definition with partitions and a schema. Only this view writes the topic.
   */
  readonly publish?: PublishInput;
  /**
   * Which rows a caller is shown: a condition over the view's columns and the claims of the caller's token,
   * `"customer_id = claim('sub')"`. It holds for every read over HTTP and for live feeds. A view that reads one with a policy
   * says its own, or null: it shows what it shows to everybody.
   */
  readonly policy?: string | null;
  /**
   * The column that is the end of a row's window. An event of the topic that the window is made of, which comes when that has
   * passed (by the topic's watermark, and `grace` later), is not counted: it is a row of the view `<name>.late`.
   */
  readonly window?: WindowInput;
  /** With a window: `"final"` shows a row once, when its window is over, and never changes it; `"updates"` from its first event on. */
  readonly emit?: "updates" | "final";
  /**
   * Which group keeps it (`main` when left out). A view reads, refers to and is embedded in views of its own group; what
   * another group's view has it reads by the topic that one is published to.
   */
  readonly group?: GroupInput;
}

/** A view that keeps the versions of its rows. */
export interface ViewWithHistory extends ViewDefinition {
  readonly history: ViewHistory;
}

/** A query that is kept up to date. */
export function view(
  name: string,
  query: SqlText,
  options: ViewOptions & { readonly history: Exclude<HistoryOption, "store"> },
): ViewWithHistory;
export function view(name: string, query: SqlText, options?: ViewOptions): ViewDefinition;
export function view(name: string, query: SqlText, options: ViewOptions = {}): ViewDefinition {
  checkName("view", name);
  if (query?.kind !== "sql") {
    throw new MillraceError("DEFINITION_INVALID", `view "${name}" needs its query as sql\`select …\``);
  }
  refuseUnknown(`view "${name}"`, options, [
    "key",
    "references",
    "refresh",
    "history",
    "publish",
    "policy",
    "window",
    "emit",
    "group",
    ...findOptionNames,
    ...readOptionNames,
  ]);
  const key = options.key === undefined ? null : typeof options.key === "string" ? [options.key] : [...options.key];
  const find = findOptions(name, options);
  const reads = readOptions(name, options);
  const window = windowOption(name, options.window, options.emit);
  const group = options.group === undefined ? null : groupOption(name, options.group);
  return Object.freeze({
    kind: "view",
    name,
    sql: query,
    key,
    ...(find === null ? {} : { find }),
    ...(reads === null ? {} : { reads }),
    ...(options.references === undefined ? {} : { references: viewReferences(name, options.references) }),
    ...(options.refresh === undefined ? {} : { refreshMs: refreshOption(name, options.refresh) }),
    ...(options.history === undefined ? {} : { history: historyOption(name, options.history) }),
    ...(options.publish === undefined ? {} : { publish: publishOption(name, options.publish) }),
    ...(options.policy === undefined ? {} : { policy: policyOption(name, options.policy) }),
    ...(window === null ? {} : { window }),
    ...(group === null ? {} : { group }),
  });
}
