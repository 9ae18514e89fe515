/**
 * One version of a view being made on a connection of its own, while the applier goes on: its tables and the indexes
 * that its terms probe, then, in one snapshot, its rows.
 *
 * Always true: the rows are the query over the mirrors as they stood after the batch that `begin` was given; nothing of
 * the version is read by anybody. What the batches after that one change is recorded elsewhere (`recording.ts`).
 * Not here: when each step may be taken, and the swap (`group-builds.ts`).
 */
import type { Client } from "pg";
import { quote } from "../catalog/definitions.ts";
import { wholeTableSettings } from "./applier.ts";
import { type BuildFailure, classifyBuildFailure } from "./applier-failure.ts";
import type { GroupRow } from "./bookkeeping.ts";
import type { CompiledView } from "./compiled-view.ts";
import { type ExtensionSchemas, findIndexes, findTables } from "./find/find-columns.ts";
import { checkTypes, makeExtensions } from "./find/find-extensions.ts";
import { type Mirror, mirrorTable } from "./mirror.ts";
import { checkReadTypes, readIndexes, tableColumns } from "./read-indexes.ts";
import { listDeltaColumns, Recording } from "./recording.ts";
import { dropVersion, makeTables, stateIndexes } from "./versions-build.ts";
import type { BuildProgress, ViewColumn } from "./view-info.ts";
import {
  createNarrow,
  createWide,
  type IndexPart,
  listNarrow,
  listParts,
  type NarrowIndex,
  tooLongOf,
  widen,
} from "./wide-indexes.ts";

export type BuildStage =
  /** Its empty tables are being made, or an index on the mirror that is named. */
  | { readonly kind: "preparing"; readonly index: string | null }
  /** Waits for `begin`. */
  | { readonly kind: "prepared"; readonly recording: Recording }
  | { readonly kind: "filling"; readonly recording: Recording; readonly estimate: FillEstimate | null }
  /** Its rows are committed. */
  | { readonly kind: "filled"; readonly recording: Recording }
  | { readonly kind: "failed"; readonly failure: BuildFailure };

/** The planner's own, of the rows that the fill makes. */
interface FillEstimate {
  readonly rows: number;
  readonly rowBytes: number;
}

export interface ViewBuildOptions {
  readonly group: string;
  readonly view: CompiledView;
  /** By name, as `wantedIndexes` has them. */
  readonly indexes: ReadonlyMap<string, { readonly mirror: Mirror; readonly columns: readonly string[] }>;
  /** How long the query of a view that is recomputed whole may take. */
  readonly takesMsMax: number;
  /** Rows may be too long for its indexes: they are made for any length, before there are rows. */
  readonly wide: boolean;
  connect(): Promise<Client>;
  /** The stage is another one. */
  onStage(): void;
}

/** Runs a statement on another connection than the build's, which is busy. */
export type RunElsewhere = (sql: string, values: readonly unknown[]) => Promise<Record<string, unknown>[]>;

/**
 * A backend whose client is gone must not hold the tables that the next attempt is to drop. Where the server's platform
 * cannot look, the attempt waits until it is through.
 */
export const noticeGoneClient = "set client_connection_check_interval = '1s'";
const sessionSettings = ["set statement_timeout = 0", "set client_min_messages = warning", "set jit = off"];

/** A heap tuple's header and its place in the page. */
const tupleOverheadBytes = 28;

export class ViewBuild {
  readonly view: CompiledView;
  readonly #options: ViewBuildOptions;
  #stage: BuildStage = { kind: "preparing", index: null };
  #client: Client | null = null;
  #pid: number | null = null;
  #working: Promise<void>;
  #stopped = false;
  #schemas: ExtensionSchemas = {};
  /** Of the state table, where the view is read beside as rows. */
  #columns: readonly Pick<ViewColumn, "name" | "type">[] = [];

  /** Begins in the background; nothing is thrown, what fails is a stage. */
  constructor(options: ViewBuildOptions) {
    this.view = options.view;
    this.#options = options;
    this.#working = this.#work(() => this.#prepare());
  }

  get stage(): BuildStage {
    return this.#stage;
  }

  /**
   * Takes the snapshot, between two batches, and fills in the background from it. False, and nothing begun, when the
   * group's row is another one than the applier's.
   */
  async begin(row: GroupRow): Promise<boolean> {
    const stage = this.#stage;
    if (stage.kind !== "prepared") throw new Error(`a build cannot begin while it is ${stage.kind}`);
    const { recording } = stage;
    const seen = await this.#snapshot();
    if (seen === null) return true; // it failed by itself: a stage says so
    if (seen.epoch !== row.epoch || seen.batch !== row.batch) return false;
    this.#become({ kind: "filling", recording, estimate: null });
    this.#working = this.#work(() => this.#fill(recording, row.batch));
    return true;
  }

  /** Ends the backend, whatever it is at, and waits until it has let go of everything. */
  async stop(elsewhere: RunElsewhere | null): Promise<void> {
    this.#stopped = true;
    const ended =
      elsewhere !== null &&
      this.#pid !== null &&
      (await elsewhere("select pg_terminate_backend($1)", [this.#pid]).then(
        () => true,
        () => false,
      ));
    if (!ended) await this.#client?.end().catch(() => {});
    await this.#working;
    await this.#client?.end().catch(() => {});
  }

  async progress(elsewhere: RunElsewhere): Promise<BuildProgress> {
    const stage = this.#stage;
    if (stage.kind === "preparing" && stage.index !== null) return await this.#indexing(stage, elsewhere);
    if (stage.kind !== "filling" || stage.estimate === null) return describe(stage);
    const [found] = await elsewhere("select pg_relation_size(to_regclass($1))::text as bytes", [this.view.stateTable]);
    const rows = Math.round(Number(found?.bytes ?? 0) / stage.estimate.rowBytes);
    return { ...describe(stage), rowsDone: rows, rowsEstimated: Math.max(rows, stage.estimate.rows) };
  }

  async #indexing(stage: BuildStage, elsewhere: RunElsewhere): Promise<BuildProgress> {
    const known = describe(stage);
    const [found] = await elsewhere(
      "select phase, tuples_done::text as done, tuples_total::text as total from pg_stat_progress_create_index where pid = $1",
      [this.#pid],
    );
    if (found === undefined) return known;
    const total = Number(found.total);
    return {
      reason: `${known.reason} (${found.phase})`,
      rowsDone: Number(found.done),
      rowsEstimated: total > 0 ? total : null,
    };
  }

  #become(stage: BuildStage): void {
    if (this.#stopped) return;
    this.#stage = stage;
    this.#options.onStage();
  }

  async #work(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      const takesMsMax = this.view.whole && this.#options.takesMsMax;
      this.#become({ kind: "failed", failure: classifyBuildFailure(error, takesMsMax) });
    }
  }

  async #prepare(): Promise<void> {
    const client = await this.#options.connect();
    this.#client = client;
    client.on("error", () => {});
    const { rows } = await this.#query<{ pid: number }>("select pg_backend_pid() as pid", []);
    this.#pid = rows[0]?.pid ?? null;
    await this.#query(noticeGoneClient, []).catch(() => {});
    // What an interrupted build left; nothing reads a version that never was live.
    await this.#run([...sessionSettings, ...dropVersion(this.view.name, this.view.version)]);
    await this.#makeIndexes();
    await this.#run(["begin", ...makeTables(this.view), "commit"]);
    await this.#makeFind();
    await this.#checkReads();
    if (this.#options.wide) await this.#makeWide();
    const found = await this.#query<{ columns: string }>(listDeltaColumns, [this.view.deltaTable]);
    const recording = new Recording(this.view, found.rows[0]?.columns ?? "");
    this.#become({ kind: "prepared", recording });
  }

  /** Without locking out writers. One that was not finished is of no use, and is in the way. */
  async #makeIndexes(): Promise<void> {
    for (const [name, { mirror, columns }] of this.#options.indexes) {
      const table = mirrorTable(mirror.shape);
      const index = `${quote(mirror.shape.source)}.${quote(name)}`;
      const { rows } = await this.#query<{ valid: boolean }>(
        "select indisvalid as valid from pg_index where indexrelid = to_regclass($1)",
        [index],
      );
      if (rows[0]?.valid) continue;
      this.#become({ kind: "preparing", index: table });
      const drop = `drop index concurrently if exists ${index}`;
      await this.#run([drop]);
      try {
        await this.#run([createNarrow(table, name, columns)]);
      } catch (error) {
        if (tooLongOf(error) === null) throw error;
        const { rows: parts } = await this.#query<IndexPart & { name: string }>(listParts, [table]);
        const probed = columns.flatMap((column) => parts.find((part) => part.name === column) ?? []);
        await this.#run([drop, createWide(table, probed, `concurrently ${quote(name)}`)]);
      }
    }
    this.#become({ kind: "preparing", index: null });
  }

  /** What the view is searched by, while its tables are empty. */
  async #makeFind(): Promise<void> {
    const { find, name, stateTable } = this.view;
    if (find === undefined) return;
    const query = async (sql: string, values: readonly unknown[]) =>
      (await this.#query<Record<string, unknown>>(sql, values)).rows;
    await checkTypes(query, name, stateTable, find);
    this.#schemas = await makeExtensions(query, name, find);
    await this.#run(["begin", ...findTables(this.view, this.#schemas), "commit"]);
  }

  async #checkReads(): Promise<void> {
    const { name, reads, stateTable } = this.view;
    if (reads === undefined) return;
    this.#columns = (await this.#query<{ name: string; type: string }>(tableColumns, [stateTable])).rows;
    checkReadTypes(name, reads, this.#columns);
  }

  async #snapshot(): Promise<{ epoch: number; batch: number } | null> {
    try {
      await this.#run(["begin isolation level repeatable read", ...wholeTableSettings]);
      const { rows } = await this.#query<{ epoch: string; batch: string }>(
        "select epoch, batch from millrace.groups where name = $1",
        [this.#options.group],
      );
      return { epoch: Number(rows[0]?.epoch), batch: Number(rows[0]?.batch) };
    } catch (error) {
      this.#become({ kind: "failed", failure: classifyBuildFailure(error) });
      return null;
    }
  }

  async #fill(recording: Recording, batch: number): Promise<void> {
    const { rows } = await this.#query<{ "QUERY PLAN": unknown }>(`explain (format json) ${this.view.fill}`, []);
    this.#become({ kind: "filling", recording, estimate: estimateOf(rows[0]?.["QUERY PLAN"]) });
    const { whole, stateTable, innerTables = [] } = this.view;
    const { wide } = this.#options;
    await this.#run(whole ? this.#limited(this.view.fill) : [this.view.fill]);
    await this.#run(wide ? [] : this.#indexes());
    await this.#run([
      `analyze ${[stateTable, ...innerTables].join(", ")}`,
      ...(whole ? [whole.filled(`${batch}`)] : []),
      "commit",
    ]);
    this.#become({ kind: "filled", recording });
  }

  #indexes(): string[] {
    const searched = findIndexes(this.view, this.#schemas);
    return [...stateIndexes(this.view), ...searched, ...readIndexes(this.view, this.#columns)];
  }

  /** Of a table that has no rows yet, so that nothing is too long for what is widened. */
  async #makeWide(): Promise<void> {
    const { stateTable } = this.view;
    await this.#run(this.#indexes());
    const { rows } = await this.#query<NarrowIndex>(listNarrow, [stateTable]);
    await this.#run(["begin", ...rows.flatMap((index) => widen(stateTable, index)), "commit"]);
  }

  #limited(sql: string): string[] {
    return [`set local statement_timeout = ${this.#options.takesMsMax}`, sql, "set local statement_timeout = 0"];
  }

  async #run(statements: readonly string[]): Promise<void> {
    for (const sql of statements) await this.#query(sql, []);
  }

  async #query<Row extends object>(sql: string, values: readonly unknown[]): Promise<{ rows: Row[] }> {
    if (this.#client === null || this.#stopped) throw new Error("the build was stopped");
    return await this.#client.query<Row>(sql, [...values]);
  }
}

/** What can be said of a stage without asking the store. */
export function describe(stage: BuildStage): BuildProgress {
  const unknown = { rowsDone: 0, rowsEstimated: null };
  switch (stage.kind) {
    case "preparing":
      if (stage.index !== null) return { reason: `waits for an index on ${stage.index}`, ...unknown };
      return { reason: "waits until its tables are made", ...unknown };
    case "prepared":
      return { reason: "waits for the end of a batch", ...unknown };
    case "filling":
      return { reason: "is being filled from its mirrors", ...unknown };
    case "filled": {
      const { rowsMerged, rowsRecorded } = stage.recording;
      const reason = "takes in what changed while it was filled";
      return { reason, rowsDone: rowsMerged, rowsEstimated: rowsRecorded };
    }
    case "failed": {
      const { failure } = stage;
      const why = failure.kind === "again" ? failure.message : failure.error.message;
      return { reason: `could not be built and is tried again: ${why}`, ...unknown };
    }
  }
}

/** Of the plan below the insert, as `explain (format json)` prints it. */
function estimateOf(plan: unknown): FillEstimate | null {
  const [top] = Array.isArray(plan) ? plan : [];
  const source = top?.Plan?.Plans?.[0];
  const [rows, width] = [Number(source?.["Plan Rows"]), Number(source?.["Plan Width"])];
  return Number.isFinite(rows) && Number.isFinite(width) ? { rows, rowBytes: width + tupleOverheadBytes } : null;
}
