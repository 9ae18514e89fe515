/**
 * What the compiler hands to the applier: a view as SQL text. The compiler (`compile.ts` and what it calls) is pure,
 * needs no database and knows nothing of batches; the applier (`applier.ts`) knows nothing of classes.
 *
 * Names in the store. Mirrors are `"<source>"."<table>"` (or `"<source>"."<schema>.<table>"`), with the columns of the
 * table's shape in their store types; a table without a key has a hidden key column `_millrace_offset bigint` (the
 * offset of the inserting record). While a batch runs, the connection has for each mirror with id N a temporary table
 * `pg_temp.d_N (_millrace_w integer not null, <all columns of the mirror>)`: −1 for each old image, +1 for each new one, rows
 * that did not change left out. State tables are `millrace."<name>__<version>"`, change rows
 * `millrace."<name>__<version>_log"`, both in group main.
 */
import { type FindOptions, quote, type ReadOptions, type ViewDefinition } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";

export const hiddenKey = "_millrace_offset";
/** The sign of a row in `d_N`. */
export const weightColumn = "_millrace_w";
/** What tells rows of a view without a key apart: a hash of what is in them, and a number from 1 among equal ones. */
export const contentColumn = "_millrace_content";
export const copyColumn = "_millrace_copy";

/** Of a view without a key: its public columns and those two, for readers who go from row to row. */
export function rowsRelation({ name, version }: { readonly name: string; readonly version: number }): string {
  return `millrace.${quote(`${name}__${version}_rows`)}`;
}

/** What the version shows, as a select of its own tables. */
export function shownRows({ publicView }: Pick<CompiledView, "publicView">): string {
  return publicView.replace(/^create or replace view .*? as (?=select )/, "");
}

export interface MirrorBinding {
  readonly id: number;
  readonly shape: TableShape;
  /** Of a table that a version keeps for itself: where its rows and their changes stand, in SQL, and what people call it. */
  readonly kept?: { readonly rows: string; readonly changes: string; readonly label: string };
}

export interface CompileRequest {
  readonly view: ViewDefinition;
  /** Every captured table, found by source, schema and table. */
  readonly mirrors: readonly MirrorBinding[];
  /** Those that it may read. */
  readonly views?: readonly ViewDefinition[];
  readonly version: number;
}

/** One statement of the telescoping batch: it adds contributions of a mirror's delta to the view's `dv` table. */
export interface DeltaTerm {
  readonly mirrorId: number;
  /** Before or after the mirror takes the batch. */
  readonly place: "before" | "after";
  readonly sql: string;
  /** What `sql` inserts, as a select, for `mergeRows`. */
  readonly rows?: string;
  /** It joins the changes of the table with the table as it was, and so with themselves. */
  readonly selfJoin?: true;
}

/**
 * What the passing of time does to a view that filters by it. The group's clock is `millrace.now()`, that of a topic its
 * watermark, `millrace.watermark(topic)`.
 */
export interface ViewClock {
  /** As the terms do, for clocks that went from `millrace.now_before()` to `millrace.now()`: run before any mirror is written. */
  readonly terms: readonly string[];
  /** SQL expressions: when rows come or go next by the group's clock, NULL for never. Empty where it is not asked. */
  readonly flips: readonly string[];
  /** Whose watermarks are asked. */
  readonly topics: readonly string[];
}

/** How a view is kept: `keyed` ones run their query again for the keys that a batch reached, `whole` ones all of it, now and then. */
export type ViewClass = "linear" | "additive" | "keyed" | "whole";

/** How a view of the class `whole` is computed anew. `batch` and `runs` are SQL expressions. */
export interface WholeRefresh {
  readonly everyMs: number;
  /**
   * One row `(batch, changed, oldest, runs)`: the rows are the query of right after `batch`, or of now when that is NULL;
   * `changed` is the last batch that changed something it reads; change rows are kept from `oldest` on.
   */
  readonly reachTable: string;
  /** The state was filled from what was there after this batch. */
  readonly filled: (batch: string) => string;
  /** What was recorded while it was filled is merged. */
  readonly readable: string;
  /** In one snapshot: finds how the query differs from the state. */
  readonly compare: readonly string[];
  /** Brings what was found into the state, with change rows of the batch that the snapshot showed. */
  readonly bring: (batch: string) => readonly string[];
  /** The state is the query of right after this batch; changes nothing when it was computed another time since `runs`. */
  readonly brought: (batch: string, runs: string) => string;
  /** Change rows up to this batch go. */
  readonly forget: (batch: string) => string;
}

export interface CompiledView {
  readonly name: string;
  readonly version: number;
  /** SHA-256 over the definition, the shapes it uses and the pinned settings: another hash means a rebuild. */
  readonly hash: string;
  readonly class: ViewClass;
  /** The definition over the mirrors, as one select with the public columns in their order: what the view must equal. */
  readonly query: string;
  /** Empty for a view of exactly one row; null where rows may be there several times. */
  readonly key: readonly string[] | null;
  readonly publicColumns: readonly string[];
  /** What it can be searched by: hidden columns of the state table, with indexes (`find/find-columns.ts`). */
  readonly find?: FindOptions;
  /** How it is read beside as rows; indexes for it are made when it is filled (`read-indexes.ts`). */
  readonly reads?: ReadOptions;
  /** Which rows callers are shown, and the columns that it looks for values of. */
  readonly policy?: { readonly text: string; readonly equalities: readonly string[] };
  /** The versions of its rows are kept (`history/history-table.ts`). */
  readonly history?: true;
  /** Mirrors read, each with the columns that the view uses. */
  readonly uses: readonly { readonly mirrorId: number; readonly columns: readonly string[] }[];
  /** Quoted and qualified. */
  readonly stateTable: string;
  readonly logTable: string;
  /** Tables that are kept for the state and shown to nobody (`compile/staged`), quoted and qualified. */
  readonly innerTables?: readonly string[];
  /** Makes the state table with its indexes (one of them unique over the key, or what stands for it), without a key `rowsRelation`, and the log table `(batch bigint not null, w smallint not null, <public columns>)` with an index on batch. */
  readonly create: readonly string[];
  /** Removes everything that `create` makes (not the public view): other relations than the two named may be among it. */
  readonly drop: readonly string[];
  /** `create or replace view views."<name>" as select <public columns> from <state>`, with what `having` hides left out. */
  readonly publicView: string;
  /** Fills the empty state from the mirrors. */
  readonly fill: string;
  /** Once per connection: the temporary tables of the view (`pg_temp."dv_<name>__<version>"`). */
  readonly connect: readonly string[];
  /** The one of them that the terms write and `merge` reads, qualified: rows of many batches in it are merged as those of one. */
  readonly deltaTable: string;
  /** At the start of each batch: empties them. */
  readonly clear: readonly string[];
  readonly terms: readonly DeltaTerm[];
  /** Of views that change by the passing of time alone. */
  readonly clock?: ViewClock;
  /** Nets the contributions, merges them into the state and writes the change rows (−1 old row, +1 new row, only what really changed), all in one statement; `batch` is an SQL expression for the batch number. */
  readonly merge: (batch: string) => string;
  /** The same for contributions that this select makes and that are all of the batch: no table has to hold them. Absent where the query runs again. */
  readonly mergeRows?: (batch: string, rows: string) => string;
  /** Of the class `whole` alone: its terms and merge only note that it is behind. */
  readonly whole?: WholeRefresh;
  /** Runs the query for what the terms found, before the merge: over whole tables, so that its joins are the planner's. */
  readonly recompute: readonly string[];
  /** Indexes that the terms probe. */
  readonly mirrorIndexes: readonly { readonly mirrorId: number; readonly columns: readonly string[] }[];
  /** Joins that no index serves: a change of the one table reads the other whole. Tables as `shop.orders`. */
  readonly scans: readonly { readonly changed: string; readonly read: string }[];
  /** For people: class, key, what is read and how a change of each table reaches the view. */
  readonly explanation: string;
}
