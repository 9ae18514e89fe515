/**
 * Reads a log's directory with nothing of the log's own code: by the formats in docs/internals/formats, and the rule by
 * which a start reads a log back. It is the judge of what a log that was stopped or killed holds.
 *
 * It stops (`DamagedLog`) where that rule finds damage: in a closed segment, between segments, in the catalogue, or where
 * a marker and the decision about its transaction differ.
 */
import { join } from "node:path";
import type { Disk } from "../../src/base/disk.ts";
import {
  type DecodedBatch as Batch,
  batchAt,
  crc32c,
  int64At,
  isControl,
  isTransactional,
  rawRecords,
  uuidAt,
} from "./batch-decoder.ts";

export interface DecodedRecord {
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** -1 without one, as are epoch and sequence. */
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly sequence: number;
  /** `plain` outside of transactions; what nobody decided is aborted. */
  readonly fate: "plain" | "committed" | "aborted";
}

export interface DecodedPartition {
  readonly topic: string;
  readonly partition: number;
  /** Where its records begin, and the offset behind its last batch. */
  readonly startOffset: number;
  readonly endOffset: number;
  /** In offset order, without markers. */
  readonly records: readonly DecodedRecord[];
}

/** By `<topic>/<partition>`. */
export type DecodedLog = ReadonlyMap<string, DecodedPartition>;

export class DamagedLog extends Error {}

interface Topic {
  readonly name: string;
  readonly id: string;
  readonly settings: { readonly partitions: number };
}

interface Catalogue {
  readonly logId: string;
  readonly topics: readonly Topic[];
}

type Outcome = "commit" | "abort";

const transactionsTopic = "_millrace.transactions";

/** Of the topics that are wanted: all of them when that is left out. */
export async function decodeLog(
  disk: Disk,
  directory: string,
  wanted: (topic: string) => boolean = () => true,
): Promise<DecodedLog> {
  const { logId, topics } = await readCatalogue(disk, join(directory, "catalogue"));
  const journal = await readJournal(disk, join(directory, "journal"), logId);
  const partitions: { topic: Topic; partition: number; batches: Batch[]; startOffset: number }[] = [];
  for (const topic of topics) {
    if (topic.name !== transactionsTopic && !wanted(topic.name)) continue;
    // The renaming of its folder is what deletes a topic.
    if (await disk.exists(join(directory, "topics", `${topic.id}.deleted`))) continue;
    for (let partition = 0; partition < topic.settings.partitions; partition++) {
      const folder = join(directory, "topics", topic.id, String(partition));
      const journaled = journal.get(`${topic.id}/${partition}`) ?? new Map<number, Batch>();
      partitions.push({ topic, partition, ...(await readPartition(disk, folder, topic, partition, journaled)) });
    }
  }
  const decisions = decisionsIn(partitions.find(({ topic }) => topic.name === transactionsTopic)?.batches ?? []);
  return new Map(
    partitions.map(({ topic, partition, startOffset, batches }) => {
      const place = `${topic.name}/${partition}`;
      const all = recordsOf(batches, outcomesOf(batches, decisions, place));
      const records = all.filter(({ offset }) => offset >= startOffset);
      const endOffset = (batches.at(-1)?.lastOffset ?? startOffset - 1) + 1;
      return [place, { topic: topic.name, partition, startOffset, endOffset, records }];
    }),
  );
}

async function readCatalogue(disk: Disk, file: string): Promise<Catalogue> {
  const catalogue = await readChecked<Catalogue>(disk, file, "catalogue", 3);
  if (!catalogue) throw new DamagedLog(`${file} is missing`);
  return catalogue;
}

/** A checked file; undefined when it is missing. */
async function readChecked<T>(disk: Disk, file: string, name: string, formatMax: number): Promise<T | undefined> {
  if (!(await disk.exists(file))) return undefined;
  const bytes = await readWhole(disk, file);
  const lineEnd = bytes.indexOf("\n");
  const body = bytes.subarray(lineEnd + 1);
  const [brand, kind, format, ...rest] = bytes.toString("utf8", 0, lineEnd).split(" ");
  const isRight = rest.join(" ") === `${crc32c(body).toString(16)} ${body.length}`;
  if (brand === "millrace" && kind === name && Number(format) <= formatMax && isRight) return JSON.parse(String(body));
  throw new DamagedLog(`${file} is not a ${name} of format ${formatMax} or less`);
}

/** By `<topic id>/<partition>` and base offset: the batches of all groups that are right. */
async function readJournal(disk: Disk, folder: string, logId: string): Promise<Map<string, Map<number, Batch>>> {
  const groups: { number: number; runs: { key: string; bytes: Buffer }[] }[] = [];
  for (const name of (await disk.exists(folder)) ? await disk.list(folder) : []) {
    if (!/^\d{8}\.journal$/.test(name)) continue;
    const bytes = await readWhole(disk, join(folder, name));
    const right = bytes.length >= 512 && bytes.readUInt32BE(44) === crc32c(bytes.subarray(0, 44));
    // A file that was being made when the power went.
    if (!right || bytes.readUInt32BE(0) !== 0x4d4c524a || bytes.readUInt32BE(4) !== 1) continue;
    if (uuidAt(bytes, 8) !== logId) throw new DamagedLog(`${name} belongs to another log`);
    // Behind the newest group an older one may stand, from the file's earlier use.
    let last = 0;
    for (let at = 512, group = groupAt(bytes, at); group && group.number > last; group = groupAt(bytes, at)) {
      groups.push(group);
      last = group.number;
      at += Math.ceil(group.bytes / 512) * 512;
    }
  }
  const batches = new Map<string, Map<number, Batch>>();
  for (const { key, bytes } of groups.sort((a, b) => a.number - b.number).flatMap(({ runs }) => runs)) {
    const found = batches.get(key) ?? new Map<number, Batch>();
    batches.set(key, found);
    for (let at = 0, batch = batchAt(bytes, at); batch; at += batch.bytes.length, batch = batchAt(bytes, at)) {
      found.set(batch.baseOffset, batch);
    }
  }
  return batches;
}

function groupAt(bytes: Buffer, at: number) {
  if (at + 32 > bytes.length || bytes.readUInt32BE(at) !== 0x4d4c5247) return undefined;
  const number = int64At(bytes, at + 8);
  const [count, groupBytes] = [bytes.readUInt32BE(at + 24), bytes.readUInt32BE(at + 28)];
  let runAt = at + 32 + count * 28;
  if (at + groupBytes > bytes.length || runAt > at + groupBytes) return undefined;
  if (crc32c(bytes.subarray(at + 8, runAt)) !== bytes.readUInt32BE(at + 4)) return undefined;
  const runs: { key: string; bytes: Buffer }[] = [];
  for (let entry = at + 32; entry < at + 32 + count * 28; entry += 28) {
    const run = bytes.subarray(runAt, runAt + bytes.readUInt32BE(entry + 20));
    if (crc32c(run) !== bytes.readUInt32BE(entry + 24)) return undefined;
    runs.push({ key: `${uuidAt(bytes, entry)}/${bytes.readUInt32BE(entry + 16)}`, bytes: run });
    runAt += run.length;
  }
  return runAt === at + groupBytes ? { number, bytes: groupBytes, runs } : undefined;
}

/** Segments, with what the journal has where the last one ends or is torn. */
async function readPartition(
  disk: Disk,
  folder: string,
  topic: Topic,
  partition: number,
  journaled: ReadonlyMap<number, Batch>,
): Promise<{ batches: Batch[]; startOffset: number }> {
  const state = await readChecked<{ logStart: number }>(disk, join(folder, "state"), "partition-state", 1);
  const logStart = state?.logStart ?? 0;
  const segments = await listSegments(disk, folder);
  const last = segments.at(-1);
  if (last && segments.length > 1) {
    const bytes = await readWhole(disk, last.file);
    // One that was being made when the power went holds nothing.
    if (bytes.length <= 40 && !isSegmentHeader(bytes, topic.id, partition, last.baseOffset)) segments.pop();
  }
  const batches: Batch[] = [];
  let next = logStart;
  let mayMiss = segments[0]?.isCleaned ?? false;
  for (const [i, { file, baseOffset, isCleaned }] of segments.entries()) {
    const isLast = i === segments.length - 1;
    const bytes = await readWhole(disk, file);
    if (!isSegmentHeader(bytes, topic.id, partition, baseOffset)) throw new DamagedLog(`${file}: its header`);
    if (i === 0 ? baseOffset > next && !mayMiss : baseOffset < next || (baseOffset > next && !mayMiss)) {
      throw new DamagedLog(`${file} begins at ${baseOffset} where ${next} belongs`);
    }
    next = baseOffset;
    mayMiss = isCleaned;
    let at = 40;
    for (;;) {
      const batch = fittingBatch(bytes, at, next, isCleaned) ?? (isLast ? journaled.get(next) : undefined);
      if (!batch) break;
      batches.push(batch);
      next = batch.lastOffset + 1;
      at += batch.bytes.length;
    }
    if (at < bytes.length && !isLast) throw new DamagedLog(`${file} at byte ${at}: no batch of offset ${next}`);
  }
  const behind = [...journaled.keys()].find((offset) => offset > next);
  if (behind !== undefined) {
    throw new DamagedLog(`${folder}: offset ${next} is missing, and the journal has offset ${behind}`);
  }
  return {
    batches: batches.filter(({ lastOffset }) => lastOffset >= logStart),
    startOffset: Math.max(logStart, segments[0]?.baseOffset ?? 0),
  };
}

function fittingBatch(bytes: Buffer, at: number, offset: number, mayMiss: boolean): Batch | undefined {
  const batch = batchAt(bytes, at);
  return batch && (batch.baseOffset === offset || (mayMiss && batch.baseOffset > offset)) ? batch : undefined;
}

interface SegmentFile {
  readonly file: string;
  readonly baseOffset: number;
  /** Compacted: offsets are missing in it. */
  readonly isCleaned: boolean;
}

/** In offset order. Where a file `swap` is, others have been replaced, though they may still be there. */
async function listSegments(disk: Disk, folder: string): Promise<SegmentFile[]> {
  const swap = await readChecked<{ remove: string[]; add: string }>(disk, join(folder, "swap"), "swap", 1);
  const names = new Set(await disk.list(folder));
  for (const name of swap?.remove ?? []) names.delete(name);
  if (swap) names.add(swap.add);
  const segments: SegmentFile[] = [];
  for (const name of names) {
    const match = /^(\d{20})(\.\d+)?\.log$/.exec(name);
    if (!match) continue;
    const draft = join(folder, `${name}.draft`);
    const file = name === swap?.add && (await disk.exists(draft)) ? draft : join(folder, name);
    segments.push({ file, baseOffset: Number(match[1]), isCleaned: match[2] !== undefined });
  }
  return segments.sort((a, b) => a.baseOffset - b.baseOffset);
}

function isSegmentHeader(bytes: Buffer, topicId: string, partition: number, baseOffset: number): boolean {
  if (bytes.length < 40 || bytes.readUInt32BE(0) !== 0x4d4c5253 || bytes.readUInt32BE(4) !== 1) return false;
  if (bytes.readUInt32BE(36) !== crc32c(bytes.subarray(0, 36))) return false;
  return uuidAt(bytes, 8) === topicId && bytes.readUInt32BE(24) === partition && int64At(bytes, 28) === baseOffset;
}

function decisionsIn(batches: readonly Batch[]): Map<string, Outcome> {
  const decisions = new Map<string, Outcome>();
  for (const { value } of batches.flatMap(rawRecords)) {
    const decided = value === null ? undefined : JSON.parse(String(value)).decided;
    if (decided) decisions.set(`${decided.producerId}:${decided.epoch}`, decided.outcome);
  }
  return decisions;
}

/** How the transactions of the partition ended, by their batches: by a marker, else by the decision. */
function outcomesOf(
  batches: readonly Batch[],
  decisions: ReadonlyMap<string, Outcome>,
  place: string,
): Map<Batch, Outcome> {
  const outcomes = new Map<Batch, Outcome>();
  let open: Batch[] = [];
  const end = (batch: Batch, marked?: Outcome) => {
    const decided = decisions.get(`${batch.producerId}:${batch.producerEpoch}`);
    if (marked && decided && marked !== decided) {
      throw new DamagedLog(
        `${place}: the marker of offset ${batch.baseOffset} says ${marked}, the decision ${decided}`,
      );
    }
    outcomes.set(batch, marked ?? decided ?? "abort");
  };
  for (const batch of batches.filter(isTransactional)) {
    if (!isControl(batch)) open.push(batch);
    else {
      const type = rawRecords(batch)[0]?.key?.readInt16BE(2);
      if (type !== 0 && type !== 1) continue;
      const ends = (other: Batch) =>
        other.producerId === batch.producerId && other.producerEpoch <= batch.producerEpoch;
      for (const ended of open.filter(ends)) end(ended, type === 1 ? "commit" : "abort");
      open = open.filter((other) => !ends(other));
    }
  }
  for (const batch of open) end(batch);
  return outcomes;
}

function recordsOf(batches: readonly Batch[], outcomes: ReadonlyMap<Batch, Outcome>): DecodedRecord[] {
  const fates = { commit: "committed", abort: "aborted" } as const;
  return batches
    .filter((batch) => !isControl(batch))
    .flatMap((batch) => {
      const { producerId, producerEpoch, baseOffset, sequence } = batch;
      const outcome = outcomes.get(batch);
      return rawRecords(batch).map(({ delta, key, value }) => ({
        offset: baseOffset + delta,
        key,
        value,
        producerId,
        producerEpoch,
        sequence: sequence < 0 ? -1 : sequence + delta,
        fate: outcome ? fates[outcome] : ("plain" as const),
      }));
    });
}

async function readWhole(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, "read");
  try {
    const bytes = Buffer.allocUnsafeSlow(await file.size());
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}
