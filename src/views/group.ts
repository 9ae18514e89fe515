/**
 * A view group: mirrors, views and positions in one store, kept up to date by one writer. This is its outside: what
 * readers ask, what `dev` and the doors tell it, and the loop that opens it again when the store went away.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { TableDefinition, ViewDefinition } from "../catalog/definitions.ts";
import type { Engine } from "../engine/engine.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import { plainReader, type WireReader } from "../schema/registry/wire-reader.ts";
import type { SchemaFile, TableShape } from "../schema/table-shape.ts";
import type { Store } from "../store/store.ts";
import { storeTrouble } from "./applier-failure.ts";
import { compileView } from "./compile.ts";
import type { CompiledView, CompileRequest } from "./compiled-view.ts";
import { type ClockPace, clockPace } from "./group-clock.ts";
import type { GroupSettings } from "./group-context.ts";
import { type GroupOwner, ownGroup } from "./group-owner.ts";
import { GroupSession } from "./group-session.ts";
import { GroupState } from "./group-state.ts";
import { defaultBound } from "./inputs.ts";
import type { RowsBound } from "./inputs-rows.ts";
import type { GroupViews, LiveView, ReadableOptions } from "./live-view.ts";
import { defaultRefreshLimits, type RefreshLimits } from "./refresh-limits.ts";
import { defaultRetention, type RetentionLimits } from "./retention.ts";
import { type Relation, relationsOf } from "./row-relations.ts";
import { partitionOffsets } from "./topic-places.ts";
import { type Upkeep, upkeepOf } from "./upkeep.ts";
import type { GroupPosition, ViewInfo, WaitTarget } from "./view-info.ts";

export interface GroupSource {
  readonly name: string;
  readonly tables: readonly TableDefinition[];
}

export interface GroupOptions {
  readonly name: string;
  readonly engine: Engine;
  readonly store: Store;
  readonly definitions: readonly ViewDefinition[];
  readonly sources: readonly GroupSource[];
  /** Topics that views may read as rows; none when left out. */
  readonly topics?: readonly TableShape[];
  /** Views of this name are another group's by now: what is left of them here goes, in `start` too. */
  readonly elsewhere?: (view: string) => boolean;
  /** `dev` drops views that are not defined any more, `start` keeps and lists them. */
  readonly mode: "dev" | "start";
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  /** The process's open table of progress; without one its topic is read. */
  readonly progress?: ProgressTable;
  /** A position that readers of earlier processes know, beside what the group has noted itself. */
  readonly told?: GroupPosition | null;
  /** Asks a source to tell where it stands, for a reader who waits for a position of it. */
  readonly catchUp?: (source: string) => void;
  /** Of sources whose encoding is not JSON; without it all events are JSON. */
  readonly wire?: WireReader;
  readonly bound?: RowsBound;
  readonly retention?: RetentionLimits;
  readonly refreshLimits?: RefreshLimits;
  readonly clockPace?: ClockPace;
  readonly compile?: (request: CompileRequest) => Promise<CompiledView>;
}

export type GroupCondition =
  | { readonly kind: "running" }
  /** Tries again by itself. */
  | { readonly kind: "waiting"; readonly error: MillraceError }
  /** Needs somebody: the store is not this log's, or another process has taken the group over. */
  | { readonly kind: "stopped"; readonly error: MillraceError };

const retryPauseMsMax = 5_000;

/**
 * Resolves when the group is open: what its views are is known, although some may still be building.
 * Throws `STORE_AHEAD_OF_LOG`, `STORE_OF_ANOTHER_LOG`, `STORE_OF_ANOTHER_GROUP`, `PRODUCER_FENCED`, `STORE_UNAVAILABLE`.
 */
export async function openGroup(options: GroupOptions): Promise<Group> {
  const owner = await ownGroup(options.engine, options.name, options);
  const group = new Group(options, owner);
  await group.open();
  return group;
}

export class Group implements GroupViews {
  readonly positionSql: string;
  readonly #options: GroupOptions;
  readonly #owner: GroupOwner;
  readonly #state: GroupState;
  readonly #settings: GroupSettings;
  readonly #closing = new AbortController();
  #definitions: readonly ViewDefinition[];
  #topics: readonly TableShape[];
  /** Read anew whenever the views are arranged. */
  readonly #sources: string[];
  readonly #rebuilds = new Set<string>();
  #session: GroupSession | null = null;
  #condition: GroupCondition = { kind: "running" };
  /** Those who wait until the views are arranged. */
  #arranging: (() => void)[] = [];
  #running: Promise<void> = Promise.resolve();

  constructor(options: GroupOptions, owner: GroupOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#state = new GroupState(options.clock);
    this.#definitions = options.definitions;
    this.#topics = options.topics ?? [];
    this.#sources = options.sources.map((source) => source.name);
    this.positionSql = `select generation, batch, oldest_batch from millrace.groups where name = '${options.name}'`;
    this.#settings = {
      name: options.name,
      engine: options.engine,
      wire: options.wire ?? plainReader,
      clock: options.clock,
      diagnostics: options.diagnostics.child({ group: options.name }),
      removed: options.mode === "dev" ? "drop" : "keep",
      elsewhere: options.elsewhere ?? (() => false),
      sources: this.#sources,
      readerRole: options.store.reader.user,
      bound: options.bound ?? defaultBound,
      refreshLimits: options.refreshLimits ?? defaultRefreshLimits,
      clockPace: options.clockPace ?? clockPace,
      compile: options.compile ?? compileView,
      connectBuilder: () => options.store.connect(`group ${options.name} build`),
    };
  }

  /** Once, by `openGroup`. */
  async open(): Promise<void> {
    const session = await this.#openSession();
    let arranged = () => {};
    const known = new Promise<void>((resolve) => {
      arranged = resolve;
    });
    this.#running = this.#run(session, arranged);
    const stop = this.onChange(() => arranged());
    await known;
    stop();
  }

  list(): ViewInfo[] {
    return [...this.#state.views.values()].map((entry) => this.#state.info(entry));
  }

  info(view: string): ViewInfo {
    return this.#state.info(this.#state.entry(view));
  }

  readable(view: string, options?: ReadableOptions): LiveView {
    return this.#state.readable(view, options);
  }

  relations(view: string): readonly Relation[] {
    return relationsOf(view, this.#definitions);
  }

  compiled(view: string): CompiledView | null {
    const { live, planned } = this.#state.entry(view);
    return live?.compiled ?? planned.compiled;
  }

  sourcesOf(view: string): readonly string[] {
    const entry = this.#state.views.get(view);
    const compiled = entry?.live?.compiled ?? entry?.planned.compiled;
    return compiled ? this.#state.sourcesOf(compiled) : [];
  }

  async endsOfTopics(views: readonly string[]): Promise<readonly WaitTarget[]> {
    const compiled = views.flatMap((view) => this.#state.views.get(view)?.live?.compiled ?? []);
    const topics = [...new Set(compiled.flatMap((view) => this.#state.topicsOf(view)))];
    const { engine } = this.#options;
    const ends = topics.map(async (topic): Promise<WaitTarget> => {
      const offsets = await partitionOffsets(engine, topic);
      const positions = offsets.map(({ lastStable }, partition) => ({ partition, offset: lastStable }));
      return { kind: "topic", topic, topicId: engine.topic(topic)?.id ?? "", positions };
    });
    return Promise.all(ends);
  }

  async upkeep(view: string): Promise<Upkeep | null> {
    const { live } = this.#state.entry(view);
    if (live === null) return null;
    const client = await this.#options.store.connect(`group ${this.#options.name} explain`);
    try {
      return await upkeepOf(client, live.compiled, this.#state.filledMirrors());
    } finally {
      await client.end();
    }
  }

  position(view?: string): GroupPosition {
    return view === undefined ? this.#state.position : this.#state.reaches.positionOf(view);
  }

  onChange(listener: () => void): () => void {
    return this.#state.onChange(listener);
  }

  async waitFor(
    target: WaitTarget,
    waitMs: number,
    signal?: AbortSignal,
    views: readonly string[] = [],
  ): Promise<void> {
    if (target.kind === "source") {
      if (!this.#settings.sources.includes(target.source)) {
        throw new MillraceError("SOURCE_UNKNOWN", `there is no source "${target.source}"`);
      }
      this.#options.catchUp?.(target.source);
    }
    if (target.kind === "topic" && this.#options.engine.topic(target.topic)?.id !== target.topicId) {
      throw new MillraceError("TOKEN_FOREIGN", `the token is not of topic "${target.topic}" as it is now`, {
        hint: "The topic was deleted, and perhaps made again: what the token names is gone with it.",
        details: { topic: target.topic },
      });
    }
    if (this.#condition.kind === "stopped") throw this.#condition.error;
    const { waits, reaches } = this.#state;
    if (views.length === 0) return waits.wait(target, this.#state, waitMs, signal);
    const waiting = views.map((view) => waits.wait(target, reaches.of(view), waitMs, signal, view));
    if (reaches.anyBehind) this.#session?.look();
    await Promise.all(waiting);
  }

  /** What its sources and topics have to be read up to, to show what it shows. */
  inputs(): readonly WaitTarget[] {
    return this.#state.inputs();
  }

  condition(): GroupCondition {
    return this.#condition;
  }

  /** The newest position of a source that the views reflect; null before its first. */
  sourcePosition(source: string): string | null {
    return this.#state.lsn(source);
  }

  /** Of a partition, as its store has it; null where no view reads it. */
  nextOffset(topic: string, partition: number): number | null {
    return this.#state.offset(topic, partition);
  }

  schemaFile(): SchemaFile {
    return this.#state.schemaFile();
  }

  /**
   * Other definitions, and other sources and topics to follow. Resolves when the views are arranged by them: those that can be are
   * being built, and others of their name are read meanwhile.
   */
  async reload(
    definitions: readonly ViewDefinition[],
    sources?: readonly GroupSource[],
    topics?: readonly TableShape[],
  ): Promise<void> {
    this.#definitions = definitions;
    if (topics) this.#topics = topics;
    if (sources) this.#sources.splice(0, this.#sources.length, ...sources.map((source) => source.name));
    await this.#arrange();
  }

  /**
   * Builds a view anew from its mirrors, and mirrors that are broken from the log; it is read as it is meanwhile.
   * Resolves when that is begun. Throws `VIEW_UNKNOWN`.
   */
  async rebuild(view: string): Promise<void> {
    this.#state.entry(view);
    this.#rebuilds.add(view);
    await this.#arrange();
  }

  async close(): Promise<void> {
    this.#closing.abort(new MillraceError("SHUTTING_DOWN", "the view group is closing"));
    await this.#running;
    this.#state.waits.fail(new MillraceError("SHUTTING_DOWN", "the program is stopping"));
    for (const done of this.#arranging.splice(0)) done();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #arrange(): Promise<void> {
    if (this.#condition.kind === "stopped") return Promise.reject(this.#condition.error);
    return new Promise((resolve) => {
      this.#arranging.push(resolve);
      this.#session?.interrupt();
    });
  }

  async #openSession(): Promise<GroupSession> {
    const client = await this.#options.store.connect(`group ${this.#options.name}`);
    client.on("error", () => {});
    try {
      this.#session = await GroupSession.open({
        settings: this.#settings,
        retention: this.#options.retention ?? defaultRetention,
        state: this.#state,
        owner: this.#owner,
        client,
        definitions: () => this.#definitions,
        topics: () => this.#topics,
        rebuilds: this.#rebuilds,
      });
      return this.#session;
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
  }

  async #run(first: GroupSession, onReady: () => void): Promise<void> {
    const { signal } = this.#closing;
    const ready = () => {
      const done = this.#arranging.splice(0);
      this.#condition = { kind: "running" };
      onReady();
      for (const resolve of done) resolve();
    };
    let session: GroupSession | null = first;
    for (let failures = 0; !signal.aborted; ) {
      try {
        session ??= await this.#openSession();
        await session.run(signal, () => {
          failures = 0;
          ready();
        });
      } catch (error) {
        this.#failed(error);
        onReady();
        if (this.#condition.kind === "stopped") break;
        await this.#pause(++failures);
      }
      this.#session = null;
      await session?.close().catch(() => {});
      session = null;
    }
    this.#session = null;
    await session?.close().catch(() => {});
  }

  #failed(cause: unknown): void {
    const { diagnostics } = this.#settings;
    if (isFinal(cause)) {
      const error = MillraceError.from(cause);
      this.#condition = { kind: "stopped", error };
      diagnostics.error("the view group stops", { code: error.code, reason: error.message });
      this.#state.waits.fail(error);
      for (const done of this.#arranging.splice(0)) done();
      this.#state.changed();
      return;
    }
    const error = storeTrouble(cause);
    this.#condition = { kind: "waiting", error };
    const { code, message: reason } = error;
    diagnostics.warn("the view group is opened again from the store", { code, reason });
    this.#state.changed();
  }

  async #pause(failures: number): Promise<void> {
    const pauseMs = Math.min(50 * 2 ** Math.min(failures, 10), retryPauseMsMax) * (0.5 + this.#options.random.next());
    await this.#options.clock.sleep(pauseMs, this.#closing.signal).catch(() => {});
  }
}

/** What only somebody can mend. */
export function isFinal(cause: unknown): boolean {
  // A group that is fenced in the store reads its row again: there it finds its own epoch, or a later one.
  if (!MillraceError.is(cause)) return false;
  return ["STORE_AHEAD_OF_LOG", "STORE_OF_ANOTHER_LOG", "STORE_OF_ANOTHER_GROUP", "PRODUCER_FENCED"].includes(
    cause.code,
  );
}
