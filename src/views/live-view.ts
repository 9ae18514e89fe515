/**
 * What the reading half (`reader.ts`) is given by the group: which views there are, where their rows and change rows
 * stand in the store, and how to wait. `group.ts` implements it; nothing here touches the store.
 */
import type { ReadOptions } from "../catalog/definitions.ts";
import type { CompiledView } from "./compiled-view.ts";
import type { LiveFind } from "./find/find-columns.ts";
import type { LivePolicy } from "./policy/policed-view.ts";
import type { Relation } from "./row-relations.ts";
import type { Upkeep } from "./upkeep.ts";
import type { GroupPosition, ViewColumn, ViewInfo, WaitTarget } from "./view-info.ts";

/** An index over columns, in its order. */
export interface ColumnIndex {
  readonly columns: readonly string[];
  /** Only a B-tree has the rows in an order; SP-GiST finds spans of them too, a hash index single values. */
  readonly method: "btree" | "spgist" | "hash";
}

/** One version of a view that can be read. Immutable: a rebuild or a new definition makes another one. */
export interface LiveView {
  readonly name: string;
  readonly version: number;
  readonly hash: string;
  /** The definition as its author wrote it. */
  readonly sql: string;
  /** Quoted and qualified: what readers select from (`views."order_cards"`; without a key `rowsRelation`, which has more columns). */
  readonly publicView: string;
  /** Quoted and qualified; holds hidden columns too. */
  readonly stateTable: string;
  /** Quoted and qualified: `(batch bigint, w smallint, <public columns>)`, indexed by batch; −1 an old row, +1 a new one. */
  readonly logTable: string;
  /** The public columns in their order, with PostgreSQL's names of their types. */
  readonly columns: readonly ViewColumn[];
  /** Empty for a view of exactly one row; null where rows may be there several times. */
  readonly key: readonly string[] | null;
  /** Of the state table; partial ones and those of expressions are left out. */
  readonly indexes: readonly ColumnIndex[];
  readonly compiled: CompiledView;
  /** Quoted and qualified: what a read of several views locks instead of `publicView`. */
  readonly lock?: string;
  /** Of one that failed: its rows are those of this position, and may be wrong since. */
  readonly stale?: { readonly position: GroupPosition; readonly sinceMs: number };
  /** Absent when its definition has no options for searching. */
  readonly find?: LiveFind;
  /** How it is read beside as rows. */
  readonly reads?: ReadOptions;
  /** Which rows a caller is shown; absent where everybody is shown all of them. */
  readonly policy?: LivePolicy;
  /** The relations are of the rows that one caller is shown, and their statements need its claims. */
  readonly policed?: true;
  /** Its rows are versions of a view's rows: they are not kept in memory, and change rows are not of them. */
  readonly past?: true;
}

export interface ReadableOptions {
  /** Takes the last good state of a view that failed. */
  readonly stale?: boolean;
  /** Microseconds from 1970: takes the rows that were valid then. */
  readonly asOfMicros?: number;
}

export interface GroupViews {
  list(): ViewInfo[];
  /** Throws `VIEW_UNKNOWN`, with the nearest name. */
  info(view: string): ViewInfo;
  /**
   * Throws `VIEW_UNKNOWN`, `VIEW_BUILDING` with the progress in its details, `VIEW_FAILED`. A removed view that `start` keeps is answered;
   * with `stale` also the last good state of one that failed. `<view>.history` is the view's versions. With `asOfMicros`, and of
   * those, it throws `VIEW_OPTION_MISSING` too.
   */
  readable(view: string, options?: ReadableOptions): LiveView;
  /** How the view's rows belong to those of others; none for a view that nobody knows. */
  relations(view: string): readonly Relation[];
  /** The compiled form, whatever the view's state; null when it does not compile (`info().state` has the error) or was removed. */
  compiled(view: string): CompiledView | null;
  /** Sources whose tables a view reads; none of a view that nobody knows or that does not compile. */
  sourcesOf(view: string): readonly string[];
  endsOfTopics(views: readonly string[]): Promise<readonly WaitTarget[]>;
  /** Of the version that can be read; null where there is none. Throws `VIEW_UNKNOWN`, `STORE_UNAVAILABLE`. */
  upkeep(view: string): Promise<Upkeep | null>;
  /** The position of the last committed batch that this process knows; of a view that is recomputed whole, what it shows. */
  position(view?: string): GroupPosition;
  /**
   * A select of one row `(generation, batch, oldest_batch)`, bigint each, from the group's row: run it in the same
   * REPEATABLE READ transaction as the rows, and the answer is exactly their position. Change rows of batches from
   * `oldest_batch` on are kept; the program's reading role may select it.
   */
  readonly positionSql: string;
  /** Called after every committed batch and every change of a view's state. Must not throw. Returns the unsubscribe. */
  onChange(listener: () => void): () => void;
  /**
   * Until the group, and each of these views (which may be recomputed for that), has the target. Throws `TOKEN_TIMEOUT`,
   * `SOURCE_UNKNOWN`, or the signal's reason.
   */
  waitFor(target: WaitTarget, waitMs: number, signal?: AbortSignal, views?: readonly string[]): Promise<void>;
}
