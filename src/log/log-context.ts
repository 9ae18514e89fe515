/** What the parts of one open log share. */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import type { Gate } from "../base/gate.ts";
import type { FilePool } from "./file-pool.ts";
import type { KeyMemory } from "./keys/key-memory.ts";
import type { ReadAhead } from "./read-ahead.ts";
import type { ReadMemory } from "./read-memory.ts";
import type { SegmentIndexes } from "./segment-index.ts";
import type { TailCache } from "./tail-cache.ts";
import type { WriteMemory } from "./write-memory.ts";

export interface LogLimits {
  /** Bytes of the newest batches kept in memory, all partitions together. */
  readonly tailCacheBytes: number;
  /** What is read before it is asked for, and as much again that is kept to read into. */
  readonly readAheadBytes: number;
  readonly openFilesMax: number;
  /** One write of gathered appends. What a crash can tear is at most this and `unsyncedBytesMax`. */
  readonly groupBytesMax: number;
  /** Written bytes of a partition that wait for a sync that nobody has asked for yet. */
  readonly unsyncedBytesMax: number;
  /** Appends of transactions wait while a partition has more than this to write. */
  readonly pendingBytesMax: number;
  /** What a partition has to write goes straight to its segment from this size on, and through the journal below it. */
  readonly directBytesMin: number;
  /** Journaled bytes of a partition that are gathered before they go to its segment. */
  readonly flushBytes: number;
  /** Bytes in memory that no segment has yet, of all partitions; at twice as many, appends wait. */
  readonly unflushedBytesMax: number;
  /** Last offsets of keys, of all partitions for which they were asked. */
  readonly keyOffsetsBytes: number;
  /** Of one compaction; there is one at a time. */
  readonly cleanerBytes: number;
  readonly journalFileBytes: number;
  /** Made as they are needed. */
  readonly journalFilesMax: number;
  /** Appends are refused with `DISK_LOW` while fewer bytes are free. */
  readonly diskReserveBytes: number;
  /** A checkpoint is written after so many bytes appended: it bounds what a start reads again. */
  readonly checkpointBytes: number;
}

export const defaultLogLimits: LogLimits = {
  tailCacheBytes: 64 * 1024 * 1024,
  readAheadBytes: 16 * 1024 * 1024,
  openFilesMax: 256,
  groupBytesMax: 2 * 1024 * 1024,
  unsyncedBytesMax: 8 * 1024 * 1024,
  pendingBytesMax: 16 * 1024 * 1024,
  directBytesMin: 64 * 1024,
  flushBytes: 256 * 1024,
  unflushedBytesMax: 32 * 1024 * 1024,
  keyOffsetsBytes: 64 * 1024 * 1024,
  cleanerBytes: 64 * 1024 * 1024,
  journalFileBytes: 16 * 1024 * 1024,
  journalFilesMax: 4,
  diskReserveBytes: 256 * 1024 * 1024,
  checkpointBytes: 256 * 1024 * 1024,
};

/** How the memory that a user gives the log is shared out; at twice `unflushedBytesMax` appends wait. */
export function planLogLimits(memoryBytes: number, diskReserveBytes: number): Partial<LogLimits> {
  return {
    tailCacheBytes: memoryBytes / 2,
    readAheadBytes: memoryBytes / 8,
    unflushedBytesMax: memoryBytes / 4,
    keyOffsetsBytes: memoryBytes / 2,
    cleanerBytes: Math.max(defaultLogLimits.cleanerBytes / 8, Math.min(defaultLogLimits.cleanerBytes, memoryBytes / 2)),
    diskReserveBytes,
  };
}

export interface LogContext {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly limits: LogLimits;
  readonly files: FilePool;
  readonly indexes: SegmentIndexes;
  readonly tails: TailCache;
  readonly memory: WriteMemory;
  readonly readMemory: ReadMemory;
  readonly keys: KeyMemory;
  readonly ahead: ReadAhead;
  /** Reads of old segments: a sync must not queue behind them in the pool of threads. */
  readonly oldReads: Gate;
}

export interface PartitionPlace {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly directory: string;
}

/** What a partition needs of its topic; the object is the topic's, and changes when the topic is altered. */
export interface PartitionSettings {
  segmentBytesMax: number;
  segmentMs: number;
  durability: "fsync" | "os";
}
