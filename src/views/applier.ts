/**
 * The one writer of a group: a connection, the temporary tables that batches need on it, and the transactions.
 *
 * Always true: every transaction begins by locking the group's row as this owner left it and ends by advancing it, so
 * that work under an old epoch, or on top of a commit that we do not know of, changes nothing.
 */
import type { Client } from "pg";
import {
  type Layout,
  loadsOnly,
  ownerOf,
  planBatch,
  planEnd,
  recordBatch,
  recordingsTouched,
  viewsTouched,
  writesChanges,
} from "./applier-batch.ts";
import { type PipelineStatement, PreparedNames, runPipeline, type StatementResult } from "./applier-pipeline.ts";
import { advanceGroup, type GroupRow, lockGroup } from "./bookkeeping.ts";
import { type ClockMoves, moveClocks, noMoves } from "./clock-store.ts";
import type { CompiledView } from "./compiled-view.ts";
import type { Staged } from "./inputs-rows.ts";
import { createStaging, type Mirror } from "./mirror.ts";
import type { Recording } from "./recording.ts";
import { type TemporaryTable, TemporaryTables } from "./temporary-tables.ts";

export interface Applied {
  /** Change rows written, by view; views that nothing changed are left out. */
  readonly changes: ReadonlyMap<string, number>;
  /** Views that are recomputed whole, and of which something was changed. */
  readonly behind: ReadonlySet<string>;
  readonly bytes: number;
  /** Where clocks went in it. */
  readonly moved: ClockMoves;
}

/** Staged rows since the temporary tables were truncated, past which that is done again. */
const sweepRows = 20_000;
/** From so many rows on, a plan of their own costs less than it saves. */
const freshRows = 500;
const replanFirstRows = 200;
const replanGrowth = 4;

/** What makes small deltas drive the joins. What values depend on (TimeZone and the like) is pinned by the store. */
export const connectionSettings: Readonly<Record<string, string>> = {
  join_collapse_limit: "1",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  jit: "off",
  client_min_messages: "warning",
  statement_timeout: "5min",
  temp_buffers: "32MB",
};

/** For statements over whole tables: the planner's own ways, and no limit on their time. */
export const wholeTableSettings: readonly string[] = [
  "set local join_collapse_limit = 8",
  "set local enable_hashjoin = on",
  "set local enable_mergejoin = on",
  "set local statement_timeout = 0",
  "set local work_mem = '64MB'",
  "set local maintenance_work_mem = '128MB'",
];

export class Applier {
  readonly #client: Client;
  readonly #group: string;
  readonly #names = new PreparedNames();
  readonly #tables: TemporaryTables;
  #row: GroupRow;
  #layout: Layout = { mirrors: new Map(), views: [], recording: [] };
  #step = 0;
  #stagedRows = 0;
  /** Since the layout was set. */
  #appliedRows = 0;
  #replanAtRows = replanFirstRows;

  private constructor(client: Client, group: string, row: GroupRow) {
    this.#client = client;
    this.#tables = new TemporaryTables(client);
    this.#group = group;
    this.#row = row;
  }

  static async open(client: Client, group: string, row: GroupRow): Promise<Applier> {
    await runPipeline(
      client,
      new PreparedNames(),
      Object.entries(connectionSettings).map(([name, value]) => ({
        sql: "select set_config($1, $2, false)",
        values: [name, value],
        fresh: true,
      })),
    );
    return new Applier(client, group, row);
  }

  /** The group's row as it stands after the last commit. */
  get row(): GroupRow {
    return this.#row;
  }

  get layout(): Layout {
    return this.#layout;
  }

  /** Sees to it that there are the temporary tables of these mirrors, live views and recordings, and no others. */
  async setLayout(
    mirrors: readonly Mirror[],
    views: readonly CompiledView[],
    recording: readonly Recording[],
  ): Promise<void> {
    this.#names.clear();
    await this.#client.query("deallocate all");
    const versions = [...views, ...recording.map(({ view }) => view)];
    await this.#tables.set([...mirrors.flatMap(stagingOf), ...versions.flatMap(tablesOf)]);
    this.#layout = { mirrors: new Map(mirrors.map((mirror) => [mirror.id, mirror])), views, recording };
    this.#appliedRows = 0;
    this.#replanAtRows = replanFirstRows;
  }

  /** From the next batch on; everything else of the layout stays as it is. */
  async beginRecording(recording: Recording): Promise<void> {
    await this.#tables.add(tablesOf(recording.view));
    this.#layout = { ...this.#layout, recording: [...this.#layout.recording, recording] };
  }

  /** Its version was swapped in: from the next batch on it is merged, in place of the version before. */
  endRecording(recording: Recording): void {
    const { views, recording: all, ...rest } = this.#layout;
    this.#layout = {
      ...rest,
      views: [...views.filter((view) => view.name !== recording.view.name), recording.view],
      recording: all.filter((one) => one !== recording),
    };
  }

  /**
   * One transaction of the group. It is rolled back when a statement fails; what it means says `classifyFailure`.
   * `generation` and `oldestBatch` stay as they are unless given.
   */
  async transact(
    statements: readonly PipelineStatement[],
    to: Partial<Pick<GroupRow, "generation" | "oldestBatch">> = {},
    settings: readonly string[] = [],
  ): Promise<StatementResult[]> {
    const next = { ...this.#row, ...to, batch: this.#row.batch + 1 };
    const results = await this.#run([
      { sql: "begin" },
      ...settings.map((sql) => ({ sql, fresh: true })),
      lockGroup(this.#group, this.#row),
      ...statements,
      advanceGroup(this.#group, this.#row, next),
      { sql: "commit" },
    ]);
    this.#row = next;
    const first = settings.length + 2;
    return results.slice(first, first + statements.length);
  }

  /** A batch that is in memory, with what else is to be written about it. */
  async applyBatch(
    staged: Staged,
    rest: readonly PipelineStatement[],
    straight: boolean,
    moves: ClockMoves = noMoves,
    rowsMs: number | null = null,
  ): Promise<Applied> {
    const { batch, generation } = this.#row;
    const moved = { now: moves.now !== null, topics: moves.watermarks.map(({ topic }) => topic) };
    const views = viewsTouched(this.#layout, staged, moved);
    const recordings = recordingsTouched(this.#layout, staged, moved);
    const prepared = await this.#prepare(staged);
    const far = moves.now?.far === true || moves.watermarks.some((move) => move.far);
    const clocks = { moved, statements: moveClocks(this.#group, moves) };
    const changed = { rowsMs, clockMs: moves.now === null ? null : Date.parse(moves.now.to) };
    const options = { ...prepared, fresh: prepared.fresh || far, straight, clocks, changed };
    const rows = planBatch(this.#layout, staged, batch + 1, options);
    const record = recordBatch(this.#group, generation, batch + 1, views.filter(writesChanges));
    const loads = moves.now === null && loadsOnly(this.#layout, staged);
    const settings = [...(loads ? ["set local synchronous_commit = off"] : []), ...(far ? wholeTableSettings : [])];
    const results = await this.transact([...rows, ...record, ...rest], {}, settings);
    for (const recording of recordings) recording.took(options.step, inserted(recording, rows, results));
    const applied = appliedOf(views, rows, results, record.length > 0 ? results[rows.length] : undefined);
    return { ...applied, behind: new Set(fallenBehind(views, rows, results)), moved: moves };
  }

  /** A batch that comes in parts: one transaction over several round trips, of which only one part is in memory. */
  async applyParts(
    parts: AsyncIterable<Staged>,
    rest: readonly PipelineStatement[],
    straight = false,
    rowsMs: number | null = null,
  ): Promise<Applied> {
    const next = { ...this.#row, batch: this.#row.batch + 1 };
    const touched = new Set<CompiledView>();
    const behind = new Set<string>();
    const recorded: (() => void)[] = [];
    await this.#run([{ sql: "begin" }, lockGroup(this.#group, this.#row)]);
    try {
      for await (const staged of ahead(parts)) {
        for (const view of viewsTouched(this.#layout, staged)) touched.add(view);
        const options = { ...(await this.#prepare(staged)), straight };
        const statements = planBatch(this.#layout, staged, next.batch, options);
        const results = await this.#run(statements);
        for (const name of fallenBehind([...touched], statements, results)) behind.add(name);
        for (const recording of recordingsTouched(this.#layout, staged)) {
          const rows = inserted(recording, statements, results);
          recorded.push(() => recording.took(options.step, rows));
        }
      }
    } catch (error) {
      await this.#client.query("rollback").catch(() => {});
      throw error;
    }
    const step = ++this.#step;
    const changed = { rowsMs, clockMs: null };
    const { statements: last, views, recordings } = planEnd(this.#layout, [...touched], next.batch, { step, changed });
    const record = recordBatch(this.#group, next.generation, next.batch, views.filter(writesChanges));
    const end = [advanceGroup(this.#group, this.#row, next), { sql: "commit" }];
    const results = await this.#run([...last, ...record, ...rest, ...end]);
    this.#row = next;
    for (const took of recorded) took();
    for (const recording of recordings) recording.took(step, inserted(recording, last, results));
    for (const name of fallenBehind(views, last, results)) behind.add(name);
    return {
      ...appliedOf(views, last, results, record.length > 0 ? results[last.length] : undefined),
      behind,
      moved: noMoves,
    };
  }

  /** Statements outside of the group's transactions, each its own. */
  async query(sql: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    const { rows } = await this.#client.query(sql, [...values]);
    return rows;
  }

  async close(): Promise<void> {
    await this.#client.end();
  }

  async #run(statements: readonly PipelineStatement[]): Promise<StatementResult[]> {
    try {
      return await runPipeline(this.#client, this.#names, statements);
    } catch (error) {
      await this.#client.query("rollback").catch(() => {});
      throw error;
    }
  }

  /**
   * How to run the statements of some rows. A plan that was made for small tables ruins large ones: many rows are
   * planned for as they are, and prepared plans are made again whenever what was applied has grown fourfold.
   */
  async #prepare(staged: Staged): Promise<{ step: number; sweep: boolean; fresh: boolean }> {
    let rows = 0;
    for (const table of staged.values()) rows += table.size;
    const sweep = this.#stagedRows > sweepRows;
    this.#stagedRows = rows + (sweep ? 0 : this.#stagedRows);
    this.#appliedRows += rows;
    if (this.#appliedRows >= this.#replanAtRows) {
      this.#replanAtRows = this.#appliedRows * replanGrowth;
      this.#names.clear();
      await this.#client.query("deallocate all");
    }
    return { step: ++this.#step, sweep, fresh: rows >= freshRows };
  }
}

function stagingOf(mirror: Mirror): TemporaryTable[] {
  return createStaging(mirror).map((create) => ({ create, of: "mirror" }));
}

function tablesOf({ connect, hash }: CompiledView): TemporaryTable[] {
  return connect.map((create) => ({ create, of: hash }));
}

function appliedOf(
  views: readonly CompiledView[],
  statements: readonly PipelineStatement[],
  results: readonly StatementResult[],
  record: StatementResult | undefined,
): Pick<Applied, "changes" | "bytes"> {
  const changes = new Map<string, number>();
  for (const view of views.filter(writesChanges)) {
    const count = mergeCount(view, statements, results);
    if (count > 0) changes.set(view.name, count);
  }
  return { changes, bytes: Number(record?.rows[0]?.[0] ?? 0) };
}

function fallenBehind(
  views: readonly CompiledView[],
  statements: readonly PipelineStatement[],
  results: readonly StatementResult[],
): string[] {
  const fell = views.filter((view) => view.whole !== undefined && mergeCount(view, statements, results) > 0);
  return fell.map((view) => view.name);
}

/** A view's merge is the last of its statements, and inserts its change rows. */
function mergeCount(
  view: CompiledView,
  statements: readonly PipelineStatement[],
  results: readonly StatementResult[],
): number {
  return results[statements.findLastIndex((statement) => statement.owner === ownerOf.view(view.name))]?.count ?? 0;
}

/** Rows that a recording was given by these statements. */
function inserted(
  { view }: Recording,
  statements: readonly PipelineStatement[],
  results: readonly StatementResult[],
): number {
  return results[statements.findLastIndex((statement) => statement.owner === ownerOf.build(view.name))]?.count ?? 0;
}

/** Asks for the next part while this one is being worked on. */
async function* ahead<T>(parts: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = parts[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const part = await next;
      if (part.done) return;
      next = iterator.next();
      next.catch(() => {});
      yield part.value;
    }
  } finally {
    await next.catch(() => {});
    await iterator.return?.();
  }
}
