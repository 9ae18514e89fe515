/**
 * Reads everything that the log has on the disk and says what is wrong with it, what a start would do about it, and what
 * it would not. Nothing on the disk changes: it may stand on a read-only one. The log must not be open.
 *
 * Memory: a chunk of one file, what the journal holds, and a note of each damaged place.
 */
import * as path from "node:path";
import type { Clock } from "../../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../../base/diagnostics.ts";
import type { Disk } from "../../base/disk.ts";
import { MillraceError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { checkpointFile, type LogCheckpoint, readLogCheckpoint } from "../log-checkpoint.ts";
import { defaultLogLimits, type LogLimits } from "../log-context.ts";
import { segmentHeaderBytes } from "../segment.ts";
import { parseSegmentName } from "../segment-name.ts";
import { type LogTopic, laterTopicSettings, TopicCatalogue } from "../topic-catalogue.ts";
import { type Finding, findingOf } from "./finding.ts";
import { type JournalSurvey, surveyJournal } from "./journal-survey.ts";
import { OverlayDisk } from "./overlay-disk.ts";
import { findingsOf } from "./partition-findings.ts";
import { type PartitionKnown, type PartitionSurvey, type SurveyContext, surveyPartition } from "./partition-survey.ts";
import { isUnreadable } from "./segment-bytes.ts";

export interface VerifyProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface VerifyOptions {
  readonly disk: Disk;
  /** The log's own: `<data>/log`. */
  readonly directory: string;
  readonly clock: Clock;
  readonly diagnostics?: Diagnostics;
  readonly onProgress?: (progress: VerifyProgress) => void;
  readonly signal?: AbortSignal;
  /** Names; all when left out. */
  readonly topics?: readonly string[];
  /** Also decompresses, and looks at each record. */
  readonly deep?: boolean;
  readonly limits?: Partial<LogLimits>;
}

export interface VerifyTotals {
  readonly topics: number;
  readonly partitions: number;
  readonly segments: number;
  readonly batches: number;
  readonly records: number;
  readonly bytes: number;
  readonly seconds: number;
}

export interface LogVerification {
  readonly logId: string | null;
  /** Damage first. */
  readonly findings: readonly Finding[];
  readonly totals: VerifyTotals;
}

/** What a repair needs beside the findings. */
export interface LogSurvey extends LogVerification {
  readonly partitions: readonly PartitionSurvey[];
  readonly journal: JournalSurvey | undefined;
  readonly checkpoint: LogCheckpoint | undefined;
  readonly isCheckpointDamaged: boolean;
}

interface Base {
  readonly logId: string | null;
  readonly topics: readonly LogTopic[];
  readonly checkpoint: LogCheckpoint | undefined;
  readonly isCheckpointDamaged: boolean;
  readonly journal: JournalSurvey | undefined;
}

/** Throws `USAGE_INVALID` when there is no log, `TOPIC_UNKNOWN`, `LOG_FORMAT_NEWER`, and the signal's reason. */
export async function verifyLog(options: VerifyOptions): Promise<LogVerification> {
  const { logId, findings, totals } = await surveyLog(options);
  return { logId, findings, totals };
}

export async function surveyLog(options: VerifyOptions): Promise<LogSurvey> {
  const { disk, directory, clock } = options;
  const startedMs = clock.monotonicMs();
  if (!(await disk.exists(directory))) {
    throw new MillraceError("USAGE_INVALID", `there is no log in ${directory}`, {
      hint: "Name the data directory with --data, or with MILLRACE_DATA.",
    });
  }
  const findings: Finding[] = [];
  const base = await readBase(options, findings);
  const chosen = choose(base.topics, options.topics);
  const known = chosen.flatMap((topic) => partitionsOf(topic, directory, base));
  const bytesTotal = await bytesOf(disk, known);
  let bytesDone = 0;
  const context: SurveyContext = {
    disk,
    clock,
    limits: { ...defaultLogLimits, ...options.limits },
    deep: options.deep ?? false,
    signal: options.signal,
    onRead: (bytes) => {
      bytesDone = Math.min(bytesTotal, bytesDone + bytes);
      options.onProgress?.({ bytesDone, bytesTotal });
    },
  };
  const partitions: PartitionSurvey[] = [];
  for (const one of known) {
    options.signal?.throwIfAborted();
    const survey = await surveyPartition(context, one);
    findings.push(...findingsOf(survey), ...pendingOf(survey));
    partitions.push(survey);
  }
  if (options.topics === undefined) await lookForStrangers(disk, directory, base, findings);
  const seconds = (clock.monotonicMs() - startedMs) / 1000;
  const totals = { topics: chosen.length, ...totalsOf(partitions), seconds };
  const { logId, journal, checkpoint, isCheckpointDamaged } = base;
  return { logId, findings: inOrder(findings), totals, partitions, journal, checkpoint, isCheckpointDamaged };
}

async function readBase(options: VerifyOptions, findings: Finding[]): Promise<Base> {
  const { disk, directory } = options;
  const catalogue = await readCatalogue(disk, directory, findings);
  if (!catalogue) {
    const topics = await topicsOfFolders(disk, directory);
    return { logId: null, topics, checkpoint: undefined, isCheckpointDamaged: false, journal: undefined };
  }
  const { logId, topics } = catalogue;
  const { checkpoint, isCheckpointDamaged } = await readCheckpoint(options, logId, findings);
  const journal = await surveyJournal(disk, path.join(directory, "journal"), logId, {
    position: checkpoint?.journal,
    held: checkpoint?.heldJournalFiles ?? [],
  });
  findings.push(...journal.findings);
  return { logId, topics, checkpoint, isCheckpointDamaged, journal };
}

async function readCatalogue(disk: Disk, directory: string, findings: Finding[]): Promise<TopicCatalogue | undefined> {
  try {
    // On an overlay, since a log without topics gets its catalogue here.
    return await TopicCatalogue.open(new OverlayDisk(disk), directory, seededRandom(1));
  } catch (error) {
    if (!MillraceError.is(error, "LOG_DAMAGED") && !isUnreadable(error)) throw error;
    const file = path.join(directory, "catalogue");
    findings.push(findingOf("damage", "CATALOGUE_DAMAGED", { path: file, bytePosition: 0 }, (error as Error).message));
    return undefined;
  }
}

/** By their ids, where their names are lost. */
async function topicsOfFolders(disk: Disk, directory: string): Promise<LogTopic[]> {
  const root = path.join(directory, "topics");
  const topics: LogTopic[] = [];
  for (const id of (await disk.exists(root)) ? await disk.list(root) : []) {
    if (!/^[0-9a-f-]{36}$/.test(id)) continue;
    const numbers = (await disk.list(path.join(root, id))).filter((name) => /^\d{1,7}$/.test(name)).map(Number);
    const settings = {
      ...laterTopicSettings,
      partitions: Math.max(-1, ...numbers) + 1,
      retentionMs: null,
      retentionBytes: null,
      cleanup: "delete",
      batchBytesMax: 1,
      segmentBytesMax: 1,
      durability: "fsync",
    } as const;
    topics.push({ name: id, id, settings, readOnly: true, createdMs: 0 });
  }
  return topics;
}

async function readCheckpoint(
  { disk, directory }: VerifyOptions,
  logId: string,
  findings: Finding[],
): Promise<{ checkpoint: LogCheckpoint | undefined; isCheckpointDamaged: boolean }> {
  const file = checkpointFile(directory);
  let reason: string | undefined;
  const listening: Diagnostics = {
    ...silentDiagnostics,
    warn: (_message, fields) => {
      reason = String(fields?.reason);
    },
  };
  const checkpoint = await readLogCheckpoint(disk, directory, logId, listening).catch((error) => {
    if (!isUnreadable(error)) throw error;
    reason = "it cannot be read";
    return undefined;
  });
  if (reason !== undefined) {
    const message = `the checkpoint is damaged: ${reason}; the next start reads everything`;
    findings.push(findingOf("damage", "CHECKPOINT_DAMAGED", { path: file, bytePosition: 0 }, message));
  } else if (!checkpoint) {
    const message = "there is no checkpoint of this log; the next start reads everything, and writes one";
    findings.push(findingOf("note", "CHECKPOINT_MISSING", { path: file }, message));
  }
  return { checkpoint, isCheckpointDamaged: reason !== undefined };
}

function choose(topics: readonly LogTopic[], names: readonly string[] | undefined): readonly LogTopic[] {
  if (names === undefined) return topics;
  return names.map((name) => {
    const found = topics.find((topic) => topic.name === name);
    if (found) return found;
    throw new MillraceError("TOPIC_UNKNOWN", `the log has no topic ${name}`, {
      hint: `It has ${topics.map((topic) => topic.name).join(", ") || "none"}.`,
      details: { topic: name },
    });
  });
}

function partitionsOf(topic: LogTopic, directory: string, { checkpoint, journal }: Base): PartitionKnown[] {
  const { segmentBytesMax, segmentMs, durability, partitions } = topic.settings;
  return Array.from({ length: partitions }, (_, partition) => {
    const key = `${topic.id}/${partition}`;
    return {
      place: {
        topic: topic.name,
        topicId: topic.id,
        partition,
        directory: path.join(directory, "topics", topic.id, String(partition)),
      },
      settings: { segmentBytesMax, segmentMs, durability },
      checkpoint: checkpoint?.partitions.get(key),
      journaled: journal?.content.partitions.get(key),
    };
  });
}

async function bytesOf(disk: Disk, known: readonly PartitionKnown[]): Promise<number> {
  let sum = 0;
  for (const { place } of known) {
    if (!(await disk.exists(place.directory))) continue;
    for (const name of await disk.list(place.directory)) {
      if (!parseSegmentName(name)) continue;
      const file = await disk.open(path.join(place.directory, name), "read");
      sum += await file.size();
      await file.close();
    }
  }
  return sum;
}

function pendingOf({ next, place, segments }: PartitionSurvey): Finding[] {
  if (next.kind !== "serves" || next.journaledBytes === 0) return [];
  const { topic, partition, directory } = place;
  const message = `the next start puts ${next.journaledBytes} bytes of the journal into the last segment`;
  const at = { topic, partition, path: segments.at(-1)?.path ?? directory };
  return [findingOf("torn", "JOURNAL_PENDING", at, message)];
}

/** Folders of topics that the catalogue does not name. */
async function lookForStrangers(disk: Disk, directory: string, base: Base, findings: Finding[]): Promise<void> {
  const root = path.join(directory, "topics");
  if (!(await disk.exists(root))) return;
  const ids = new Set(base.topics.map(({ id }) => id));
  for (const name of await disk.list(root)) {
    const at = { path: path.join(root, name) };
    if (name.endsWith(".deleted")) {
      findings.push(findingOf("torn", "FOLDER_DELETED", at, "a topic was being deleted; the next start ends it"));
    } else if (!ids.has(name)) {
      const message = "the catalogue names no topic with this id; a start leaves it alone where it holds records";
      findings.push(findingOf("note", "FOLDER_UNKNOWN", at, message));
    }
  }
}

function totalsOf(partitions: readonly PartitionSurvey[]): Omit<VerifyTotals, "topics" | "seconds"> {
  const segments = partitions.flatMap((one) => one.segments);
  const runs = segments.flatMap((segment) => segment.runs);
  return {
    partitions: partitions.length,
    segments: segments.length,
    batches: runs.reduce((sum, run) => sum + run.batches, 0),
    records: runs.reduce((sum, run) => sum + run.records, 0),
    bytes: segments.reduce((sum, { sizeBytes }) => sum + Math.max(0, sizeBytes - segmentHeaderBytes), 0),
  };
}

const ranks = { damage: 0, torn: 1, note: 2 } as const;

function inOrder(findings: readonly Finding[]): Finding[] {
  return [...findings].sort((a, b) => ranks[a.severity] - ranks[b.severity]);
}
