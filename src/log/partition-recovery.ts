/**
 * Reads a partition back from its files and the journal. Up to the checkpoint the bytes were durable; behind it every batch
 * is checked, and what the journal has is put in its place. A torn end is cut off and reported; damage that a crash cannot
 * explain leaves the partition unusable and untouched.
 *
 * What a crash can explain: a segment is synced whole before the next one is made, and at most `tornBytesMax` of the
 * last one are ever neither synced nor journaled. So a fault in an earlier segment, or one with a right batch further
 * behind it than that, is damage.
 */
import * as path from "node:path";
import { batchLastOffset, isControl, isTransactional, readBatchHeader } from "../records/batch-header.ts";
import { controlKind } from "../records/batch-records.ts";
import { AbortedIndex } from "./aborted-index.ts";
import { finishSwap, swapFile } from "./cleaner/swap.ts";
import type { JournaledBatches } from "./journal-recovery.ts";
import type { LogContext, PartitionPlace, PartitionSettings } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import {
  firstPartitionState,
  type PartitionState,
  partitionStateFile,
  readPartitionState,
  writePartitionState,
} from "./partition-state.ts";
import { decodeProducerSnapshot } from "./producer-snapshot.ts";
import { type AbortedRange, ProducerTable } from "./producer-table.ts";
import {
  checkSegmentHeader,
  createSegment,
  damaged,
  readHeaderFault,
  type Segment,
  segmentFileName,
  segmentHeaderBytes,
} from "./segment.ts";
import { readSegmentIndex, type SegmentIndex } from "./segment-index.ts";
import { companionNames, draftSuffix, isCleanedSegment, parseSegmentName } from "./segment-name.ts";
import { findBatchBehind, scanSegment } from "./segment-scan.ts";

/** A point of a partition that is durable, and what the batches before it say. */
export interface PartitionCheckpoint {
  /** The first offset of the segment. */
  readonly segment: number;
  readonly bytePosition: number;
  readonly offset: number;
  /** A snapshot (producer-snapshot.ts); undefined when there were none. */
  readonly producers: Buffer | undefined;
}

export interface RecoveredPartition {
  readonly segments: Segment[];
  /** Of the last segment, where it is known. */
  readonly index: SegmentIndex | undefined;
  readonly nextOffset: number;
  readonly state: PartitionState;
  readonly producers: ProducerTable;
}

/** The files of a new partition, durable when it resolves except for the directory's own name. */
export async function createPartitionFiles(context: LogContext, place: PartitionPlace): Promise<void> {
  await context.disk.makeDirectory(place.directory);
  await createSegment(context, place, 0);
}

/** Throws `PARTITION_DAMAGED`, `LOG_FORMAT_NEWER`. */
export async function recoverPartition(
  context: LogContext,
  place: PartitionPlace,
  settings: PartitionSettings,
  checkpoint: PartitionCheckpoint | undefined,
  journaled: JournaledBatches | undefined,
): Promise<RecoveredPartition> {
  const { segments, hasState } = await listSegments(context, place, checkpoint);
  const known = checkpoint && producersOf(place, checkpoint);
  const state = hasState ? await readPartitionState(context.disk, place) : firstPartitionState;
  await removeRetired(context, place, segments, state.logStart);
  const active = segments.at(-1) as Segment;
  const atEnd = checkpoint?.segment === active.baseOffset && checkpoint.bytePosition === active.sizeBytes;
  if (checkpoint && known && atEnd && !journaled) {
    return { segments, index: undefined, nextOffset: checkpoint.offset, state, producers: known };
  }
  const from = checkpoint && known && { ...checkpoint, producers: known };
  return await new Recovery(context, place, settings, segments, state, from, journaled).run();
}

/**
 * Takes out, and removes, what was being retired when the power went: whole segments below the log's start, of which any may
 * be there still.
 */
async function removeRetired(
  context: LogContext,
  place: PartitionPlace,
  segments: Segment[],
  logStart: number,
): Promise<void> {
  const { disk, files } = context;
  const start = segments.findLast(({ baseOffset }) => baseOffset <= logStart)?.baseOffset;
  const first = start === undefined ? 0 : segments.findIndex(({ baseOffset }) => baseOffset === start);
  if (first === 0) return;
  for (const { path: file } of segments.splice(0, first)) {
    await files.forget(file);
    for (const name of [path.basename(file), ...companionNames(path.basename(file))]) {
      await disk.remove(path.join(place.directory, name));
    }
  }
  await disk.syncDirectory(place.directory);
}

/** Undefined when the snapshot cannot be used: then everything is read. */
function producersOf(place: PartitionPlace, { producers, offset }: PartitionCheckpoint): ProducerTable | undefined {
  if (!producers) return new ProducerTable();
  const decoded = decodeProducerSnapshot(producers, place, place.directory);
  return decoded?.offset === offset ? decoded.table : undefined;
}

type RecoveryStart = Omit<PartitionCheckpoint, "producers"> & { readonly producers: ProducerTable };

const rewrittenBytes = 1024 * 1024;

class Recovery {
  readonly #context: LogContext;
  readonly #place: PartitionPlace;
  readonly #settings: PartitionSettings;
  readonly #segments: Segment[];
  readonly #checkpoint: RecoveryStart | undefined;
  readonly #journaled: ReadonlyMap<number, Buffer>;
  readonly #producers: ProducerTable;
  #state: PartitionState;
  #offset: number;
  #epoch: number;
  #changed = false;
  /** Where reading began in the last segment that was read. */
  #readFrom = segmentHeaderBytes;
  /** Of the segment that is being read, as far as all of it is known. */
  #index: SegmentIndex | undefined;

  constructor(
    context: LogContext,
    place: PartitionPlace,
    settings: PartitionSettings,
    segments: Segment[],
    state: PartitionState,
    checkpoint: RecoveryStart | undefined,
    journaled: JournaledBatches | undefined,
  ) {
    this.#context = context;
    this.#place = place;
    this.#settings = settings;
    this.#segments = segments;
    this.#state = state;
    // What was retired since then took the checkpoint with it.
    this.#checkpoint = checkpoint && checkpoint.offset >= state.logStart ? checkpoint : undefined;
    this.#journaled = journaled?.batches ?? new Map();
    this.#producers = this.#checkpoint?.producers ?? new ProducerTable();
    this.#offset = this.#checkpoint?.offset ?? (segments[0] as Segment).baseOffset;
    this.#epoch = state.epochs.at(-1)?.epoch ?? 0;
  }

  async run(): Promise<RecoveredPartition> {
    const segments = this.#segments;
    for (let i = await this.#firstToRead(); i < segments.length; i++) {
      const segment = segments[i] as Segment;
      await this.#read(segment, i === segments.length - 1);
      const next = segments[i + 1];
      if (next && (next.baseOffset < this.#offset || (next.baseOffset > this.#offset && !isCleanedSegment(segment)))) {
        throw damaged(
          this.#place,
          next.path,
          0,
          `it begins at offset ${next.baseOffset} where ${this.#offset} belongs`,
        );
      }
      if (next) this.#offset = next.baseOffset;
    }
    const active = segments.at(-1) as Segment;
    const { logStart } = this.#state;
    if (this.#offset < logStart) {
      // What is retired was durable before.
      const reason = `it ends at offset ${this.#offset}, and the partition begins at ${logStart}`;
      throw damaged(this.#place, active.path, active.sizeBytes, reason);
    }
    if (this.#changed || active.baseOffset !== this.#checkpoint?.segment) await this.#makeSure(active);
    return {
      segments,
      index: this.#index,
      nextOffset: this.#offset,
      state: this.#state,
      producers: this.#producers,
    };
  }

  /** All headers are looked at: a file from elsewhere is noticed before it is read. */
  async #firstToRead(): Promise<number> {
    const segments = this.#segments;
    for (const segment of segments) await checkSegmentHeader(this.#context, this.#place, segment);
    const first = segments[0] as Segment;
    if (first.baseOffset > this.#state.logStart && !isCleanedSegment(first)) {
      throw damaged(
        this.#place,
        first.path,
        0,
        `it begins at offset ${first.baseOffset}, and the partition at ${this.#state.logStart}`,
      );
    }
    const checkpoint = this.#checkpoint;
    if (!checkpoint) return 0;
    const at = segments.findLastIndex(({ baseOffset }) => baseOffset <= checkpoint.offset);
    const segment = segments[at];
    if (!segment || (segment.baseOffset < checkpoint.segment && !isCleanedSegment(segment))) {
      const name = segmentFileName(checkpoint.segment);
      throw damaged(this.#place, this.#place.directory, 0, `segment ${name} is missing`);
    }
    if (this.#startsAtCheckpoint(segment) && segment.sizeBytes < checkpoint.bytePosition) {
      throw damaged(
        this.#place,
        segment.path,
        segment.sizeBytes,
        `${checkpoint.bytePosition} bytes of it were durable`,
      );
    }
    return at;
  }

  /** A segment that was compacted since the checkpoint has other places, and all of it is durable. */
  #startsAtCheckpoint(segment: Segment): boolean {
    return segment.baseOffset === this.#checkpoint?.segment && !isCleanedSegment(segment);
  }

  async #read(segment: Segment, isLast: boolean): Promise<void> {
    const { files } = this.#context;
    const known = this.#offset;
    const fromCheckpoint = this.#startsAtCheckpoint(segment);
    let at = fromCheckpoint
      ? { bytePosition: this.#checkpoint?.bytePosition ?? segmentHeaderBytes, offset: this.#offset }
      : { bytePosition: segmentHeaderBytes, offset: segment.baseOffset };
    this.#readFrom = at.bytePosition;
    this.#index = fromCheckpoint ? await this.#storedIndex(segment, at.bytePosition) : newIndex(segment);
    for (;;) {
      const end = await files.use(segment.path, (file) =>
        scanSegment(file, at, segment.sizeBytes, isCleanedSegment(segment), (batch, bytePosition) =>
          this.#take(batch, bytePosition, known),
        ),
      );
      const put = isLast ? await this.#putJournaled(segment, end) : undefined;
      if (put) {
        at = put;
        continue;
      }
      if (isLast) this.#assertNoneBehind(segment, end);
      if (end.fault !== undefined) await this.#cutIfTorn(segment, isLast, { ...end, fault: end.fault });
      if (end.offset > known) this.#changed = true;
      this.#offset = Math.max(known, end.offset);
      break;
    }
    if (this.#index?.offsets.endBytes !== segment.sizeBytes) this.#index = undefined;
    else this.#index.aborted.endBytes = segment.sizeBytes;
  }

  async #storedIndex(segment: Segment, from: number): Promise<SegmentIndex | undefined> {
    const stored = await readSegmentIndex(this.#context.disk, segment);
    if (!stored || stored.offsets.endBytes !== stored.aborted.endBytes) return undefined;
    return stored.offsets.endBytes >= from && stored.offsets.endBytes <= segment.sizeBytes ? stored : undefined;
  }

  /** Batches below `known` are in the producers already. */
  #take(batch: Buffer, bytePosition: number, known: number): void {
    const header = readBatchHeader(batch);
    const { offsets, aborted } = this.#index ?? {};
    const isNew = offsets?.endBytes === bytePosition;
    if (isNew) offsets.add(header.baseOffset, header.lastOffset, batch.length, header.maxTimestamp);
    if (header.baseOffset < known) return;
    this.#epoch = Math.max(this.#epoch, header.leaderEpoch);
    const range = follow(this.#producers, batch, this.#context.clock.now());
    if (range && isNew) aborted?.add(range, Math.min(this.#producers.firstOpenOffset(), header.lastOffset + 1));
  }

  /** Writes the journal's batches from this place on; undefined when it has none for it. */
  async #putJournaled(
    segment: Segment,
    end: { readonly bytePosition: number; readonly offset: number },
  ): Promise<{ bytePosition: number; offset: number } | undefined> {
    const batches: Buffer[] = [];
    let { bytePosition, offset } = end;
    for (let batch = this.#journaled.get(offset); batch; batch = this.#journaled.get(offset)) {
      batches.push(batch);
      this.#take(batch, bytePosition, 0);
      bytePosition += batch.length;
      offset = batchLastOffset(batch) + 1;
    }
    if (batches.length === 0) return undefined;
    await this.#context.files.use(segment.path, (file) => file.write(batches, end.bytePosition));
    segment.sizeBytes = Math.max(segment.sizeBytes, bytePosition);
    this.#changed = true;
    this.#offset = offset;
    return { bytePosition, offset };
  }

  /** The journal takes a batch only when all before it are durable. */
  #assertNoneBehind(segment: Segment, end: { readonly bytePosition: number; readonly offset: number }): void {
    for (const journaled of this.#journaled.keys()) {
      if (journaled <= end.offset) continue;
      const reason = `offset ${end.offset} is missing, and the journal has offset ${journaled}`;
      throw damaged(this.#place, segment.path, end.bytePosition, reason);
    }
  }

  async #cutIfTorn(
    segment: Segment,
    isLast: boolean,
    end: { readonly bytePosition: number; readonly offset: number; readonly fault: string },
  ): Promise<void> {
    if (!isLast) throw damaged(this.#place, segment.path, end.bytePosition, end.fault);
    // Without syncs a crash may have torn any part of it.
    if (this.#settings.durability !== "os") {
      const { groupBytesMax, unsyncedBytesMax } = this.#context.limits;
      const from = end.bytePosition + groupBytesMax + unsyncedBytesMax;
      const behind = await this.#context.files.use(segment.path, (file) =>
        findBatchBehind(file, from, end.offset, segment.sizeBytes),
      );
      if (behind !== undefined) throw damaged(this.#place, segment.path, end.bytePosition, end.fault);
    }
    await this.#cutBack(segment, end);
  }

  async #cutBack(
    segment: Segment,
    end: { readonly bytePosition: number; readonly offset: number; readonly fault: string },
  ): Promise<void> {
    this.#context.diagnostics.warn("the end of a partition was torn by a crash and has been cut off", {
      topic: this.#place.topic,
      partition: this.#place.partition,
      path: segment.path,
      bytePosition: end.bytePosition,
      cutBytes: segment.sizeBytes - end.bytePosition,
      nextOffset: end.offset,
      fault: end.fault,
    });
    // The epoch grows before the bytes go: a start in between finds the tear again.
    this.#epoch++;
    const epochs = [...this.#state.epochs, { epoch: this.#epoch, startOffset: end.offset }];
    this.#state = { ...this.#state, epochs };
    await writePartitionState(this.#context.disk, this.#place, this.#state);
    await this.#context.files.use(segment.path, (file) => file.truncate(end.bytePosition));
    segment.sizeBytes = end.bytePosition;
    this.#changed = true;
  }

  /**
   * What was read back may never have been synced, when the process died and the machine did not. It is written again, since
   * after a sync that failed the page cache has it, takes it for written, and syncs nothing ("fsyncgate").
   */
  async #makeSure(active: Segment): Promise<void> {
    await this.#context.files.use(active.path, async (file) => {
      const chunk = Buffer.allocUnsafeSlow(Math.min(rewrittenBytes, Math.max(0, active.sizeBytes - this.#readFrom)));
      for (let at = this.#readFrom; at < active.sizeBytes; at += chunk.length) {
        const count = await file.read(chunk.subarray(0, Math.min(chunk.length, active.sizeBytes - at)), at);
        if (count > 0) await file.write([chunk.subarray(0, count)], at);
      }
      await file.datasync();
    });
    await this.#context.disk.syncDirectory(this.#place.directory);
  }
}

/** A batch's effect on the producers of its partition. Answers what an abort marker ended. */
export function follow(producers: ProducerTable, batch: Buffer, nowMs: number): AbortedRange | undefined {
  const header = readBatchHeader(batch);
  if (header.producerId < 0) return undefined;
  if (!isControl(header.attributes)) {
    producers.apply(header, nowMs);
    return undefined;
  }
  const kind = isTransactional(header.attributes) ? controlKind(batch) : undefined;
  // Kafka has other kinds of control batch, which end nothing.
  return kind && producers.marker(kind, header, nowMs);
}

function newIndex(segment: Segment): SegmentIndex {
  return {
    offsets: new OffsetIndex(segment.baseOffset, segmentHeaderBytes),
    aborted: new AbortedIndex(segment.baseOffset, segmentHeaderBytes),
  };
}

async function listSegments(
  context: LogContext,
  place: PartitionPlace,
  checkpoint: PartitionCheckpoint | undefined,
): Promise<{ readonly segments: Segment[]; readonly hasState: boolean }> {
  const { disk, files } = context;
  if (!(await disk.exists(place.directory))) throw damaged(place, place.directory, 0, "the folder is missing");
  let names = await disk.list(place.directory);
  if (names.some(mayBeOfSwap)) {
    await finishSwap(disk, place);
    names = await disk.list(place.directory);
  }
  const segments: Segment[] = [];
  for (const name of names) {
    const parsed = parseSegmentName(name);
    if (!parsed) continue;
    const file = path.join(place.directory, name);
    const sizeBytes = await files.use(file, (handle) => handle.size());
    segments.push({ baseOffset: parsed.baseOffset, path: file, sizeBytes });
  }
  segments.sort((a, b) => a.baseOffset - b.baseOffset);
  const last = segments.at(-1);
  if (
    last &&
    last.baseOffset !== checkpoint?.segment &&
    segments.length > 1 &&
    (await isTornRoll(context, place, last))
  ) {
    // The power went while this segment was being made: nothing was written to it yet.
    await files.forget(last.path);
    await disk.remove(last.path);
    await disk.syncDirectory(place.directory);
    segments.pop();
  }
  if (segments.length === 0) throw damaged(place, place.directory, 0, "there is no segment in the folder");
  return { segments, hasState: names.includes(partitionStateFile) };
}

/** Also a swap that has ended may come back when the power goes after a kill. */
function mayBeOfSwap(name: string): boolean {
  return name.startsWith(swapFile) || name.endsWith(draftSuffix) || (parseSegmentName(name)?.generation ?? 0) > 0;
}

async function isTornRoll(context: LogContext, place: PartitionPlace, segment: Segment): Promise<boolean> {
  return segment.sizeBytes <= segmentHeaderBytes && (await readHeaderFault(context, place, segment)) !== undefined;
}
