/**
 * What a log does by itself while it is open: retires and compacts segments, ends transactions that were open for too
 * long, forgets producers and transactional ids that nobody uses. One thing at a time, so that appends have the disk.
 */
import type { Timer } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { batchHeaderBytes, batchMaxTimestamp } from "../records/batch-header.ts";
import { headerFault } from "../records/batch-validator.ts";
import { cleanSegments } from "./cleaner/clean-segments.ts";
import { type CleaningPlan, dirtiest, planCleaning } from "./cleaner/cleaning-plan.ts";
import { planRetention } from "./cleaner/retention.ts";
import type { RetentionHolders } from "./cleaner/retention-holders.ts";
import type { DiskReserve } from "./disk-reserve.ts";
import type { LogContext } from "./log-context.ts";
import type { Partition } from "./partition.ts";
import { type Segment, segmentHeaderBytes } from "./segment.ts";
import type { PartitionSegments } from "./segments.ts";
import type { LogTopic } from "./topic-catalogue.ts";
import type { Topics } from "./topics.ts";
import type { TransactionCoordinator } from "./transaction-coordinator.ts";
import { transactionsTopic } from "./transaction-records.ts";

/** Kafka's intervals for the same work. */
const tickMs = 10_000;
const retentionEveryMs = 5 * 60_000;
const dayMs = 24 * 3_600_000;
const producersExpireMs = dayMs;
const transactionalIdsExpireMs = 7 * dayMs;

export interface MaintainedLog {
  readonly topics: Topics;
  readonly transactions: TransactionCoordinator;
  /** Decisions from here on may still be needed by a start. */
  readonly transactionsOffset: () => number;
  readonly reserve: DiskReserve;
  readonly holders: RetentionHolders;
}

interface Candidate {
  readonly topic: LogTopic;
  readonly partition: Partition;
  readonly plan: CleaningPlan;
}

export class Maintenance {
  readonly #context: LogContext;
  readonly #random: Random;
  readonly #log: MaintainedLog;
  readonly #stop = new AbortController();
  #timer: Timer | undefined;
  #retainedAtMs: number;
  #running: Promise<void> = Promise.resolve();

  constructor(context: LogContext, random: Random, log: MaintainedLog) {
    this.#context = context;
    this.#random = random;
    this.#log = log;
    this.#retainedAtMs = context.clock.monotonicMs();
    this.#schedule();
  }

  /** Everything that is due now, retention and compaction included. */
  run(): Promise<void> {
    return this.#next(true);
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#stop.abort(new MillraceError("LOG_CLOSED", "the log is shutting down"));
    await this.#running;
  }

  #schedule(): void {
    this.#timer = this.#context.clock.after(tickMs, () => {
      void this.#next(false).then(() => {
        if (!this.#stop.signal.aborted) this.#schedule();
      });
    });
  }

  #next(all: boolean): Promise<void> {
    const ran = this.#running.then(() => this.#round(all));
    this.#running = ran.catch(() => undefined);
    return all ? ran : this.#running;
  }

  async #round(all: boolean): Promise<void> {
    await this.#attempt("transactions", () => this.#log.transactions.expire());
    const nowMs = this.#context.clock.monotonicMs();
    if (all || nowMs - this.#retainedAtMs >= retentionEveryMs) {
      this.#retainedAtMs = nowMs;
      await this.#attempt("retention", () => this.#retain());
      await this.#attempt("transactional ids", () => this.#log.transactions.forgetIdle(transactionalIdsExpireMs));
      for (const partition of this.#log.topics.partitions()) {
        if (!partition.failure) partition.producers.expire(this.#context.clock.now(), producersExpireMs);
      }
    }
    await this.#attempt("compaction", () => this.#compact());
  }

  async #attempt(what: string, act: () => Promise<void>): Promise<void> {
    if (this.#stop.signal.aborted) return;
    try {
      await act();
    } catch (cause) {
      if (this.#stop.signal.aborted) return;
      this.#context.diagnostics.warn("the log's maintenance met an error, and tries again later", {
        what,
        cause: String(cause),
      });
    }
  }

  async #retain(): Promise<void> {
    const { holders } = this.#log;
    for (const { topic, partition } of this.#served()) {
      const { settings } = topic;
      // What is only in memory is in no segment that could be closed.
      if (isBounded(settings)) await partition.flush();
      await this.#rollExpired(topic, partition);
      const segments = await this.#facts(partition);
      const plan = planRetention({
        segments,
        settings,
        nowMs: this.#context.clock.now(),
        logStart: partition.logStart,
        lastStable: partition.lastStable,
        heldFrom: holders.heldFrom(topic.name, partition.place.partition),
      });
      holders.tell(topic.name, partition.place.partition, plan);
      if (plan.count === 0) continue;
      // By its offset: others may retire or compact segments meanwhile.
      await partition.retire((segments[plan.count] as { baseOffset: number }).baseOffset);
      this.#context.diagnostics.debug("segments were retired", { topic: topic.name, ...plan });
    }
  }

  /** An idle partition's last segment is closed when its time has come: only closed ones are retired and compacted. */
  async #rollExpired({ settings }: LogTopic, partition: Partition): Promise<void> {
    const { cleanup, retentionMs, compactionLagMaxMs } = settings;
    const ages = [
      ...(cleanup !== "compact" && retentionMs !== null ? [retentionMs] : []),
      ...(cleanup !== "delete" && compactionLagMaxMs !== null ? [compactionLagMaxMs] : []),
    ];
    if (ages.length === 0) return;
    const newestMs = await partition.activeTimestamp();
    if (newestMs < 0) return;
    if (this.#context.clock.now() - newestMs > Math.min(...ages)) await partition.roll();
  }

  async #compact(): Promise<void> {
    // A new segment is written before the old ones go.
    if (this.#log.reserve.isLow) return;
    const done = new Set<Partition>();
    for (;;) {
      const candidates: Candidate[] = [];
      for (const { topic, partition } of this.#served()) {
        if (topic.settings.cleanup === "delete" || done.has(partition)) continue;
        candidates.push({ topic, partition, plan: await this.#planOf(topic, partition) });
      }
      const next = dirtiest(candidates, ({ plan }) => plan);
      if (!next || this.#stop.signal.aborted) return;
      done.add(next.partition);
      await this.#attempt("compaction", () => this.#clean(next));
    }
  }

  async #planOf(topic: LogTopic, partition: Partition): Promise<CleaningPlan> {
    const segments = await this.#facts(partition, topic.settings.compactionLagMaxMs !== null);
    return planCleaning({
      segments,
      cleanedTo: partition.cleanedTo,
      lastStable: this.#stableOf(topic, partition),
      settings: topic.settings,
      nowMs: this.#context.clock.now(),
    });
  }

  #stableOf({ name }: LogTopic, { lastStable }: Partition): number {
    return name === transactionsTopic ? Math.min(lastStable, this.#log.transactionsOffset()) : lastStable;
  }

  async #clean({ topic, partition, plan }: Candidate): Promise<void> {
    const { disk, files, clock, limits } = this.#context;
    // As many rounds as the map of keys needs.
    for (let from = plan.firstDirtyOffset; from < plan.cleanableEnd; ) {
      const cleanedTo = await partition.compact(async (segments: PartitionSegments) => {
        const { cleanedTo, stats } = await cleanSegments({
          disk,
          files,
          place: partition.place,
          segments: segments.list,
          firstDirtyOffset: from,
          cleanableEnd: plan.cleanableEnd,
          lastStable: partition.lastStable,
          settings: topic.settings,
          nowMs: clock.now(),
          memoryBytesMax: limits.cleanerBytes,
          random: this.#random,
          abortedIn: (start, end) => segments.abortedIn(start, end),
          isLastBatch: (producerId, lastOffset) => partition.producers.isLastBatch(producerId, lastOffset),
          replace: (replacement) => partition.replaceSegments(replacement),
          signal: this.#stop.signal,
        });
        const { diagnostics } = this.#context;
        diagnostics.debug("a partition was compacted", { topic: topic.name, cleanedTo, ...stats });
        if (stats.recordsWithoutKey > 0) {
          const { recordsWithoutKey } = stats;
          diagnostics.warn("records without a key were dropped from a compacted topic", {
            topic: topic.name,
            partition: partition.place.partition,
            recordsWithoutKey,
          });
        }
        return cleanedTo;
      });
      if (cleanedTo <= from) return;
      from = cleanedTo;
    }
  }

  *#served(): Generator<{ readonly topic: LogTopic; readonly partition: Partition }> {
    for (const topic of [...this.#log.topics.list()]) {
      if (!this.#log.topics.get(topic.name)) continue;
      for (const partition of this.#log.topics.partitionsOf(topic.name)) {
        if (!partition.failure && !this.#stop.signal.aborted) yield { topic, partition };
      }
    }
  }

  /** What planning needs to know of the segments; it is read once. */
  async #facts(partition: Partition, withFirst = false) {
    const { segments } = partition;
    const facts = [];
    for (const [i, segment] of segments.entries()) {
      const isClosed = i < segments.length - 1;
      if (isClosed) segment.maxTimestamp ??= (await partition.indexOf(segment)).offsets.maxTimestamp;
      if (isClosed && withFirst) segment.firstTimestamp ??= await this.#firstTimestamp(segment);
      facts.push({
        baseOffset: segment.baseOffset,
        endOffset: segments[i + 1]?.baseOffset ?? partition.nextOffset,
        sizeBytes: segment.sizeBytes,
        maxTimestamp: segment.maxTimestamp ?? -1,
        firstTimestamp: segment.firstTimestamp ?? -1,
      });
    }
    return facts;
  }

  async #firstTimestamp(segment: Segment): Promise<number> {
    const header = Buffer.alloc(batchHeaderBytes);
    const count = await this.#context.files.use(segment.path, (file) => file.read(header, segmentHeaderBytes));
    return headerFault(header, 0, count) === undefined ? batchMaxTimestamp(header) : -1;
  }
}

function isBounded({ cleanup, retentionMs, retentionBytes }: LogTopic["settings"]): boolean {
  return cleanup !== "delete" || retentionMs !== null || retentionBytes !== null;
}
