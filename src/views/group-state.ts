/** What a group knows in memory: the sources, mirrors and views as the store has them after the last commit. */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { mirrorName } from "../catalog/definitions.ts";
import type { SchemaFile } from "../schema/table-shape.ts";
import type { GroupRow, MirrorRow, SourceRow, VersionRow } from "./bookkeeping.ts";
import type { CompiledView } from "./compiled-view.ts";
import { type Reached, Waits } from "./group-waits.ts";
import type { Offsets } from "./inputs.ts";
import type { LiveView } from "./live-view.ts";
import { type Mirror, mirrorTable } from "./mirror.ts";
import type { StoredPosition } from "./positions.ts";
import type { PlannedView } from "./versions.ts";
import type { GroupPosition, ViewColumn, ViewInfo, ViewState } from "./view-info.ts";

export interface ViewEntry {
  readonly planned: PlannedView;
  /** While it is live. */
  readonly live: LiveView | null;
  changes: number;
  rowsEstimated: number;
}

export class GroupState implements Reached {
  readonly waits: Waits;
  readonly #listeners = new Set<() => void>();
  row: GroupRow = { epoch: 0, generation: 0, batch: 0, oldestBatch: 1 };
  readonly positions = new Map<string, StoredPosition>();
  readonly sources = new Map<string, SourceRow>();
  readonly progress = new Map<string, { rows: number; rowsEstimated: number }>();
  mirrors: MirrorRow[] = [];
  versions: VersionRow[] = [];
  readonly views = new Map<string, ViewEntry>();

  constructor(clock: Clock) {
    this.waits = new Waits(clock);
  }

  get position(): GroupPosition {
    return { generation: this.row.generation, batch: this.row.batch };
  }

  lsn(source: string): string | null {
    return this.sources.get(source)?.lsn ?? null;
  }

  offsets(): Offsets {
    return new Map([...this.positions.values()].map((position) => [position.topic, position.nextOffset]));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** After a commit, and after a change of a view's state. */
  changed(): void {
    this.waits.wake(this);
    for (const listener of [...this.#listeners]) listener();
  }

  /** Mirrors that have rows. */
  filledMirrors(): Mirror[] {
    return this.mirrors.filter((mirror) => mirror.state === "filled").map(({ id, shape }) => ({ id, shape }));
  }

  liveViews(): CompiledView[] {
    return [...this.views.values()].flatMap(({ live }) => (live ? [live.compiled] : []));
  }

  /** Sources whose rows a view reads. */
  sourcesOf(view: CompiledView): string[] {
    const ids = new Set(view.uses.map((use) => use.mirrorId));
    return [...new Set(this.mirrors.filter((mirror) => ids.has(mirror.id)).map((mirror) => mirror.shape.source))];
  }

  /** Tables of a view that are being read anew. */
  readingFor(view: CompiledView): string[] {
    const ids = new Set(view.uses.map((use) => use.mirrorId));
    return this.mirrors
      .filter((mirror) => ids.has(mirror.id) && mirror.reading !== null)
      .map(({ shape }) => `${shape.source}.${mirrorName(shape.schema, shape.table)}`);
  }

  entry(name: string): ViewEntry {
    const entry = this.views.get(name);
    if (entry) return entry;
    const names = [...this.views.keys()];
    throw new MillraceError("VIEW_UNKNOWN", `there is no view "${name}"`, {
      hint: names.length > 0 ? `Views are: ${names.slice(0, 20).join(", ")}.` : "No view is defined yet.",
      details: { view: name },
    });
  }

  info(entry: ViewEntry): ViewInfo {
    const { definition, compiled } = entry.planned;
    return {
      name: definition.name,
      sql: definition.sql.text,
      class: compiled?.class ?? "unknown",
      columns: entry.live?.columns ?? (compiled?.publicColumns ?? []).map(unknownType),
      key: compiled?.key ?? definition.key ?? [],
      hash: compiled?.hash ?? "",
      state: this.#stateOf(entry),
      rowsEstimated: entry.rowsEstimated,
      changes: entry.changes,
    };
  }

  #stateOf({ planned, live }: ViewEntry): ViewState {
    if (planned.state.kind === "failed") return { kind: "failed", error: planned.state.error };
    if (live) return planned.defined ? { kind: "live" } : { kind: "removed" };
    return this.#building(planned);
  }

  #building({ compiled }: PlannedView): Extract<ViewState, { kind: "building" }> {
    const unknown = { rowsDone: 0, rowsEstimated: null };
    if (!compiled) return { kind: "building", reason: "waits for the first snapshot of its sources", ...unknown };
    const sources = this.sourcesOf(compiled);
    const reading = this.readingFor(compiled);
    const snapshots = sources.filter((source) => !this.sources.get(source)?.snapshotComplete);
    const waiting = reading.length > 0 ? sources : snapshots;
    if (waiting.length === 0) {
      return { kind: "building", reason: "is being filled from its mirrors; the group waits", ...unknown };
    }
    const progress = waiting.map((source) => this.progress.get(source)).filter((p) => p !== undefined);
    return {
      kind: "building",
      reason:
        snapshots.length > 0
          ? `waits for the snapshot of ${snapshots.join(", ")}`
          : `waits for ${reading.join(", ")}, which is read anew`,
      rowsDone: progress.reduce((sum, p) => sum + p.rows, 0),
      rowsEstimated: progress.length === 0 ? null : progress.reduce((sum, p) => sum + p.rowsEstimated, 0),
    };
  }

  readable(name: string): LiveView {
    const entry = this.entry(name);
    const state = this.#stateOf(entry);
    if (entry.live && state.kind !== "failed") return entry.live;
    if (state.kind === "failed") {
      if (state.error.code === "VIEW_FAILED") throw state.error;
      throw new MillraceError("VIEW_FAILED", `view "${name}" does not compile: ${state.error.message}`, {
        ...(state.error.hint === undefined ? {} : { hint: state.error.hint }),
        details: { view: name, code: state.error.code },
        cause: state.error,
      });
    }
    const building = this.#building(entry.planned);
    throw new MillraceError("VIEW_BUILDING", `view "${name}" ${building.reason}`, {
      hint: "Ask again in a moment.",
      details: { view: name, rowsDone: building.rowsDone, rowsEstimated: building.rowsEstimated },
    });
  }

  schemaFile(): SchemaFile {
    const views = [...this.views.values()].flatMap(({ live }) =>
      live ? [{ name: live.name, hash: live.hash, key: live.key, columns: live.columns }] : [],
    );
    const tables = this.mirrors.map((mirror) => mirror.shape);
    return { version: 1, tables: tables.sort((a, b) => (mirrorTable(a) < mirrorTable(b) ? -1 : 1)), views };
  }
}

function unknownType(name: string): ViewColumn {
  return { name, type: "unknown", nullable: true };
}
