/**
 * A point up to which everything was durable in the segments, so that a start reads only what came later. It is a help
 * and no truth: without it everything is read again from segments and journal.
 */
import * as path from "node:path";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import { isCount, isRecord, readCheckedFile, writeCheckedFile } from "./checked-file.ts";
import type { JournalPosition } from "./journal.ts";
import type { PartitionCheckpoint } from "./partition-recovery.ts";
import { isWireState, type ProducerState } from "./transaction-records.ts";

const checkpointFormat = 2;

export interface TransactionsCheckpoint {
  /** Decisions below this offset of the transactions topic are in `producers`, and their markers are durable. */
  readonly transactionsOffset: number;
  readonly producers: readonly (ProducerState & { readonly usedMs: number })[];
  readonly nextProducerId: number;
}

export interface LogCheckpoint extends TransactionsCheckpoint {
  readonly logId: string;
  /** What the journal holds before it is in the segments. */
  readonly journal: JournalPosition;
  /** Files of the journal that a start reads whole all the same. */
  readonly heldJournalFiles: readonly number[];
  /** By `<topic id>/<partition>`. */
  readonly partitions: ReadonlyMap<string, PartitionCheckpoint>;
}

interface Content extends Omit<LogCheckpoint, "partitions"> {
  /** By `<topic id>/<partition>`: segment, byte position, offset, and the producers in base64. */
  readonly partitions: Readonly<Record<string, readonly [number, number, number, string?]>>;
}

export function checkpointFile(directory: string): string {
  return path.join(directory, "checkpoint");
}

/** Undefined when there is none that can be used. Throws `LOG_FORMAT_NEWER`. */
export async function readLogCheckpoint(
  disk: Disk,
  directory: string,
  logId: string,
  diagnostics: Diagnostics,
): Promise<LogCheckpoint | undefined> {
  const file = checkpointFile(directory);
  const found = await readCheckedFile(disk, file, "checkpoint", checkpointFormat, isContent);
  if (found.kind === "damaged") {
    diagnostics.warn("the log's checkpoint cannot be used; all segments are read again", {
      file,
      reason: found.reason,
    });
  }
  // What format 1 lacks is found again by reading.
  if (found.kind !== "read" || found.format !== checkpointFormat) return undefined;
  const content = found.value as Content;
  if (content.logId !== logId) return undefined;
  const partitions = new Map<string, PartitionCheckpoint>();
  for (const [key, [segment, bytePosition, offset, producers]] of Object.entries(content.partitions)) {
    const snapshot = producers === undefined ? undefined : Buffer.from(producers, "base64");
    partitions.set(key, { segment, bytePosition, offset, producers: snapshot });
  }
  return { ...content, partitions };
}

/** Of any format; what format 1 has is not looked at. */
function isContent(content: unknown): boolean {
  if (!isRecord(content) || typeof content.logId !== "string" || !isRecord(content.partitions)) return false;
  const { journal } = content;
  if (journal === undefined) return true;
  if (!isRecord(journal) || !isCount(journal.number) || !isCount(journal.bytePosition)) return false;
  if (!Number.isSafeInteger(journal.file) || !isCount(content.transactionsOffset)) return false;
  if (!Array.isArray(content.producers) || !Array.isArray(content.heldJournalFiles)) return false;
  if (!content.heldJournalFiles.every(isCount) || !content.producers.every(isProducer)) return false;
  return isCount(content.nextProducerId) && Object.values(content.partitions).every(isPoint);
}

function isProducer(entry: unknown): boolean {
  if (!isRecord(entry) || typeof entry.transactionalId !== "string") return false;
  if (entry.wire !== undefined && !isWireState(entry.wire)) return false;
  return isCount(entry.producerId) && isCount(entry.epoch) && Number.isFinite(entry.usedMs);
}

function isPoint(entry: unknown): boolean {
  if (!Array.isArray(entry)) return false;
  const [segment, bytePosition, offset, producers] = entry as unknown[];
  if (!isCount(segment) || !isCount(bytePosition) || !isCount(offset)) return false;
  return producers === undefined || typeof producers === "string";
}

export async function writeLogCheckpoint(disk: Disk, directory: string, checkpoint: LogCheckpoint): Promise<void> {
  const partitions: Record<string, [number, number, number, string?]> = {};
  for (const [key, { segment, bytePosition, offset, producers }] of checkpoint.partitions) {
    partitions[key] = [segment, bytePosition, offset];
    if (producers) partitions[key].push(producers.toString("base64"));
  }
  const content: Content = { ...checkpoint, partitions };
  await writeCheckedFile(disk, checkpointFile(directory), "checkpoint", checkpointFormat, content);
}
