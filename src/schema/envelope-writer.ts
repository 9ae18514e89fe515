/**
 * Writes change events of one table in Debezium's envelope (docs/reference/envelope.md), straight into bytes.
 *
 * `write…` leave the record in `key`, `value` and `headers`, valid until the next call of any writer that shares the
 * same `JsonBytes`. What stays the same for all rows of a transaction is made once per transaction.
 */
import type { Header } from "../records/record.ts";
import { writeCellJson } from "./cell-json.ts";
import { type Cells, cellState } from "./cells.ts";
import { newKeyHeader, oldKeyHeader, unchangedHeader } from "./envelope.ts";
import type { JsonBytes } from "./json-bytes.ts";
import type { TableShape } from "./table-shape.ts";
import { type ValueForm, valueForm } from "./value-form.ts";

export interface EnvelopeOrigin {
  /** Of Millrace. */
  readonly version: string;
  readonly database: string;
}

/** What a source transaction gives to all of its events. */
export interface EnvelopeTransaction {
  /** Null for a snapshot. */
  readonly id: string | null;
  readonly txId: number | null;
  /** When it was committed (a snapshot: taken), in microseconds since the epoch. */
  readonly commitUs: number;
  /** The commit before this one, as a decimal number; null when it is not known. */
  readonly previousCommitLsn: number | null;
  /** When Millrace read it. */
  readonly nowMs: number;
}

const noHeaders: readonly Header[] = [];

export class EnvelopeWriter {
  readonly shape: TableShape;
  value: Buffer = Buffer.alloc(0);
  /** Null for a table without a key, and for a truncate. */
  key: Buffer | null = null;
  headers: readonly Header[] = noHeaders;

  readonly #out: JsonBytes;
  readonly #forms: readonly ValueForm[];
  /** `"name":` with the comma before it. */
  readonly #names: readonly Buffer[];
  readonly #keyColumns: readonly number[];
  readonly #origin: EnvelopeOrigin;
  #transaction: EnvelopeTransaction | undefined;
  /** From `"source"` to the LSN. */
  #source: Buffer = Buffer.alloc(0);
  /** From behind the LSN to the event's number. */
  #tail: Buffer = Buffer.alloc(0);

  constructor(shape: TableShape, origin: EnvelopeOrigin, out: JsonBytes) {
    this.shape = shape;
    this.#origin = origin;
    this.#out = out;
    this.#forms = shape.columns.map((column) => valueForm(column.storeType));
    this.#names = shape.columns.map((column) => Buffer.from(`,${JSON.stringify(column.name)}:`));
    this.#keyColumns = (shape.key ?? []).map((name) => shape.columns.findIndex((column) => column.name === name));
  }

  /** Whether two rows differ in a key column. */
  keyChanged(old: Cells, row: Cells): boolean {
    for (const column of this.#keyColumns) if (!old.sameAs(row, column)) return true;
    return false;
  }

  /** Takes unchanged columns over from a whole old row. */
  fillUnchanged(row: Cells, old: Cells): void {
    for (let i = 0; i < row.count; i++) {
      if (row.state[i] !== cellState.unchanged || old.state[i] !== cellState.text) continue;
      throwUnlessSameBuffer(row, old);
      row.state[i] = cellState.text;
      row.start[i] = old.start[i] as number;
      row.end[i] = old.end[i] as number;
    }
  }

  writeUpsert(
    op: "c" | "r" | "u",
    row: Cells,
    before: Cells | null,
    transaction: EnvelopeTransaction,
    lsn: number,
    order: number,
    collectionOrder: number,
  ): void {
    this.#begin(transaction);
    const keyEnd = this.#key(row);
    this.#out.ascii('{"before":');
    if (before === null) this.#out.ascii("null");
    else this.#row(before, false);
    this.#out.ascii(',"after":');
    const unchanged = this.#row(row, false);
    this.#finish(keyEnd, op, lsn, order, collectionOrder);
    this.headers = unchanged === null ? noHeaders : [{ key: unchangedHeader, value: unchanged }];
  }

  /** `keyOnly`: of the old row only the columns of the replica identity are known. */
  writeDelete(
    old: Cells,
    keyOnly: boolean,
    transaction: EnvelopeTransaction,
    lsn: number,
    order: number,
    collectionOrder: number,
  ): void {
    this.#begin(transaction);
    const keyEnd = this.#key(old);
    this.#out.ascii('{"before":');
    this.#row(old, keyOnly);
    this.#out.ascii(',"after":null');
    this.#finish(keyEnd, "d", lsn, order, collectionOrder);
    this.headers = noHeaders;
  }

  writeTruncate(transaction: EnvelopeTransaction, lsn: number, order: number, collectionOrder: number): void {
    this.#begin(transaction);
    this.#out.ascii('{"before":null,"after":null');
    this.#finish(0, "t", lsn, order, collectionOrder);
    this.headers = noHeaders;
  }

  /** The key of a row alone, as bytes of its own. */
  keyOf(row: Cells): Buffer {
    this.#out.clear();
    const end = this.#key(row);
    return Buffer.from(this.#out.bytes.subarray(0, end));
  }

  /** Debezium's headers on the two events of a changed key. */
  addKeyHeader(kind: "old" | "new", key: Buffer): void {
    this.headers = [...this.headers, { key: kind === "old" ? oldKeyHeader : newKeyHeader, value: key }];
  }

  #begin(transaction: EnvelopeTransaction): void {
    this.#out.clear();
    if (this.#transaction !== transaction) this.#setTransaction(transaction);
  }

  #setTransaction(transaction: EnvelopeTransaction): void {
    const { shape } = this;
    const us = transaction.commitUs;
    const { previousCommitLsn } = transaction;
    this.#transaction = transaction;
    this.#source = Buffer.from(
      `,"source":{"version":${JSON.stringify(this.#origin.version)},"connector":"postgresql","name":"${shape.source}",` +
        `"ts_ms":${Math.floor(us / 1000)},"snapshot":"${transaction.id === null}","db":${JSON.stringify(this.#origin.database)},` +
        `"sequence":"[${previousCommitLsn === null ? "null" : `\\"${previousCommitLsn}\\"`},\\"`,
    );
    this.#tail = Buffer.from(
      `,"ts_us":${us},"ts_ns":${us}000,"schema":${JSON.stringify(shape.schema)},"table":${JSON.stringify(shape.table)},` +
        `"txId":${transaction.txId},"xmin":null},"ts_ms":${transaction.nowMs},"transaction":${
          transaction.id === null ? "null}" : `{"id":"${transaction.id}","total_order":`
        }`,
    );
  }

  #finish(keyEnd: number, op: string, lsn: number, order: number, collectionOrder: number): void {
    const out = this.#out;
    const digits = String(lsn);
    out.ascii(',"op":"');
    out.ascii(op);
    out.byte(0x22);
    out.copy(this.#source);
    out.ascii(digits);
    out.ascii('\\"]","lsn":');
    out.ascii(digits);
    out.copy(this.#tail);
    if (this.#transaction?.id !== null) {
      out.ascii(String(order));
      out.ascii(',"data_collection_order":');
      out.ascii(String(collectionOrder));
      out.ascii("}}");
    }
    this.key = keyEnd === 0 ? null : out.bytes.subarray(0, keyEnd);
    this.value = out.bytes.subarray(keyEnd, out.end);
  }

  /** Writes the key object; answers where it ends, 0 when the table has no key. */
  #key(row: Cells): number {
    if (this.#keyColumns.length === 0) return 0;
    const out = this.#out;
    const begin = out.end;
    for (const column of this.#keyColumns) {
      if (row.state[column] !== cellState.text) throw new RangeError("a column of the key has no value");
      out.copy(this.#names[column] as Buffer);
      this.#cell(row, column);
    }
    out.byte(0x7d);
    out.bytes[begin] = 0x7b;
    return out.end;
  }

  /** Answers the names of unchanged columns as JSON, or null. */
  #row(row: Cells, keyOnly: boolean): Buffer | null {
    const out = this.#out;
    const columns = this.#forms.length;
    if (row.count !== columns) throw new RangeError(`the row has ${row.count} columns, the table ${columns}`);
    const begin = out.end;
    let unchanged: string[] | null = null;
    for (let column = 0; column < columns; column++) {
      if (keyOnly && !this.#keyColumns.includes(column)) continue;
      if (row.state[column] === cellState.unchanged) {
        unchanged ??= [];
        unchanged.push((this.shape.columns[column] as TableShape["columns"][number]).name);
        continue;
      }
      out.copy(this.#names[column] as Buffer);
      this.#cell(row, column);
    }
    if (out.end === begin) out.byte(0x7b);
    else out.bytes[begin] = 0x7b;
    out.byte(0x7d);
    return unchanged === null ? null : Buffer.from(JSON.stringify(unchanged));
  }

  #cell(row: Cells, column: number): void {
    if (row.state[column] === cellState.text) {
      const form = this.#forms[column] as ValueForm;
      writeCellJson(this.#out, form, row.bytes, row.start[column] as number, row.end[column] as number);
    } else {
      this.#out.ascii("null");
    }
  }
}

function throwUnlessSameBuffer(row: Cells, old: Cells): void {
  if (row.bytes !== old.bytes) throw new RangeError("old and new row do not lie in one message");
}
