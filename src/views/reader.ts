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
import type { GroupViews, LiveView } from "./live-view.ts";
import { ReadsByKey } from "./reader-by-key.ts";
import { answersOfEach, boundedAnswer } from "./reader-changes.ts";
import { isAboutNames, isAboutValues, isAboutWords, readFailed, serverError } from "./reader-errors.ts";
import { explainView } from "./reader-explain.ts";
import { PagedReads, type PageLimits } from "./reader-pages.ts";
import { gapReason, type PositionRow, positionOf, preparedName } from "./reader-position.ts";
import { runQuery } from "./reader-query.ts";
import { positionSqlOf, viewsShown, viewsToWaitFor } from "./reader-reach.ts";
import { type FoundRow, type PlanRow, pageOf, planRead, readAll, suggestionsOf, totalOf } from "./reader-reads.ts";
import { withReader, withSettings } from "./reader-session.ts";
import { Slots } from "./reader-slots.ts";
import type { ValueOrigin } from "./row-filter.ts";
import { withRelations } from "./row-relations.ts";
import { filledRowsMax, gridTooLarge } from "./row-series.ts";
import { rowsSql, type Statement, snapshotSql } from "./row-sql.ts";
import { staleSince, withStale } from "./stale-view.ts";
import { UnindexedReads } from "./unindexed-reads.ts";
import type {
  ChangesAnswer,
  Filter,
  GroupPosition,
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

export function openReader(options: ReaderOptions): ViewsReader {
  return new Reader(options);
}

class Reader implements ViewsReader {
  readonly #group: GroupViews;
  readonly #store: ReaderOptions["store"];
  readonly #clock: Clock;
  readonly #limits: ReaderLimits;
  readonly #pages: PagedReads;
  readonly #walks: Slots;
  readonly #byKey: ReadsByKey;
  readonly #unindexed: UnindexedReads;

  constructor({ group, store, clock, limits, rowCacheBytesMax = rowCacheBytesDefault }: ReaderOptions) {
    this.#group = group;
    this.#store = store;
    this.#clock = clock;
    // Half of the pool is left to reads that end by themselves.
    const slots = Math.max(1, Math.floor((store.readers.options.max ?? 10) / 2));
    this.#limits = { ...defaultReaderLimits, slots, ...limits };
    this.#pages = new PagedReads(store.readers, clock, this.#limits);
    this.#walks = new Slots(Math.max(1, Math.floor(slots / 2)));
    const select = <Row extends object>(statement: Statement, name?: string) => this.#select<Row>(statement, name);
    this.#byKey = new ReadsByKey({ group, select, bytesMax: rowCacheBytesMax });
    this.#unindexed = new UnindexedReads((view) => group.info(view).rowsEstimated);
  }

  list: ViewsReader["list"] = () => this.#group.list();
  info: ViewsReader["info"] = (view) => this.#group.info(view);
  position: ViewsReader["position"] = (view) => this.#group.position(view);
  onChange: ViewsReader["onChange"] = (listener) => this.#group.onChange(listener);
  waitFor: ViewsReader["waitFor"] = (target, waitMs, signal, reads = []) =>
    this.#group.waitFor(target, waitMs, signal, viewsToWaitFor(this.#group, reads));

  endsOfTopics: ViewsReader["endsOfTopics"] = (reads) => this.#group.endsOfTopics(viewsToWaitFor(this.#group, reads));

  sourcesOf: ViewsReader["sourcesOf"] = (reads) => [
    ...new Set(viewsToWaitFor(this.#group, reads).flatMap((view) => this.#group.sourcesOf(view))),
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

  async rows(view: string, query: RowQuery): Promise<RowsAnswer> {
    const group = this.#groupFor(query.stale);
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
        ...this.#unindexed.look(live, query),
      };
    });
  }

  async readAll(reads: readonly SnapshotRead[]): Promise<SnapshotAnswer> {
    const { rowsBytesMax, readAllMs } = this.#limits;
    const bytesMax = Math.floor(rowsBytesMax / Math.max(1, reads.length));
    const { head, results } = await this.#again("a view", () =>
      readAll(reads, {
        plan: (read) =>
          planRead(this.#groupFor("key" in read ? read.stale : read.query.stale), read, bytesMax, this.#unindexed),
        pool: this.#store.readers,
        transactionMs: readAllMs,
        explain: (error, statement) => this.#explainRefusal(error, statement),
      }),
    );
    return { position: this.#stated(head), results };
  }

  row: ViewsReader["row"] = (view, key, select, { stale } = {}) => {
    const options = stale ? { select, stale } : { select };
    const readable = () => this.#group.readable(view, { stale: stale === true });
    return (
      this.#byKey.find(readable(), key, options) ??
      this.#again(`view "${view}"`, () => this.#byKey.read(readable(), key, options))
    );
  };

  graph: ViewsReader["graph"] = (view, query, signal) =>
    this.#read(view, async (live) => {
      const release = await this.#walks.acquire(signal);
      try {
        const answer = await readGraph(live, query, {
          pool: this.#store.readers,
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
      const { head, pages } = await this.#open<{ row: string }>(live, statement, live.publicView);
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
  ): Promise<readonly ChangesAnswer[] | null> {
    return this.#read(view, async (live) => {
      const positionSql = positionSqlOf(this.#group, [live]);
      const statement = changesEachSql(live, filters, this.#changeBounds(from), positionSql, select);
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

  #groupFor(stale: true | undefined) {
    return stale ? withStale(this.#group) : this.#group;
  }

  /** Runs a read on the version that can be read now. */
  #read<T>(view: string, work: (live: LiveView) => Promise<T>): Promise<T> {
    return this.#again(`view "${view}"`, () => work(this.#group.readable(view)));
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

  /** A name keeps the statement prepared on each connection: only for what has one form per version of a view. */
  async #select<Row extends object>(statement: Statement, name?: string): Promise<Row[]> {
    const config = { text: statement.text, values: [...statement.parameters.values], ...(name ? { name } : {}) };
    try {
      return await withReader(this.#store.readers, async (client) => {
        const { settings } = statement.parameters;
        return (await withSettings(client, settings, () => client.query<Row>(config))).rows;
      });
    } catch (error) {
      throw await this.#explainRefusal(error, statement);
    }
  }

  async #open<Row extends object>(live: LiveView, statement: Statement, lock?: string) {
    try {
      return await this.#pages.open<HeadRow, Row>(this.#headSql(live), statement, lock);
    } catch (error) {
      throw await this.#explainRefusal(error, statement);
    }
  }

  #headSql(live: LiveView): string {
    return `select p.generation, p.batch, p.oldest_batch from (${positionSqlOf(this.#group, [live])}) as p(generation, batch, oldest_batch)`;
  }

  /** Which of the values could not be cast: PostgreSQL's own message does not say. */
  async #explainRefusal(error: unknown, statement: Statement): Promise<unknown> {
    const server = serverError(error);
    if (!server || !(isAboutValues(server) || isAboutWords(server))) return error;
    const { origins, values, expressions } = statement.parameters;
    const texts = [origins.map((one) => one.value), origins.map((one) => one.type)];
    const sql =
      "select i::int as i, (pg_input_error_info(v, t)).message from unnest($1::text[], $2::text[]) with ordinality as u(v, t, i) " +
      "where not pg_input_is_valid(v, t) limit 1";
    const [bad] = await withReader(this.#store.readers, async (client) => {
      return (await client.query<{ i: number; message: string }>(sql, texts)).rows;
    }).catch(() => []);
    const origin = bad && origins[bad.i - 1];
    if (origin) return refusedValue(origin, bad.message, error);
    if (server.sqlState === gridTooLarge) {
      return new MillraceError("REQUEST_INVALID", `filling makes more than ${filledRowsMax} rows`, {
        hint: "Narrow the time with a filter, or take larger buckets.",
        cause: error,
      });
    }
    if (server.sqlState === "2201B") {
      const columns = [...new Set(expressions)].map((name) => `"${name}"`).join(", ");
      return new MillraceError("FILTER_INVALID", `the value for column ${columns} cannot be used: ${server.message}`, {
        cause: error,
      });
    }
    if (statement.casts) {
      return new MillraceError("CAST_FAILED", `select casts what cannot be cast: ${server.message}`, {
        cause: error,
        hint: "Cast to text, or leave such rows out with a filter.",
      });
    }
    if (values.length === 0 || isAboutWords(server)) return error;
    return new MillraceError("FILTER_INVALID", server.message, { cause: error });
  }
}

function refusedValue(origin: ValueOrigin, message: string, cause: unknown): MillraceError {
  const details = { column: origin.column, type: origin.type };
  switch (origin.part) {
    case "filter":
      return new MillraceError("FILTER_INVALID", `the value for column "${origin.column}" cannot be used: ${message}`, {
        cause,
        details,
      });
    case "key":
      return new MillraceError("KEY_INVALID", `the key's part "${origin.column}" cannot be used: ${message}`, {
        cause,
        details,
      });
    case "cursor":
      return new MillraceError("TOKEN_INVALID", "the page's cursor is none of ours", { cause });
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
