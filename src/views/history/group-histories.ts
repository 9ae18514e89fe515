/**
 * The histories of a group's views: begun, brought to another version of their view, and cut off behind what they keep.
 *
 * Always true: a history changes in the transaction that changes its view, and only for that; what reads it is brought on
 * in the same one.
 */
import type { Timer } from "../../base/clock.ts";
import { quote } from "../../catalog/definitions.ts";
import { type Changed, ownerOf, planHistoryChange, recordBatch, writesChanges } from "../applier-batch.ts";
import type { PipelineStatement, StatementResult } from "../applier-pipeline.ts";
import { forgetTable, type MirrorRow, writeFilled, writeTable, writeVersion } from "../bookkeeping.ts";
import type { CompiledView } from "../compiled-view.ts";
import { type GroupContext, tryOnce } from "../group-context.ts";
import type { GroupState } from "../group-state.ts";
import { versionsOver } from "../group-topics.ts";
import type { Retention } from "../retention.ts";
import type { ViewColumn } from "../view-info.ts";
import { bringToView, type Followed, rowsOf } from "./history-changes.ts";
import { beginHistory, forgetHistory, momentOf } from "./history-store.ts";
import {
  addedColumns,
  createHistory,
  dropHistory,
  grantHistory,
  growHistory,
  historyShape,
  historyTable,
} from "./history-table.ts";

/** What the history does when a version of its view goes live, in that transaction. */
export interface HistorySwap {
  readonly statements: readonly PipelineStatement[];
  /** When it is committed, before the views are arranged anew; `results` are those of `statements`. */
  settle(results: readonly StatementResult[]): void;
}

const nothing: HistorySwap = { statements: [], settle: () => {} };

export function historyOf(state: GroupState, view: string): MirrorRow | undefined {
  return state.mirrors.find(({ shape }) => shape.history?.view === view);
}

/** Statements that take a view's history away, with what is known of it. */
export function forgetHistoryOf(state: GroupState, view: string): PipelineStatement[] {
  const mirror = historyOf(state, view);
  if (mirror === undefined) return [];
  const drop = dropHistory(view).map((sql) => ({ sql, fresh: true }));
  return [...drop, forgetHistory(view), forgetTable(mirror.id)];
}

/** The version's tables stand, and its rows are those of its query once `statements` are to run. */
export async function planSwap(context: GroupContext, view: CompiledView): Promise<HistorySwap> {
  const { state, settings, applier } = context;
  const mirror = historyOf(state, view.name);
  if (view.history !== true) {
    if (mirror === undefined) return nothing;
    return {
      statements: forgetHistoryOf(state, view.name),
      settle: () => {
        state.mirrors = state.mirrors.filter((one) => one !== mirror);
      },
    };
  }
  const shape = historyShape(view.name, view.key ?? [], await columnsOf(context, view));
  const atMs = state.changedMs ?? settings.clock.now();
  const added = mirror && addedColumns(mirror.shape, shape);
  if (mirror !== undefined && added?.length === 0 && applier.layout.mirrors.has(mirror.id)) {
    const followed: Followed = { view, mirror };
    const changed: Changed = { rowsMs: atMs, clockMs: null };
    const batch = applier.row.batch + 1;
    const { statements } = planHistoryChange(applier.layout, followed, { kind: "swap", atMs }, batch, changed);
    const grant = { sql: grantHistory(view, settings.readerRole), fresh: true };
    return { statements: [grant, ...statements], settle: () => {} };
  }
  return await planAnew(context, view, { mirror, shape, added: added ?? null, atMs });
}

interface Anew {
  readonly mirror: MirrorRow | undefined;
  readonly shape: MirrorRow["shape"];
  /** Columns that versions of before do not have; null where versions are begun anew. */
  readonly added: readonly string[] | null;
  readonly atMs: number;
}

/** A history of which no view that reads it can be kept meanwhile: those are built anew behind it. */
async function planAnew(
  context: GroupContext,
  view: CompiledView,
  { mirror, shape, added, atMs }: Anew,
): Promise<HistorySwap> {
  const { state, settings } = context;
  const { readerRole, name: group } = settings;
  const kept = mirror !== undefined && added !== null;
  if (mirror !== undefined && !kept) {
    settings.diagnostics.warn("a history begins anew, for its view has other columns", { view: view.name });
  }
  const make = kept
    ? added.length === 0
      ? []
      : growHistory(shape, view.name, added)
    : createHistory(shape, view.name, view.key ?? []);
  const retired = mirror === undefined ? [] : await versionsOver(context, mirror.id);
  // The mirror's id is needed behind it: it is what the last of these answers.
  const statements: PipelineStatement[] = [
    ...[...make, grantHistory(view, readerRole)].map((sql) => ({ sql, fresh: true })),
    ...(kept ? [] : [beginHistory(view.name, atMs, rowsOf(view, view.publicColumns.map(quote)))]),
    ...bringToView({ view, mirror: { id: mirror?.id ?? 0, shape } }, kept ? atMs : null),
    ...retired.map((row) => writeVersion(group, row)),
    writeTable(group, shape),
    writeFilled(group, shape),
  ];
  return {
    // What fails in it is the version's own failure: it does not go live.
    statements: statements.map((one) => ({ ...one, owner: ownerOf.build(view.name) })),
    settle: (results) => {
      const id = Number(results.at(-1)?.rows[0]?.[0]);
      const row: MirrorRow = { id, shape, state: "filled", error: null, reading: null };
      state.mirrors = [...state.mirrors.filter((one) => one.id !== id), row].sort((a, b) => a.id - b.id);
      state.replaceVersions(retired);
    },
  };
}

async function columnsOf({ applier }: GroupContext, view: CompiledView): Promise<Pick<ViewColumn, "name" | "type">[]> {
  const rows = await applier.query(
    "select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute " +
      "where attrelid = to_regclass($1) and attnum > 0 and not attisdropped",
    [view.stateTable],
  );
  const byName = new Map(
    (rows as unknown as Pick<ViewColumn, "name" | "type">[]).map((column) => [column.name, column]),
  );
  return view.publicColumns.flatMap((name) => byName.get(name) ?? []);
}

const expiryEveryMs = 5_000;
/** Of one portion, which a batch may wait for. */
const expiryRowsMax = 1_000;

/** Lets go of versions that ended longer ago than a view keeps them, a portion now and then between two batches. */
export class HistoryExpiry {
  readonly #context: GroupContext;
  readonly #retention: Retention;
  readonly #onDue: () => void;
  #timer: Timer | null = null;
  #due = true;

  /** `onDue` is called when `step` has something to do. */
  constructor(context: GroupContext, retention: Retention, onDue: () => void) {
    this.#context = context;
    this.#retention = retention;
    this.#onDue = onDue;
  }

  get due(): boolean {
    return this.#due;
  }

  /** While a view is built nothing goes: what it records is of the batches. */
  async step(): Promise<void> {
    if (!this.#due) return;
    this.#due = false;
    const { state, settings } = this.#context;
    let more = false;
    let kept = false;
    for (const { view, mirror, keepMs } of this.#kept()) {
      kept = true;
      if (state.recordings.length > 0) break;
      const count = await this.#expire({ view, mirror }, settings.clock.now() - keepMs);
      more ||= count === expiryRowsMax;
    }
    if (more) this.#due = true;
    else if (kept) this.#lookLater();
  }

  /** The views were arranged anew. */
  replan(): void {
    this.#due = true;
  }

  close(): void {
    this.#timer?.cancel();
  }

  #lookLater(): void {
    this.#timer?.cancel();
    this.#timer = this.#context.settings.clock.after(expiryEveryMs, () => {
      this.#due = true;
      this.#onDue();
    });
  }

  *#kept(): Generator<Followed & { readonly keepMs: number }> {
    const { state, applier } = this.#context;
    for (const { planned, live } of state.views.values()) {
      const { history } = planned.definition;
      const mirror = live?.compiled.history ? historyOf(state, live.name) : undefined;
      const isFollowed = mirror !== undefined && applier.layout.mirrors.has(mirror.id);
      if (typeof history !== "object" || history.keepMs === null || !live || !isFollowed) continue;
      yield { view: live.compiled, mirror, keepMs: history.keepMs };
    }
  }

  /** How many versions went. */
  async #expire(followed: Followed, beforeMs: number): Promise<number> {
    const { applier, settings, state } = this.#context;
    const { view } = followed;
    const { batch, generation } = applier.row;
    const change = { kind: "expiry", beforeMs, rowsMax: expiryRowsMax } as const;
    const [due] = await applier.query(
      `select count(*)::int as n from (select from ${historyTable(view.name)} where _valid_to <= $1::timestamptz limit $2) q`,
      [momentOf(beforeMs), expiryRowsMax],
    );
    const count = Number(due?.n ?? 0);
    if (count === 0) return 0;
    const at = { rowsMs: state.changedMs ?? beforeMs, clockMs: null };
    const { statements, views } = planHistoryChange(applier.layout, followed, change, batch + 1, at);
    const record = recordBatch(settings.name, generation, batch + 1, views.filter(writesChanges));
    const outcome = await tryOnce(this.#context, () =>
      applier.transact([reach(view.name, beforeMs), ...statements, ...record]),
    );
    if ("failure" in outcome) return 0;
    const bytes = record.length === 0 ? 0 : Number(outcome.done.at(-1)?.rows[0]?.[0] ?? 0);
    if (bytes > 0) this.#retention.add(applier.row.batch, bytes, settings.clock.now());
    state.changed();
    return count;
  }
}

/** Nothing before this can be looked back at any more. */
function reach(view: string, beforeMs: number): PipelineStatement {
  return {
    sql: "update millrace.histories set since = greatest(since, $2::timestamptz) where view = $1",
    values: [view, momentOf(beforeMs)],
  };
}
