/** Readers of the bank's views, each of which looks at every state that it is given and counts them. */
import assert from "node:assert/strict";
import pg from "pg";
import { type Client, connect, MillraceClientError } from "../../../client/src/index.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { decodeToken } from "../../../src/feeds/token.ts";
import type { Books } from "./books.ts";
import { type Row, type State, viewNames, wrongAlone, wrongIn, wrongSql } from "./judge.ts";

/** A reader goes on until the signal is aborted, and rejects with the first state that is wrong. */
export interface Watch {
  readonly url: string;
  readonly databaseUrl: string;
  readonly books: Books;
  readonly signal: AbortSignal;
  readonly seen: Seen;
}

/** How many states were looked at, by reader; those of the bank after different numbers of transactions. */
export class Seen {
  /** One answer over all views, from one snapshot. */
  readonly states = { read: 0, live: 0, sql: 0, "sql, view by view": 0 };
  /** One view alone. */
  readonly rows = { rows: 0, live: 0 };
  readonly ticks = new Set<number>();

  /** Every kind of reader has looked at a state. */
  get hasAll(): boolean {
    return Object.values({ ...this.states, ...this.rows }).every((count) => count > 0);
  }

  get total(): number {
    return Object.values(this.states).reduce((sum, count) => sum + count, 0);
  }
}

/** Several views in one request. */
export async function watchReads({ url, books, signal, seen }: Watch): Promise<void> {
  const app = connect(url);
  while (!signal.aborted) {
    const snapshot = await answered(app.read(viewNames.map((view) => ({ view }))));
    if (snapshot === undefined) continue;
    const { results } = snapshot;
    look(Object.fromEntries(viewNames.map((view, i) => [view, results[i] as unknown as Row[]])), books, seen);
    seen.states.read++;
  }
}

/** One view in each request. */
export async function watchRows({ url, signal, seen }: Watch): Promise<void> {
  const app = connect(url);
  while (!signal.aborted) {
    for (const view of viewNames) {
      const rows = await answered(app.view(view).rows());
      if (rows === undefined) continue;
      assert.equal(wrongAlone(view, rows), null);
      seen.rows.rows++;
    }
  }
}

/** Undefined where the answer is to ask again. */
async function answered<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof MillraceClientError) || !["retry", "wait"].includes(error.action ?? "")) throw error;
    await systemClock.sleep(50);
    return undefined;
  }
}

interface Known {
  readonly at: Position;
  readonly rows: readonly Row[];
}

type Position = readonly [generation: number, batch: number];

/** Every state of each view that its feed tells; and for each batch that all feeds have passed, the state of all of them. */
export async function watchLive({ url, books, signal, seen }: Watch): Promise<void> {
  const app = connect(url);
  let failure: unknown;
  const feeds = viewNames.map((view) => followView(app, view, signal, seen, (error) => (failure ??= error)));
  let judged: Position = [0, 0];
  while (!signal.aborted && failure === undefined) {
    judged = lookTogether(feeds, judged, books, seen);
    await systemClock.sleep(20);
  }
  if (failure !== undefined) throw failure;
}

interface Feed {
  readonly view: string;
  /** Oldest first; the first one holds at `judged`. */
  readonly states: Known[];
  /** Changes before this were missed. */
  from: Position;
  upTo(): Position;
}

function followView(
  app: Client,
  view: string,
  signal: AbortSignal,
  seen: Seen,
  onFailure: (error: unknown) => void,
): Feed {
  const states: Known[] = [];
  const feed: Feed = {
    view,
    states,
    from: [Number.POSITIVE_INFINITY, 0],
    upTo: () => (live.token === undefined ? [0, 0] : positionOf(live.token)),
  };
  const live = app.view(view).live({
    signal,
    onUpdate({ rows, snapshot, token }) {
      try {
        const state = [...rows.values()] as Row[];
        assert.equal(wrongAlone(view, state), null);
        seen.rows.live++;
        const at = positionOf(token);
        if (snapshot) {
          states.length = 0;
          feed.from = at;
        }
        states.push({ at, rows: state });
      } catch (error) {
        onFailure(error);
      }
    },
    onStatus: (status) => status.kind === "failed" && onFailure(status.error),
  });
  return feed;
}

/** Looks at the state of all views in each batch behind `judged` that all feeds have passed; answers the last of them. */
function lookTogether(feeds: readonly Feed[], judged: Position, books: Books, seen: Seen): Position {
  const end = feeds.map((feed) => feed.upTo()).reduce((least, one) => (isBefore(one, least) ? one : least));
  const begin = feeds.map((feed) => feed.from).reduce((most, one) => (isBefore(most, one) ? one : most), judged);
  const ticks = feeds.find((feed) => feed.view === "tick") as Feed;
  let last = judged;
  for (const { at } of [...ticks.states]) {
    if (!isBefore(judged, at) || isBefore(at, begin) || isBefore(end, at)) continue;
    const state: Record<string, readonly Row[]> = {};
    for (const { view, states } of feeds) {
      while (states[1] !== undefined && !isBefore(at, states[1].at)) states.shift();
      state[view] = states[0]?.rows ?? [];
    }
    look(state, books, seen);
    seen.states.live++;
    last = at;
  }
  return last;
}

/** A transaction in which one statement reads all views, over and over within the server. */
export async function watchSql(watch: Watch): Promise<void> {
  await loopInServer(
    watch,
    "sql",
    `select * into found from (${wrongSql}) q; if found.wrong is not null then raise exception 'torn at %: %', found.tick, found.wrong; end if; seen := array_append(seen, found.tick); commit;`,
  );
}

/** A transaction at REPEATABLE READ that locks the views and then reads them one after the other, as a tool would. */
export async function watchSqlByView(watch: Watch): Promise<void> {
  const client = new pg.Client({ connectionString: watch.databaseUrl });
  await client.connect();
  try {
    while (!watch.signal.aborted) {
      await client.query(
        `begin isolation level repeatable read read only; lock table ${viewNames.map((view) => `views.${view}`).join(", ")} in access share mode`,
      );
      const state: Record<string, readonly Row[]> = {};
      for (const view of viewNames) state[view] = (await client.query<Row>(`select * from views.${view}`)).rows;
      await client.query("commit");
      look(state, watch.books, watch.seen);
      watch.seen.states["sql, view by view"]++;
    }
  } finally {
    await client.end();
  }
}

const transactionsPerCall = 200;

async function loopInServer({ databaseUrl, signal, seen }: Watch, name: "sql", body: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  let ticks = "";
  client.on("notice", ({ message = "" }) => {
    ticks = message;
  });
  try {
    while (!signal.aborted) {
      await client.query(`do $$
        declare found record; seen bigint[] := '{}';
        begin
          for i in 1..${transactionsPerCall} loop ${body} end loop;
          raise notice '%', (select string_agg(distinct t::text, ' ') from unnest(seen) t);
        end $$`);
      for (const tick of ticks.split(" ")) seen.ticks.add(Number(tick));
      seen.states[name] += transactionsPerCall;
    }
  } finally {
    await client.end();
  }
}

function look(state: State, books: Books, seen: Seen): void {
  assert.equal(wrongIn(state, books), null);
  seen.ticks.add(Number(state.tick?.[0]?.n));
}

function positionOf(text: string): Position {
  const token = decodeToken(text);
  assert.ok(token.kind === "group");
  return [token.generation, token.batch];
}

function isBefore(a: Position, b: Position): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}
