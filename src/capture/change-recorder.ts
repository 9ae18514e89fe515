/**
 * From decoded rows to events in the log: one source transaction at a time. What cannot be written as an event is set
 * aside with its bytes, and the rest goes on.
 */
import { isUtf8 } from "node:buffer";
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { outboxPrefix } from "../catalog/outbox-message.ts";
import type { JoinedRecord } from "../records/record.ts";
import type { Cells } from "../schema/cells.ts";
import type { EnvelopeTransaction, EnvelopeWriter } from "../schema/envelope-writer.ts";
import type { EventEncoding } from "../schema/registry/event-encoding.ts";
import type { CapturedTable } from "./captured-table.ts";
import type { LogWriter } from "./log-writer.ts";
import { parseLsn, printLsn } from "./lsn.ts";
import { type MessageOrigin, messageEvent, messageName } from "./message-event.ts";
import type { OutboxTable } from "./outbox/outbox-table.ts";
import type { OutboxWriter } from "./outbox/outbox-writer.ts";
import type { TransactionOrigin } from "./pending-group.ts";
import type { EmittedMessage, OldRow, Relation } from "./pgoutput.ts";
import { type Rejection, type RetriedJson, rejectedRecord } from "./rejected.ts";

/** Topics of sources take batches of 64 MiB, so that a row of any sensible size fits. */
export const topicBatchBytesMax = 64 * 1024 * 1024;
/** Of one event; a batch holds up to half a megabyte of others beside it. */
export const eventBytesMax = topicBatchBytesMax - 1024 * 1024;
/** Messages up to this size are set aside with their bytes whatever an event may have. */
const keptBytesMin = 1024 * 1024;

export interface RecorderSettings {
  readonly log: LogWriter;
  readonly clock: Clock;
  readonly rejectedTopic: number;
  readonly messageTopic: number;
  readonly messageOrigin: MessageOrigin;
  readonly outbox: OutboxWriter;
  /** The table whose rows are events for other topics. */
  readonly outboxTable?: OutboxTable | null;
  /** A larger event is set aside; at most `eventBytesMax`. */
  readonly eventBytesMax: number;
  /** The server has no encoding, so that its text may be none. */
  readonly checkUtf8: boolean;
  readonly onRejected: (reason: string, table: string | null) => void;
}

/** Who is told of the changes of one table while it is read. Keys are the bytes of the events' keys, "" where there is none. */
export interface ChangeWatch {
  /** True for a transaction whose changes are in what was read, or will be. */
  passesOver(xid: number): boolean;
  upserted(xid: number, key: string, unchanged: readonly number[]): void;
  moved(xid: number, from: string, to: string, unchanged: readonly number[]): void;
  removed(xid: number, key: string): void;
  truncated(xid: number): void;
}

export class ChangeRecorder {
  readonly #log: LogWriter;
  readonly #clock: Clock;
  readonly #settings: RecorderSettings;
  /** Of the change that is being decoded. */
  lsn = 0;
  /** Where the whole message of the change that is being decoded lies, to be set aside if need be. */
  readonly #message: { bytes: Buffer; start: number; end: number } = { bytes: Buffer.alloc(0), start: 0, end: 0 };
  changes = 0;
  /** By the table's place among the topics. */
  readonly watches = new Map<number, ChangeWatch>();
  /** It came while its transaction still ran: the number of its subtransaction stands behind its kind. */
  streamed = false;
  /** As the server told it: what is set aside can be read later, too. */
  relationOf: (oid: number) => Relation | undefined = () => undefined;
  /** While something is tried again: who is told that it failed again, in place of another record of it. */
  retrying: ((reason: string) => void) | null = null;
  #transaction: EnvelopeTransaction | null = null;
  #origin: TransactionOrigin | null = null;
  #order = 0;
  #previousCommitLsn: number | null = null;

  constructor(settings: RecorderSettings) {
    this.#settings = settings;
    this.#log = settings.log;
    this.#clock = settings.clock;
  }

  begin(xid: number, commitLsn: number, commitUs: number): void {
    this.#order = 0;
    this.#origin = null;
    this.#transaction = {
      id: `${xid}:${commitLsn}`,
      txId: xid,
      commitUs,
      previousCommitLsn: this.#previousCommitLsn,
      nowMs: this.#clock.now(),
    };
  }

  /** What was set aside, tried again as a transaction of its own. It has no number in the source. */
  beginRetry(id: string): void {
    const nowMs = this.#clock.now();
    this.#order = 0;
    this.#origin = null;
    this.#transaction = { id, txId: null, commitUs: nowMs * 1000, previousCommitLsn: null, nowMs };
  }

  /** The whole message of the change that is decoded next: it is there until the next one is. */
  messageAt(bytes: Buffer, start = 0, end = bytes.length): void {
    this.#message.bytes = bytes;
    this.#message.start = start;
    this.#message.end = end;
  }

  get nowMs(): number {
    return this.#clock.now();
  }

  /** A logical message that was set aside. One outside of transactions stays that: it is no part of the retry's. */
  retryMessage(message: EmittedMessage): void {
    if (message.prefix === outboxPrefix) this.publish(message);
    else this.emitted(message);
  }

  /** Behind a retry: what became of it, in the same transaction of the log. */
  retried(outcome: RetriedJson): void {
    const value = Buffer.from(JSON.stringify(outcome));
    this.#log.add(this.#settings.rejectedTopic, null, value, this.#clock.now());
  }

  /** The open transaction was committed elsewhere first. */
  origin(origin: TransactionOrigin): void {
    this.#origin = origin;
    const { name, lsn } = origin;
    if (this.#transaction === null) return;
    this.#transaction = { ...this.#transaction, origin: { name, lsn: lsn === null ? null : parseLsn(lsn) } };
  }

  /** Answers whether readers are told of it. */
  end(endLsn: number): boolean {
    const transaction = this.#transaction;
    if (transaction?.id == null) return false;
    this.#transaction = null;
    this.#settings.outboxTable?.ended(endLsn);
    // Debezium counts a transaction's position by the end of its commit record, where the next one begins.
    this.#previousCommitLsn = endLsn;
    return this.#log.endTransaction(
      {
        id: transaction.id,
        commitMs: Math.floor(transaction.commitUs / 1000),
        lsn: printLsn(endLsn),
        origin: this.#origin,
      },
      endLsn,
    );
  }

  insert(table: CapturedTable, row: Cells): void {
    this.#try(table, (transaction, watch) => {
      this.#upsert(table, "c", row, null, transaction);
      watch?.upserted(transaction.txId ?? 0, keyText(table.writer.key), noColumns);
    });
  }

  /** A row that was inserted, where it lies in the outbox. */
  publishRow(table: CapturedTable, row: Cells): void {
    const { outbox, outboxTable } = this.#settings;
    if (outboxTable?.topic !== table.topic || this.#transaction === null) return;
    const record = outboxTable.recordOf(table, row);
    const refused =
      typeof record === "string" ? record : outbox.record(record, this.#transaction.txId ?? 0, this.#clock.now());
    if (refused === null) outboxTable.published(table, row);
    else this.reject(refused, table, "outbox");
  }

  update(table: CapturedTable, oldRow: OldRow, old: Cells, row: Cells): void {
    this.#try(table, (transaction, watch) => {
      const xid = transaction.txId ?? 0;
      if (oldRow === "none") {
        this.#upsert(table, "u", row, null, transaction);
        watch?.upserted(xid, keyText(table.writer.key), row.unchanged());
        return;
      }
      if (old.count !== row.count) throw new RangeError("old and new row differ in their columns");
      const { writer } = table;
      writer.fillUnchanged(row, old);
      if (!writer.keyChanged(old, row)) {
        this.#upsert(table, "u", row, oldRow === "full" ? old : null, transaction);
        watch?.upserted(xid, keyText(writer.key), row.unchanged());
        return;
      }
      const oldKey = writer.keyOf(old);
      const newKey = writer.keyOf(row);
      this.#remove(table, old, oldRow === "key", transaction, newKey);
      try {
        this.#upsert(table, "c", row, null, transaction, oldKey);
      } catch (error) {
        // The new row is set aside, but the old one is gone.
        watch?.removed(xid, keyText(oldKey));
        throw error;
      }
      watch?.moved(xid, keyText(oldKey), keyText(newKey), row.unchanged());
    });
  }

  delete(table: CapturedTable, oldRow: OldRow, old: Cells): void {
    this.#try(table, (transaction, watch) => {
      const key = watch === null ? "" : keyText(table.writer.keyOf(old));
      this.#remove(table, old, oldRow === "key", transaction, null);
      watch?.removed(transaction.txId ?? 0, key);
    });
  }

  truncate(table: CapturedTable): void {
    this.#try(table, (transaction, watch) => {
      const { writer, topic } = table;
      writer.writeTruncate(transaction, this.lsn, this.#order + 1, this.#nextOf(topic));
      this.#add(table, transaction);
      watch?.truncated(transaction.txId ?? 0);
    });
  }

  /** What an application emitted, as an event of the source's own topic of messages. */
  emitted(message: EmittedMessage): void {
    const { messageTopic, messageOrigin } = this.#settings;
    const transaction = message.transactional ? this.#transaction : null;
    if (message.transactional && transaction?.id == null) {
      this.reject(`${messageName(message)} stands outside of a transaction`, null);
      return;
    }
    const place = transaction && {
      id: transaction.id as string,
      txId: transaction.txId,
      commitUs: transaction.commitUs,
      previousCommitLsn: transaction.previousCommitLsn,
      order: this.#order + 1,
      collectionOrder: this.#nextOf(messageTopic),
    };
    const nowMs = this.#clock.now();
    const { key, value } = messageEvent(message, messageOrigin, place, nowMs);
    if (key.length + value.length > this.#settings.eventBytesMax) {
      this.reject(`${messageName(message)} is larger than ${this.#settings.eventBytesMax} bytes`, null);
      return;
    }
    if (place !== null) {
      this.#order++;
      this.#log.countEvent(messageTopic);
    }
    this.#log.add(messageTopic, key, value, nowMs);
    this.changes++;
  }

  /** What an application published within its transaction. */
  publish({ content, transactional }: EmittedMessage): void {
    if (!transactional || this.#transaction === null) {
      this.reject("a message of the outbox must be transactional", null);
      return;
    }
    const refused = this.#settings.outbox.message(content, this.#transaction.txId ?? 0, this.#clock.now());
    if (refused === null) this.changes++;
    else this.reject(refused, null);
  }

  /** A row of a snapshot, or of the reading of a table, whose id is `snapshot`. */
  snapshotRow(table: CapturedTable, row: Cells, transaction: EnvelopeTransaction, snapshot: string): void {
    const { writer, topic } = table;
    let record: JoinedRecord;
    try {
      writer.writeUpsert("r", row, null, transaction, this.lsn, 0, 0);
      record = this.#record(table);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.rejectRow(error.message, table, snapshot);
      return;
    }
    this.#log.addJoined(topic, record, transaction.nowMs, writer.headers);
    this.changes++;
  }

  /** Sets the row of `COPY` aside that is the message. */
  rejectRow(reason: string, table: CapturedTable, snapshot: string): void {
    const columns = table.shape.columns.map(({ name }, i) => {
      return [name, table.types[i]?.oid ?? 0, table.types[i]?.modifier ?? -1] as const;
    });
    this.#setAside({ reason, of: "change", streamed: false, columns, snapshot }, table);
  }

  /** One that was set aside, as an event of the open retry. */
  retryRow(table: CapturedTable, row: Cells): void {
    this.#try(table, (transaction) => this.#upsert(table, "r", row, null, transaction));
  }

  /** Sets the message aside; `reason` is a sentence. */
  reject(reason: string, table: CapturedTable | null, of: Rejection["of"] = "change"): void {
    const relation = table === null ? undefined : this.relationOf(table.oid);
    const columns = relation?.columns.map((one) => [one.name, one.typeOid, one.typeModifier] as const) ?? null;
    this.#setAside({ reason, of, streamed: this.streamed, columns, snapshot: null }, table);
  }

  #setAside(
    rejection: Pick<Rejection, "reason" | "of" | "streamed" | "columns" | "snapshot">,
    table: CapturedTable | null,
  ): void {
    const { reason } = rejection;
    if (this.retrying !== null) {
      this.retrying(reason);
      return;
    }
    const name = table === null ? null : `${table.shape.schema}.${table.shape.table}`;
    const nowMs = this.#clock.now();
    const { bytes, start, end } = this.#message;
    const value = rejectedRecord({
      ...rejection,
      table: name,
      lsn: this.lsn,
      transaction: this.#transaction?.id ?? null,
      nowMs,
      message: bytes.subarray(start, end),
      messageBytesMax: Math.max(keptBytesMin, this.#settings.eventBytesMax / 2),
    });
    this.#log.add(this.#settings.rejectedTopic, null, value, nowMs);
    this.#settings.onRejected(reason, name);
  }

  #upsert(
    table: CapturedTable,
    op: "c" | "r" | "u",
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
    const { bytes, keyBytes } = this.#add(table, transaction);
    if (keyBytes >= 0) this.#log.add(topic, bytes.subarray(0, keyBytes), null, transaction.nowMs, writer.headers);
  }

  #nextOf(topic: number): number {
    return this.#log.eventsOf(topic) + 1;
  }

  /** Everything that may throw is behind us when the event is counted. */
  #add(table: CapturedTable, transaction: EnvelopeTransaction): JoinedRecord {
    const { writer, topic } = table;
    const record = this.#record(table);
    this.#order++;
    this.#log.countEvent(topic);
    this.#log.addJoined(topic, record, transaction.nowMs, writer.headers);
    this.changes++;
    return record;
  }

  /** The event that the writer holds, in the encoding of the source. Throws `RangeError` for one that cannot be taken. */
  #record({ writer, encoding }: CapturedTable): JoinedRecord {
    const { eventBytesMax: most, checkUtf8 } = this.#settings;
    if (checkUtf8 && !(isUtf8(writer.value) && (writer.key === null || isUtf8(writer.key)))) {
      throw new RangeError("the row's text is not UTF-8");
    }
    const record = encoding === null ? writer : encoded(writer, encoding);
    if (Math.max(0, record.keyBytes) + record.valueBytes > most) {
      throw new RangeError(`the event is larger than ${most} bytes`);
    }
    return record;
  }

  #try(table: CapturedTable, write: (transaction: EnvelopeTransaction, watch: ChangeWatch | null) => void): void {
    if (this.#transaction === null) {
      this.reject("a change stands outside of a transaction", table);
      return;
    }
    const watch = this.watches.size === 0 ? null : (this.watches.get(table.topic) ?? null);
    if (watch?.passesOver(this.#transaction.txId ?? 0)) return;
    try {
      write(this.#transaction, watch);
    } catch (error) {
      this.#reject(error, table);
    }
  }

  #reject(error: unknown, table: CapturedTable): void {
    if (!(error instanceof RangeError)) throw error;
    this.reject(error.message, table);
  }
}

const noColumns: readonly number[] = [];

/** Throws `RangeError` where the schema does not take the event. */
function encoded({ key, value }: EnvelopeWriter, encoding: EventEncoding): JoinedRecord {
  try {
    const encodedKey = key === null ? null : encoding.key(key);
    const encodedValue = encoding.value(value);
    const bytes = encodedKey === null ? encodedValue : Buffer.concat([encodedKey, encodedValue]);
    return { bytes, keyBytes: encodedKey?.length ?? -1, valueBytes: encodedValue.length };
  } catch (cause) {
    if (!MillraceError.is(cause, "SCHEMA_MISMATCH")) throw cause;
    throw new RangeError(cause.message, { cause });
  }
}

function keyText(key: Buffer | null): string {
  return key === null ? "" : key.toString("latin1");
}
