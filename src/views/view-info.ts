/** What the doors see of views: state, reading, changes. The implementation is the group's (`group.ts`, `reader.ts`). */
import type { MillraceError } from "../base/errors.ts";
import type { ViewClass } from "./compiled-view.ts";

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
  | { readonly kind: "failed"; readonly error: MillraceError }
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
  /** Empty for a view of exactly one row. */
  readonly key: readonly string[];
  readonly hash: string;
  readonly state: ViewState;
  /** PostgreSQL's estimate. */
  readonly rowsEstimated: number;
  /** Change rows written since this process began. */
  readonly changes: number;
}

/** Where a reader stands in a group: the generation grows when change rows before it cannot be continued. */
export interface GroupPosition {
  readonly generation: number;
  readonly batch: number;
}

export type FilterOperator = "eq" | "neq" | "gt" | "gte" | "lt" | "lte" | "in" | "like" | "ilike" | "is";

export type Filter =
  | {
      readonly kind: "compare";
      readonly column: string;
      readonly operator: FilterOperator;
      readonly values: readonly string[];
      readonly negated: boolean;
    }
  | { readonly kind: "and" | "or"; readonly negated: boolean; readonly of: readonly Filter[] };

export interface RowQuery {
  readonly filter: Filter | null;
  readonly order: readonly {
    readonly column: string;
    readonly descending: boolean;
    readonly nulls: "first" | "last" | null;
  }[];
  /** Null selects all public columns. */
  readonly select: readonly string[] | null;
  readonly limit: number;
  readonly offset: number;
  /** From the `next` of an earlier answer with the same order. */
  readonly cursor: string | null;
}

export interface RowsAnswer {
  /** JSON text of each row, in the forms of the reference (int8 and numeric as strings, …). */
  readonly rows: readonly string[];
  /** Null on the last page. */
  readonly next: string | null;
  readonly position: GroupPosition;
}

export interface ViewChange {
  readonly op: "upsert" | "delete";
  /** JSON text of the object of key columns. */
  readonly key: string;
  /** JSON text of the row; null for a delete. */
  readonly row: string | null;
}

export interface ChangeBatch {
  readonly position: GroupPosition;
  /** By key, each key once. */
  readonly changes: readonly ViewChange[];
  /** Too many to be held at once: `changes` is empty, `ViewsReader.changesOf` reads them by pages. */
  readonly large?: true;
}

export type ChangesAnswer =
  | { readonly outcome: "changes"; readonly batches: readonly ChangeBatch[]; readonly upTo: GroupPosition }
  /** What lies after `from` is no longer kept, or belongs to another generation. */
  | { readonly outcome: "gap"; readonly reason: string; readonly current: GroupPosition };

export interface Views {
  list(): ViewInfo[];
  /** Throws `VIEW_UNKNOWN`. */
  info(view: string): ViewInfo;
  /** The delta statements, indexes and class, as text for people. */
  explain(view: string): Promise<string>;
  /** Throws `VIEW_BUILDING`, `VIEW_FAILED`, `COLUMN_UNKNOWN`, `FILTER_INVALID`. */
  rows(view: string, query: RowQuery): Promise<RowsAnswer>;
  /** Undefined when there is no such row. Throws `KEY_INVALID`. */
  row(
    view: string,
    key: readonly string[],
    select: readonly string[] | null,
  ): Promise<{ row: string | undefined; position: GroupPosition }>;
  /** All rows that match, page by page, from one snapshot at `position`. */
  snapshot(
    view: string,
    filter: Filter | null,
  ): Promise<{ position: GroupPosition; pages: AsyncIterable<readonly string[]> }>;
  /**
   * Changes after `from`, net within each batch; with a filter, a row that leaves it is a delete. The answer is bounded:
   * `upTo` may lie before the head, and the next call goes on from there. Batches without a change are left out.
   */
  changesSince(view: string, from: GroupPosition, filter: Filter | null): Promise<ChangesAnswer>;
  /** The position of the last committed batch. */
  position(): GroupPosition;
  /** Called after every committed batch and every change of a view's state. Returns the unsubscribe. */
  onChange(listener: () => void): () => void;
  /** Resolves when the group has applied this position of a source (`null`: its head of now) or of itself; throws `TOKEN_TIMEOUT`. */
  waitFor(target: WaitTarget, waitMs: number, signal?: AbortSignal): Promise<void>;
  /** A read-only statement with the reader's role, for `views query`. */
  query(
    sql: string,
    limits: { readonly rowsMax: number; readonly timeoutMs: number },
  ): Promise<{ columns: string[]; rows: unknown[][] }>;
}

export type WaitTarget =
  | { readonly kind: "group"; readonly position: GroupPosition }
  | { readonly kind: "source"; readonly source: string; readonly lsn: string };

/** What `openReader` answers: the doors need `Views`, feeds also read batches that are too large for one answer. */
export interface ViewsReader extends Views {
  /** All changes of one batch by pages, from one snapshot; null when it is no longer kept, or of another generation. */
  changesOf(
    view: string,
    position: GroupPosition,
    filter: Filter | null,
  ): Promise<AsyncIterable<readonly ViewChange[]> | null>;
  /** Ends the snapshots that are being read. */
  close(): void;
}
