/**
 * Records of `<source>.transaction` (one partition; its order is commit order). The value is JSON, in Debezium's
 * form with additions of ours; the key is the JSON text `{"id": …}`.
 *
 * A *frontier* maps `topic` to the next offset of its partition 0 after this record's transaction: a reader of the
 * topics that has read up to it has the whole transaction. It names the topics that the transaction touched;
 * SNAPSHOT, TABLE and SCHEMA records name all topics of the source.
 */
import type { TableShape } from "./table-shape.ts";

export type Frontier = Readonly<Record<string, number>>;

/** By topic and partition, the next offset after what a transaction published to topics that others write to as well. */
export type Published = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface BeginEvent {
  readonly status: "BEGIN";
  readonly id: string;
  readonly ts_ms: number;
}

export interface EndEvent {
  readonly status: "END";
  /** Debezium: `txid:lsn` (the LSN is the commit record's, as a decimal number). */
  readonly id: string;
  readonly ts_ms: number;
  readonly event_count: number;
  readonly data_collections: readonly { readonly data_collection: string; readonly event_count: number }[];
  readonly frontier: Frontier;
  /** The end of the commit record, as PostgreSQL prints it (`0/16B3748`): what a token names. */
  readonly lsn: string;
  /** Of what the transaction published by the outbox; absent when it published nothing. */
  readonly published?: Published;
  /** The server that committed it first, where it came by replication; `lsn` is its position there. */
  readonly origin?: { readonly name: string; readonly lsn: string | null };
}

/** All mirrors of the source are emptied; its views are building until SNAPSHOT_END with the same id. */
export interface SnapshotBeginEvent {
  readonly status: "SNAPSHOT_BEGIN";
  readonly id: string;
  readonly ts_ms: number;
  readonly tables: readonly TableShape[];
  /** Where each topic stood: rows of an earlier snapshot or stream lie below. */
  readonly frontier: Frontier;
}

/** Part of a snapshot is in the topics up to the frontier. */
export interface SnapshotChunkEvent {
  readonly status: "SNAPSHOT_CHUNK";
  readonly id: string;
  readonly ts_ms: number;
  readonly frontier: Frontier;
  /** For progress: rows written so far, and how many there will be by the source's statistics. */
  readonly rows: number;
  readonly rowsEstimated: number;
}

export interface SnapshotEndEvent {
  readonly status: "SNAPSHOT_END";
  readonly id: string;
  readonly ts_ms: number;
  readonly frontier: Frontier;
  /** Where the stream begins. */
  readonly lsn: string;
}

/**
 * One table is read anew, or for the first time, while the stream of the others goes on: its mirror is emptied, and views
 * that read it are building until TABLE_END with the same id. A change of its shape that rows cannot tell is told by this.
 */
export interface TableBeginEvent {
  readonly status: "TABLE_BEGIN";
  readonly id: string;
  readonly ts_ms: number;
  readonly table: TableShape;
  /** A sentence. */
  readonly reason: string;
  /** Rows of the table below it do not count any more. Of the other topics it is the end of the last transaction. */
  readonly frontier: Frontier;
}

/** Part of the table is in its topic up to the frontier, among what the stream brought. */
export interface TableChunkEvent {
  readonly status: "TABLE_CHUNK";
  readonly id: string;
  readonly ts_ms: number;
  readonly frontier: Frontier;
  readonly rows: number;
  readonly rowsEstimated: number;
}

/** From here on the table is what its source had at this place of the stream. */
export interface TableEndEvent {
  readonly status: "TABLE_END";
  readonly id: string;
  readonly ts_ms: number;
  readonly frontier: Frontier;
}

/** Columns were added without a default: rows after the frontier have the new shape. Any other change is a TABLE_BEGIN. */
export interface SchemaEvent {
  readonly status: "SCHEMA";
  readonly id: string;
  readonly ts_ms: number;
  readonly table: TableShape;
  readonly frontier: Frontier;
}

/** Nothing was changed up to this position: lets a token of a quiet database be reached. */
export interface HeartbeatEvent {
  readonly status: "HEARTBEAT";
  readonly id: string;
  readonly ts_ms: number;
  readonly lsn: string;
}

/** Between `from` and `lsn` changes may be missing: somebody has taken up a server that was not where it was left. */
export interface GapEvent {
  readonly status: "GAP";
  readonly id: string;
  readonly ts_ms: number;
  /** The refusal that was overruled, and its sentence. */
  readonly code: string;
  readonly reason: string;
  readonly from: string;
  /** Where the stream goes on; before `from` where the server was set back. */
  readonly lsn: string;
}

export type TransactionEvent =
  | BeginEvent
  | EndEvent
  | SnapshotBeginEvent
  | SnapshotChunkEvent
  | SnapshotEndEvent
  | TableBeginEvent
  | TableChunkEvent
  | TableEndEvent
  | SchemaEvent
  | HeartbeatEvent
  | GapEvent;
