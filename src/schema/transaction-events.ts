/**
 * Records of `<source>.transaction` (one partition; its order is commit order). The value is JSON, in Debezium's
 * form with additions of ours; the key is the JSON text `{"id": …}`.
 *
 * A *frontier* maps `topic` to the next offset of its partition 0 after this record's transaction: a reader of the
 * topics that has read up to it has the whole transaction. It names the topics that the transaction touched;
 * SNAPSHOT records and SCHEMA records name all topics of the source.
 */
import type { TableShape } from "./table-shape.ts";

export type Frontier = Readonly<Record<string, number>>;

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

/** Columns were added without a default: rows after the frontier have the new shape. Any other change is a new snapshot. */
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

export type TransactionEvent =
  | BeginEvent
  | EndEvent
  | SnapshotBeginEvent
  | SnapshotChunkEvent
  | SnapshotEndEvent
  | SchemaEvent
  | HeartbeatEvent;
