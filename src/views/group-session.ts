/**
 * A group on one connection to its store, from opening to the loss of that connection: positions are read from the
 * store, checked against the log, the views arranged, and then work is applied as it comes, with the steps of builds
 * between the batches.
 */
import type { Client } from "pg";
import { MillraceError } from "../base/errors.ts";
import { Applier } from "./applier.ts";
import { type Bookkeeping, prepareStore, readBookkeeping, takeGroup } from "./bookkeeping.ts";
import { startClock } from "./clock-store.ts";
import { GroupBuilds } from "./group-builds.ts";
import { GroupClock, timePasses } from "./group-clock.ts";
import { type GroupContext, type GroupSettings, transact } from "./group-context.ts";
import { applyLife, mirrorsLeft } from "./group-life.ts";
import { arrangeMirrors, breakMirror, setLayout } from "./group-mirrors.ts";
import { type GroupOwner, generationAfter, laterOf } from "./group-owner.ts";
import { GroupProgress } from "./group-progress.ts";
import { GroupRefreshes } from "./group-refreshes.ts";
import { applyRows, writeProgress } from "./group-rows.ts";
import type { GroupState } from "./group-state.ts";
import { arrangeTopics, mirrorsTaken, planTopics } from "./group-topics.ts";
import { estimateRows, planViews, releaseBroken } from "./group-views.ts";
import { GroupWatermarks } from "./group-watermarks.ts";
import { HistoryExpiry } from "./history/group-histories.ts";
import { Inputs, type Work } from "./inputs.ts";
import { MirrorUnreadable, PositionRetired } from "./inputs-rows.ts";
import { transactionTopic } from "./inputs-tail.ts";
import { type Mirror, mirrorTable } from "./mirror.ts";
import { checkPositions, placeOf } from "./positions.ts";
import { Retention, type RetentionLimits } from "./retention.ts";
import { isOfTopic, noteTargets, outdatedMirrors, recordsPlaces, skipRetired } from "./topic-places.ts";
import { readWatermarks } from "./watermark-store.ts";

export interface SessionOptions {
  readonly settings: GroupSettings;
  readonly retention: RetentionLimits;
  readonly state: GroupState;
  readonly owner: GroupOwner;
  readonly client: Client;
  readonly definitions: GroupContext["definitions"];
  readonly topics: GroupContext["topics"];
  /** Names of views to be built anew; those that are begun are taken out. */
  readonly rebuilds: Set<string>;
}

const noteEveryMs = 30_000;
const estimateEveryMs = 2_000;

export class GroupSession {
  readonly #options: SessionOptions;
  readonly #context: GroupContext;
  readonly #progress: GroupProgress;
  readonly #builds: GroupBuilds;
  readonly #refreshes: GroupRefreshes;
  readonly #clock: GroupClock;
  readonly #watermarks: GroupWatermarks;
  readonly #retention: Retention;
  readonly #expiry: HistoryExpiry;
  readonly #ended: AbortController;
  #inputs: Inputs | null = null;
  #interrupt = new AbortController();
  /** Aborted when something is to be done before more work is taken. */
  #wake = new AbortController();
  /** Mirrors of topics that may lack what the log has let go while nobody read. */
  #outdated: ReadonlySet<number> = new Set();
  #notedMs = 0;
  #estimatedMs = 0;

  private constructor(options: SessionOptions, context: GroupContext, ended: AbortController, clockMs: number) {
    this.#options = options;
    this.#context = context;
    this.#progress = new GroupProgress(options.settings.name, options.settings.engine, options.state);
    this.#builds = new GroupBuilds(
      context,
      () => this.#wake.abort(new Error("a build goes on")),
      () => this.interrupt(),
    );
    this.#refreshes = new GroupRefreshes({
      context,
      onDue: () => this.#wake.abort(new Error("a view is computed anew")),
      onChanges: (bytes) => this.#retention.add(options.state.row.batch, bytes, options.settings.clock.now()),
    });
    this.#clock = new GroupClock(context, clockMs, () => this.#wake.abort(new Error("time passes")));
    this.#watermarks = new GroupWatermarks(context, () => this.#wake.abort(new Error("events go on")));
    this.#retention = new Retention(options.retention);
    this.#expiry = new HistoryExpiry(context, this.#retention, () => this.#wake.abort(new Error("versions go")));
    this.#ended = ended;
    ended.signal.addEventListener("abort", () => this.interrupt(), { once: true });
  }

  /** Throws `STORE_AHEAD_OF_LOG`, `STORE_OF_ANOTHER_LOG`, `STORE_OF_ANOTHER_GROUP`, `PRODUCER_FENCED`. */
  static async open(options: SessionOptions): Promise<GroupSession> {
    const { settings, state, owner, client, definitions, topics } = options;
    const { name, engine } = settings;
    const ended = new AbortController();
    client.on("end", () => ended.abort(new MillraceError("STORE_UNAVAILABLE", "the connection to the store was lost")));
    await prepareStore(client, engine.logId, settings.readerRole, name);
    // What readers of this process know counts as well: another session may have found a later state of the store.
    const known = laterOf(owner.noted, state.position);
    const row = await takeGroup(client, name, owner.epoch, generationAfter(null, known));
    const clockMs = await startClock(client, name, settings.clock.now());
    const books = await readBookkeeping(client, name, row);
    await checkPositions(ofThisLog(books, settings), engine);
    const applier = await Applier.open(client, name, row);
    takeBooks(state, books);
    state.watermarks.clear();
    for (const [topic, ms] of await readWatermarks(client)) state.watermarks.set(topic, ms);
    const context = { settings, state, applier, owner, signal: ended.signal, definitions, topics };
    const session = new GroupSession(options, context, ended, clockMs);
    const generation = generationAfter(state.position, known);
    if (generation !== row.generation) await transact(context, [], { generation });
    await session.#readBatches();
    await session.#lookAtTopics();
    return session;
  }

  /** Until the signal is aborted; throws when the session cannot go on. `onReady` is called each time the views are arranged. */
  async run(signal: AbortSignal, onReady: () => void): Promise<void> {
    const stop = () => this.#ended.abort(signal.reason);
    if (signal.aborted) return;
    signal.addEventListener("abort", stop, { once: true });
    try {
      await this.#arrange(onReady);
      for (;;) {
        if (await this.#clock.step()) await this.#apply(timePasses);
        if (this.#inputs && (await this.#watermarks.step(this.#inputs))) await this.#apply(timePasses);
        await this.#builds.step();
        await this.#refreshes.step();
        await this.#expiry.step();
        const work = await this.#take();
        if (work !== null) await this.#apply(work);
        else if (this.#interrupt.signal.aborted) await this.#arrange(onReady);
        await this.#now();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#clock.close();
      this.#expiry.close();
      this.#watermarks.close();
      await this.#refreshes.close();
      await this.#builds.close();
      await this.#inputs?.close();
    }
  }

  /** Definitions changed, or a view is to be built anew: goes on with that behind the batch that is being applied. */
  interrupt(): void {
    const reason = new Error("the views are arranged anew");
    this.#interrupt.abort(reason);
    this.#wake.abort(reason);
  }

  /** Somebody waits for a view that is recomputed whole. */
  look(): void {
    this.#refreshes.look();
  }

  /** After `run`: leaves nothing behind that readers know and the store does not. */
  async close(): Promise<void> {
    const { applier, owner, settings, state } = this.#context;
    try {
      const context = { ...this.#context, signal: new AbortController().signal };
      if (this.#progress.unwrittenEvents > 0) await writeProgress(context, this.#progress);
      await owner.note(state.position);
    } catch (cause) {
      settings.diagnostics.debug("the last positions were not written; they are found again", { cause: String(cause) });
    }
    await applier.close();
  }

  async #arrange(onReady: () => void): Promise<void> {
    await this.#closeInputs();
    this.#interrupt = new AbortController();
    if (this.#ended.signal.aborted) this.interrupt();
    const rebuilds = new Set(this.#options.rebuilds);
    await releaseBroken(this.#context, rebuilds);
    await this.#arrangeViews(rebuilds);
    for (const name of rebuilds) this.#options.rebuilds.delete(name);
    await this.#openInputs();
    // Who asked meanwhile, with other definitions, is answered by the next round.
    if (!this.#interrupt.signal.aborted) onReady();
  }

  /** Versions and mirrors as there are to be; the views that can be built are begun. */
  async #arrangeViews(anew?: ReadonlySet<string>): Promise<void> {
    await this.#arrangeTopics();
    await planViews(this.#context, anew);
    this.#context.state.changed();
    await this.#builds.replan();
    await this.#refreshes.replan();
    this.#clock.replan();
    this.#expiry.replan();
    this.#watermarks.replan();
    await arrangeMirrors(this.#context);
    await this.#caughtUp();
    await this.#builds.step();
    this.#context.state.changed();
  }

  async #arrangeTopics(): Promise<void> {
    const { settings, state, topics } = this.#context;
    const topicId = (name: string) => settings.engine.topic(name)?.id;
    const steps = planTopics({ ...state, defined: topics(), outdated: this.#outdated, topicId });
    this.#outdated = new Set();
    if (steps.length === 0) return;
    const taken = mirrorsTaken(steps);
    await this.#builds.release(taken);
    await this.#refreshes.release(taken);
    await arrangeTopics(this.#context, steps);
  }

  /** Null when something else is to be done first. */
  async #take(): Promise<Work | null> {
    const { signal } = this.#interrupt;
    this.#ended.signal.throwIfAborted();
    if (signal.aborted) return null;
    const inputs = this.#inputs ?? (await this.#openInputs());
    const work = inputs.poll();
    const isDue = this.#builds.due || this.#refreshes.due || this.#clock.due || this.#watermarks.due;
    if (work !== null || isDue || this.#expiry.due) return work;
    this.#wake = new AbortController();
    try {
      return await inputs.take(this.#wake.signal);
    } catch (error) {
      this.#ended.signal.throwIfAborted();
      if (this.#wake.signal.aborted) return null;
      throw error;
    }
  }

  async #apply(work: Work): Promise<void> {
    const inputs = this.#inputs ?? (await this.#openInputs());
    if (work.kind === "failed") return this.#readingFailed(work.error);
    if (work.kind === "life") {
      const left = mirrorsLeft(this.#context, work);
      await this.#builds.release(left);
      await this.#refreshes.release(left);
      await applyLife(this.#context, this.#progress, work);
      const followed = this.#topicsFollowed();
      await this.#arrangeViews();
      // A mirror of a topic that was made just now has tails of its own.
      if (this.#topicsFollowed() !== followed) await this.#closeInputs();
      else inputs.resume(this.#context.state.filledMirrors());
      return;
    }
    let broke = false;
    try {
      broke = await applyRows(this.#context, this.#progress, this.#retention, work, inputs, {
        clock: this.#clock,
        watermarks: this.#watermarks,
      });
    } catch (error) {
      if (!(error instanceof MirrorUnreadable)) throw error;
      return this.#readingFailed(error);
    }
    if (broke) await this.#closeInputs();
    else if (work.staged === null) inputs.resume();
    await this.#caughtUp();
  }

  /** Views can be built that waited for a topic to be read. */
  async #caughtUp(): Promise<void> {
    const { state, applier } = this.#context;
    const mirrors = state.takeCaughtUp();
    for (const { shape } of mirrors) await applier.query(`analyze ${mirrorTable(shape)}`);
    if (mirrors.length > 0) await this.#builds.replan();
  }

  async #readingFailed(error: unknown): Promise<void> {
    await this.#closeInputs();
    const { state } = this.#context;
    if (!(error instanceof MirrorUnreadable)) throw error;
    const mirror = state.mirrors.find((one) => one.id === error.mirrorId);
    if (mirror?.state !== "filled") throw error;
    if (error instanceof PositionRetired && this.#isAnother(mirror)) return this.interrupt();
    const isRead = state.liveViews().some((view) => view.uses.some((use) => use.mirrorId === mirror.id));
    // Nobody has seen what was there: it begins with what there is.
    if (error instanceof PositionRetired && isOfTopic(mirror) && !isRead) {
      await skipRetired(this.#context, mirror);
      return;
    }
    await breakMirror(this.#context, mirror, { code: error.code, message: error.message });
    await setLayout(this.#context);
    state.changed();
  }

  /** The topic was deleted, and made again: where it was read up to says nothing of it. */
  #isAnother({ shape: { topic } }: Pick<Mirror, "shape">): boolean {
    const { settings, state } = this.#context;
    const id = settings.engine.topic(topic)?.id;
    return [...state.positions.values()].some((position) => position.topic === topic && position.topicId !== id);
  }

  async #openInputs(): Promise<Inputs> {
    await this.#watermarks.admit();
    const { settings, state } = this.#context;
    this.#inputs = new Inputs({
      engine: settings.engine,
      wire: settings.wire,
      clock: settings.clock,
      diagnostics: settings.diagnostics,
      sources: settings.sources,
      offsets: state.offsets(),
      times: state.eventTimes(),
      marks: (topic, partition) => this.#watermarks.marks(topic, partition),
      mirrors: state.filledMirrors(),
      records: recordsPlaces(settings.engine, state),
      alone: () => state.topicsAlone(),
      bound: settings.bound,
      onOther: () => this.interrupt(),
    });
    return this.#inputs;
  }

  #topicsFollowed(): string {
    const mirrors = this.#context.state.filledMirrors().filter(isOfTopic);
    return mirrors.map(({ id }) => id).join();
  }

  async #closeInputs(): Promise<void> {
    const inputs = this.#inputs;
    this.#inputs = null;
    await inputs?.close();
  }

  /** What is due from time to time, between batches. */
  async #now(): Promise<void> {
    const { settings, owner, state } = this.#context;
    const nowMs = settings.clock.monotonicMs();
    if (nowMs - this.#estimatedMs > estimateEveryMs) {
      this.#estimatedMs = nowMs;
      await estimateRows(this.#context);
    }
    if (nowMs - this.#notedMs > noteEveryMs) {
      this.#notedMs = nowMs;
      await owner.note(state.position);
    }
  }

  async #lookAtTopics(): Promise<void> {
    const { applier, settings, state } = this.#context;
    const [row] = await applier.query(
      "select (extract(epoch from committed_at) * 1000)::bigint::text as ms from millrace.groups where name = $1",
      [settings.name],
    );
    const stoodStillMs = settings.clock.now() - Number(row?.ms);
    this.#outdated = await outdatedMirrors(settings.engine, state, stoodStillMs);
    await noteTargets(this.#context);
  }

  async #readBatches(): Promise<void> {
    const { applier, settings } = this.#context;
    const rows = await applier.query(
      "select max(batch)::text as batch, sum(bytes)::text as bytes, (extract(epoch from max(committed_at)) * 1000)::text as ms " +
        "from millrace.batches where \"group\" = $1 group by date_trunc('minute', committed_at) order by max(batch)",
      [settings.name],
    );
    for (const { batch, bytes, ms } of rows) this.#retention.add(Number(batch), Number(bytes), Number(ms));
  }
}

/**
 * Positions in topics of sources that are not defined any more may be gone from the log; one of a topic that is read as
 * rows, and was deleted, says nothing of the log.
 */
function ofThisLog(books: Bookkeeping, { engine, sources }: GroupSettings) {
  const ours = new Set(sources.map(transactionTopic));
  for (const { shape } of books.mirrors) if (sources.includes(shape.source)) ours.add(shape.topic);
  const topics = new Set(books.mirrors.filter(isOfTopic).map(({ shape }) => shape.topic));
  return books.positions.filter(({ topic, topicId }) =>
    topics.has(topic) ? engine.topic(topic)?.id === topicId : ours.has(topic) || engine.topic(topic) !== undefined,
  );
}

function takeBooks(state: GroupState, books: Bookkeeping): void {
  state.row = books.group;
  state.positions.clear();
  for (const position of books.positions) state.positions.set(placeOf(position.topic, position.partition), position);
  state.sources.clear();
  for (const row of books.sources) state.sources.set(row.source, row);
  state.mirrors = [...books.mirrors];
  state.versions = [...books.versions];
  state.views.clear();
  state.catchingUp.clear();
}
