/**
 * A snapshot: every captured table as it stood where the slot was made, written to the log in chunks between
 * SNAPSHOT_BEGIN and SNAPSHOT_END. One that breaks off is begun anew under a new id and with a new slot, for its
 * exported snapshot ends with the connection.
 */
import type { Client } from "pg";
import type { Clock } from "../base/clock.ts";
import { quote } from "../catalog/definitions.ts";
import { Cells } from "../schema/cells.ts";
import type { CaptureLog } from "./capture-log.ts";
import type { CapturedTable } from "./captured-table.ts";
import type { ChangeRecorder } from "./change-recorder.ts";
import { CopyOut } from "./copy-out.ts";
import { readCopyRow } from "./copy-row.ts";
import type { LogWriter } from "./log-writer.ts";
import { printLsn } from "./lsn.ts";
import type { CheckedTable } from "./table-checks.ts";

export interface SnapshotSettings {
  readonly id: string;
  /** In a transaction of the exported snapshot. */
  readonly client: Client;
  readonly clock: Clock;
  readonly log: LogWriter;
  readonly captureLog: CaptureLog;
  readonly recorder: ChangeRecorder;
  readonly tables: readonly (CapturedTable & Pick<CheckedTable, "kind" | "rowsEstimated">)[];
  /** Where the snapshot stands. */
  readonly position: number;
  readonly chunkBytes: number;
  readonly signal: AbortSignal;
  readonly onRows: (rows: number, rowsEstimated: number) => void;
}

/** Resolves when SNAPSHOT_END is durable. Throws what the server and the log throw, and the signal's reason. */
export async function takeSnapshot(settings: SnapshotSettings): Promise<void> {
  const { id, clock, log, captureLog, tables, position } = settings;
  const rowsEstimated = tables.reduce((sum, table) => sum + Math.max(0, Math.round(table.rowsEstimated)), 0);
  const shapes = tables.map(({ shape }) => shape);
  log.eventAtEnd(
    (frontier) => ({ status: "SNAPSHOT_BEGIN", id, ts_ms: clock.now(), tables: shapes, frontier }),
    position,
    (offset) => captureLog.shapePlaced("snapshot", offset),
  );
  const progress = { rows: 0, rowsEstimated, chunkBytes: 0 };
  const snapshotUs = clock.now() * 1000;
  for (const table of tables) await copyTable(settings, table, progress, snapshotUs);
  await settings.client.query("commit");
  endChunk(settings, progress);
  await log.flushed();
  if (captureLog.progress !== null) captureLog.progress = { ...captureLog.progress, state: "streaming" };
  log.eventAtEnd(
    (frontier) => ({ status: "SNAPSHOT_END", id, ts_ms: clock.now(), frontier, lsn: printLsn(position) }),
    position,
  );
  await log.flushed();
}

interface SnapshotProgress {
  rows: number;
  readonly rowsEstimated: number;
  chunkBytes: number;
}

async function copyTable(
  settings: SnapshotSettings,
  table: SnapshotSettings["tables"][number],
  progress: SnapshotProgress,
  snapshotUs: number,
): Promise<void> {
  const { client, clock, log, recorder, position, signal } = settings;
  signal.throwIfAborted();
  const { shape } = table;
  const transaction = {
    id: null,
    txId: null,
    commitUs: snapshotUs,
    previousCommitLsn: null,
    nowMs: clock.now(),
  };
  const cells = new Cells();
  const columns = shape.columns.map(({ name }) => quote(name)).join(", ");
  const from = `${table.kind === "p" ? "" : "only "}${quote(shape.schema)}.${quote(shape.table)}`;
  recorder.lsn = position;
  const copy = new CopyOut(client, `copy (select ${columns} from ${from}) to stdout`, (line) => {
    // Escapes are taken out in place, and the row may have to be set aside as it came.
    const row = line.includes(0x5c) ? Buffer.from(line) : line;
    recorder.message = line;
    try {
      readCopyRow(row, shape.columns.length, cells);
    } catch (error) {
      recorder.reject(error instanceof Error ? error.message : String(error), table);
      return;
    }
    recorder.snapshotRow(table, cells, transaction);
    progress.rows++;
    progress.chunkBytes += line.length;
    if (progress.chunkBytes < settings.chunkBytes) return;
    endChunk(settings, progress);
    if (!log.full) return;
    copy.pause();
    log.room().then(
      () => copy.resume(),
      () => copy.resume(),
    );
  });
  const abort = () => void client.end().catch(() => {});
  signal.addEventListener("abort", abort, { once: true });
  try {
    await copy.done;
  } finally {
    signal.removeEventListener("abort", abort);
  }
  signal.throwIfAborted();
}

function endChunk({ id, clock, log, position, onRows }: SnapshotSettings, progress: SnapshotProgress): void {
  const { rows, rowsEstimated } = progress;
  progress.chunkBytes = 0;
  onRows(rows, Math.max(rows, rowsEstimated));
  log.eventAtEnd(
    (frontier) => ({
      status: "SNAPSHOT_CHUNK",
      id,
      ts_ms: clock.now(),
      frontier,
      rows,
      rowsEstimated: Math.max(rows, rowsEstimated),
    }),
    position,
  );
}
