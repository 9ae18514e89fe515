/**
 * Tables that are read while the stream goes on: added ones, and those whose shape changed in a way that rows cannot
 * tell. One after the other, in chunks by key (`table-window.ts` says why their rows are right), or, without a key, at
 * once while the stream is held back.
 *
 * Always true: rows of a chunk and how far the reading is are one log transaction, so that a start after a crash goes on
 * with the next chunk. Between TABLE_BEGIN and TABLE_END nothing that the stream tells of the table is lost: it lies
 * among the rows, or in them.
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { Random } from "../../base/random.ts";
import type { CaptureLog } from "../capture-log.ts";
import type { CapturedTable } from "../captured-table.ts";
import type { ChangeRecorder } from "../change-recorder.ts";
import type { LogWriter } from "../log-writer.ts";
import type { TableReading } from "../progress.ts";
import type { CheckedTable } from "../table-checks.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import type { KeyText } from "./key-chunks.ts";
import { readByKey } from "./read-by-key.ts";
import { readWhole, WholeWatch } from "./read-whole.ts";
import { wholeRows } from "./table-progress.ts";

/** What a reading needs of the stream. */
export interface StreamPlace {
  readonly position: number;
  passed(position: number): Promise<void>;
  between<T>(work: () => Promise<T>): Promise<T>;
  replaceTable(table: CapturedTable): void;
  openGate(table: CapturedTable): boolean;
  fail(error: unknown): void;
}

export interface ReadsTools {
  readonly source: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly captureLog: CaptureLog;
  readonly log: LogWriter;
  readonly recorder: ChangeRecorder;
  readonly stream: StreamPlace;
  readonly signal: AbortSignal;
  readonly chunkBytes: number;
  /** False where a key's text may be none, so that no query can name it. */
  readonly chunked: boolean;
  readonly openReader: () => Promise<ChunkReader>;
  /** The table as the catalogue has it now, published. Throws where it cannot be captured any more. */
  readonly describe: (table: CapturedTable) => Promise<CheckedTable>;
  /** Why a table of the catalogue is not the one that is being read; null when it is. */
  readonly differs: (before: CheckedTable, now: CheckedTable) => string | null;
  readonly captured: (checked: CheckedTable) => CapturedTable;
  readonly onChange: () => void;
}

/** A table that is being read, or waits for its turn. */
export interface Reading {
  readonly id: string;
  readonly reason: string;
  readonly table: CapturedTable;
  readonly checked: CheckedTable;
  readonly rowsEstimated: number;
  rows: number;
  after: KeyText | null;
  /** Since when rows come, and how many there were then; null while it waits. */
  began: { readonly ms: number; readonly rows: number } | null;
  /** Another reading of the same table has taken its place. */
  superseded: boolean;
}

/** What a reading ends with, but for errors. */
export type ReadingEnd = "whole" | "superseded" | { readonly again: string };

export class TableReads {
  readonly #tools: ReadsTools;
  readonly #readings: Reading[] = [];
  #running = false;
  #reader: ChunkReader | null = null;
  #idle: (() => void)[] = [];

  constructor(tools: ReadsTools) {
    this.#tools = tools;
  }

  /** Those that are read or wait. */
  get readings(): readonly Reading[] {
    return this.#readings;
  }

  /**
   * Writes the beginning: in its place before the transaction that is open, or, where `atEnd`, when none is. What the
   * stream brings of the table from here on is of its new shape, or is passed over.
   */
  begin(checked: CheckedTable, reason: string, where: { readonly atEnd: boolean }): void {
    const { clock, random, captureLog, log, stream, diagnostics, source } = this.#tools;
    const table = this.#tools.captured(checked);
    const id = `table:${random.uuid()}`;
    const rowsEstimated = wholeRows(checked.rowsEstimated);
    const reading: Reading = {
      ...{ id, reason, table, checked, rowsEstimated, rows: 0, after: null, began: null, superseded: false },
    };
    const make = (frontier: Readonly<Record<string, number>>) =>
      ({ status: "TABLE_BEGIN", id, ts_ms: clock.now(), table: table.shape, reason, frontier }) as const;
    const { topic } = table.shape;
    const placed = (offset: number) => {
      captureLog.tableBegun(topic, checked, offset, progressOf(reading, false));
    };
    if (where.atEnd) log.eventAtEnd(make, stream.position, placed);
    else log.event(make, placed, table.topic);
    this.#supersede(topic);
    diagnostics.info("a table is read while the stream goes on", { source, table: named(table), reason });
    this.#add(reading);
  }

  /** Goes on where an earlier process was; the table is the one that was being read, and has a key. */
  resume(checked: CheckedTable, { id, reason, after, rows, rowsEstimated }: TableReading): void {
    const table = this.#tools.captured(checked);
    this.#add({ id, reason, table, checked, rowsEstimated, rows, after, began: null, superseded: false });
  }

  /** Reads a table anew that the stream or the catalogue shows to be another one. */
  async again(table: CapturedTable, reason: string, where: { readonly atEnd: boolean }): Promise<void> {
    const checked = await this.#tools.describe(table);
    if (!where.atEnd) return this.begin(checked, reason, where);
    await this.#tools.stream.between(async () => {
      // The stream may have said the same meanwhile.
      const begun = this.#readings.some((one) => one.table.topic === table.topic && one.table !== table);
      if (!begun) this.begin(checked, reason, where);
    });
  }

  /** Resolves when nothing is left to be read. */
  async done(): Promise<void> {
    while (this.#readings.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async close(): Promise<void> {
    await this.#reader?.close();
  }

  #supersede(topic: string): void {
    const earlier = this.#readings.findIndex(({ table }) => table.shape.topic === topic);
    if (earlier < 0) return;
    (this.#readings[earlier] as Reading).superseded = true;
    this.#readings.splice(earlier, 1);
  }

  #add(reading: Reading): void {
    const { stream, recorder } = this.#tools;
    const { table } = reading;
    stream.replaceTable(table);
    recorder.watches.delete(table.topic);
    if (!this.#byKey(table)) recorder.watches.set(table.topic, new WholeWatch());
    this.#readings.push(reading);
    this.#tools.onChange();
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    const { stream, signal } = this.#tools;
    this.#running = true;
    try {
      // What is begun within a transaction, or before the stream, is read when that has its end.
      await stream.between(async () => {});
      for (let reading = this.#readings[0]; reading !== undefined; reading = this.#readings[0]) {
        this.#reader ??= await this.#tools.openReader();
        await this.#read(reading, this.#reader);
      }
    } catch (error) {
      if (!signal.aborted) stream.fail(error);
    } finally {
      this.#running = false;
      await this.#reader?.close();
      this.#reader = null;
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  #byKey({ shape }: CapturedTable): boolean {
    return shape.key !== null && this.#tools.chunked;
  }

  async #read(reading: Reading, reader: ChunkReader): Promise<void> {
    const { table } = reading;
    let end: ReadingEnd;
    try {
      const watch = this.#tools.recorder.watches.get(table.topic);
      end =
        watch instanceof WholeWatch
          ? await readWhole(this.#tools, reading, watch, reader)
          : await readByKey(this.#tools, reading, reader);
    } catch (error) {
      end = { again: await this.#reasonOf(error, reading) };
    }
    if (reading.superseded) return;
    if (typeof end === "object") await this.again(table, end.again, { atEnd: true });
    else {
      await this.#tools.log.flushed();
      this.#readings.splice(this.#readings.indexOf(reading), 1);
    }
    this.#tools.onChange();
  }

  /** A query that fails because the table is another one by now says so; any other error is thrown. */
  async #reasonOf(error: unknown, { table, checked }: Reading): Promise<string> {
    const code = (error as { code?: unknown } | null)?.code;
    if (typeof code !== "string" || !/^(42|0A000|22)/.test(code)) throw error;
    const reason = this.#tools.differs(checked, await this.#tools.describe(table));
    if (reason === null) throw error;
    return reason;
  }
}

export function progressOf(reading: Reading, restart: boolean): TableReading {
  const { id, reason, after, rows, rowsEstimated } = reading;
  return { id, reason, after, rows, rowsEstimated, ...(restart ? { restart } : {}) };
}

/** The last step: the catalogue still has what was read, and the log says that it is whole. */
export async function finish(tools: ReadsTools, reading: Reading): Promise<ReadingEnd> {
  const { stream, log, captureLog, clock, recorder, differs, describe, diagnostics, source } = tools;
  const { table, checked, id } = reading;
  const reason = differs(checked, await describe(table));
  if (reason !== null) return { again: reason };
  return stream.between(async () => {
    if (reading.superseded) return "superseded";
    recorder.watches.delete(table.topic);
    log.eventAtEnd(
      (frontier) => ({ status: "TABLE_END", id, ts_ms: clock.now(), frontier }),
      stream.position,
      () => captureLog.setReading(table.shape.topic),
    );
    diagnostics.info("a table is whole", { source, table: named(table), rows: reading.rows });
    return "whole";
  });
}

function named({ shape }: CapturedTable): string {
  return `${shape.schema}.${shape.table}`;
}
