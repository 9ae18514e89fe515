/**
 * Reads a table with a key, chunk by chunk, while the stream goes on: each chunk in a snapshot of its own, its rows
 * written when the stream has passed what that snapshot sees. The next chunk is read while the last one is written.
 */
import { Cells, cellState } from "../../schema/cells.ts";
import { readKeyText } from "../../schema/envelope.ts";
import type { EnvelopeTransaction } from "../../schema/envelope-writer.ts";
import type { CapturedTable } from "../captured-table.ts";
import { readCopyRow } from "../copy-row.ts";
import type { Chunk, ChunkReader } from "./chunk-reader.ts";
import { type KeyText, nextChunk, type ReadTable, rowsOfKeys } from "./key-chunks.ts";
import { finish, progressOf, type Reading, type ReadingEnd, type ReadsTools } from "./table-reads.ts";
import { type RowDecision, TableWindow } from "./table-window.ts";

const rowsFirst = 2_000;
const rowsMin = 50;
const rowsMax = 50_000;
const owedAtOnce = 500;

export async function readByKey(tools: ReadsTools, reading: Reading, reader: ChunkReader): Promise<ReadingEnd> {
  return new KeyedReading(tools, reading, reader).run();
}

class KeyedReading {
  readonly #tools: ReadsTools;
  readonly #reading: Reading;
  readonly #reader: ChunkReader;
  readonly #read: ReadTable;
  readonly #window = new TableWindow();
  readonly #cells = new Cells();
  /** Keys as they stand in events, and as the server's text, of rows that are owed. */
  readonly #keys: readonly number[];
  #gateOpen = false;

  constructor(tools: ReadsTools, reading: Reading, reader: ChunkReader) {
    const { shape } = reading.table;
    this.#tools = tools;
    this.#reading = reading;
    this.#reader = reader;
    this.#read = reading.checked.read;
    this.#keys = (shape.key ?? []).map((name) => shape.columns.findIndex((column) => column.name === name));
  }

  async run(): Promise<ReadingEnd> {
    const { clock, recorder, captureLog, chunkBytes } = this.#tools;
    const reading = this.#reading;
    const window = this.#window;
    recorder.watches.set(reading.table.topic, {
      passesOver: () => false,
      upserted: (xid, key, unchanged) => window.upserted(xid, key, unchanged),
      removed: (xid, key) => window.removed(xid, key),
      truncated: (xid) => window.truncated(xid),
      moved: (xid, from, to, unchanged) => {
        window.moved(xid, from, to, unchanged);
        // What is owed is known here only: whoever goes on in our place cannot, and begins anew.
        if (window.owed.size > 0) captureLog.setReading(reading.table.shape.topic, progressOf(reading, true));
      },
    });
    await this.#settle();
    reading.began = { ms: clock.monotonicMs(), rows: reading.rows };
    let rows = rowsFirst;
    let next = this.#next(rows);
    for (;;) {
      const asked = rows;
      const chunk = await next;
      const last = this.#lastKey(chunk);
      const done = !chunk.cut && chunk.lines.length < asked;
      rows = nextRows(chunk, asked, chunkBytes);
      if (!done) next = this.#next(rows, last);
      const outcome = await this.#take(chunk, last);
      if (outcome === "newer-shape") return { again: "its shape changed while it was read" };
      if (outcome === "superseded") return "superseded";
      if (outcome === "overflow") {
        // Too much was changed to be judged: smaller chunks, from where the last good one ended.
        if (!done) await next.catch(() => undefined);
        rows = Math.max(rowsMin, Math.floor(asked / 4));
        window.clear();
        await this.#settle();
        next = this.#next(rows);
      } else if (done) break;
      if (window.owed.size > owedAtOnce) await this.#repay();
    }
    while (window.owed.size > 0) {
      if (!(await this.#repay())) await clock.sleep(pauseMs, this.#tools.signal);
      if (reading.superseded) return "superseded";
      if (window.overflowed) {
        window.clear();
        await this.#settle();
      }
    }
    return finish(this.#tools, reading);
  }

  #settle(): Promise<void> {
    const { diagnostics, source } = this.#tools;
    return this.#reader.settle(() =>
      diagnostics.warn("the reading of a table waits for transactions that run in the source to end", { source }),
    );
  }

  #next(rows: number, after: KeyText | null = this.#reading.after): Promise<Chunk> {
    const chunk = this.#reader.read(this.#read, nextChunk(this.#read, after, rows), this.#tools.chunkBytes);
    chunk.catch(() => undefined);
    return chunk;
  }

  async #take(chunk: Chunk, last: KeyText | null): Promise<"written" | "overflow" | "newer-shape" | "superseded"> {
    const { log, stream } = this.#tools;
    await stream.passed(chunk.behind);
    await log.room();
    return stream.between(async () => {
      const reading = this.#reading;
      if (reading.superseded) return "superseded";
      // Whatever the stream told in an older shape lies behind us, and was seen by the first chunk.
      if (!this.#gateOpen && stream.openGate(reading.table)) return "newer-shape";
      this.#gateOpen = true;
      if (this.#window.overflowed) return "overflow";
      this.#write(chunk, () => {});
      reading.after = last ?? reading.after;
      reading.rows += chunk.lines.length;
      this.#window.forget(chunk.snapshot);
      this.#endChunk();
      return "written";
    });
  }

  /** Reads rows again that have gaps in the topic. False when the transactions that made them are not visible yet. */
  async #repay(): Promise<boolean> {
    const { log, stream, chunkBytes } = this.#tools;
    const asked = [...this.#window.owed].slice(0, owedAtOnce);
    const chunk = await this.#reader.read(
      this.#read,
      rowsOfKeys(
        this.#read,
        asked.map((key) => this.#textOf(key)),
      ),
      chunkBytes,
    );
    await stream.passed(chunk.behind);
    await log.room();
    return stream.between(async () => {
      const before = this.#window.owed.size;
      if (this.#reading.superseded || this.#window.overflowed) return true;
      const found = new Map<string, RowDecision>();
      this.#write(chunk, (key, decision) => found.set(key, decision));
      for (const key of asked) {
        const decision = found.get(key) ?? null;
        if (decision !== null || !chunk.cut) this.#window.settled(key, decision, chunk.snapshot);
      }
      this.#window.forget(chunk.snapshot);
      this.#endChunk();
      return this.#window.owed.size < before;
    });
  }

  #write(chunk: Chunk, onDecision: (key: string, decision: RowDecision) => void): void {
    const { recorder, clock, stream } = this.#tools;
    const { table } = this.#reading;
    const nowMs = clock.now();
    const transaction = { id: null, txId: null, commitUs: nowMs * 1000, previousCommitLsn: null, nowMs };
    recorder.lsn = stream.position;
    for (const line of chunk.lines) this.#writeRow(table, line, transaction, chunk, onDecision);
  }

  #writeRow(
    table: CapturedTable,
    line: Buffer,
    transaction: EnvelopeTransaction,
    { snapshot }: Chunk,
    onDecision: (key: string, decision: RowDecision) => void,
  ): void {
    const { recorder } = this.#tools;
    const cells = this.#cells;
    recorder.messageAt(line);
    let key: string;
    try {
      readCopyRow(line, 0, line.length, table.shape.columns.length, cells);
      key = table.writer.keyOf(cells).toString("latin1");
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      recorder.rejectRow(error.message, table, this.#reading.id);
      return;
    }
    const decision = this.#window.decide(key, snapshot);
    onDecision(key, decision);
    if (decision.kind === "drop") return;
    if (decision.kind === "fill") {
      for (let column = 0; column < cells.count; column++) {
        if (!decision.columns.has(column) && !this.#keys.includes(column)) cells.state[column] = cellState.unchanged;
      }
    }
    recorder.snapshotRow(table, cells, transaction, this.#reading.id);
  }

  #endChunk(): void {
    const { log, stream, clock, captureLog, onChange } = this.#tools;
    const reading = this.#reading;
    const { id, rows } = reading;
    const rowsEstimated = Math.max(rows, reading.rowsEstimated);
    const progress = progressOf(reading, false);
    log.eventAtEnd(
      (frontier) => ({ status: "TABLE_CHUNK", id, ts_ms: clock.now(), frontier, rows, rowsEstimated }),
      stream.position,
      () => {
        if (reading.superseded) return;
        const restart = this.#window.owed.size > 0;
        captureLog.setReading(reading.table.shape.topic, restart ? { ...progress, restart } : progress);
      },
    );
    onChange();
  }

  /** As the server prints its columns; null for a chunk without rows. */
  #lastKey({ lines }: Chunk): KeyText | null {
    const line = lines.at(-1);
    if (line === undefined) return null;
    const cells = this.#cells;
    readCopyRow(line, 0, line.length, this.#reading.table.shape.columns.length, cells);
    return this.#keys.map((column) => cells.bytes.toString("utf8", cells.start[column], cells.end[column]));
  }

  /** The server's text of a key, from the bytes of an event's key. */
  #textOf(key: string): KeyText {
    return readKeyText(Buffer.from(key, "latin1"), this.#reading.table.shape);
  }
}

const pauseMs = 20;

/** So that a chunk has about `bytes`, and never many times more rows than the last one. */
function nextRows({ lines, bytes }: Chunk, asked: number, bytesWanted: number): number {
  if (lines.length === 0) return asked;
  const fitting = Math.floor((bytesWanted / 2) * (lines.length / Math.max(1, bytes)));
  return Math.min(rowsMax, Math.max(rowsMin, Math.min(fitting, asked * 4)));
}
