/**
 * The first load: every captured table as it stood where the slot was made, written to the log in chunks between
 * SNAPSHOT_BEGIN and SNAPSHOT_END. Several connections read at once in the exported snapshot, large tables in ranges of
 * their pages. One that breaks off is begun anew under a new id and with a new slot, for its exported snapshot ends with
 * the connection.
 */
import type { Client } from "pg";
import type { Clock } from "../../base/clock.ts";
import { Cells } from "../../schema/cells.ts";
import type { EnvelopeTransaction } from "../../schema/envelope-writer.ts";
import type { CaptureLog } from "../capture-log.ts";
import type { CapturedTable } from "../captured-table.ts";
import type { ChangeRecorder } from "../change-recorder.ts";
import { CopyOut } from "../copy-out.ts";
import { readCopyRow } from "../copy-row.ts";
import type { LogWriter } from "../log-writer.ts";
import { printLsn } from "../lsn.ts";
import type { CheckedTable } from "../table-checks.ts";
import { type CopyPart, type Heap, type LoadTable, planCopies } from "./copy-plan.ts";
import { LoadProgress } from "./load-progress.ts";

export interface LoadSettings {
  readonly id: string;
  /** Each in a transaction of the exported snapshot; the first one's keeps the tables as they are (`hold-tables.ts`). */
  readonly clients: readonly Client[];
  readonly clock: Clock;
  readonly log: LogWriter;
  readonly captureLog: CaptureLog;
  readonly recorder: ChangeRecorder;
  readonly tables: readonly (CapturedTable & Pick<CheckedTable, "rowsEstimated" | "read">)[];
  /** Where the snapshot stands. */
  readonly position: number;
  readonly chunkBytes: number;
  readonly signal: AbortSignal;
  readonly onRows: (rows: number, rowsEstimated: number) => void;
  /** Why there is one. */
  readonly reason: string;
  readonly onProgress: (progress: LoadProgress) => void;
}

/** Resolves when SNAPSHOT_END is durable. Throws what the server and the log throw, and the signal's reason. */
export async function firstLoad(settings: LoadSettings): Promise<void> {
  await new FirstLoad(settings).run();
}

class FirstLoad {
  readonly #settings: LoadSettings;
  readonly #rowsEstimated: number;
  readonly #transaction: EnvelopeTransaction;
  readonly #running = new Set<CopyOut>();
  #rows = 0;
  #chunkBytes = 0;
  #waiting = false;

  constructor(settings: LoadSettings) {
    const nowMs = settings.clock.now();
    this.#settings = settings;
    this.#rowsEstimated = settings.tables.reduce(
      (sum, { rowsEstimated }) => sum + Math.max(0, Math.round(rowsEstimated)),
      0,
    );
    this.#transaction = { id: null, txId: null, commitUs: nowMs * 1000, previousCommitLsn: null, nowMs };
  }

  async run(): Promise<void> {
    const { id, clock, log, captureLog, tables, clients, position, recorder } = this.#settings;
    const shapes = tables.map(({ shape }) => shape);
    log.eventAtEnd(
      (frontier) => ({ status: "SNAPSHOT_BEGIN", id, ts_ms: clock.now(), tables: shapes, frontier }),
      position,
      (offset) => captureLog.shapePlaced("snapshot", offset),
    );
    recorder.lsn = position;
    const parts = planCopies(await this.#heaps(), clients.length);
    const progress = new LoadProgress(tables, parts, this.#settings.reason);
    this.#settings.onProgress(progress);
    // One of them failing ends the others: their rows would be of no use.
    const failed = new AbortController();
    await Promise.all(
      clients.map(async (client) => {
        try {
          for (let part = parts.shift(); part !== undefined; part = parts.shift())
            await this.#copy(client, part, progress, failed);
        } catch (error) {
          failed.abort();
          throw error;
        }
      }),
    );
    // Only now: one of them keeps the tables as they are for all.
    await Promise.all(clients.map((client) => client.query("commit")));
    this.#endChunk();
    await log.flushed();
    if (captureLog.progress !== null) captureLog.progress = { ...captureLog.progress, state: "streaming" };
    log.eventAtEnd(
      (frontier) => ({ status: "SNAPSHOT_END", id, ts_ms: clock.now(), frontier, lsn: printLsn(position) }),
      position,
    );
    await log.flushed();
  }

  async #heaps(): Promise<LoadTable[]> {
    const { tables, clients } = this.#settings;
    const client = clients[0] as Client;
    const heaps: LoadTable[] = [];
    for (const { oid, read } of tables) heaps.push({ read, heaps: await readHeaps(client, oid) });
    return heaps;
  }

  async #copy(client: Client, part: CopyPart, progress: LoadProgress, failed: AbortController): Promise<void> {
    const { tables, recorder, signal, clock } = this.#settings;
    signal.throwIfAborted();
    const table = tables[part.table] as LoadSettings["tables"][number];
    const columns = table.shape.columns.length;
    const cells = new Cells();
    const counted = progress.begin(part.table, clock.monotonicMs());
    const copy = new CopyOut(client, part.sql, (bytes, start, end) => {
      recorder.messageAt(bytes, start, end);
      try {
        readCopyRow(bytes, start, end, columns, cells);
      } catch (error) {
        recorder.rejectRow(error instanceof Error ? error.message : String(error), table, this.#settings.id);
        return;
      }
      recorder.snapshotRow(table, cells, this.#transaction, this.#settings.id);
      this.#rows++;
      counted.rows++;
      this.#chunkBytes += end - start;
      if (this.#chunkBytes >= this.#settings.chunkBytes) this.#endChunk();
      if (this.#waiting) copy.pause();
    });
    this.#running.add(copy);
    const end = () => void client.end().catch(() => {});
    for (const one of [signal, failed.signal]) one.addEventListener("abort", end, { once: true });
    try {
      await copy.done;
    } finally {
      this.#running.delete(copy);
      // It may have been paused in its last rows, and the connection serves on.
      copy.resume();
      for (const one of [signal, failed.signal]) one.removeEventListener("abort", end);
    }
    signal.throwIfAborted();
    progress.end(part.table);
  }

  #endChunk(): void {
    const { id, clock, log, position, onRows } = this.#settings;
    const rows = this.#rows;
    const rowsEstimated = Math.max(rows, this.#rowsEstimated);
    this.#chunkBytes = 0;
    onRows(rows, rowsEstimated);
    log.eventAtEnd(
      (frontier) => ({ status: "SNAPSHOT_CHUNK", id, ts_ms: clock.now(), frontier, rows, rowsEstimated }),
      position,
    );
    if (log.full && !this.#waiting) this.#wait();
  }

  /** All connections wait until the log has room. */
  #wait(): void {
    this.#waiting = true;
    for (const copy of this.#running) copy.pause();
    const goOn = () => {
      this.#waiting = false;
      for (const copy of this.#running) copy.resume();
    };
    this.#settings.log.room().then(goOn, goOn);
  }
}

/** Null when one of the partitions has no file of its own on this server. */
async function readHeaps(client: Client, oid: number): Promise<Heap[] | null> {
  const { rows } = await client.query<Heap & { kind: string; readable: boolean }>(
    `select n.nspname as schema, c.relname as "table", c.relkind as kind,
            has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage') as readable,
            (case when c.relkind = 'r' then pg_relation_size(c.oid) / current_setting('block_size')::int else 0 end)::float8 as pages
       from (select relid, isleaf from pg_partition_tree($1::oid) union all
             select $1::oid, true where not exists (select from pg_partition_tree($1::oid))) t
       join pg_class c on c.oid = t.relid join pg_namespace n on n.oid = c.relnamespace
      where t.isleaf order by c.oid`,
    [oid],
  );
  // Who may read a partitioned table need not be allowed to read its partitions by their names.
  return rows.every(({ kind, readable }) => kind === "r" && readable) ? rows : null;
}
