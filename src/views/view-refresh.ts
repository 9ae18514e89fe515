/**
 * One computation of a view that is recomputed whole, on a connection of its own while batches go on: in one snapshot its
 * query is compared with its rows, then the differences are written, and `finish` makes them seen together with how far
 * the view is now.
 *
 * Always true: until `finish`, readers see the rows of before; nothing that a batch writes is locked meanwhile, and a
 * computation of which another came out first, or whose group has another owner, changes nothing.
 * Not here: when it is time for one (`group-refreshes.ts`).
 */
import type { Client } from "pg";
import { wholeTableSettings } from "./applier.ts";
import { type BuildFailure, classifyBuildFailure } from "./applier-failure.ts";
import type { CompiledView, WholeRefresh } from "./compiled-view.ts";
import { GroupFenced } from "./group-context.ts";
import { noticeGoneClient, type RunElsewhere } from "./view-build.ts";
import type { Behind } from "./view-reach.ts";

export type RefreshStage =
  | { readonly kind: "working" }
  /** The snapshot showed the view as it is to be: nothing has changed since it was computed. */
  | { readonly kind: "needless" }
  /** Waits for `finish`. */
  | { readonly kind: "written"; readonly written: Written }
  | { readonly kind: "failed"; readonly failure: BuildFailure };

interface Written {
  readonly at: Behind;
  readonly runs: number;
  /** Change rows, and their bytes. */
  readonly changes: number;
  readonly bytes: number;
}

export type RefreshOutcome =
  | { readonly outcome: "seen"; readonly at: Behind | null; readonly changes: number; readonly bytes: number }
  /** Another computation came out first, or a lock was not to be had. */
  | { readonly outcome: "in vain" };

export interface ViewRefreshOptions {
  readonly group: string;
  readonly view: CompiledView;
  readonly whole: WholeRefresh;
  /** How long the query may take. */
  readonly takesMsMax: number;
  connect(): Promise<Client>;
  /** The stage is another one. */
  onStage(): void;
}

/** Who holds a lock that is needed is a backend that is ending, or a change of a table: it is tried again. */
const sessionSettings = [
  "set statement_timeout = 0",
  "set lock_timeout = '30s'",
  "set client_min_messages = warning",
  "set jit = off",
];

export class ViewRefresh {
  readonly view: CompiledView;
  readonly #options: ViewRefreshOptions;
  readonly #working: Promise<void>;
  #stage: RefreshStage = { kind: "working" };
  #client: Client | null = null;
  #pid: number | null = null;
  #stopped = false;

  /** Begins in the background; nothing is thrown, what fails is a stage. */
  constructor(options: ViewRefreshOptions) {
    this.view = options.view;
    this.#options = options;
    this.#working = this.#work();
  }

  get stage(): RefreshStage {
    return this.#stage;
  }

  /** Between two batches, of which none comes in before it is through. Throws `GroupFenced`. */
  async finish(epoch: number): Promise<RefreshOutcome> {
    const stage = this.#stage;
    if (stage.kind !== "written") throw new Error(`a computation cannot be finished while it is ${stage.kind}`);
    const { group, whole } = this.#options;
    const { at, runs, changes, bytes } = stage.written;
    await this.#query("set local lock_timeout = '2s'");
    const owned = await this.#query("select from millrace.groups where name = $1 and epoch = $2 for update", [
      group,
      epoch,
    ]);
    if (owned.length === 0) throw new GroupFenced();
    const [reach] = await this.#query(`${whole.brought("$1::bigint", "$2::bigint")} returning batch`, [at.batch, runs]);
    if (reach === undefined) return { outcome: "in vain" };
    if (bytes > 0) await this.#query(noteBytes, [group, at.batch, bytes]);
    await this.#query("commit");
    return { outcome: "seen", at: reach.batch === null ? null : at, changes, bytes };
  }

  /** Ends the backend, whatever it is at, and waits until it has let go of everything. */
  async stop(elsewhere: RunElsewhere | null): Promise<void> {
    this.#stopped = true;
    if (elsewhere !== null && this.#pid !== null) {
      // It may be in the midst of its commit.
      await elsewhere("select pg_terminate_backend($1, 2000)", [this.#pid]).catch(() => {});
    }
    await this.#client?.end().catch(() => {});
    await this.#working;
    // It may have been connecting.
    await this.#client?.end().catch(() => {});
  }

  async #work(): Promise<void> {
    try {
      const stage = await this.#compute();
      this.#become(stage);
    } catch (error) {
      this.#become({ kind: "failed", failure: classifyBuildFailure(error, this.#options.takesMsMax) });
    }
  }

  #become(stage: RefreshStage): void {
    if (this.#stopped) return;
    this.#stage = stage;
    this.#options.onStage();
  }

  async #compute(): Promise<RefreshStage> {
    const { whole, takesMsMax, connect } = this.#options;
    const client = await connect();
    client.on("error", () => {});
    this.#client = client;
    const [backend] = await this.#query("select pg_backend_pid() as pid");
    this.#pid = Number(backend?.pid);
    await this.#query(noticeGoneClient).catch(() => {});
    await this.#run(sessionSettings);
    const limit = `set local statement_timeout = ${takesMsMax}`;
    await this.#run(["begin isolation level repeatable read", ...wholeTableSettings, limit]);
    const found = await this.#snapshot(whole);
    if (found === null) {
      await this.#query("commit");
      return { kind: "needless" };
    }
    await this.#run([...whole.compare, "commit", "begin", ...wholeTableSettings]);
    const { logTable } = this.view;
    const of = `where batch = ${found.at.batch}`;
    await this.#run(whole.bring(`${found.at.batch}::bigint`));
    const [log] = await this.#query(
      `select count(*)::text as rows, coalesce(sum(pg_column_size(l)), 0)::text as bytes from ${logTable} l ${of}`,
    );
    const written = { ...found, changes: Number(log?.rows), bytes: Number(log?.bytes) };
    return { kind: "written", written };
  }

  /** What the snapshot shows; null where the view needs no computation. */
  async #snapshot({ reachTable }: WholeRefresh): Promise<Pick<Written, "at" | "runs"> | null> {
    const [row] = await this.#query(
      "select g.batch::text as batch, r.runs::text as runs, r.batch is null as current, " +
        '(select jsonb_object_agg(s.source, s.lsn) from millrace.sources s where s."group" = g.name) as lsns, ' +
        "(select jsonb_object_agg(p.topic || '/' || p.partition, p.next_offset) from millrace.positions p " +
        'where p."group" = g.name) as offsets ' +
        `from millrace.groups g, ${reachTable} r where g.name = $1`,
      [this.#options.group],
    );
    if (row === undefined || row.current) return null;
    const lsns = new Map(Object.entries((row.lsns ?? {}) as Record<string, string | null>));
    const offsets = new Map(Object.entries((row.offsets ?? {}) as Record<string, number>));
    return { at: { batch: Number(row.batch), lsns, offsets }, runs: Number(row.runs) };
  }

  async #run(statements: readonly string[]): Promise<void> {
    for (const sql of statements) await this.#query(sql);
  }

  async #query(sql: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    if (this.#client === null || this.#stopped) throw new Error("the computation was stopped");
    return (await this.#client.query(sql, [...values])).rows;
  }
}

/** Change rows are kept by batches; this one may have some already. */
const noteBytes =
  'insert into millrace.batches as b ("group", generation, batch, committed_at, bytes) ' +
  "select name, generation, $2::bigint, now(), $3::bigint from millrace.groups where name = $1 " +
  'on conflict ("group", batch) do update set bytes = b.bytes + excluded.bytes';
