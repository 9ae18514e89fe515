/**
 * Writes change events of one table in Debezium's envelope (docs/reference/envelope.md), straight into bytes.
 *
 * `write…` leave the record, valid until the next call of any writer that shares the same `JsonBytes`: in one piece as it
 * is written (`bytes`, `keyBytes`, `valueBytes`), for others as `key` and `value`, and `headers`. What stays the same for
 * all rows of a transaction is made once per transaction, and of a snapshot's rows all that stands behind their columns.
 */
import type { Header, JoinedRecord } from "../records/record.ts";
import { writeCellJson } from "./cell-json.ts";
import { type Cells, cellState } from "./cells.ts";
import { newKeyHeader, oldKeyHeader, unchangedHeader } from "./envelope.ts";
import { type JsonBytes, ShortText } from "./json-bytes.ts";
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
  /** Where it was replicated from, with its position there; left out for the source's own. */
  readonly origin?: { readonly name: string; readonly lsn: number | null };
}

const noHeaders: readonly Header[] = [];

const insertStart = new ShortText('{"before":null,"after":');
const collectionOrderName = new ShortText(',"data_collection_order":');

export class EnvelopeWriter implements JoinedRecord {
  readonly shape: TableShape;
  /** -1 for a table without a key, and for a truncate. */
  keyBytes = -1;
  valueBytes = 0;
  headers: readonly Header[] = noHeaders;

  readonly #out: JsonBytes;
  readonly #forms: readonly ValueForm[];
  /** `"name":` with the comma before it, and the same with `null` behind it. */
  readonly #names: readonly ShortText[];
  readonly #nulls: readonly ShortText[];
  readonly #keyColumns: readonly number[];
  readonly #origin: EnvelopeOrigin;
  #transaction: EnvelopeTransaction | undefined;
  /** From `"source"` to the LSN in its sequence, from there to the LSN itself, and from there to the event's number. */
  #parts: readonly [string, string, string] = ["", "", ""];
  /** The parts with an LSN in their midst. */
  #frame: Buffer = Buffer.alloc(0);
  /** Where its two LSNs begin, and how many digits they have: none before the first event of a transaction. */
  #lsns = { first: 0, second: 0, digits: 0 };
  /** Behind the kind of the change. */
  #end: Buffer = Buffer.alloc(0);
  /** All that stands behind the columns of a snapshot's row, at this place and of this kind. */
  #snapshotEnd: { readonly lsn: number; readonly op: string; readonly bytes: Buffer } | undefined;

  constructor(shape: TableShape, origin: EnvelopeOrigin, out: JsonBytes) {
    this.shape = shape;
    this.#origin = origin;
    this.#out = out;
    this.#forms = shape.columns.map((column) => valueForm(column.storeType));
    this.#names = shape.columns.map((column) => new ShortText(`,${JSON.stringify(column.name)}:`));
    this.#nulls = shape.columns.map((column) => new ShortText(`,${JSON.stringify(column.name)}:null`));
    this.#keyColumns = (shape.key ?? []).map((name) => shape.columns.findIndex((column) => column.name === name));
  }

  get bytes(): Buffer {
    return this.#out.bytes;
  }

  get key(): Buffer | null {
    return this.keyBytes < 0 ? null : this.#out.bytes.subarray(0, this.keyBytes);
  }

  get value(): Buffer {
    const start = Math.max(0, this.keyBytes);
    return this.#out.bytes.subarray(start, start + this.valueBytes);
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
    if (before === null) {
      this.#out.short(insertStart);
    } else {
      this.#out.ascii('{"before":');
      this.#row(before, false);
      this.#out.ascii(',"after":');
    }
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
    const { source, schema, table } = this.shape;
    const { version, database } = this.#origin;
    const { id, txId, commitUs: us, previousCommitLsn: previous, nowMs, origin } = transaction;
    this.#transaction = transaction;
    this.#parts = [
      `,"source":{"version":${JSON.stringify(version)},"connector":"postgresql","name":"${source}",` +
        `"ts_ms":${Math.floor(us / 1000)},"snapshot":"${id === null}","db":${JSON.stringify(database)},` +
        `"sequence":"[${previous === null ? "null" : `\\"${previous}\\"`},\\"`,
      `\\"]","ts_us":${us},"ts_ns":${us}000,"schema":${JSON.stringify(schema)},"table":${JSON.stringify(table)},` +
        `"txId":${txId},"lsn":`,
      `,"xmin":null,"origin":${origin === undefined ? "null" : JSON.stringify(origin.name)},` +
        `"origin_lsn":${origin?.lsn ?? null}},"transaction":${id === null ? "null" : `{"id":"${id}","total_order":`}`,
    ];
    this.#lsns = { first: 0, second: 0, digits: 0 };
    this.#snapshotEnd = undefined;
    this.#end = Buffer.from(`,"ts_ms":${nowMs},"ts_us":${nowMs}000,"ts_ns":${nowMs}000000}`);
  }

  /** The frame with this LSN. Only its digits differ from the one before, while there are as many of them. */
  #frameOf(lsn: number): Buffer {
    const text = String(lsn);
    if (text.length !== this.#lsns.digits) {
      const [toSequence, toLsn, toOrder] = this.#parts;
      const first = Buffer.byteLength(toSequence);
      this.#lsns = { first, second: first + text.length + Buffer.byteLength(toLsn), digits: text.length };
      this.#frame = Buffer.from(toSequence + text + toLsn + text + toOrder);
      return this.#frame;
    }
    const { first, second, digits } = this.#lsns;
    const frame = this.#frame;
    for (let i = 0; i < digits; i++) {
      const code = text.charCodeAt(i);
      frame[first + i] = code;
      frame[second + i] = code;
    }
    return frame;
  }

  #finish(keyEnd: number, op: string, lsn: number, order: number, collectionOrder: number): void {
    const out = this.#out;
    if (this.#transaction?.id === null) out.whole(this.#snapshotEndOf(lsn, op));
    else {
      out.whole(this.#frameOf(lsn));
      out.ascii(String(order));
      out.short(collectionOrderName);
      out.ascii(String(collectionOrder));
      out.ascii('},"op":"');
      out.ascii(op);
      out.byte(0x22);
      out.whole(this.#end);
    }
    this.keyBytes = keyEnd === 0 ? -1 : keyEnd;
    this.valueBytes = out.end - keyEnd;
  }

  #snapshotEndOf(lsn: number, op: string): Buffer {
    const known = this.#snapshotEnd;
    if (known?.lsn === lsn && known.op === op) return known.bytes;
    const bytes = Buffer.concat([this.#frameOf(lsn), Buffer.from(`,"op":"${op}"`), this.#end]);
    this.#snapshotEnd = { lsn, op, bytes };
    return bytes;
  }

  /** Writes the key object; answers where it ends, 0 when the table has no key. */
  #key(row: Cells): number {
    if (this.#keyColumns.length === 0) return 0;
    const out = this.#out;
    const begin = out.end;
    for (const column of this.#keyColumns) {
      if (row.state[column] !== cellState.text) throw new RangeError("a column of the key has no value");
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
      this.#cell(row, column);
    }
    if (out.end === begin) out.byte(0x7b);
    else out.bytes[begin] = 0x7b;
    out.byte(0x7d);
    return unchanged === null ? null : Buffer.from(JSON.stringify(unchanged));
  }

  /** With its name, and the comma before it. */
  #cell(row: Cells, column: number): void {
    const out = this.#out;
    if (row.state[column] !== cellState.text) {
      out.short(this.#nulls[column] as ShortText);
      return;
    }
    out.short(this.#names[column] as ShortText);
    const form = this.#forms[column] as ValueForm;
    writeCellJson(out, form, row.bytes, row.start[column] as number, row.end[column] as number);
  }
}

function throwUnlessSameBuffer(row: Cells, old: Cells): void {
  if (row.bytes !== old.bytes) throw new RangeError("old and new row do not lie in one message");
}
