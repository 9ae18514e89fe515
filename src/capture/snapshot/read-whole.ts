/**
 * Reads a table at once while the stream is held back between two transactions: one without a key, whose rows cannot be
 * told apart. Everything else waits meanwhile; it is a table's only way without a slot of its own.
 *
 * The snapshot must see all that was streamed of the table; what it sees beyond that comes in the stream later, and is
 * passed over then. Such transactions have not touched a row that one which the snapshot does not see has touched (the
 * later one would have had to wait for the earlier one to be visible), so that it does not matter that they are out of order.
 */

import { Cells } from "../../schema/cells.ts";
import type { ChangeWatch } from "../change-recorder.ts";
import { readCopyRow } from "../copy-row.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import { wholeTable } from "./key-chunks.ts";
import { finish, progressOf, type Reading, type ReadingEnd, type ReadsTools } from "./table-reads.ts";
import type { SnapshotVisibility } from "./visibility.ts";

/** From the beginning on: what the stream tells before the rows are read is in them, and is passed over. */
export class WholeWatch implements ChangeWatch {
  /** Transactions whose changes were passed over before the rows were read. */
  readonly streamed = new Set<number>();
  read: SnapshotVisibility | null = null;

  passesOver(xid: number): boolean {
    if (this.read !== null) return this.read.sees(xid);
    this.streamed.add(xid);
    return true;
  }

  upserted(): void {}
  moved(): void {}
  removed(): void {}
  truncated(): void {}
}

export async function readWhole(
  tools: ReadsTools,
  reading: Reading,
  watch: WholeWatch,
  reader: ChunkReader,
): Promise<ReadingEnd> {
  const { stream, diagnostics, source, clock, signal } = tools;
  // What was streamed up to now is visible when the reader has settled.
  watch.streamed.clear();
  await reader.settle(() =>
    diagnostics.warn("the reading of a table waits for transactions that run in the source to end", { source }),
  );
  reading.began = { ms: clock.monotonicMs(), rows: 0 };
  const { read } = reading.checked;
  const behind = await stream.between(async () => {
    if (reading.superseded) return null;
    let snapshot = await reader.begin(read);
    while (![...watch.streamed].every((xid) => snapshot.sees(xid))) {
      await reader.end();
      await clock.sleep(pauseMs, signal);
      snapshot = await reader.begin(read);
    }
    await copyRows(tools, reading, reader);
    await reader.end();
    watch.read = snapshot;
    return reader.place();
  });
  if (behind === null) return "superseded";
  await stream.passed(behind);
  const newer = await stream.between(async () => !reading.superseded && stream.openGate(reading.table));
  if (reading.superseded) return "superseded";
  return newer ? { again: "its shape changed while it was read" } : finish(tools, reading);
}

const pauseMs = 10;

async function copyRows(tools: ReadsTools, reading: Reading, reader: ChunkReader): Promise<void> {
  const { recorder, stream, log, clock, chunkBytes, captureLog, onChange } = tools;
  const { table, id } = reading;
  const cells = new Cells();
  const nowMs = clock.now();
  const transaction = { id: null, txId: null, commitUs: nowMs * 1000, previousCommitLsn: null, nowMs };
  let bytes = 0;
  const endChunk = () => {
    bytes = 0;
    const { rows } = reading;
    const rowsEstimated = Math.max(rows, reading.rowsEstimated);
    const progress = progressOf(reading, true);
    log.eventAtEnd(
      (frontier) => ({ status: "TABLE_CHUNK", id, ts_ms: clock.now(), frontier, rows, rowsEstimated }),
      stream.position,
      () => captureLog.setReading(table.shape.topic, progress),
    );
    onChange();
  };
  recorder.lsn = stream.position;
  await reader.copy(wholeTable(reading.checked.read), (line, start, end) => {
    recorder.messageAt(line, start, end);
    try {
      readCopyRow(line, start, end, table.shape.columns.length, cells);
      recorder.snapshotRow(table, cells, transaction, id);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      recorder.rejectRow(error.message, table, id);
    }
    reading.rows++;
    bytes += end - start;
    if (bytes < chunkBytes) return null;
    endChunk();
    return log.full ? log.room() : null;
  });
  endChunk();
}
