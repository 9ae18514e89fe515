/**
 * Views for those who read: rows, single rows, snapshots and changes, each with the position that it shows. Where views
 * stand and which can be read is the group's; SQL is made by `row-sql.ts` and `change-sql.ts`.
 *
 * Always true: rows and their position come from one snapshot; what a client sends travels as parameters only; a failing
 * read changes nothing and holds nothing.
 */
import type { Clock } from "../base/clock.ts";
import { invariant, MillraceError } from "../base/errors.ts";
import type { Store } from "../store/store.ts";
import { ChangeNet } from "./change-net.ts";
import { type ChangeBounds, type ChangeRow, changesEachSql, changesOfSql, changesSql } from "./change-sql.ts";
import { refusePast } from "./history/past-view.ts";
import type { GroupViews, LiveView } from "./live-view.ts";
import { anyone, type Caller } from "./policy/caller.ts";
import { CallerViews, claimsSettings } from "./policy/policed-view.ts";
import { ReadsByKey } from "./reader-by-key.ts";
import { answersOfEach, boundedAnswer } from "./reader-changes.ts";
import { isAboutNames, readFailed, serverError } from "./reader-errors.ts";
import { explainView } from "./reader-explain.ts";
import { PagedReads, type PageLimits } from "./reader-pages.ts";
import { gapReason, type PositionRow, positionOf, preparedName } from "./reader-position.ts";
import { runQuery } from "./reader-query.ts";
import { positionSqlOf, viewsShown, viewsToWaitFor } from "./reader-reach.ts";
import {
  countedFor,
  type FoundRow,
  type PlanRow,
  pageOf,
  planRead,
  readAll,
  suggestionsOf,
  totalOf,
} from "./reader-reads.ts";
import { explainRefusal } from "./reader-refusals.ts";
import { withReader, withSettings } from "./reader-session.ts";
import { Slots } from "./reader-slots.ts";
import { withRelations } from "./row-relations.ts";
import { rowsSql, type Statement, snapshotSql } from "./row-sql.ts";
import { readAs, staleSince } from "./stale-view.ts";
import { UnindexedReads } from "./unindexed-reads.ts";
import type {
  ChangesAnswer,
  Filter,
  GroupPosition,
  RowOptions,
  RowQuery,
  RowsAnswer,
  Selected,
  SnapshotAnswer,
  SnapshotRead,
  ViewChange,
  ViewsReader,
} from "./view-info.ts";
import { readGraph } from "./walk/graph-reader.ts";

export interface ReaderLimits extends PageLimits {
  /** JSON of one page of rows; a page that is larger ends early, with a cursor. */
  readonly rowsBytesMax: number;
  /** Of several reads of one snapshot together. */
  readonly readAllMs: number;
  /** Of one walk over a graph: its time, and the edges that it may read. */
  readonly walkMs: number;
  readonly walkEdgesMax: number;
  /** Change rows, and their JSON, of one answer of `changesSince`. */
  readonly changesMax: number;
  readonly changesBytesMax: number;
}

export interface ReaderOptions {
  readonly group: GroupViews;
  /** People's statements run with `shared` alone. */
  readonly store: Pick<Store, "readers"> & Partial<Pick<Store, "shared">>;
  readonly clock: Clock;
  readonly limits?: Partial<ReaderLimits>;
  /** Of rows that are kept in memory by their keys; 0 keeps none. */
  readonly rowCacheBytesMax?: number;
}

const megabyte = 1024 * 1024;
const rowCacheBytesDefault = 64 * megabyte;

export const defaultReaderLimits: Omit<ReaderLimits, "slots"> = {
  bufferBytesMax: 64 * megabyte,
  aheadBytesMax: 8 * megabyte,
  pageBytes: megabyte / 4,
  pageRowsMax: 2_000,
  stallMs: 30_000,
  rowsBytesMax: 32 * megabyte,
  readAllMs: 60_000,
  walkMs: 30_000,
  walkEdgesMax: 1_000_000,
  changesMax: 5_000,
  changesBytesMax: 8 * megabyte,
};

interface ChangeHead {
  readonly generation: string;
  readonly current: string;
  readonly oldest: string;
  readonly cut: boolean | null;
}

interface HeadRow extends PositionRow {
  readonly oldest_batch: string;
}

/** Reads as anyone; `as` reads as somebody. */
export function openReader(options: ReaderOptions): ViewsReader {
  const { group, store, clock, limits, rowCacheBytesMax = rowCacheBytesDefault } = options;
  // Half of the pool is left to reads that end by themselves.
  const slots = Math.max(1, Math.floor((store.readers.options.max ?? 10) / 2));
  const bounds = { ...defaultReaderLimits, slots, ...limits };
  const parts: ReaderParts = {
    group,
    store,
    clock,
    limits: bounds,
    rowCacheBytesMax,
    pages: new PagedReads(store.readers, clock, bounds),
    walks: new Slots(Math.max(1, Math.floor(slots / 2))),
    unindexed: new UnindexedReads((view) => group.info(view).rowsEstimated),
  };
  return new Reader(parts, anyone);
}

/** What all callers share. */
interface ReaderParts {
  readonly group: GroupViews;
  readonly store: ReaderOptions["store"];
  readonly clock: Clock;
  readonly limits: ReaderLimits;
  readonly pages: PagedReads;
  readonly walks: Slots;
  readonly rowCacheBytesMax: number;
  readonly unindexed: UnindexedReads;
}

class Reader implements ViewsReader {
  readonly #parts: ReaderParts;
  readonly #caller: Caller;
  readonly #group: GroupViews;
  /** Views to be read are had from here alone. */
  readonly #views: CallerViews;
  readonly #store: ReaderOptions["store"];
  readonly #clock: Clock;
  readonly #limits: ReaderLimits;
  readonly #pages: PagedReads;
  readonly #walks: Slots;
  readonly #byKey: ReadsByKey;
  readonly #unindexed: UnindexedReads;

  /** The first one keeps the rows that are read by their keys, for all of them. */
  constructor(parts: ReaderParts, caller: Caller, byKey?: ReadsByKey) {
    this.#parts = parts;
    this.#caller = caller;
    this.#group = parts.group;
    this.#views = new CallerViews(parts.group, caller);
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#limits = parts.limits;
    this.#pages = parts.pages;
    this.#walks = parts.walks;
    this.#byKey = byKey ?? new ReadsByKey({ ...parts, select: this.#run, bytesMax: parts.rowCacheBytesMax });
    this.#unindexed = parts.unindexed;
  }

  as(caller: Caller): ViewsReader {
    return new Reader(this.#parts, caller, this.#byKey);
  }

  list: ViewsReader["list"] = () => this.#group.list();
  info: ViewsReader["info"] = (view) => this.#group.info(view);
  position: ViewsReader["position"] = (view) => this.#group.position(view);
  onChange: ViewsReader["onChange"] = (listener) => this.#group.onChange(listener);
  waitFor: ViewsReader["waitFor"] = (target, waitMs, signal, reads = []) =>
    this.#group.waitFor(target, waitMs, signal, viewsToWaitFor(this.#views, reads));

  endsOfTopics: ViewsReader["endsOfTopics"] = (reads) => this.#group.endsOfTopics(viewsToWaitFor(this.#views, reads));

  sourcesOf: ViewsReader["sourcesOf"] = (reads) => [
    ...new Set(viewsToWaitFor(this.#views, reads).flatMap((view) => this.#group.sourcesOf(view))),
  ];

  close(): void {
    this.#pages.close();
  }

  async explain(view: string): Promise<string> {
    const upkeep = await this.#group.upkeep(view).catch((error: unknown) => MillraceError.from(error));
    const info = this.#group.info(view);
    const unindexed = info.state.kind === "live" ? this.#unindexed.of(this.#group.readable(view)) : [];
    return explainView(info, this.#group.compiled(view), upkeep, unindexed);
  }

  query: ViewsReader["query"] = (sql, limits, signal) => {
    const { shared } = this.#store;
    invariant(shared, "this store has no connections for people's statements");
    return runQuery(shared, sql, limits, signal);
  };

  async rows(view: string, asked: RowQuery): Promise<RowsAnswer> {
    const query = countedFor(this.#caller, asked);
    const group = this.#groupFor(query);
    return this.#again(`view "${view}"`, async () => {
      const live = group.readable(view);
      const related = withRelations(group, live);
      const { select, order } = query;
      const shown = viewsShown(group, { view, select, order });
      const positionSql = positionSqlOf(group, shown);
      const statement = rowsSql(related, query, positionSql, this.#limits.rowsBytesMax);
      const found = await this.#select<FoundRow>(statement);
      const total = await totalOf(related, query, found[0]?.total, (planned) => this.#select<PlanRow>(planned));
      return {
        ...pageOf(statement, query, found),
        position: this.#stated(found[0]),
        ...(total === undefined ? {} : { total }),
        ...(query.form === undefined ? {} : { columns: statement.columns }),
        ...staleSince(shown),
        ...(await suggestionsOf(related, query, found, (one) => this.#select(one))),
        ...(live.past ? {} : this.#unindexed.look(live, query)),
      };
    });
  }

  async readAll(reads: readonly SnapshotRead[]): Promise<SnapshotAnswer> {
    const { rowsBytesMax, readAllMs } = this.#limits;
    const bytesMax = Math.floor(rowsBytesMax / Math.max(1, reads.length));
    const { head, results } = await this.#again("a view", () =>
      readAll(reads, {
        plan: (read) =>
          planRead(
            this.#groupFor("key" in read ? read : read.query),
            "key" in read ? read : { ...read, query: countedFor(this.#caller, read.query) },
            bytesMax,
            this.#unindexed,
          ),
        claims: () => this.#views.claims(),
        pool: this.#store.readers,
        transactionMs: readAllMs,
        explain: (error, statement) => this.#explainRefusal(error, statement),
      }),
    );
    return { position: this.#stated(head), results };
  }

  row: ViewsReader["row"] = (view, key, select, asked = {}) => {
    const options = { ...asked, select };
    const group = this.#groupFor(asked);
    const inMemory = this.#byKey.find(group.readable(view), key, options);
    if (inMemory) return inMemory;
    const from = { group, select: this.#run };
    return this.#again(`view "${view}"`, () => this.#byKey.read(group.readable(view), key, options, from));
  };

  graph: ViewsReader["graph"] = (view, query, signal) =>
    this.#read(view, async (live) => {
      const release = await this.#walks.acquire(signal);
      try {
        const answer = await readGraph(live, query, {
          pool: this.#store.readers,
          claims: this.#views.claims(),
          positionSql: positionSqlOf(this.#group, [live]),
          walkMs: this.#limits.walkMs,
          edgesMax: this.#limits.walkEdgesMax,
          rowsBytesMax: this.#limits.rowsBytesMax,
          explain: (error, statement) => this.#explainRefusal(error, statement),
          ...(signal ? { signal } : {}),
        });
        this.#byKey.saw(answer.position);
        return answer;
      } finally {
        release();
      }
    });

  rowCache: ViewsReader["rowCache"] = () => this.#byKey.figures();

  async snapshot(
    view: string,
    filter: Filter | null,
    select: readonly Selected[] | null = null,
  ): Promise<{ position: GroupPosition; pages: AsyncIterable<readonly string[]> }> {
    return this.#read(view, async (live) => {
      const statement = snapshotSql(live, filter, select);
      const { head, pages } = await this.#open<{ row: string }>(live, statement, live.lock ?? live.publicView);
      return { position: this.#stated(head), pages: mapPages(pages, (rows) => rows.map((one) => one.row)) };
    });
  }

  async changesSince(
    view: string,
    from: GroupPosition,
    filter: Filter | null,
    select: readonly Selected[] | null = null,
  ): Promise<ChangesAnswer> {
    return this.#read(view, async (live) => {
      const statement = changesSql(live, filter, this.#changeBounds(from), positionSqlOf(this.#group, [live]), select);
      const name = filter === null && select === null ? preparedName("c", live) : undefined;
      const { rows, current, gap } = await this.#changes<ChangeRow>(from, statement, name);
      return gap ?? boundedAnswer(rows, rows[0]?.cut === true, current);
    });
  }

  async changesSinceEach(
    view: string,
    from: GroupPosition,
    filters: readonly (Filter | null)[],
    select: readonly Selected[] | null = null,
    callers: readonly Caller[] = filters.map(() => this.#caller),
  ): Promise<readonly ChangesAnswer[] | null> {
    return this.#again(`view "${view}"`, async () => {
      const live = this.#group.readable(view);
      refusePast(live);
      const positionSql = positionSqlOf(this.#group, [live]);
      const asked = filters.map((filter, i) => ({ filter, caller: callers[i] ?? anyone }));
      const statement = changesEachSql(live, asked, this.#changeBounds(from), positionSql, select);
      const { rows, current, gap } = await this.#changes<ChangeRow & { readonly hits: string }>(from, statement);
      if (gap) return filters.map(() => gap);
      return rows[0]?.cut === true ? null : answersOfEach(rows, filters.length, current);
    });
  }

  #changeBounds({ batch }: GroupPosition): ChangeBounds {
    const { changesMax, changesBytesMax } = this.#limits;
    return { after: batch, rowsMax: changesMax, bytesMax: changesBytesMax };
  }

  async #changes<Row extends ChangeRow>(from: GroupPosition, statement: Statement, name?: string) {
    const found = await this.#select<Row & ChangeHead>(statement, name);
    const head = found[0];
    const current = this.#stated(head && { generation: head.generation, batch: head.current });
    const reason = gapReason(from, current, Number(head?.oldest ?? 0));
    const gap = reason === null ? null : ({ outcome: "gap", reason, current } as const);
    return { rows: found.filter((one) => one.batch !== null), current, gap };
  }

  async changesOf(
    view: string,
    position: GroupPosition,
    filter: Filter | null,
    select: readonly Selected[] | null = null,
  ): Promise<AsyncIterable<readonly ViewChange[]> | null> {
    return this.#read(view, async (live) => {
      const { head, pages, close } = await this.#open<ChangeRow>(
        live,
        changesOfSql(live, filter, position.batch, select),
      );
      const from = { generation: position.generation, batch: position.batch - 1 };
      if (gapReason(from, this.#stated(head), Number(head.oldest_batch)) !== null) {
        close();
        return null;
      }
      const net = new ChangeNet();
      return mapPages(
        pages,
        (rows) => net.push(rows).map(({ change }) => change),
        () => net.end().map(({ change }) => change),
      );
    });
  }

  #groupFor({ stale, asOfMicros }: Omit<RowOptions, "select">) {
    if (stale === undefined && asOfMicros === undefined) return this.#views;
    return readAs(this.#views, { ...(stale && { stale }), ...(asOfMicros !== undefined && { asOfMicros }) });
  }

  /** Runs a read on the version that can be read now. */
  #read<T>(view: string, work: (live: LiveView) => Promise<T>): Promise<T> {
    return this.#again(`view "${view}"`, () => {
      const live = this.#views.readable(view);
      refusePast(live);
      return work(live);
    });
  }

  /** Once more when a version of `what` was swapped meanwhile. */
  async #again<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        const server = serverError(error);
        if (!server || !isAboutNames(server)) throw readFailed(error);
        if (attempt === 3) {
          throw new MillraceError("VIEW_BUILDING", `${what} is being replaced`, { cause: error });
        }
        await this.#groupMoves();
      }
    }
  }

  /** The group tells of a swap right after its commit. */
  #groupMoves(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        unsubscribe();
        timer.cancel();
        resolve();
      };
      const unsubscribe = this.#group.onChange(done);
      const timer = this.#clock.after(500, done);
    });
  }

  /** What was told to somebody, no later read by key goes behind. */
  #stated(row: PositionRow | undefined): GroupPosition {
    const position = positionOf(row);
    this.#byKey.saw(position);
    return position;
  }

  readonly #run = <Row extends object>(statement: Statement, name?: string) => this.#select<Row>(statement, name);

  /** A name keeps the statement prepared on each connection: only for what has one form per version of a view. */
  async #select<Row extends object>(statement: Statement, name?: string): Promise<Row[]> {
    const config = { text: statement.text, values: [...statement.parameters.values], ...(name ? { name } : {}) };
    try {
      return await withReader(this.#store.readers, async (client) => {
        const settings = [...claimsSettings(this.#views.claims()), ...statement.parameters.settings.values];
        return (await withSettings(client, settings, () => client.query<Row>(config))).rows;
      });
    } catch (error) {
      throw await this.#explainRefusal(error, statement);
    }
  }

  async #open<Row extends object>(live: LiveView, statement: Statement, lock?: string) {
    try {
      const settings = [...claimsSettings(this.#views.claims()), ...statement.parameters.settings.values];
      return await this.#pages.open<HeadRow, Row>(this.#headSql(live), statement, { lock, settings });
    } catch (error) {
      throw await this.#explainRefusal(error, statement);
    }
  }

  #headSql(live: LiveView): string {
    return `select p.generation, p.batch, p.oldest_batch from (${positionSqlOf(this.#group, [live])}) as p(generation, batch, oldest_batch)`;
  }

  #explainRefusal(error: unknown, statement: Statement): Promise<unknown> {
    return explainRefusal(this.#store.readers, error, statement);
  }
}

/** Pages of another form; errors of the store are made ours, and an early `return` frees what is held. */
function mapPages<From, To>(
  pages: AsyncIterableIterator<readonly From[]>,
  map: (page: readonly From[]) => readonly To[],
  end: () => readonly To[] = () => [],
): AsyncIterableIterator<readonly To[]> {
  let ended = false;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next(): Promise<IteratorResult<readonly To[]>> {
      if (ended) return { done: true, value: undefined };
      try {
        const { done, value } = await pages.next();
        if (done !== true) return { done: false, value: map(value) };
      } catch (error) {
        throw readFailed(error);
      }
      ended = true;
      const rest = end();
      return rest.length === 0 ? { done: true, value: undefined } : { done: false, value: rest };
    },
    async return() {
      ended = true;
      await pages.return?.();
      return { done: true, value: undefined };
    },
  };
}
