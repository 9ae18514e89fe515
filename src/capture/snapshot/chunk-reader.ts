/** A connection that reads parts of tables, each in a snapshot that is told with it, and a place that lies behind it. */
import type { Client } from "pg";
import type { Clock } from "../../base/clock.ts";
import { closeConnection, connect, type SourceAddress } from "../connection.ts";
import { CopyOut, type TakeLine } from "../copy-out.ts";
import { parseLsn } from "../lsn.ts";
import { lockSql } from "./hold-tables.ts";
import type { ReadTable } from "./key-chunks.ts";
import { SnapshotVisibility } from "./visibility.ts";

export interface Chunk {
  readonly snapshot: SnapshotVisibility;
  /** Rows of `COPY` in its text format. */
  readonly lines: readonly Buffer[];
  readonly bytes: number;
  /** There were more rows than may be held: those that are here are the first ones. */
  readonly cut: boolean;
  /** A place in the server's log behind all that the snapshot sees. */
  readonly behind: number;
}

const pollMsMin = 2;
const pollMsMax = 500;
const patientMs = 5_000;

/** On a standby nothing can be written, and what is replayed is visible: its own accounts take the place of ours. */
const numberOfNow =
  "select case when pg_is_in_recovery() then pg_snapshot_xmax(pg_current_snapshot()) else pg_current_xact_id() end::text as xid";
const oldestRunning = "select pg_snapshot_xmin(pg_current_snapshot())::text as xid";
/** The message makes the server flush what is asked for, and stream it. */
const mark = "select pg_logical_emit_message(true, 'millrace.watermark', '') where not pg_is_in_recovery()";
const endOfNow =
  "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end)::text as lsn";

export class ChunkReader {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;

  private constructor(client: Client, clock: Clock, signal: AbortSignal) {
    this.#client = client;
    this.#clock = clock;
    this.#signal = signal;
  }

  static async open(source: SourceAddress, clock: Clock, signal: AbortSignal): Promise<ChunkReader> {
    const client = await connect(source, "query");
    // A mark is no change of anybody's: it need not wait for standbys.
    await client.query("set row_security = off; set synchronous_commit = local");
    return new ChunkReader(client, clock, signal);
  }

  /** Never throws. */
  close(): Promise<void> {
    return closeConnection(this.#client);
  }

  /**
   * Resolves when every transaction that runs now has ended, and with it everything that was streamed up to now is
   * visible. `onSlow` is called once when that takes long.
   */
  async settle(onSlow: () => void): Promise<void> {
    const barrier = await this.#number(numberOfNow);
    let waitedMs = 0;
    for (
      let pauseMs = pollMsMin;
      (await this.#number(oldestRunning)) < barrier;
      pauseMs = Math.min(pauseMs * 2, pollMsMax)
    ) {
      if (waitedMs < patientMs && waitedMs + pauseMs >= patientMs) onSlow();
      waitedMs += pauseMs;
      await this.#clock.sleep(pauseMs, this.#signal);
    }
  }

  /** At most about `bytesMax` of the rows of a `copy … to stdout` from this table. */
  async read(table: ReadTable, sql: string, bytesMax: number): Promise<Chunk> {
    const lines: Buffer[] = [];
    let bytes = 0;
    let cut = false;
    const snapshot = await this.begin(table);
    const copy = new CopyOut(this.#client, sql, (line, start, end) => {
      if (bytes >= bytesMax) {
        cut = true;
        return;
      }
      lines.push(Buffer.from(line.subarray(start, end)));
      bytes += end - start;
    });
    await this.#orCut(copy.done);
    await this.end();
    return { snapshot, lines, bytes, cut, behind: await this.place() };
  }

  /**
   * A transaction that reads a table in one snapshot. The table is locked first, then the snapshot is taken: what had
   * written its rows anew has ended by then, and nothing does so until they are read.
   */
  async begin(table: ReadTable): Promise<SnapshotVisibility> {
    await this.#orCut(this.#client.query(`begin isolation level repeatable read read only; ${lockSql(table)}`));
    const { rows } = await this.#client.query<{ snapshot: string }>("select pg_current_snapshot()::text as snapshot");
    return SnapshotVisibility.parse(rows[0]?.snapshot ?? "");
  }

  async end(): Promise<void> {
    await this.#client.query("rollback");
  }

  /** In the open transaction; `take` gets the lines, and answers a promise when it must be waited for. */
  async copy(sql: string, take: (...line: Parameters<TakeLine>) => Promise<void> | null): Promise<void> {
    const copy = new CopyOut(this.#client, sql, (bytes, start, end) => {
      const wait = take(bytes, start, end);
      if (wait === null) return;
      copy.pause();
      wait.then(
        () => copy.resume(),
        () => copy.resume(),
      );
    });
    // It may have been paused in its last rows, and the connection serves on.
    await this.#orCut(copy.done).finally(() => copy.resume());
  }

  /** A place behind everything that is visible now. */
  async place(): Promise<number> {
    await this.#client.query(mark);
    const { rows } = await this.#client.query<{ lsn: string }>(endOfNow);
    return parseLsn(rows[0]?.lsn ?? "0/0");
  }

  async #number(sql: string): Promise<number> {
    this.#signal.throwIfAborted();
    const { rows } = await this.#client.query<{ xid: string }>(sql);
    return Number(rows[0]?.xid);
  }

  /** Who stops does not wait for the end of a large table. */
  async #orCut(done: Promise<unknown>): Promise<void> {
    const { stream } = (this.#client as unknown as { connection: { stream: { destroy(): void } } }).connection;
    const cut = () => stream.destroy();
    this.#signal.addEventListener("abort", cut, { once: true });
    try {
      await done;
    } catch (error) {
      await this.#client.query("rollback").catch(() => undefined);
      throw error;
    } finally {
      this.#signal.removeEventListener("abort", cut);
    }
    this.#signal.throwIfAborted();
  }
}
