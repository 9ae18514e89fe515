/**
 * Change events of captured tables in Debezium's envelope (docs/reference/envelope.md): the reader that views are built
 * on. Values come out as PostgreSQL's text, exactly as the server printed them; `envelope-writer.ts` is the other side.
 */
import type { Header } from "../records/record.ts";
import { braceClose, braceOpen, colon, comma, JsonCursor, quoteCode } from "./json-token.ts";
import type { TableShape } from "./table-shape.ts";
import { textOfJson, textOfString, type ValueForm, valueForm } from "./value-form.ts";

/** Names of columns whose value was not sent because it did not change (large values kept out of line), as a JSON array. */
export const unchangedHeader = "millrace.unchanged";
/** On the create of a row whose key changed: the JSON of the key that it had. */
export const oldKeyHeader = "__debezium.oldkey";
/** On the delete of a row whose key changed: the JSON of the key that it gets. */
export const newKeyHeader = "__debezium.newkey";

/** In the order of the shape's columns: PostgreSQL's text, null for NULL, undefined for a column that the event does not tell. */
export type RowText = (string | null | undefined)[];

export interface Change {
  readonly op: "upsert" | "delete" | "truncate";
  /** The envelope's own: c create, r read by a snapshot, u update, d delete, t truncate. */
  readonly debeziumOp: "c" | "r" | "u" | "d" | "t";
  /**
   * The new row of an upsert; undefined columns keep the value that the row has (for one with an `oldKey`: that the row
   * under the old key had before the delete just before this event). Of a delete the old row: at least its key,
   * all of it under replica identity full. Empty for a truncate.
   */
  readonly row: RowText;
  /** The old row where the source tells it (replica identity full), else null. */
  readonly before: RowText | null;
  /** The key that the row had, in the shape's column order with other columns undefined, when an update changed it; else null. */
  readonly oldKey: RowText | null;
  /** Debezium's `txid:lsn`; null for rows of a snapshot. */
  readonly transactionId: string | null;
  /** The event's number in its transaction, from 1; 0 for rows of a snapshot. */
  readonly totalOrder: number;
}

/**
 * Reads one event; tombstones (a null value) carry nothing and are left out by the caller. Columns that the shape does
 * not have are passed over; columns of the shape that the event lacks are NULL, unless the event says that they are
 * unchanged. Throws `SyntaxError` or `RangeError` when the value is no change event.
 */
export function readChange(value: Buffer, key: Buffer | null, headers: readonly Header[], shape: TableShape): Change {
  const plan = planFor(shape);
  const cursor = new JsonCursor(value.toString("utf8"));
  let before: RowText | null = null;
  let after: RowText | null = null;
  let op = "";
  let transactionId: string | null = null;
  let totalOrder = 0;
  cursor.expect(braceOpen);
  do {
    const name = cursor.string();
    cursor.expect(colon);
    if (name === "before") before = readRow(cursor, plan, false);
    else if (name === "after") after = readRow(cursor, plan, true);
    else if (name === "op") op = cursor.string();
    else if (name === "transaction" && cursor.peek() === braceOpen) {
      cursor.position++;
      do {
        const field = cursor.string();
        cursor.expect(colon);
        if (field === "id") transactionId = cursor.string();
        else if (field === "total_order") totalOrder = Number(cursor.number());
        else cursor.skip();
      } while (cursor.accept(comma));
      cursor.expect(braceClose);
    } else cursor.skip();
  } while (cursor.accept(comma));
  cursor.expect(braceClose);

  const rest = { transactionId, totalOrder };
  if (op === "t") {
    return { op: "truncate", debeziumOp: "t", row: [], before: null, oldKey: null, ...rest };
  }
  if (op === "d") {
    const row = before ?? (key === null ? null : readKey(key, plan));
    if (row === null) throw new SyntaxError("a delete has neither an old row nor a key");
    return { op: "delete", debeziumOp: "d", row, before: row, oldKey: null, ...rest };
  }
  if ((op !== "c" && op !== "u" && op !== "r") || after === null) throw new SyntaxError(`not a change event: op ${op}`);
  let oldKey: RowText | null = null;
  for (const header of headers) {
    if (header.value === null) continue;
    if (header.key === unchangedHeader) markUnchanged(header.value, plan, after);
    else if (header.key === oldKeyHeader) oldKey = readKey(header.value, plan);
  }
  return { op: "upsert", debeziumOp: op, row: after, before, oldKey, ...rest };
}

interface Plan {
  readonly names: readonly string[];
  readonly indexes: ReadonlyMap<string, number>;
  readonly forms: readonly ValueForm[];
}

const plans = new WeakMap<TableShape, Plan>();

function planFor(shape: TableShape): Plan {
  let plan = plans.get(shape);
  if (plan === undefined) {
    plan = {
      names: shape.columns.map((column) => column.name),
      indexes: new Map(shape.columns.map((column, i) => [column.name, i])),
      forms: shape.columns.map((column) => valueForm(column.storeType)),
    };
    plans.set(shape, plan);
  }
  return plan;
}

/** `whole`: columns that are not there are NULL (an image of a new row); else they are not known. */
function readRow(cursor: JsonCursor, plan: Plan, whole: boolean): RowText | null {
  if (cursor.peek() !== braceOpen) {
    cursor.skip();
    return null;
  }
  cursor.position++;
  const row: RowText = new Array(plan.names.length).fill(whole ? null : undefined);
  if (cursor.accept(braceClose)) return row;
  let expected = 0;
  do {
    const name = cursor.string();
    cursor.expect(colon);
    const index = plan.names[expected] === name ? expected : plan.indexes.get(name);
    if (index === undefined) {
      cursor.skip();
      continue;
    }
    row[index] = readValue(cursor, plan.forms[index] as ValueForm);
    expected = index + 1;
  } while (cursor.accept(comma));
  cursor.expect(braceClose);
  return row;
}

function readValue(cursor: JsonCursor, form: ValueForm): string | null {
  const code = cursor.peek();
  if (!form.array && code === quoteCode) return textOfString(form.kind, cursor.string());
  if (code === 0x2d || (code >= 0x30 && code <= 0x39)) return cursor.number();
  return textOfJson(form, cursor.value());
}

/** The columns of an event's key as PostgreSQL's text, in the order of the shape's key. */
export function readKeyText(key: Buffer, shape: TableShape): string[] {
  const row = readKey(key, planFor(shape)) ?? [];
  return (shape.key ?? []).map((name) => row[shape.columns.findIndex((column) => column.name === name)] ?? "");
}

function readKey(key: Buffer, plan: Plan): RowText | null {
  return readRow(new JsonCursor(key.toString("utf8")), plan, false);
}

function markUnchanged(names: Buffer, plan: Plan, row: RowText): void {
  for (const name of JSON.parse(names.toString("utf8")) as string[]) {
    const index = plan.indexes.get(name);
    if (index !== undefined) row[index] = undefined;
  }
}
