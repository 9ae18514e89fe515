/** What the parts of one open log share. */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import type { FilePool } from "./file-pool.ts";
import type { IndexCache } from "./index-cache.ts";
import type { TailCache } from "./tail-cache.ts";

export interface LogLimits {
  /** Bytes of the newest batches kept in memory, all partitions together. */
  readonly tailCacheBytes: number;
  readonly openFilesMax: number;
  /** One write of gathered appends. What a crash can tear is at most this and `unsyncedBytesMax`. */
  readonly groupBytesMax: number;
  /** Written bytes of a partition that wait for a sync that nobody has asked for yet. */
  readonly unsyncedBytesMax: number;
  /** Appends of transactions wait while a partition has more than this to write. */
  readonly pendingBytesMax: number;
  /** Appends are refused with `DISK_LOW` while fewer bytes are free. */
  readonly diskReserveBytes: number;
  /** A checkpoint is written after so many bytes appended: it bounds what a start reads again. */
  readonly checkpointBytes: number;
}

export const defaultLogLimits: LogLimits = {
  tailCacheBytes: 64 * 1024 * 1024,
  openFilesMax: 256,
  groupBytesMax: 1024 * 1024,
  unsyncedBytesMax: 8 * 1024 * 1024,
  pendingBytesMax: 16 * 1024 * 1024,
  diskReserveBytes: 256 * 1024 * 1024,
  checkpointBytes: 256 * 1024 * 1024,
};

export interface LogContext {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly limits: LogLimits;
  readonly files: FilePool;
  readonly indexes: IndexCache;
  readonly tails: TailCache;
}

export interface PartitionPlace {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly directory: string;
}

export interface PartitionSettings {
  readonly segmentBytesMax: number;
  readonly durability: "fsync" | "os";
  readonly cleanup: "delete" | "compact";
}
