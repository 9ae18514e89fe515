/**
 * A point up to which everything was durable, so that a start reads only what came later. It is a help and no truth:
 * without it everything is read again from the segments.
 */
import * as path from "node:path";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import { readCheckedFile, writeCheckedFile } from "./checked-file.ts";
import type { PartitionCheckpoint } from "./partition-recovery.ts";
import type { ProducerState } from "./transaction-records.ts";

const checkpointFormat = 1;

export interface LogCheckpoint {
  readonly logId: string;
  /** Decisions below this offset of the transactions topic are in `producers`, and their markers are durable. */
  readonly transactionsOffset: number;
  readonly producers: readonly ProducerState[];
  /** By `<topic id>/<partition>`. */
  readonly partitions: Readonly<Record<string, PartitionCheckpoint>>;
}

function fileOf(directory: string): string {
  return path.join(directory, "checkpoint");
}

/** Undefined when there is none that can be used. Throws `LOG_FORMAT_NEWER`. */
export async function readLogCheckpoint(
  disk: Disk,
  directory: string,
  logId: string,
  diagnostics: Diagnostics,
): Promise<LogCheckpoint | undefined> {
  const file = fileOf(directory);
  const found = await readCheckedFile(disk, file, "checkpoint", checkpointFormat);
  if (found.kind === "damaged") {
    diagnostics.warn("the log's checkpoint cannot be used; all segments are read again", {
      file,
      reason: found.reason,
    });
  }
  if (found.kind !== "read") return undefined;
  const checkpoint = found.value as LogCheckpoint;
  return checkpoint.logId === logId ? checkpoint : undefined;
}

export async function writeLogCheckpoint(disk: Disk, directory: string, checkpoint: LogCheckpoint): Promise<void> {
  await writeCheckedFile(disk, fileOf(directory), "checkpoint", checkpointFormat, checkpoint);
}
