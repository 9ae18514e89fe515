/**
 * Results of any size by pages, from one snapshot: a REPEATABLE READ transaction with a cursor. It reads ahead, so that
 * what fits the buffer holds no connection while a client is slow.
 *
 * Always true: at most `slots` connections are held, at most `bufferBytesMax` (and one page for each slot) is buffered,
 * and who does not pull for `stallMs` is given up with `QUERY_TIMEOUT`, its connection and its buffer freed.
 */
import type { Pool, PoolClient } from "pg";
import type { Clock, Timer } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { acquireReader, type SettingValue, setLocally } from "./reader-session.ts";
import { Slots } from "./reader-slots.ts";
import type { Statement } from "./row-sql.ts";

export interface PageLimits {
  readonly slots: number;
  /** Of all results that are being read. */
  readonly bufferBytesMax: number;
  /** What one result may have read ahead. */
  readonly aheadBytesMax: number;
  readonly pageBytes: number;
  readonly pageRowsMax: number;
  readonly stallMs: number;
}

export interface PagedResult<Head, Row> {
  /** The one row of the head's statement, from the same snapshot. */
  readonly head: Head;
  readonly pages: AsyncIterableIterator<readonly Row[]>;
  /** As the iterator's `return`: frees everything. */
  close(): void;
}

const rowsOfFirstPage = 100;

export class PagedReads {
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #limits: PageLimits;
  readonly #slots: Slots;
  readonly #buffered = { bytes: 0 };
  readonly #open = new Set<{ return(): unknown }>();

  constructor(pool: Pool, clock: Clock, limits: PageLimits) {
    this.#pool = pool;
    this.#clock = clock;
    this.#limits = limits;
    this.#slots = new Slots(limits.slots);
  }

  /** Ends the results that hold a connection, as if their readers had left. */
  close(): void {
    for (const pages of this.#open) pages.return();
  }

  /**
   * Resolves with the first page read, so that what is wrong with the statement is thrown here, as the server said it.
   * `lock` is a view that must not become another version's between the snapshot and the statement, `settings` are its transaction's.
   */
  async open<Head extends object, Row extends object>(
    headSql: string,
    statement: Statement,
    { lock, settings = [] }: { readonly lock?: string | undefined; readonly settings?: readonly SettingValue[] } = {},
  ): Promise<PagedResult<Head, Row>> {
    const release = await this.#slots.acquire();
    let client: PoolClient;
    try {
      client = await acquireReader(this.#pool);
    } catch (error) {
      release();
      throw error;
    }
    let pages: Pages<Row> | undefined;
    const free = (broken: boolean) => {
      if (pages) this.#open.delete(pages);
      client.release(broken);
      release();
    };
    try {
      await client.query("begin isolation level repeatable read read only");
      if (lock !== undefined) await client.query(`lock table ${lock} in access share mode`);
      await setLocally(client, settings);
      const { rows } = await client.query<Head>(headSql);
      const head = rows[0];
      if (!head) throw new MillraceError("STORE_UNAVAILABLE", "the store has no row for this group");
      await client.query(`declare pages no scroll cursor for ${statement.text}`, [...statement.parameters.values]);
      const first = (await client.query<Row>(`fetch ${rowsOfFirstPage} from pages`)).rows;
      const opened = new Pages<Row>(client, free, this.#clock, this.#limits, this.#buffered, first);
      pages = opened;
      if (opened.holdsConnection) this.#open.add(opened);
      return { head, pages: opened, close: () => void opened.return() };
    } catch (error) {
      const rolledBack = await client.query("rollback").then(
        () => true,
        () => false,
      );
      free(!rolledBack);
      throw error;
    }
  }
}

class Pages<Row extends object> implements AsyncIterableIterator<readonly Row[]> {
  readonly #client: PoolClient;
  readonly #free: (broken: boolean) => void;
  readonly #clock: Clock;
  readonly #limits: PageLimits;
  readonly #buffered: { bytes: number };
  readonly #queue: { readonly rows: readonly Row[]; readonly bytes: number }[] = [];
  #aheadBytes = 0;
  #ended = false;
  #closed = false;
  #error: unknown;
  #stall: Timer | undefined;
  #wake: (() => void) | undefined;
  #room: (() => void) | undefined;

  constructor(
    client: PoolClient,
    free: (broken: boolean) => void,
    clock: Clock,
    limits: PageLimits,
    buffered: { bytes: number },
    first: readonly Row[],
  ) {
    this.#client = client;
    this.#free = free;
    this.#clock = clock;
    this.#limits = limits;
    this.#buffered = buffered;
    this.#push(first);
    void this.#readAhead(first);
  }

  get holdsConnection(): boolean {
    return !this.#ended;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<readonly Row[], undefined>> {
    for (;;) {
      const page = this.#queue.shift();
      if (page) {
        this.#take(page.bytes);
        this.#watch();
        this.#room?.();
        return { done: false, value: page.rows };
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended || this.#closed) return { done: true, value: undefined };
      this.#stall?.cancel();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  return(): Promise<IteratorResult<readonly Row[], undefined>> {
    this.#closed = true;
    this.#drop();
    return Promise.resolve({ done: true, value: undefined });
  }

  async #readAhead(first: readonly Row[]): Promise<void> {
    let rows = first;
    let asked = rowsOfFirstPage;
    let broken = true;
    try {
      while (rows.length === asked && !this.#closed) {
        asked = this.#pageRows(rows);
        await this.#roomForMore();
        if (this.#closed) break;
        rows = (await this.#client.query<Row>(`fetch ${asked} from pages`)).rows;
        this.#push(rows);
      }
      await this.#client.query(this.#closed ? "rollback" : "commit");
      broken = false;
    } catch (error) {
      this.#error ??= error;
    } finally {
      this.#ended = true;
      this.#free(broken);
      if (this.#queue.length === 0) this.#stall?.cancel();
      this.#wake?.();
    }
  }

  /** As many as will make a page, if the next rows are like the last. */
  #pageRows(last: readonly Row[]): number {
    const each = sizeOf(last) / Math.max(1, last.length);
    return Math.max(1, Math.min(this.#limits.pageRowsMax, Math.floor(this.#limits.pageBytes / Math.max(1, each))));
  }

  async #roomForMore(): Promise<void> {
    while (
      !this.#closed &&
      this.#queue.length > 0 &&
      (this.#aheadBytes >= this.#limits.aheadBytesMax || this.#buffered.bytes >= this.#limits.bufferBytesMax)
    ) {
      await new Promise<void>((resolve) => {
        this.#room = resolve;
      });
    }
  }

  #push(rows: readonly Row[]): void {
    if (rows.length === 0 || this.#closed) return;
    const bytes = sizeOf(rows);
    this.#queue.push({ rows, bytes });
    this.#aheadBytes += bytes;
    this.#buffered.bytes += bytes;
    if (this.#queue.length === 1) this.#watch();
    this.#wake?.();
  }

  #take(bytes: number): void {
    this.#aheadBytes -= bytes;
    this.#buffered.bytes -= bytes;
  }

  /** From now on there is something to pull, or something is being read for who pulled. */
  #watch(): void {
    this.#stall?.cancel();
    if (this.#ended && this.#queue.length === 0) return;
    this.#stall = this.#clock.after(this.#limits.stallMs, () => {
      this.#error ??= new MillraceError("QUERY_TIMEOUT", "the rows of a snapshot were not taken in time", {
        hint: "Read them without pauses, or narrow the view with a filter.",
      });
      this.#closed = true;
      this.#drop();
    });
  }

  #drop(): void {
    this.#stall?.cancel();
    this.#take(this.#aheadBytes);
    this.#queue.length = 0;
    this.#wake?.();
    this.#room?.();
  }
}

/** Characters of its texts, which is near enough to bytes for a bound. */
function sizeOf(rows: readonly object[]): number {
  let size = 0;
  for (const row of rows) {
    for (const value of Object.values(row)) size += typeof value === "string" ? value.length : 8;
  }
  return size;
}
