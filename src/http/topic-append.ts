/**
 * Appending what one request sent: whole or not at all. One batch is one append; more are one transaction of the log.
 */
import { MillraceError } from "../base/errors.ts";
import type { Engine, KeyExpectation, PlacedBatch, TopicInfo, TransactionalProducer } from "../engine/engine.ts";
import { encodeToken } from "../feeds/token.ts";
import { BatchBuilder } from "../records/batch-builder.ts";
import { partitionOfKey } from "../records/murmur2.ts";
import type { EventInput } from "./event-input.ts";

export interface PlannedBatch {
  readonly partition: number;
  readonly batch: Buffer;
  readonly expect?: KeyExpectation;
}

export interface AppendPlace {
  readonly nowMs: number;
  /** Where events without key and partition go, all of one request together. */
  readonly keylessPartition: number;
  /** Of the key that all events have. */
  readonly expect?: KeyExpectation;
}

/** Length, attributes, deltas and lengths of a record, at most. */
const recordOverheadBytes = 64;

/** Batches in the order of the events per partition. Throws `RECORD_TOO_LARGE`, `RECORD_INVALID`, `PARTITION_UNKNOWN`. */
export function planAppend(topic: TopicInfo, events: readonly EventInput[], place: AppendPlace): PlannedBatch[] {
  const { partitions, batchBytesMax, cleanup } = topic.settings;
  const builders = new Map<number, BatchBuilder>();
  const planned: PlannedBatch[] = [];
  const finish = (partition: number, builder: BatchBuilder) => {
    const batch = builder.finish();
    if (batch.length > batchBytesMax) throw tooLarge(topic, batch.length);
    // It stands before the first batch; those behind it are in the same transaction.
    planned.push({ partition, batch, ...(place.expect && planned.length === 0 && { expect: place.expect }) });
  };
  for (const event of events) {
    const partition = event.partition ?? (event.key ? partitionOfKey(event.key, partitions) : place.keylessPartition);
    if (partition >= partitions) {
      throw new MillraceError("PARTITION_UNKNOWN", `topic "${topic.name}" has no partition ${partition}`, {
        hint: `It has partitions 0 to ${partitions - 1}; without partition the key decides.`,
      });
    }
    if (cleanup !== "delete" && event.key === null) {
      throw new MillraceError("RECORD_INVALID", `an event for the compacted topic "${topic.name}" has no key`);
    }
    let builder = builders.get(partition);
    if (!builder) {
      builder = new BatchBuilder();
      builders.set(partition, builder);
    }
    if (builder.recordCount > 0 && builder.sizeBytes + sizeOf(event) > batchBytesMax) finish(partition, builder);
    builder.add(event.key, event.value, event.timestamp ?? place.nowMs, event.headers);
  }
  for (const [partition, builder] of builders) if (builder.recordCount > 0) finish(partition, builder);
  return planned;
}

/** `{offsets: [{partition, baseOffset, lastOffset}], token}` */
export function appendAnswer(
  topic: TopicInfo,
  results: readonly Pick<PlacedBatch, "partition" | "baseOffset" | "lastOffset">[],
) {
  const ends = new Map<number, number>();
  for (const { partition, lastOffset } of results) {
    ends.set(partition, Math.max(ends.get(partition) ?? 0, lastOffset + 1));
  }
  const positions = [...ends].map(([partition, offset]) => ({ partition, offset }));
  positions.sort((a, b) => a.partition - b.partition);
  return {
    offsets: results.map(({ partition, baseOffset, lastOffset }) => ({ partition, baseOffset, lastOffset })),
    token: encodeToken({ kind: "topic", topic: topic.name, topicId: topic.id, positions }),
  };
}

const lanesMax = 4;

interface Lane {
  readonly transactionalId: string;
  last: Promise<unknown>;
  waiting: number;
  producer: TransactionalProducer | null;
}

/** Writes planned batches. A few producers take turns, for each has one transaction at a time. */
export class TopicAppender {
  readonly #engine: Engine;
  readonly #lanes: readonly Lane[];

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#lanes = Array.from({ length: lanesMax }, (_, i) => ({
      transactionalId: `millrace.http.${i}`,
      last: Promise.resolve(),
      waiting: 0,
      producer: null,
    }));
  }

  /** Resolves when all of it is durable and readable. */
  async append(topic: string, batches: readonly PlannedBatch[]): Promise<PlacedBatch[]> {
    const [first] = batches;
    if (batches.length === 1 && first) return [await this.#engine.append({ topic, ...first })];
    const lane = this.#lanes.reduce((least, one) => (one.waiting < least.waiting ? one : least));
    lane.waiting++;
    const turn = lane.last.then(() => this.#transact(lane, topic, batches));
    lane.last = turn.catch(() => {});
    return await turn.finally(() => lane.waiting--);
  }

  async #transact(lane: Lane, topic: string, batches: readonly PlannedBatch[]): Promise<PlacedBatch[]> {
    lane.producer ??= await this.#engine.initProducer(lane.transactionalId);
    const transaction = lane.producer.begin();
    try {
      const results: PlacedBatch[] = [];
      for (const batch of batches) results.push(await transaction.append({ topic, ...batch }));
      await transaction.commit();
      return results;
    } catch (error) {
      // The next one begins anew: taking the id again aborts what may have been left open.
      lane.producer = null;
      await transaction.abort().catch(() => {});
      throw error;
    }
  }
}

function sizeOf(event: EventInput): number {
  let bytes = recordOverheadBytes + (event.key?.length ?? 0) + (event.value?.length ?? 0);
  for (const { key, value } of event.headers ?? []) bytes += Buffer.byteLength(key) + (value?.length ?? 0) + 12;
  return bytes;
}

function tooLarge(topic: TopicInfo, bytes: number): MillraceError {
  const { batchBytesMax } = topic.settings;
  return new MillraceError(
    "RECORD_TOO_LARGE",
    `an event takes ${bytes} bytes; topic "${topic.name}" takes at most ${batchBytesMax}`,
    {
      hint: "Keep large things elsewhere and send their address, or create the topic with a larger maxBatch.",
      details: { batchBytesMax },
    },
  );
}
