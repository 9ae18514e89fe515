/**
 * The port to a log: what every feature sees of it. Semantics are Kafka's, so that `embedded/` (our own log in this
 * process) and a real cluster can both keep them; `engine.suite.ts` is the one suite that every variant passes.
 *
 * Always true: an append answers only when its bytes are durable; no reader sees past the durable end; a transaction's
 * records become readable (read_committed) all together or not at all, also across a crash. Offsets and positions are
 * numbers below 2^53. Batches are whole record batches v2 (KIP-98) as bytes; `engine/records.ts` is the record form.
 */
export type Isolation = "read_committed" | "read_uncommitted";
export type Durability = "fsync" | "os";

export interface TopicSettings {
  readonly partitions: number;
  /** Milliseconds; null keeps records for ever. */
  readonly retentionMs: number | null;
  /** Bytes per partition; null is unbounded. */
  readonly retentionBytes: number | null;
  readonly cleanup: "delete" | "compact";
  /** The largest record batch, in bytes (Kafka's max.message.bytes; 1,048,588). */
  readonly batchBytesMax: number;
  readonly segmentBytesMax: number;
  readonly durability: Durability;
}

export interface TopicInfo {
  readonly name: string;
  /** A UUID, never used again for another topic of the same name. */
  readonly id: string;
  readonly settings: TopicSettings;
  /** True for `_millrace.*` and for topics that a source owns: doors refuse writes (`TOPIC_READ_ONLY`). */
  readonly readOnly: boolean;
  readonly createdMs: number;
}

export interface PartitionOffsets {
  readonly logStart: number;
  /** Nothing past it is handed to a read_committed reader: the first offset of the earliest open transaction, else the high watermark. */
  readonly lastStable: number;
  /** The durable end: the offset after the last durable record. */
  readonly highWatermark: number;
  readonly leaderEpoch: number;
}

export interface AppendRequest {
  readonly topic: string;
  readonly partition: number;
  /** One whole record batch v2; its base offset and leader epoch are patched in place, so the buffer belongs to the log from here on. */
  readonly batch: Buffer;
}

export interface AppendResult {
  readonly topic: string;
  readonly partition: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly leaderEpoch: number;
}

export interface ReadRequest {
  readonly topic: string;
  readonly partition: number;
  /** The batch that holds this offset is returned whole, even when it begins earlier. */
  readonly offset: number;
  readonly isolation: Isolation;
  /** The first batch is always returned, however large (KIP-74). */
  readonly bytesMax: number;
  /** How long to wait for something to read; 0 answers at once. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

export interface AbortedTransaction {
  readonly producerId: number;
  readonly firstOffset: number;
}

export interface ReadResult extends PartitionOffsets {
  /** Whole batches in offset order, control batches included; empty when there was nothing in time. Valid until the caller lets go of it; not to be written to. */
  readonly batches: readonly Buffer[];
  /** Aborted transactions that touch the range (read_committed only). */
  readonly aborted: readonly AbortedTransaction[];
}

/**
 * A unit's right to write transactions (KIP-98, KIP-890 form: the epoch grows with every transaction).
 * Taking the same transactional id again fences this one: its calls throw `PRODUCER_FENCED`, its open transaction is aborted.
 */
export interface TransactionalProducer {
  readonly transactionalId: string;
  readonly producerId: number;
  readonly epoch: number;
  /** One transaction at a time. */
  begin(): Transaction;
}

export interface Transaction {
  /** Assigns offsets and writes; resolves before the bytes are durable, so that a frontier can be computed. Readable only after `commit`. */
  append(request: AppendRequest): Promise<AppendResult>;
  /** Resolves when all records and the one decision record are durable and readable. */
  commit(): Promise<void>;
  abort(): Promise<void>;
}

export interface Engine {
  /** A UUID made with the log; positions carry it, so that another log is recognised. */
  readonly logId: string;
  topics(): TopicInfo[];
  /** Undefined when there is none. */
  topic(name: string): TopicInfo | undefined;
  /** Throws `TOPIC_NAME_INVALID`, `TOPIC_EXISTS` (with other settings; the same settings again answer the topic). */
  createTopic(
    name: string,
    settings?: Partial<TopicSettings>,
    options?: { readonly readOnly?: boolean },
  ): Promise<TopicInfo>;
  deleteTopic(name: string): Promise<void>;
  /** Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`. */
  offsets(topic: string, partition: number): PartitionOffsets;
  /** The first offset whose record has this time or a later one; the high watermark when there is none. */
  offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number>;
  /** Resolves when durable. Throws `RECORD_TOO_LARGE`, `BATCH_CORRUPT`, `PARTITION_FAILED`, `DISK_LOW`. */
  append(request: AppendRequest): Promise<AppendResult>;
  /** Throws `OFFSET_OUT_OF_RANGE` outside [logStart, highWatermark]. */
  read(request: ReadRequest): Promise<ReadResult>;
  /** Fences whoever held the transactional id before and aborts its open transaction. */
  initProducer(transactionalId: string): Promise<TransactionalProducer>;
  /** Bytes on disk of one topic. */
  sizeBytes(topic: string): number;
  close(): Promise<void>;
}

export const defaultTopicSettings: TopicSettings = {
  partitions: 1,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1_048_588,
  segmentBytesMax: 256 * 1024 * 1024,
  durability: "fsync",
};
