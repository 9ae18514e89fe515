/**
 * Records of `<source>.rejected`: what could not become an event, with all that is needed to try it again
 * (docs/reference/envelope.md), and what became of the tries.
 */
import { printLsn } from "./lsn.ts";

export interface Rejection {
  /** `schema.table`; null for what belongs to none. */
  readonly table: string | null;
  readonly reason: string;
  /** Whether the change itself has no event, or what a row of the outbox is to publish. */
  readonly of: "change" | "outbox";
  readonly lsn: number;
  readonly transaction: string | null;
  readonly nowMs: number;
  readonly message: Buffer;
  readonly streamed: boolean;
  /** Of a larger one the bytes are left out. */
  readonly messageBytesMax: number;
  /** Null for what is no row, or one of a table that the stream has not told of. */
  readonly columns: RejectedColumns | null;
  /** Of a row of a snapshot: the snapshot's id, or that of the table's reading. */
  readonly snapshot: string | null;
}

/** Name, number of the type, its modifier. */
export type RejectedColumns = readonly (readonly [name: string, type: number, modifier: number])[];

/** The value of a record. */
export interface RejectedJson {
  readonly table: string | null;
  readonly reason: string;
  /** The row's own event is there: it is a row of the outbox, which could not be published. */
  readonly of?: "outbox";
  readonly lsn: string;
  readonly transaction: string | null;
  readonly ts_ms: number;
  /** The message as it stands outside of a streamed block, or a row of `COPY`, in base64; null for one that is too large. */
  readonly bytes: string | null;
  /** As the server told them when the row came. */
  readonly columns?: RejectedColumns;
  /** It is a row of `COPY`, of this snapshot or reading of a table. */
  readonly snapshot?: string;
}

/** A record behind it says what became of a try. */
export interface RetriedJson {
  /** The offset of the record that was tried again. */
  readonly retried: number;
  readonly outcome: "written" | "superseded";
  readonly ts_ms: number;
}

export function rejectedRecord(rejection: Rejection): Buffer {
  const { table, reason, of, lsn, transaction, nowMs, message, streamed, messageBytesMax } = rejection;
  const { columns, snapshot } = rejection;
  const whole = streamed ? Buffer.concat([message.subarray(0, 1), message.subarray(5)]) : message;
  const value: RejectedJson = {
    table,
    reason,
    ...(of === "outbox" && { of }),
    lsn: printLsn(lsn),
    transaction,
    ts_ms: nowMs,
    bytes: message.length > messageBytesMax ? null : whole.toString("base64"),
    ...(columns !== null && { columns }),
    ...(snapshot !== null && { snapshot }),
  };
  return Buffer.from(JSON.stringify(value));
}
