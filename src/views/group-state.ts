/** What a group knows in memory: the sources, mirrors and views as the store has them after the last commit. */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { isOnlyCopy, mirrorName, versionsOf } from "../catalog/definitions.ts";
import type { SchemaFile } from "../schema/table-shape.ts";
import type { GroupRow, MirrorRow, SourceRow, VersionRow } from "./bookkeeping.ts";
import { historyName, viewOfHistory } from "./compile/history-name.ts";
import type { CompiledView } from "./compiled-view.ts";
import { Waits } from "./group-waits.ts";
import { isHistory } from "./history/history-table.ts";
import { asOfView, historyView } from "./history/past-view.ts";
import type { Offsets } from "./inputs.ts";
import type { LiveView, ReadableOptions } from "./live-view.ts";
import { type Mirror, mirrorTable } from "./mirror.ts";
import { placeOf, type StoredPosition } from "./positions.ts";
import type { Recording } from "./recording.ts";
import { staleSince } from "./stale-view.ts";
import { isOfTopic } from "./topic-places.ts";
import type { PlannedView } from "./versions.ts";
import type { BuildProgress, GroupPosition, ViewColumn, ViewInfo, ViewState, WaitTarget } from "./view-info.ts";
import { type GroupReached, ViewReaches } from "./view-reach.ts";

export interface ViewEntry {
  /** What there is to be. */
  readonly planned: PlannedView;
  /** What can be read: the planned version, or the one before it, kept right until that one takes its place. */
  readonly live: LiveView | null;
  /** The last good state, where the view failed and none is live since. */
  readonly stale: LiveView | null;
  changes: number;
  rowsEstimated: number;
}

export class GroupState implements GroupReached {
  readonly waits: Waits;
  readonly reaches: ViewReaches;
  readonly #listeners = new Set<() => void>();
  row: GroupRow = { epoch: 0, generation: 0, batch: 0, oldestBatch: 1 };
  /** By place. */
  readonly positions = new Map<string, StoredPosition>();
  /** Of mirrors of topics, by id: next offsets by place that they are to reach before a view is built that reads them. */
  readonly catchingUp = new Map<number, ReadonlyMap<string, number>>();
  /** By topic, in milliseconds: up to where the events of all partitions have come. */
  readonly watermarks = new Map<string, number>();
  readonly sources = new Map<string, SourceRow>();
  readonly progress = new Map<string, { rows: number; rowsEstimated: number }>();
  mirrors: MirrorRow[] = [];
  versions: VersionRow[] = [];
  readonly views = new Map<string, ViewEntry>();
  /** How far the builds are that were begun, by view. */
  readonly builds = new Map<string, BuildProgress>();
  /** What batches record for them. */
  recordings: readonly Recording[] = [];
  /** When what was applied last has happened, as far as it says so. */
  changedMs: number | null = null;

  constructor(clock: Clock) {
    this.waits = new Waits(clock);
    this.reaches = new ViewReaches(this);
  }

  get position(): GroupPosition {
    return { generation: this.row.generation, batch: this.row.batch };
  }

  lsn(source: string): string | null {
    return this.sources.get(source)?.lsn ?? null;
  }

  lsns(): ReadonlyMap<string, string | null> {
    return new Map([...this.sources].map(([source, { lsn }]) => [source, lsn]));
  }

  inputs(): WaitTarget[] {
    const sources = [...this.sources].flatMap(([source, { lsn }]): WaitTarget[] => {
      return lsn === null ? [] : [{ kind: "source", source, lsn }];
    });
    const ofTopics = this.filledMirrors().filter(isOfTopic);
    const topics = ofTopics.flatMap(({ shape: { topic } }): WaitTarget[] => {
      const found = [...this.positions.values()].filter((position) => position.topic === topic);
      const positions = found.map(({ partition, nextOffset }) => ({ partition, offset: nextOffset }));
      return found[0] ? [{ kind: "topic", topic, topicId: found[0].topicId, positions }] : [];
    });
    return [...sources, ...topics];
  }

  offsets(): Offsets {
    return new Map(
      [...this.positions.values()].map((position) => [
        placeOf(position.topic, position.partition),
        position.nextOffset,
      ]),
    );
  }

  /** The latest times of events so far, by place. */
  eventTimes(): ReadonlyMap<string, number> {
    return new Map([...this.positions].flatMap(([place, { latestEventMs: ms }]) => (ms === null ? [] : [[place, ms]])));
  }

  /** Null where nobody reads the topic. */
  offset(topic: string, partition: number): number | null {
    const isRead = this.mirrors.some((mirror) => mirror.state === "filled" && mirror.shape.topic === topic);
    return isRead ? (this.positions.get(placeOf(topic, partition))?.nextOffset ?? 0) : null;
  }

  forgetTopic({ id, shape }: MirrorRow): void {
    this.catchingUp.delete(id);
    this.watermarks.delete(shape.topic);
    for (const [place, { topic }] of this.positions) if (topic === shape.topic) this.positions.delete(place);
  }

  /** Takes out those mirrors that have what they are to have. */
  takeCaughtUp(): MirrorRow[] {
    const reached = this.mirrors.filter(({ id }) => {
      const targets = this.catchingUp.get(id);
      return targets !== undefined && [...targets].every(([place, offset]) => this.#reaches(place, offset));
    });
    for (const { id } of reached) this.catchingUp.delete(id);
    return reached;
  }

  #reaches(place: string, offset: number): boolean {
    return (this.positions.get(place)?.nextOffset ?? 0) >= offset;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** After a commit, and after a change of a view's state. */
  changed(): void {
    this.waits.wake();
    for (const listener of [...this.#listeners]) listener();
  }

  /** Mirrors that have rows. */
  filledMirrors(): Mirror[] {
    return this.mirrors.filter((mirror) => mirror.state === "filled").map(({ id, shape }) => ({ id, shape }));
  }

  liveViews(): CompiledView[] {
    return [...this.views.values()].flatMap(({ live }) => (live ? [live.compiled] : []));
  }

  /** Every version that is kept right or is to be, those that failed included: what they need stays. */
  compiledViews(): CompiledView[] {
    return [...this.views.values()].flatMap(({ planned, live }) => {
      const before = live && live.version !== planned.compiled?.version ? [live.compiled] : [];
      return planned.compiled ? [planned.compiled, ...before] : before;
    });
  }

  /** Whether this very version is still to be built. */
  isBuilding({ name, version, hash }: CompiledView): boolean {
    const planned = this.views.get(name)?.planned;
    return (
      planned?.state.kind === "building" && planned.compiled?.version === version && planned.compiled.hash === hash
    );
  }

  /** Of the version that a statement of it was about. */
  stateTableOf({ kind, view }: { readonly kind: "view" | "build"; readonly view: string }): string | undefined {
    const entry = this.views.get(view);
    return (kind === "view" ? entry?.live?.compiled : entry?.planned.compiled)?.stateTable;
  }

  mirrorTableOf(mirrorId: number): string | undefined {
    const mirror = this.mirrors.find(({ id }) => id === mirrorId);
    return mirror && mirrorTable(mirror.shape);
  }

  recordingsWanted(): Recording[] {
    return this.recordings.filter(({ view }) => this.isBuilding(view));
  }

  /** Whether all that a view reads is there, whole. */
  canBuild(view: CompiledView): boolean {
    const filled = new Set(this.filledMirrors().map((mirror) => mirror.id));
    return (
      view.uses.every((use) => filled.has(use.mirrorId)) &&
      this.sourcesOf(view).every((source) => this.sources.get(source)?.snapshotComplete) &&
      this.readingFor(view).length === 0 &&
      !view.uses.some((use) => this.catchingUp.has(use.mirrorId))
    );
  }

  replaceVersions(rows: readonly VersionRow[]): void {
    const key = (row: VersionRow) => `${row.name}/${row.version}`;
    const all = new Map([...this.versions, ...rows].map((row) => [key(row), row]));
    this.versions = [...all.values()].sort((a, b) =>
      a.name === b.name ? a.version - b.version : a.name < b.name ? -1 : 1,
    );
  }

  /** Sources whose rows a view reads. */
  sourcesOf(view: CompiledView): string[] {
    const captured = this.#mirrorsOf(view).filter(({ shape }) => shape.records === undefined);
    return [...new Set(captured.map((mirror) => mirror.shape.source))];
  }

  /** Topics whose records it reads as rows. */
  topicsOf(view: CompiledView): string[] {
    return this.#mirrorsOf(view).flatMap(({ shape }) => (shape.records === undefined ? [] : [shape.topic]));
  }

  /** Where it reads the history of another view, those of that one. */
  #mirrorsOf(view: CompiledView): MirrorRow[] {
    const ids = new Set(view.uses.map((use) => use.mirrorId));
    const mirrors = this.mirrors.filter((mirror) => ids.has(mirror.id));
    const below = mirrors.flatMap(({ shape: { history } }) => {
      const entry = history && this.views.get(history.view);
      const compiled = entry?.live?.compiled ?? entry?.planned.compiled;
      return compiled ? this.#mirrorsOf(compiled) : [];
    });
    return [...new Set([...mirrors.filter((mirror) => !isHistory(mirror)), ...below])];
  }

  /** Topics whose changes are applied one by one, for views that read them have histories. */
  topicsAlone(): ReadonlySet<string> {
    const views = this.liveViews().filter((view) => view.history === true);
    return new Set(views.flatMap((view) => this.#mirrorsOf(view).map(({ shape }) => shape.topic)));
  }

  /** Tables of a view that are being read anew. */
  readingFor(view: CompiledView): string[] {
    return this.#mirrorsOf(view)
      .filter((mirror) => mirror.reading !== null)
      .map(({ shape }) => `${shape.source}.${mirrorName(shape.schema, shape.table)}`);
  }

  entry(name: string): ViewEntry {
    const entry = this.views.get(name);
    if (entry) return entry;
    const of = viewOfHistory(name);
    if (of !== null && this.views.has(of)) {
      throw new MillraceError("VIEW_UNKNOWN", `"${name}" is the history of view "${of}", and no view`, {
        hint: `Its versions are read as rows; what changes is told of "${of}".`,
        details: { view: name },
      });
    }
    const names = [...this.views.keys()];
    throw new MillraceError("VIEW_UNKNOWN", `there is no view "${name}"`, {
      hint: names.length > 0 ? `Views are: ${names.slice(0, 20).join(", ")}.` : "No view is defined yet.",
      details: { view: name },
    });
  }

  /** Of the version that can be read, where there is one. */
  info(entry: ViewEntry): ViewInfo {
    const { planned, live } = entry;
    const compiled = live?.compiled ?? planned.compiled;
    const versions = versionsOf(planned.definition);
    return {
      name: planned.definition.name,
      sql: live?.sql ?? planned.definition.sql.text,
      class: compiled?.class ?? "unknown",
      columns: live?.columns ?? (compiled?.publicColumns ?? []).map(unknownType),
      key: compiled ? compiled.key : (planned.definition.key ?? []),
      hash: compiled?.hash ?? "",
      ...(compiled?.find === undefined ? {} : { find: compiled.find }),
      ...(compiled?.reads === undefined ? {} : { reads: compiled.reads }),
      ...(typeof planned.definition.policy === "string" ? { policy: planned.definition.policy } : {}),
      ...(planned.definition.references === undefined ? {} : { references: planned.definition.references }),
      ...(isOnlyCopy(planned.definition) ? { history: "store" as const } : {}),
      ...(versions === null ? {} : { versions: { name: historyName(versions.view), keepMs: versions.keepMs } }),
      ...(compiled?.whole === undefined
        ? {}
        : { refresh: { everyMs: compiled.whole.everyMs, behind: this.reaches.isBehind(compiled.name) } }),
      ...(planned.definition.window === undefined ? {} : { window: planned.definition.window }),
      ...(compiled ? this.#watermarksOf(compiled) : {}),
      state: this.#stateOf(entry),
      rowsEstimated: entry.rowsEstimated,
      changes: entry.changes,
    };
  }

  #watermarksOf(view: CompiledView): Pick<ViewInfo, "watermarks"> {
    const topics = this.#mirrorsOf(view).filter(({ shape }) => shape.watermark !== undefined);
    if (topics.length === 0) return {};
    return { watermarks: topics.map(({ shape: { topic } }) => ({ topic, atMs: this.watermarks.get(topic) ?? null })) };
  }

  #stateOf({ planned, live, stale }: ViewEntry): ViewState {
    if (planned.state.kind === "failed") {
      return { kind: "failed", error: planned.state.error, ...staleSince(stale === null ? [] : [stale]) };
    }
    if (live === null) return { kind: "building", ...this.#building(planned) };
    if (!planned.defined) return { kind: "removed" };
    return planned.state.kind === "live" ? { kind: "live" } : { kind: "live", replacement: this.#building(planned) };
  }

  #building({ compiled }: PlannedView): BuildProgress {
    const unknown = { rowsDone: 0, rowsEstimated: null };
    if (!compiled) return { reason: "waits for the first snapshot of its sources", ...unknown };
    const sources = this.sourcesOf(compiled);
    const reading = this.readingFor(compiled);
    const snapshots = sources.filter((source) => !this.sources.get(source)?.snapshotComplete);
    const waiting = reading.length > 0 ? sources : snapshots;
    if (waiting.length === 0) {
      const topics = this.#mirrorsOf(compiled).filter(({ id }) => this.catchingUp.has(id));
      if (topics.length > 0) return this.#reading(topics);
      return this.builds.get(compiled.name) ?? { reason: "waits for its turn to be built", ...unknown };
    }
    const progress = waiting.map((source) => this.progress.get(source)).filter((p) => p !== undefined);
    return {
      reason:
        snapshots.length > 0
          ? `waits for the snapshot of ${snapshots.join(", ")}`
          : `waits for ${reading.join(", ")}, which is read anew`,
      rowsDone: progress.reduce((sum, p) => sum + p.rows, 0),
      rowsEstimated: progress.length === 0 ? null : progress.reduce((sum, p) => sum + p.rowsEstimated, 0),
    };
  }

  #reading(mirrors: readonly MirrorRow[]): BuildProgress {
    const places = mirrors.flatMap(({ id }) => [...(this.catchingUp.get(id) ?? [])]);
    let rowsDone = 0;
    let rowsEstimated = 0;
    for (const [place, target] of places) {
      const { baseOffset = 0, nextOffset = 0 } = this.positions.get(place) ?? {};
      rowsDone += Math.min(nextOffset, target) - baseOffset;
      rowsEstimated += target - baseOffset;
    }
    return { reason: `reads ${mirrors.map(({ shape }) => shape.topic).join(", ")}`, rowsDone, rowsEstimated };
  }

  readable(name: string, options: ReadableOptions = {}): LiveView {
    const of = viewOfHistory(name);
    if (of !== null && options.asOfMicros !== undefined) {
      throw new MillraceError("REQUEST_INVALID", `"${name}" has the versions of all times`, {
        hint: `Read "${of}" as of a moment, or filter _valid_from and _valid_to.`,
      });
    }
    const live = this.#readable(of ?? name, options.stale === true);
    if (of !== null) return historyView(live);
    return options.asOfMicros === undefined ? live : asOfView(live, options.asOfMicros);
  }

  #readable(name: string, stale: boolean): LiveView {
    const entry = this.entry(name);
    const state = this.#stateOf(entry);
    if (entry.live && state.kind !== "failed") return entry.live;
    if (stale && entry.stale) return entry.stale;
    if (state.kind === "failed") {
      if (state.error.code === "VIEW_FAILED") throw state.error;
      const what = state.error.code === "STORE_EXTENSION_MISSING" ? "cannot be built" : "does not compile";
      throw new MillraceError("VIEW_FAILED", `view "${name}" ${what}: ${state.error.message}`, {
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
    // Those of topics are in the definitions.
    const captured = this.mirrors.filter((mirror) => !isHistory(mirror) && !isOfTopic(mirror));
    const tables = captured.map(({ shape }) => shape);
    return { version: 1, tables: tables.sort((a, b) => (mirrorTable(a) < mirrorTable(b) ? -1 : 1)), views };
  }
}

function unknownType(name: string): ViewColumn {
  return { name, type: "unknown", nullable: true };
}
