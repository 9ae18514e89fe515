/**
 * Readers of every kind look at all views of a group while transactions over several tables are applied and versions of
 * views are swapped. Each state that any of them is given must be one that the books had.
 */

import pg from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import { MillraceError } from "../../../src/base/errors.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { openFeeds } from "../../../src/feeds/feeds.ts";
import { openTestDoor } from "../../../src/http/door-fixture.ts";
import type { Group } from "../../../src/views/group.ts";
import { live, until, ViewsFixture } from "../../../src/views/group-fixture.ts";
import { openReader } from "../../../src/views/reader.ts";
import type { SourceFixture } from "../../../src/views/source-fixture.ts";
import { testFolder } from "../../support/postgres.ts";
import { Books, tables } from "./books.ts";
import { definitions, viewNames } from "./judge.ts";
import { Seen, type Watch, watchLive, watchReads, watchRows, watchSql, watchSqlByView } from "./readers.ts";

/** The bank with its group, its feeds and an HTTP door, filled by a snapshot. */
export interface Bank extends AsyncDisposable {
  readonly books: Books;
  readonly source: SourceFixture;
  readonly group: Group;
  readonly url: string;
  readonly databaseUrl: string;
  /** Until everything that was written is applied. */
  settled(): Promise<void>;
}

export async function openBank(seed: number): Promise<Bank> {
  const folder = await testFolder();
  const fixture = await ViewsFixture.open({ disk: realDisk, directory: `${folder.path}/log` });
  const source = await fixture.source("bank", Object.values(tables));
  const group = await fixture.group(definitions);
  const books = new Books(seededRandom(seed));
  await source.snapshot(books.snapshot());
  await until(group, () => group.list().every(({ state }) => state.kind !== "building"));
  for (const { state } of group.list()) if (state.kind === "failed") throw state.error;
  const readers = new pg.Pool({ connectionString: fixture.database.url, max: 8 });
  readers.on("error", () => {});
  const views = openReader({ group, store: { readers }, clock: systemClock });
  const feeds = openFeeds({ engine: fixture.engine, views, clock: systemClock, limits: { progressMs: 20 } });
  const door = await openTestDoor({ views, feeds, engine: fixture.engine });
  return {
    books,
    source,
    group,
    url: door.url,
    databaseUrl: fixture.database.url,
    settled: () => settled(fixture, group),
    async [Symbol.asyncDispose]() {
      await door.close();
      views.close();
      await readers.end();
      await fixture[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** The machine may have other things to do, for longer than a wait lasts. */
async function settled(fixture: ViewsFixture, group: Group): Promise<void> {
  for (let waits = 1; ; waits++) {
    try {
      return await fixture.settled(group);
    } catch (error) {
      if (!MillraceError.is(error, "TOKEN_TIMEOUT") || waits === 10) throw error;
    }
  }
}

export interface ProofOptions {
  readonly seed: number;
  /** It ends when so many states were looked at, or so much time is over; never before each reader has seen something. */
  readonly states: number;
  readonly seconds: number;
  /** Of each kind of SQL reader. */
  readonly sqlReaders: number;
  readonly swapEveryMs: number;
  readonly say: (line: string) => void;
}

export interface ProofReport {
  readonly states: number;
  /** States of the bank after different numbers of transactions, among those. */
  readonly different: number;
  readonly transactions: number;
  readonly swaps: number;
  readonly seen: Seen;
}

/** States of the bank after so many different numbers of transactions are seen, however slow the machine is. */
const differentMin = 10;

/** Rejects with the first state that is wrong. */
export async function prove({
  seed,
  states,
  seconds,
  sqlReaders,
  swapEveryMs,
  say,
}: ProofOptions): Promise<ProofReport> {
  await using bank = await openBank(seed);
  const { books, url, databaseUrl } = bank;
  const seen = new Seen();
  const stop = new AbortController();
  const watch: Watch = { url, databaseUrl, books, signal: stop.signal, seen };
  const deadlineMs = systemClock.monotonicMs() + seconds * 1_000;
  const sql = Array.from({ length: sqlReaders }, () => watchSql(watch));
  const parts = [
    watchReads(watch),
    watchReads(watch),
    watchRows(watch),
    watchLive(watch),
    watchSqlByView(watch),
    ...sql,
  ];
  const swaps = { count: 0 };
  const all = [...parts, write(bank, seed, stop.signal), swap(bank, swapEveryMs, stop.signal, swaps)].map((part) =>
    part.catch((error) => {
      stop.abort();
      throw error;
    }),
  );
  for (let ticks = 1; !stop.signal.aborted; ticks++) {
    await systemClock.sleep(250, stop.signal).catch(() => {});
    if (ticks % 240 === 0) say(lineOf(seen, books, swaps.count));
    const over = seen.total >= states || systemClock.monotonicMs() >= deadlineMs;
    if (over && seen.hasAll && seen.ticks.size > differentMin && swaps.count > 0) stop.abort();
  }
  const [failed] = (await Promise.allSettled(all)).filter((one) => one.status === "rejected");
  if (failed) throw failed.reason;
  say(lineOf(seen, books, swaps.count));
  return { states: seen.total, different: seen.ticks.size, transactions: books.tick, swaps: swaps.count, seen };
}

/** Writes a few transactions, waits until they are applied, and goes on. */
async function write({ books, source, settled }: Bank, seed: number, signal: AbortSignal): Promise<void> {
  const random = seededRandom(seed + 1);
  while (!signal.aborted) {
    await source.commitTogether(Array.from({ length: 1 + random.below(8) }, () => books.transaction()));
    if (random.below(4) === 0) await settled();
  }
  await settled();
}

/** One view after the other is made anew. */
async function swap({ group }: Bank, everyMs: number, signal: AbortSignal, swaps: { count: number }): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    await systemClock.sleep(everyMs, signal).catch(() => {});
    if (signal.aborted) return;
    await group.rebuild(viewNames[i % viewNames.length] as string);
    await live(group);
    swaps.count++;
  }
}

function lineOf(seen: Seen, books: Books, swaps: number): string {
  const counts = Object.entries(seen.states).map(([reader, count]) => `${reader} ${count}`);
  return `${seen.total} states of all views (${counts.join(", ")}), ${seen.ticks.size} of them different; ${seen.rows.rows + seen.rows.live} of one view; ${books.tick} transactions, ${swaps} swaps`;
}
