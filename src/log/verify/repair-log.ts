/**
 * Carries a plan of repair out: what is taken away is copied and durable first (side-folder.ts), then partition by
 * partition, then the journal, then the checkpoint.
 *
 * Always true: the power may go at any point. Each step leaves files that a new plan begins from, and what was copied stays.
 */
import * as path from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Disk } from "../../base/disk.ts";
import { invariant } from "../../base/errors.ts";
import { batchLastOffset } from "../../records/batch-header.ts";
import { DraftSegment } from "../cleaner/draft-segment.ts";
import { commitSwap, finishSwap } from "../cleaner/swap.ts";
import { FilePool } from "../file-pool.ts";
import { checkpointFile, writeLogCheckpoint } from "../log-checkpoint.ts";
import { defaultLogLimits, type LogLimits } from "../log-context.ts";
import { recoverPartition } from "../partition-recovery.ts";
import { writePartitionState } from "../partition-state.ts";
import { createSegment, segmentFileName, segmentHeaderBytes } from "../segment.ts";
import { companionNames } from "../segment-name.ts";
import type { PartitionRepair, Piece, RepairStep } from "./partition-plan.ts";
import { startContext } from "./partition-survey.ts";
import { isEmptyPlan, type RepairPlan } from "./repair-plan.ts";
import { wordsOf } from "./repair-words.ts";
import { type AsideItem, keepAside } from "./side-folder.ts";
import type { LogSurvey } from "./verify-log.ts";

export interface RepairOptions {
  readonly disk: Disk;
  /** The log's own: `<data>/log`. */
  readonly directory: string;
  readonly clock: Clock;
  readonly limits?: Partial<LogLimits>;
}

const copyBytes = 1024 * 1024;

/** Durable when it resolves. Answers the folder with what was taken away; undefined when there is nothing to do. */
export async function repairLog(
  options: RepairOptions,
  survey: LogSurvey,
  plan: RepairPlan,
): Promise<string | undefined> {
  if (isEmptyPlan(plan)) return undefined;
  const { disk, directory, clock } = options;
  const steps = wordsOf(plan);
  const folder = await keepAside(disk, directory, itemsOf(directory, plan), {
    madeMs: clock.now(),
    logId: survey.logId,
    steps,
  });
  for (const partition of plan.partitions) await new PartitionWork(options, partition).run(partition.first);
  for (const partition of plan.partitions) await new PartitionWork(options, partition).run(partition.then);
  if (plan.journalFiles.length > 0) await settleJournal(options, survey, plan);
  else if (plan.checkpoint !== undefined) {
    await disk.remove(checkpointFile(directory));
    await disk.syncDirectory(directory);
  }
  return folder;
}

function itemsOf(directory: string, { partitions, checkpoint, journalFiles }: RepairPlan): AsideItem[] {
  const items: AsideItem[] = [];
  for (const { survey, first } of partitions) {
    const { topic, partition } = survey.place;
    for (const step of first) {
      if (step.kind !== "keep-aside") continue;
      const { kind: _, ...item } = step;
      items.push({ ...item, topic, partition });
    }
  }
  const whole = { fromBytes: 0, toBytes: Number.POSITIVE_INFINITY, topic: null, partition: null };
  if (checkpoint !== undefined) {
    items.push({ path: checkpointFile(directory), ...whole, reason: "the checkpoint is damaged" });
  }
  for (const file of journalFiles) items.push({ path: file, ...whole, reason: "the journal is damaged" });
  return items;
}

class PartitionWork {
  readonly #options: RepairOptions;
  readonly #repair: PartitionRepair;
  readonly #files: FilePool;

  constructor(options: RepairOptions, repair: PartitionRepair) {
    this.#options = options;
    this.#repair = repair;
    this.#files = new FilePool(options.disk, 4);
  }

  async run(steps: readonly RepairStep[]): Promise<void> {
    try {
      for (const step of steps) await this.#do(step);
    } finally {
      await this.#files.close();
    }
  }

  async #do(step: RepairStep): Promise<void> {
    const { disk } = this.#options;
    const { place } = this.#repair.survey;
    switch (step.kind) {
      case "keep-aside":
        return;
      case "read-back":
        return await readBack(this.#options, this.#repair.survey);
      case "end-swap":
        await finishSwap(disk, place);
        return;
      case "state":
        await this.#makeFolder();
        return await writePartitionState(disk, place, step.state);
      case "begin":
        return await this.#begin(step.baseOffset);
      case "move":
        return await this.#move(step.from, step.to);
      case "rewrite":
        return await this.#rewrite(step);
      case "remove":
        await this.#removeSegment(step.path);
        return await disk.syncDirectory(path.dirname(step.path));
    }
  }

  async #makeFolder(): Promise<void> {
    const { disk } = this.#options;
    const { directory } = this.#repair.survey.place;
    if (await disk.exists(directory)) return;
    await disk.makeDirectory(directory);
    for (let at = path.dirname(directory); at.startsWith(this.#options.directory); at = path.dirname(at)) {
      await disk.syncDirectory(at);
    }
  }

  async #begin(baseOffset: number): Promise<void> {
    const { disk } = this.#options;
    const { place } = this.#repair.survey;
    const file = path.join(place.directory, segmentFileName(baseOffset));
    if (await disk.exists(file)) {
      const handle = await disk.open(file, "read");
      const sizeBytes = await handle.size();
      await handle.close();
      invariant(sizeBytes <= segmentHeaderBytes, `${file} holds something`);
      // It was being made when the power went.
      await disk.remove(file);
    }
    await createSegment({ disk }, place, baseOffset);
  }

  /** The name that it gets was never used. What stands beside a segment is made anew. */
  async #move(from: string, to: string): Promise<void> {
    const { disk } = this.#options;
    await this.#removeCompanions(from);
    await disk.rename(from, to);
    await disk.syncDirectory(path.dirname(to));
    await disk.syncDirectory(path.dirname(from));
  }

  async #rewrite({ remove, add, pieces }: RepairStep & { readonly kind: "rewrite" }): Promise<void> {
    const { disk } = this.#options;
    const { place } = this.#repair.survey;
    const draft = await DraftSegment.create(disk, place, add);
    try {
      for (const piece of pieces) await this.#copy(piece, remove, draft);
    } catch (error) {
      await draft.discard();
      throw error;
    }
    const segment = await draft.finish(-1);
    const old = { baseOffset: add.baseOffset, path: remove, sizeBytes: segmentHeaderBytes };
    await commitSwap(disk, this.#files, place.directory, { remove: [old], add: { segment, draftPath: draft.path } });
  }

  async #copy(piece: Piece, from: string, draft: DraftSegment): Promise<void> {
    if (piece.kind === "journal") {
      const batch = this.#repair.survey.journaled?.batches.get(piece.offset);
      if (batch) await draft.write([batch]);
      return;
    }
    const source = await this.#options.disk.open(from, "read");
    try {
      for (let at = piece.fromBytes; at < piece.toBytes; at += copyBytes) {
        const chunk = Buffer.allocUnsafe(Math.min(copyBytes, piece.toBytes - at));
        await source.read(chunk, at);
        await draft.write([chunk]);
      }
    } finally {
      await source.close();
    }
  }

  async #removeSegment(file: string): Promise<void> {
    await this.#files.forget(file);
    await this.#options.disk.remove(file);
    await this.#removeCompanions(file);
  }

  async #removeCompanions(file: string): Promise<void> {
    if (!file.endsWith(".log")) return;
    for (const name of companionNames(path.basename(file))) {
      await this.#options.disk.remove(path.join(path.dirname(file), name));
    }
  }
}

/** As a start does it. */
async function readBack(
  options: RepairOptions,
  { place, settings, checkpoint, journaled }: PartitionRepair["survey"],
): Promise<void> {
  const { disk, clock } = options;
  const files = new FilePool(disk, 4);
  const limits = { ...defaultLogLimits, ...options.limits };
  try {
    const context = startContext({ clock, limits }, disk, files, () => undefined);
    const { segments } = await recoverPartition(context, place, settings, checkpoint, journaled);
    const last = segments.at(-1);
    if (last) await files.use(last.path, (file) => file.datasync());
  } finally {
    await files.close();
  }
}

/** All partitions take what could be read of the journal; then a checkpoint says that it holds nothing more. */
async function settleJournal(options: RepairOptions, survey: LogSurvey, plan: RepairPlan): Promise<void> {
  const { disk, directory } = options;
  const repaired = new Set(plan.partitions.map((one) => one.survey));
  for (const one of survey.partitions) {
    if (one.journaled && (!repaired.has(one) || hasMore(plan, one))) await readBack(options, one);
  }
  const { checkpoint, journal, logId } = survey;
  await writeLogCheckpoint(disk, directory, {
    transactionsOffset: checkpoint?.transactionsOffset ?? 0,
    producers: checkpoint?.producers ?? [],
    nextProducerId: checkpoint?.nextProducerId ?? 1,
    logId: logId ?? "",
    journal: { file: -1, bytePosition: 0, number: journal?.content.lastNumber ?? 0 },
    heldJournalFiles: [],
    partitions: checkpoint?.partitions ?? new Map(),
  });
  for (const file of plan.journalFiles) await disk.remove(file);
  await disk.syncDirectory(path.join(directory, "journal"));
}

/** Whether the journal has batches behind where the repaired partition goes on. */
function hasMore({ partitions }: RepairPlan, survey: PartitionRepair["survey"]): boolean {
  const next = partitions.find((one) => one.survey === survey)?.nextOffset ?? 0;
  return [...(survey.journaled?.batches.values() ?? [])].some((batch) => batchLastOffset(batch) >= next);
}
