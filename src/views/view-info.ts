/** What the doors see of views: state, reading, changes. The implementation is the group's (`group.ts`, `reader.ts`). */
import type { MillraceError } from "../base/errors.ts";
import type { FindOptions, ReadOptions, ViewReference, ViewWindow } from "../catalog/definitions.ts";
import type { ViewClass } from "./compiled-view.ts";
import type { FindFilter, FindQuery } from "./find/find-query.ts";
import type { Caller } from "./policy/caller.ts";
import type { GraphAnswer, GraphQuery } from "./walk/graph-query.ts";

/** How far a version is that cannot be read yet. Rows are estimates where they can be known at all. */
export interface BuildProgress {
  /** What it waits for or what is done to it, as what follows the view's name. */
  readonly reason: string;
  readonly rowsDone: number;
  readonly rowsEstimated: number | null;
}

export type ViewState =
  | ({ readonly kind: "building" } & BuildProgress)
  | {
      readonly kind: "live";
      /** The version that is to take this one's place, while it is built. */
      readonly replacement?: BuildProgress;
    }
  | {
      readonly kind: "failed";
      readonly error: MillraceError;
      /** Until then its rows were right, and reads that take them as they were can have them. */
      readonly staleSinceMs?: number;
    }
  /** Defined once, not any more; `start` keeps it readable, `dev` drops it. */
  | { readonly kind: "removed" };

export interface ViewColumn {
  readonly name: string;
  /** PostgreSQL's name of the type, with its modifier. */
  readonly type: string;
  readonly nullable: boolean;
}

export interface ViewInfo {
  readonly name: string;
  readonly sql: string;
  /** `unknown` while the definition does not compile. */
  readonly class: ViewClass | "unknown";
  readonly columns: readonly ViewColumn[];
  /** Empty for a view of exactly one row; null where rows may be there several times. */
  readonly key: readonly string[] | null;
  readonly hash: string;
  /** What it can be searched by; absent when by nothing. */
  readonly find?: FindOptions;
  /** How it is read beside as rows; absent when it is not. */
  readonly reads?: ReadOptions;
  /** Which rows callers are shown; absent where everybody is shown all of them. */
  readonly policy?: string;
  /** Absent in `main`. */
  readonly group?: string;
  /** Rows of other views that belong to its own; absent when it refers to none. */
  readonly references?: readonly ViewReference[];
  /** Of a view that is recomputed whole: how often at most, and whether something that it reads has changed since. */
  readonly refresh?: { readonly everyMs: number; readonly behind: boolean };
  /** Of a view that may read topics whose records the log lets go: the store is the only copy of those. */
  readonly history?: "store";
  /** Of a view that keeps the versions of its rows: how they are read as rows, and how long; null for ever. */
  readonly versions?: { readonly name: string; readonly keepMs: number | null };
  /** Of a view whose rows belong to windows that end, and of that of its late events. */
  readonly window?: ViewWindow;
  /** Of the topics with a watermark that it reads: up to when the events of all partitions have come, null before that is known. */
  readonly watermarks?: readonly { readonly topic: string; readonly atMs: number | null }[];
  readonly state: ViewState;
  /** PostgreSQL's estimate. */
  readonly rowsEstimated: number;
  /** Change rows written since this process began. */
  readonly changes: number;
}

/** Where a reader stands in a group: the generation grows when change rows before it cannot be continued. */
export interface GroupPosition {
  /** Absent in `main`. */
  readonly group?: string;
  readonly generation: number;
  readonly batch: number;
}

export type FilterOperator =
  | "eq"
  | "neq"
  | "gt"
  | "gte"
  | "lt"
  | "lte"
  | "in"
  | "like"
  | "ilike"
  | "match"
  | "imatch"
  | "is"
  | "isdistinct"
  | "fts"
  | "plfts"
  | "phfts"
  | "wfts"
  | "cs"
  | "cd"
  | "ov"
  | "sl"
  | "sr"
  | "nxr"
  | "nxl"
  | "adj"
  | "jsonpath"
  | "jsonmatch";

/** Into a column of json, an array or a composite: keys and indexes, from the outside in. */
export interface JsonPath {
  readonly steps: readonly string[];
  /** Ends in `->>`: the value is its text. */
  readonly text: boolean;
}

/** A column, or a place inside it. */
export interface Field {
  readonly column: string;
  readonly path?: JsonPath;
}

export type Filter =
  | (Field & {
      readonly kind: "compare";
      readonly operator: FilterOperator;
      readonly values: readonly string[];
      readonly negated: boolean;
      /** The operator holds for one of the values, or for all of them. */
      readonly quantifier?: "any" | "all";
      /** Of a full text search: PostgreSQL's name of a configuration. */
      readonly config?: string;
    })
  | { readonly kind: "and" | "or"; readonly negated: boolean; readonly of: readonly Filter[] }
  | FindFilter;

/** A member of each row. A bare text is a column as it is. */
export type Selected =
  | string
  /** All public columns. */
  | { readonly all: true }
  | (Field & { readonly alias?: string; readonly cast?: string })
  | SelectedAggregate
  | Embedded;

export type AggregateName = "count" | "sum" | "avg" | "min" | "max" | "first" | "last";

/** Of all rows that are equal in the members that are none; without an alias it is named as the aggregate. */
export interface SelectedAggregate {
  readonly aggregate: AggregateName;
  /** Null counts rows. */
  readonly of: (Field & { readonly cast?: string }) | null;
  readonly alias?: string;
  /** Of the result. */
  readonly cast?: string;
}

/** Groups by spans of time, in a view with the option `series`. */
export interface SeriesQuery {
  readonly bucket: {
    readonly count: number;
    readonly unit: "second" | "minute" | "hour" | "day" | "month";
  };
  /** What stands where a group has no rows in a bucket; null leaves such buckets out. */
  readonly fill: "null" | "zero" | "previous" | "linear" | null;
  /** Of the calendar that days and months are of; UTC when null. */
  readonly zone: string | null;
}

/** Rows of a related view: an object or null where a reference leads to one row, else an array. */
export interface Embedded {
  /** The reference's name, or that of the view that refers. */
  readonly relation: string;
  readonly alias?: string;
  /** Rows without a related one are left out. */
  readonly inner: boolean;
  /** Rows with a related one are left out. */
  readonly absent?: true;
  /** Its members stand in the row itself: of a reference that leads to one row. */
  readonly spread?: true;
  /** Null selects all public columns, an empty list is no member at all. */
  readonly select: readonly Selected[] | null;
  readonly filter: Filter | null;
  readonly order: RowQuery["order"];
  /** Of an array; null is 1,000. */
  readonly limit: number | null;
  readonly offset: number;
}

/** Estimated counts up to a bound, and goes on by the planner's estimate. */
export type CountKind = "exact" | "planned" | "estimated";

export interface RowQuery {
  readonly filter: Filter | null;
  readonly order: readonly (Field & {
    /** The column is one of the row that this reference leads to. */
    readonly relation?: string;
    readonly descending: boolean;
    readonly nulls: "first" | "last" | null;
  })[];
  /** Null selects all public columns. */
  readonly select: readonly Selected[] | null;
  readonly limit: number;
  readonly offset: number;
  /** From the `next` of an earlier answer with the same order. */
  readonly cursor: string | null;
  /** Members that searching adds; without an order, rows come by the first of them. */
  readonly find?: FindQuery;
  /** Groups by time beside the members that are no aggregates. */
  readonly series?: SeriesQuery;
  /** Asks for `total`. */
  readonly count?: CountKind;
  /** Takes the last good state of views that failed. */
  readonly stale?: true;
  /** Microseconds from 1970: takes the rows that were valid then, of views that keep a history. */
  readonly asOfMicros?: number;
  /** Rows are arrays of texts and nulls, in the order of `columns`, instead of objects. */
  readonly form?: "cells";
}

/** A read that went through a view without an index: what it was by, and the option of `view(…)` that would help. */
export interface UnindexedRead {
  /** Columns, and places in them, that its conditions are on. */
  readonly filtered: readonly string[];
  readonly ordered: readonly string[];
  /** As it is written: `index: ["status"]`. Null when no option helps. */
  readonly option: string | null;
}

export interface RowsAnswer {
  /** JSON text of each row, in the forms of the reference (int8 and numeric as strings, …). */
  readonly rows: readonly string[];
  /** Null on the last page. */
  readonly next: string | null;
  readonly position: GroupPosition;
  /** Of a query with `count`: how many rows match, of the same snapshot where it is exact. */
  readonly total?: number;
  /** Of a query with `form`: the names of the cells. */
  readonly columns?: readonly string[];
  /** Of the last good state of a view that failed: since when it may be wrong. */
  readonly staleSinceMs?: number;
  /** Where no index served the read, and the view is not small. */
  readonly unindexed?: UnindexedRead;
  /** Of a query with `suggest` that found nothing: other words, which find something. */
  readonly suggestions?: readonly string[];
}

/** A row as it goes out, made once for all who read it. */
export interface EncodedRow {
  /** Its JSON and a line feed. */
  readonly body: string;
  /** Of the body in UTF-8. */
  readonly bytes: number;
  /** The same row has the same tag. */
  readonly tag: string;
}

export interface RowAnswer {
  /** Null when there is no such row. */
  readonly row: EncodedRow | null;
  readonly position: GroupPosition;
  /** As that of rows. */
  readonly staleSinceMs?: number;
}

/** One of several reads of one snapshot: a page of rows, or one row by its key. */
export type SnapshotRead =
  | { readonly view: string; readonly query: RowQuery }
  | ({ readonly view: string; readonly key: readonly string[] } & RowOptions);

/** How one row is read: null selects all public columns, `stale` takes the last good state of views that failed. */
export interface RowOptions {
  readonly select: readonly Selected[] | null;
  readonly stale?: true;
  /** As that of rows. */
  readonly asOfMicros?: number;
}

/** `row` is the JSON text of one row, or null when there is no such row. */
export type SnapshotResult =
  | Omit<RowsAnswer, "position">
  | { readonly row: string | null; readonly staleSinceMs?: number };

export interface SnapshotAnswer {
  /** What all results show. */
  readonly position: GroupPosition;
  /** In the order of the reads. */
  readonly results: readonly SnapshotResult[];
}

/** Since the start; a miss is an answer that the store gave. */
export interface RowCacheFigures {
  /** Absent in `main`. */
  readonly group?: string;
  readonly view: string;
  readonly hits: number;
  readonly misses: number;
  readonly bytes: number;
}

export type ViewChange = KeyedChange | RowChange;

export interface KeyedChange {
  readonly op: "upsert" | "delete";
  /** JSON text of the object of key columns. */
  readonly key: string;
  /** JSON text of the row; null for a delete. */
  readonly row: string | null;
}

/** Of a view without a key: so many rows like this one came or went. */
export interface RowChange {
  readonly op: "insert" | "delete";
  readonly key: null;
  readonly row: string;
  readonly count: number;
}

export interface ChangeBatch {
  readonly position: GroupPosition;
  /** By key, each key once; without a key by row, each row once. */
  readonly changes: readonly ViewChange[];
  /** Too many to be held at once: `changes` is empty, `ViewsReader.changesOf` reads them by pages. */
  readonly large?: true;
}

export type ChangesAnswer =
  | { readonly outcome: "changes"; readonly batches: readonly ChangeBatch[]; readonly upTo: GroupPosition }
  /** What lies after `from` is no longer kept, or belongs to another generation. */
  | { readonly outcome: "gap"; readonly reason: string; readonly current: GroupPosition };

export interface Views {
  /** The same views, as somebody is shown them. Without it they are anyone's: one with a policy is refused, `CALLER_UNKNOWN`. */
  as(caller: Caller): Views;
  list(): ViewInfo[];
  /** Throws `VIEW_UNKNOWN`. */
  info(view: string): ViewInfo;
  /** The delta statements, indexes and class, as text for people. */
  explain(view: string): Promise<string>;
  /** Throws `VIEW_BUILDING`, `VIEW_FAILED`, `COLUMN_UNKNOWN`, `FILTER_INVALID`. */
  rows(view: string, query: RowQuery): Promise<RowsAnswer>;
  /** From memory where it can be: then the answer is there at once. Throws `KEY_INVALID`, `COLUMN_UNKNOWN`. */
  row(
    view: string,
    key: readonly string[],
    select: RowOptions["select"],
    options?: Omit<RowOptions, "select">,
  ): RowAnswer | Promise<RowAnswer>;
  /** Several reads in one snapshot. Throws what they throw alone, with `read` in the details: which one. */
  readAll(reads: readonly SnapshotRead[]): Promise<SnapshotAnswer>;
  /** Neighbours, what can be reached and paths, in a view with the option `graph`. Throws `VIEW_OPTION_MISSING`, and what `rows` throws. */
  graph(view: string, query: GraphQuery, signal?: AbortSignal): Promise<GraphAnswer>;
  /** Of the rows that are in memory, by view. */
  rowCache(): readonly RowCacheFigures[];
  /**
   * All rows that match, page by page, from one snapshot at `position`. Here and below `select` is what of them is shown, the
   * key always; null is all of it. It takes columns and places in them.
   */
  snapshot(
    view: string,
    filter: Filter | null,
    select?: readonly Selected[] | null,
  ): Promise<{ position: GroupPosition; pages: AsyncIterable<readonly string[]> }>;
  /**
   * Changes after `from`, net within each batch; with a filter, a row that leaves it is a delete, and a row of which nothing
   * that is shown differs has not changed. The answer is bounded:
   * `upTo` may lie before the head, and the next call goes on from there. Batches without a change are left out.
   */
  changesSince(
    view: string,
    from: GroupPosition,
    filter: Filter | null,
    select?: readonly Selected[] | null,
  ): Promise<ChangesAnswer>;
  /** The position of the last committed batch; of a view that is recomputed whole, what its rows show. */
  position(view?: string): GroupPosition;
  /** Called after every committed batch and every change of a view's state. Returns the unsubscribe. */
  onChange(listener: () => void): () => void;
  /**
   * Resolves when the group has applied this position of a source or of itself, and the views that are to be read have it;
   * throws `TOKEN_TIMEOUT`.
   */
  waitFor(target: WaitTarget, waitMs: number, signal?: AbortSignal, reads?: readonly ViewRead[]): Promise<void>;
  /** Sources of whose tables these reads show something. */
  sourcesOf(reads: readonly ViewRead[]): readonly string[];
  /** Where the topics that they read end by now, committed records only. */
  endsOfTopics(reads: readonly ViewRead[]): Promise<readonly WaitTarget[]>;
  /** A read-only statement with the shared role, for `views query`; `more` where its rows were cut. The signal ends it. Throws `VIEW_GROUP_UNKNOWN`. */
  query(
    sql: string,
    limits: { readonly rowsMax: number; readonly timeoutMs: number },
    signal?: AbortSignal,
    group?: string,
  ): Promise<{ columns: string[]; rows: unknown[][]; more?: true }>;
}

/** What a read is of, as far as it says which views' rows are shown. */
export interface ViewRead {
  readonly view: string;
  readonly select?: readonly Selected[] | null;
  readonly order?: RowQuery["order"];
}

export type WaitTarget =
  | { readonly kind: "group"; readonly position: GroupPosition }
  | { readonly kind: "source"; readonly source: string; readonly lsn: string }
  | {
      readonly kind: "topic";
      readonly topic: string;
      readonly topicId: string;
      /** All records below these offsets. */
      readonly positions: readonly { readonly partition: number; readonly offset: number }[];
    };

/** What `openReader` answers: the doors need `Views`, feeds also read batches that are too large for one answer. */
export interface ViewsReader extends Views {
  as(caller: Caller): ViewsReader;
  /**
   * As `changesSince` for several filters, which must be known to be right, each for the caller of its place: one look at each
   * change for all of them, and the answers in their order. Null when they are too much for one answer.
   */
  changesSinceEach(
    view: string,
    from: GroupPosition,
    filters: readonly (Filter | null)[],
    select?: readonly Selected[] | null,
    callers?: readonly Caller[],
  ): Promise<readonly ChangesAnswer[] | null>;
  /** All changes of one batch by pages, from one snapshot; null when it is no longer kept, or of another generation. */
  changesOf(
    view: string,
    position: GroupPosition,
    filter: Filter | null,
    select?: readonly Selected[] | null,
  ): Promise<AsyncIterable<readonly ViewChange[]> | null>;
  /** Ends the snapshots that are being read. */
  close(): void;
}
