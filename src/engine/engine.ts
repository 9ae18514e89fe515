/**
 * The port to a log: what every feature sees of it. Semantics are Kafka's, so that `embedded/` (our own log in this
 * process) and a real cluster can both keep them; `engine.suite.ts` is the one suite that every variant passes.
 *
 * Always true: an append answers only when its bytes are durable; no reader sees past the durable end; a transaction's
 * records become readable (read_committed) all together or not at all, also across a crash. Offsets and positions are
 * numbers below 2^53. Batches are whole record batches v2 (KIP-98) as bytes; `engine/records.ts` is the record form.
 */
import type { Groups } from "./groups.ts";

/** What a log in this process answers at once, and a cluster has to be asked for: `await` it. It may throw or reject. */
export type Answer<T> = T | Promise<T>;

export type Isolation = "read_committed" | "read_uncommitted";
export type Durability = "fsync" | "os";
export type Cleanup = "delete" | "compact" | "compact,delete";
export type TimestampType = "create" | "append";
export type Compression = "producer" | "uncompressed" | "gzip" | "snappy" | "lz4" | "zstd";

export interface TopicSettings {
  readonly partitions: number;
  /** Milliseconds; null keeps records for ever. */
  readonly retentionMs: number | null;
  /** Bytes per partition; null is unbounded. */
  readonly retentionBytes: number | null;
  readonly cleanup: Cleanup;
  /** The largest record batch, in bytes (Kafka's max.message.bytes; 1,048,588). */
  readonly batchBytesMax: number;
  readonly segmentBytesMax: number;
  /** A segment is closed when its first record is this old (Kafka's segment.ms). */
  readonly segmentMs: number;
  readonly durability: Durability;
  /** The share of bytes not yet compacted at which a partition is compacted (Kafka's min.cleanable.dirty.ratio), 0 to 1. */
  readonly dirtyRatioMin: number;
  /** How long a tombstone stays after the compaction that first met it (Kafka's delete.retention.ms). */
  readonly tombstoneRetentionMs: number;
  /** Records younger than this are not compacted (Kafka's min.compaction.lag.ms). */
  readonly compactionLagMinMs: number;
  /** A partition with an uncompacted record older than this is compacted whatever its dirty ratio; null for never (Kafka's max.compaction.lag.ms). */
  readonly compactionLagMaxMs: number | null;
  /** Whose time a record has: its writer's, or that of its append (Kafka's message.timestamp.type). */
  readonly timestampType: TimestampType;
  /** How long before now a writer's time may be, null for any (Kafka's message.timestamp.before.max.ms). */
  readonly timestampBeforeMaxMs: number | null;
  /** How long after now, null for any (Kafka's message.timestamp.after.max.ms). Neither bound holds for topics that are read-only. */
  readonly timestampAfterMaxMs: number | null;
  /** The codec in which batches are kept; `producer` keeps them as they came (Kafka's compression.type). */
  readonly compression: Compression;
  /**
   * Replicas that must have a batch before it counts as durable, at most as many as there are (Kafka's min.insync.replicas):
   * a log in one process has one, and is not changed by it.
   */
  readonly minInsyncReplicas: number;
}

export interface TopicInfo {
  readonly name: string;
  /** A UUID, never used again for another topic of the same name. */
  readonly id: string;
  readonly settings: TopicSettings;
  /** True for `_millrace.*`, topics that a source owns and those that a view is published to: doors refuse writes (`TOPIC_READ_ONLY`). */
  readonly readOnly: boolean;
  /** 0 when nobody knows. */
  readonly createdMs: number;
  /** Kafka's configs that were set by name, as they were written; absent when none was. What holds is in `settings`. */
  readonly configs?: TopicConfigs;
}

export type TopicConfigs = Readonly<Record<string, string>>;

export interface PartitionOffsets {
  readonly logStart: number;
  /** Nothing past it is handed to a read_committed reader: the first offset of the earliest open transaction, else the high watermark. */
  readonly lastStable: number;
  /** The durable end: the offset after the last durable record. */
  readonly highWatermark: number;
  readonly leaderEpoch: number;
}

export interface EpochEnd {
  readonly epoch: number;
  readonly endOffset: number;
}

/** What must be so of a key in a partition. */
export interface KeyExpectation {
  readonly key: Uint8Array;
  /** Of the key's last record; null where it has none, or a tombstone; `any` where it has one. */
  readonly offset: number | null | "any";
}

export interface AppendRequest {
  readonly topic: string;
  readonly partition: number;
  /**
   * One whole record batch v2; its offset, leader epoch and time are patched in place, so the buffer belongs to the log from
   * here on. A batch with a producer id is idempotent: sent again, it is answered with the offsets that it has. A
   * transactional one joins the open transaction of its producer, or begins it.
   */
  readonly batch: Buffer;
  /** Of a client's transactional batch; 2 when it is left out. */
  readonly transactionVersion?: TransactionVersion;
  /** What the client names beside the batch: that the producer is of this id is then checked (`PRODUCER_UNKNOWN`). */
  readonly transactionalId?: string;
  /** Whose produce quota it counts against; none when it is left out. */
  readonly clientId?: string;
  /**
   * Nothing is appended unless this holds when the batch gets its offsets, whoever else writes. The first one in a partition
   * since the start, or since it was let go, reads the partition. Throws `KEY_OFFSET_MISMATCH` (whose details hold the
   * partition, and the `offset` or null), `KEY_OFFSET_UNDECIDED` (whose details hold the place of the record), `KEY_OFFSETS_FULL`,
   * and `KEY_OFFSETS_UNSUPPORTED` on a cluster.
   */
  readonly expect?: KeyExpectation;
}

export interface PlacedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly leaderEpoch: number;
}

export interface AppendResult extends PlacedBatch {
  /** What the records' time became, in a topic of the time of appends; -1 elsewhere. */
  readonly appendTimeMs: number;
  /** How long the client should wait before its next request, in milliseconds (KIP-219); 0 within its quota. */
  readonly throttleMs: number;
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
  /** Whose fetch quota it counts against; none when it is left out. */
  readonly clientId?: string;
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
  readonly throttleMs: number;
}

/** Where a record is, and when; what ListOffsets answers. */
export interface FoundRecord {
  readonly offset: number;
  readonly timestampMs: number;
  /** Of its batch. */
  readonly leaderEpoch: number;
}

/** A producer as a partition knows it (Kafka's DescribeProducers); -1 where there is none. */
export interface ProducerInfo {
  readonly producerId: number;
  readonly epoch: number;
  readonly lastSequence: number;
  readonly lastTimestamp: number;
  readonly coordinatorEpoch: number;
  readonly currentTransactionStartOffset: number;
}

export interface ProducerIdentity {
  readonly producerId: number;
  readonly epoch: number;
}

/**
 * How a client's calls belong to transactions: 2 (KIP-890) from Produce 12, EndTxn 5, TxnOffsetCommit 5 on; 1 before, where
 * partitions are added to a transaction before they are written to, and the producer's epoch stays.
 */
export type TransactionVersion = 1 | 2;

export interface TransactionInfo extends ProducerIdentity {
  readonly transactionalId: string;
  readonly state: "empty" | "ongoing" | "ending";
  /** Of the transaction that is being ended, or that a client's id ended last since it was taken. */
  readonly outcome: "commit" | "abort" | undefined;
  /** Milliseconds after which an open transaction is aborted; null for never. */
  readonly timeoutMs: number | null;
  /** Undefined when none is open. */
  readonly startedMs: number | undefined;
  /** When the id was taken, or a transaction of it began or ended, last. */
  readonly updatedMs: number;
  readonly partitions: readonly { readonly topic: string; readonly partition: number }[];
}

/**
 * Transactions of clients behind a protocol, which name themselves in their batches, and a look at all. What such a client
 * has open goes on after a restart: what was acknowledged is there, and stays undecided until the client or the timeout decides.
 */
export interface Transactions {
  /** A producer id that nobody else has or had, for idempotent appends. */
  newProducerId(): Promise<ProducerIdentity>;
  /**
   * Fences whoever held the id and aborts its open transaction (InitProducerId). A client that names the producer that it has
   * gets the next epoch only if it is the newest one, and the same answer again when it repeats the call (KIP-360); else
   * `PRODUCER_FENCED` is thrown.
   */
  init(
    transactionalId: string,
    timeoutMs: number | null,
    options?: { readonly producer?: ProducerIdentity },
  ): Promise<ProducerIdentity>;
  /**
   * Adds partitions to the open transaction, or begins one with them; durable when it resolves (AddPartitionsToTxn). Offsets of
   * a group join by their partition of the groups' topic (AddOffsetsToTxn): it is added here first, then the offsets are
   * appended there as a transactional batch without a sequence. Under version 2 the append alone does it. Throws
   * `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`, `PRODUCER_UNKNOWN`, `PRODUCER_FENCED`, `TRANSACTION_CONCURRENT`.
   */
  addPartitions(
    transactionalId: string,
    producer: ProducerIdentity,
    partitions: readonly { readonly topic: string; readonly partition: number }[],
  ): Promise<void>;
  /**
   * Ends the producer's open transaction, or answers a repeated call as the first one (EndTxn). Answers the identity of its
   * next transaction: under version 1 the same one. Throws `PRODUCER_UNKNOWN`, `PRODUCER_FENCED`, `TRANSACTION_INVALID` when none
   * is open or it ended the other way, `TRANSACTION_CONCURRENT` while it is being ended.
   */
  end(
    transactionalId: string,
    producer: ProducerIdentity,
    outcome: "commit" | "abort",
    options?: { readonly transactionVersion?: TransactionVersion },
  ): Promise<ProducerIdentity>;
  /**
   * Aborts, whole, the transaction that this producer has open in a partition; nothing when it has none there (an operator's
   * WriteTxnMarkers). Throws `PRODUCER_FENCED` for an epoch that has ended.
   */
  abortIn(topic: string, partition: number, producer: ProducerIdentity): Promise<void>;
  list(): Answer<TransactionInfo[]>;
  describe(transactionalId: string): Answer<TransactionInfo | undefined>;
  /** Aborts what an id has open, whoever holds it, and fences that one; false when there is nothing. */
  abort(transactionalId: string): Promise<boolean>;
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
  append(request: AppendRequest): Promise<PlacedBatch>;
  /** Resolves when all records and the one decision record are durable and readable. */
  commit(): Promise<void>;
  abort(): Promise<void>;
}

/** A reader of this program, which goes on from where it has come to. */
export interface RetentionHolder {
  /** For those who look into it. */
  readonly name: string;
  /** The next offset that it reads; null where it does not read the partition. Asked whenever records would be retired. */
  nextOffset(topic: string, partition: number): number | null;
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
    options?: { readonly readOnly?: boolean; readonly configs?: TopicConfigs },
  ): Promise<TopicInfo>;
  /**
   * Changes settings; partitions are only ever added. `configs` takes the place of the topic's, and `readOnly` says whether doors
   * refuse writes from now on. Throws `TOPIC_UNKNOWN`, `SETTING_INVALID`.
   * Records of a key stay where they are when partitions are added, so their order across them is the caller's to mind.
   */
  alterTopic(
    name: string,
    settings: Partial<TopicSettings>,
    options?: { readonly readOnly?: boolean; readonly configs?: TopicConfigs },
  ): Promise<TopicInfo>;
  /** Its space is free when it resolves. */
  deleteTopic(name: string): Promise<void>;
  /** As of the call, not earlier. Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`. */
  offsets(topic: string, partition: number): Answer<PartitionOffsets>;
  /** As it is known in this process; a read answers the newest. Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`. */
  leaderEpoch(topic: string, partition: number): number;
  /** The first offset whose record has this time or a later one; the high watermark when there is none. */
  offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number>;
  /** As `offsetForTime`, with what else is known of the record; null when there is none. */
  recordForTime(topic: string, partition: number, timestampMs: number): Promise<FoundRecord | null>;
  /** The first of the records with the latest time (KIP-734); null in an empty partition. */
  latestRecord(topic: string, partition: number): Promise<FoundRecord | null>;
  /** Where the records of a leader epoch end (KIP-320); undefined for an epoch from before all that is known. */
  endOfEpoch(topic: string, partition: number, epoch: number): Answer<EpochEnd | undefined>;
  /** Retires all records below `offset`, for good when it resolves; answers the new log start. Throws `OFFSET_OUT_OF_RANGE`. */
  deleteRecords(topic: string, partition: number, offset: number): Promise<number>;
  producers(topic: string, partition: number): Answer<ProducerInfo[]>;
  /**
   * Resolves when durable. Throws `RECORD_TOO_LARGE`, `RECORD_INVALID` and `RECORD_TIMESTAMP_INVALID` (whose details hold
   * `recordErrors: {batchIndex, message}[]` where single records are refused), `BATCH_CORRUPT`, `PARTITION_FAILED`, `DISK_LOW`, and of producers `PRODUCER_FENCED`, `PRODUCER_SEQUENCE_INVALID`, `PRODUCER_UNKNOWN`, `TRANSACTION_INVALID`,
   * `TRANSACTION_PARTITION_MISSING`.
   */
  append(request: AppendRequest): Promise<AppendResult>;
  /** Throws `OFFSET_OUT_OF_RANGE` outside [logStart, highWatermark]. */
  read(request: ReadRequest): Promise<ReadResult>;
  /** Fences whoever held the transactional id before and aborts its open transaction. */
  initProducer(
    transactionalId: string,
    options?: { readonly timeoutMs?: number | null },
  ): Promise<TransactionalProducer>;
  readonly transactions: Transactions;
  readonly groups: Groups;
  /**
   * Bytes a second that a client may append or read, or every client without a quota of its own (`null`); undefined lifts
   * it. Throws `SETTING_INVALID`.
   */
  setQuota(kind: "produce" | "fetch", clientId: string | null, bytesPerSecond: number | undefined): Answer<void>;
  /**
   * What the holder has not read is kept twice as long as the topic's retention says, and twice as much of it. Answers how to
   * end it. A cluster retires what it retires.
   */
  holdRetention(holder: RetentionHolder): () => void;
  /** Bytes on disk of one topic. */
  sizeBytes(topic: string): Answer<number>;
  close(): Promise<void>;
}

export const defaultTopicSettings: TopicSettings = {
  partitions: 1,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1_048_588,
  segmentBytesMax: 256 * 1024 * 1024,
  segmentMs: 7 * 24 * 3_600_000,
  durability: "fsync",
  dirtyRatioMin: 0.5,
  tombstoneRetentionMs: 24 * 3_600_000,
  compactionLagMinMs: 0,
  compactionLagMaxMs: null,
  timestampType: "create",
  timestampBeforeMaxMs: null,
  timestampAfterMaxMs: null,
  compression: "producer",
  minInsyncReplicas: 1,
};
