/**
 * From decoded rows to events in the log: one source transaction at a time. What cannot be written as an event is set
 * aside with its bytes, and the rest goes on.
 */
import { isUtf8 } from "node:buffer";
import type { Clock } from "../base/clock.ts";
import type { Cells } from "../schema/cells.ts";
import type { EnvelopeTransaction } from "../schema/envelope-writer.ts";
import type { CapturedTable } from "./captured-table.ts";
import type { LogWriter } from "./log-writer.ts";
import { printLsn } from "./lsn.ts";
import type { OldRow } from "./pgoutput.ts";

/** Topics of sources take batches of 64 MiB, so that a row of any sensible size fits. */
export const topicBatchBytesMax = 64 * 1024 * 1024;
/** Of one event; a batch holds up to half a megabyte of others beside it. */
export const eventBytesMax = topicBatchBytesMax - 1024 * 1024;

export interface RecorderSettings {
  readonly log: LogWriter;
  readonly clock: Clock;
  readonly rejectedTopic: number;
  /** A larger event is set aside; at most `eventBytesMax`. */
  readonly eventBytesMax: number;
  /** The server has no encoding, so that its text may be none. */
  readonly checkUtf8: boolean;
  readonly onRejected: (reason: string, table: string | null) => void;
}

export class ChangeRecorder {
  readonly #log: LogWriter;
  readonly #clock: Clock;
  readonly #settings: RecorderSettings;
  /** Of the change that is being decoded. */
  lsn = 0;
  /** The whole message of the change that is being decoded, to be set aside if need be. */
  message: Buffer = Buffer.alloc(0);
  changes = 0;
  #transaction: EnvelopeTransaction | null = null;
  #order = 0;
  #previousCommitLsn: number | null = null;

  constructor(settings: RecorderSettings) {
    this.#settings = settings;
    this.#log = settings.log;
    this.#clock = settings.clock;
  }

  begin(xid: number, commitLsn: number, commitUs: number): void {
    this.#order = 0;
    this.#transaction = {
      id: `${xid}:${commitLsn}`,
      txId: xid,
      commitUs,
      previousCommitLsn: this.#previousCommitLsn,
      nowMs: this.#clock.now(),
    };
  }

  end(commitLsn: number, endLsn: number): void {
    const transaction = this.#transaction;
    if (transaction?.id == null) return;
    this.#transaction = null;
    this.#previousCommitLsn = commitLsn;
    this.#log.endTransaction(
      { id: transaction.id, commitMs: Math.floor(transaction.commitUs / 1000), lsn: printLsn(endLsn) },
      endLsn,
    );
  }

  insert(table: CapturedTable, row: Cells): void {
    this.#try(table, (transaction) => this.#upsert(table, "c", row, null, transaction));
  }

  update(table: CapturedTable, oldRow: OldRow, old: Cells, row: Cells): void {
    this.#try(table, (transaction) => {
      if (oldRow === "none") {
        this.#upsert(table, "u", row, null, transaction);
        return;
      }
      if (old.count !== row.count) throw new RangeError("old and new row differ in their columns");
      const { writer } = table;
      writer.fillUnchanged(row, old);
      if (!writer.keyChanged(old, row)) {
        this.#upsert(table, "u", row, oldRow === "full" ? old : null, transaction);
        return;
      }
      const oldKey = writer.keyOf(old);
      const newKey = writer.keyOf(row);
      this.#remove(table, old, oldRow === "key", transaction, newKey);
      this.#upsert(table, "c", row, null, transaction, oldKey);
    });
  }

  delete(table: CapturedTable, oldRow: OldRow, old: Cells): void {
    this.#try(table, (transaction) => this.#remove(table, old, oldRow === "key", transaction, null));
  }

  truncate(table: CapturedTable): void {
    this.#try(table, (transaction) => {
      const { writer, topic } = table;
      writer.writeTruncate(transaction, this.lsn, this.#order + 1, this.#nextOf(topic));
      this.#add(table, transaction);
    });
  }

  /** A row of a snapshot. */
  snapshotRow(table: CapturedTable, row: Cells, transaction: EnvelopeTransaction): void {
    const { writer, topic } = table;
    try {
      writer.writeUpsert("r", row, null, transaction, this.lsn, 0, 0);
      this.#check(table);
    } catch (error) {
      this.#reject(error, table);
      return;
    }
    this.#log.add(topic, writer.key, writer.value, transaction.nowMs);
    this.changes++;
  }

  /** Sets the message aside; `reason` is a sentence. */
  reject(reason: string, table: CapturedTable | null): void {
    const name = table === null ? null : `${table.shape.schema}.${table.shape.table}`;
    const tooLarge = this.message.length > this.#settings.eventBytesMax / 2;
    const value = JSON.stringify({
      table: name,
      reason,
      lsn: printLsn(this.lsn),
      transaction: this.#transaction?.id ?? null,
      ts_ms: this.#clock.now(),
      bytes: tooLarge ? null : this.message.toString("base64"),
    });
    this.#log.add(this.#settings.rejectedTopic, null, Buffer.from(value), this.#clock.now());
    this.#settings.onRejected(reason, name);
  }

  #upsert(
    table: CapturedTable,
    op: "c" | "u",
    row: Cells,
    before: Cells | null,
    transaction: EnvelopeTransaction,
    oldKey: Buffer | null = null,
  ): void {
    const { writer, topic } = table;
    writer.writeUpsert(op, row, before, transaction, this.lsn, this.#order + 1, this.#nextOf(topic));
    if (oldKey !== null) writer.addKeyHeader("old", oldKey);
    this.#add(table, transaction);
  }

  #remove(
    table: CapturedTable,
    old: Cells,
    keyOnly: boolean,
    transaction: EnvelopeTransaction,
    newKey: Buffer | null,
  ): void {
    const { writer, topic } = table;
    writer.writeDelete(old, keyOnly, transaction, this.lsn, this.#order + 1, this.#nextOf(topic));
    if (newKey !== null) writer.addKeyHeader("new", newKey);
    this.#add(table, transaction);
    if (writer.key !== null) this.#log.add(topic, writer.key, null, transaction.nowMs);
  }

  #nextOf(topic: number): number {
    return this.#log.eventsOf(topic) + 1;
  }

  /** Everything that may throw is behind us when the event is counted. */
  #add(table: CapturedTable, transaction: EnvelopeTransaction): void {
    const { writer, topic } = table;
    this.#check(table);
    this.#order++;
    this.#log.countEvent(topic);
    this.#log.add(topic, writer.key, writer.value, transaction.nowMs, writer.headers);
    this.changes++;
  }

  #check({ writer }: CapturedTable): void {
    const { eventBytesMax: most } = this.#settings;
    if (writer.value.length + (writer.key?.length ?? 0) > most) {
      throw new RangeError(`the event is larger than ${most} bytes`);
    }
    if (!this.#settings.checkUtf8) return;
    if (!isUtf8(writer.value) || (writer.key !== null && !isUtf8(writer.key))) {
      throw new RangeError("the row's text is not UTF-8");
    }
  }

  #try(table: CapturedTable, write: (transaction: EnvelopeTransaction) => void): void {
    if (this.#transaction === null) {
      this.reject("a change stands outside of a transaction", table);
      return;
    }
    try {
      write(this.#transaction);
    } catch (error) {
      this.#reject(error, table);
    }
  }

  #reject(error: unknown, table: CapturedTable): void {
    if (!(error instanceof RangeError)) throw error;
    this.reject(error.message, table);
  }
}
