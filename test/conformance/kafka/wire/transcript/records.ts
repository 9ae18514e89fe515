/** Records produced, with producers of all kinds, read, and deleted. */
import { deleteRecords } from "../../../../../src/kafka/apis/delete-records.ts";
import { describeProducers } from "../../../../../src/kafka/apis/describe-producers.ts";
import { fetch } from "../../../../../src/kafka/apis/fetch.ts";
import { initProducerId } from "../../../../../src/kafka/apis/init-producer-id.ts";
import { listOffsets } from "../../../../../src/kafka/apis/list-offsets.ts";
import { offsetForLeaderEpoch } from "../../../../../src/kafka/apis/offset-for-leader-epoch.ts";
import { produce } from "../../../../../src/kafka/apis/produce.ts";
import { batchOf, batchTimeMs, corruptBatch } from "../batches.ts";
import { strangeId } from "../scenario/topics.ts";
import type { Seen } from "../script.ts";
import type { Begun, World } from "./world.ts";

export function beginsProducer(world: World): void {
  const { choice } = world;
  const transactionalId = choice.chance(0.3) ? null : choice.usually(world.transactionalId(), [""], 0.95);
  const former = choice.chance(0.25) ? choice.maybe(world.producers) : undefined;
  const epochOff = choice.usually(0, [1, -1], 0.7);
  const transactionTimeoutMs = choice.usually(60_000, [0, -1, 2_147_483_647], 0.92);
  const step = world.add(initProducerId, (seen) => ({
    ...{ transactionalId, transactionTimeoutMs },
    ...(former && {
      producerId: seen.number(former.step, "producerId"),
      producerEpoch: plus(seen.number(former.step, "producerEpoch"), epochOff),
    }),
  }));
  world.producers.push({ step, transactionalId });
}

/** Within 16 bits; of nobody's epoch nothing is made. */
export function plus(epoch: number, off: number): number {
  return epoch < 0 ? epoch : Math.max(0, Math.min(32_767, epoch + off));
}

export function named(seen: Seen, version: number, idsFrom: number, name: string) {
  if (version < idsFrom) return { name };
  return { topicId: name.endsWith("unknown") ? strangeId : seen.topicId(name) };
}

export function produces(world: World): void {
  const { choice } = world;
  const version = world.version(produce);
  const name = choice.usually(world.topic(), [`${world.prefix}unknown`], 0.93);
  const index = world.partition();
  const producer = choice.chance(0.6) ? choice.maybe(world.producers) : undefined;
  const records = recordsOf(world, producer);
  const acks = choice.usually(-1, [1, 2, -2], 0.93);
  const transactionalId = records.isTransactional ? (producer?.transactionalId ?? null) : null;
  world.add(
    produce,
    (seen) => ({
      ...{ acks, transactionalId, timeoutMs: 10_000 },
      topicData: [{ ...named(seen, version, 13, name), partitionData: [{ index, records: records.make(seen) }] }],
    }),
    "main",
    version,
  );
}

function recordsOf(world: World, producer: Begun | undefined) {
  const { choice } = world;
  const values = Array.from({ length: 1 + choice.below(2) }, (_, index) => `value ${index}`);
  if (producer === undefined) {
    const kind = choice.usually("plain", ["corrupt", "empty", "cut", "keyless"], 0.75);
    const batch = batchOf(values, { keyless: kind === "keyless" });
    // Not null: Kafka never answers that.
    const made = { plain: batch, keyless: batch, corrupt: corruptBatch(), empty: Buffer.alloc(0) };
    const records = kind === "cut" ? batch.subarray(0, batch.length - 3) : made[kind as keyof typeof made];
    return { isTransactional: false, make: () => records };
  }
  const isTransactional = producer.transactionalId !== null;
  const epochOff = choice.usually(0, [1, -1], 0.9);
  const sequence = choice.usually(0, [1, 2, 5, 2_147_483_647], 0.6);
  return {
    isTransactional,
    make: (seen: Seen) => {
      const producerId = seen.number(producer.step, "producerId");
      // Of nobody there is no sequence.
      if (producerId < 0) return batchOf(values);
      return batchOf(values, {
        producerId,
        epoch: plus(seen.number(producer.step, "producerEpoch"), epochOff),
        ...{ sequence, transactional: isTransactional },
      });
    },
  };
}

export function fetches(world: World): void {
  const { choice } = world;
  const version = world.version(fetch);
  const session = version >= 7 && choice.chance(0.4) ? choice.maybe(world.sessions) : undefined;
  const sessionEpoch = session ? choice.of([1, 2, 0, -1, -7]) : choice.usually(-1, [0, 1], 0.7);
  const names = choice.some([world.topic(), world.topic(), `${world.prefix}unknown`], 2);
  const partitions = [...new Set(names)].map((name) => ({
    name,
    partitions: [
      {
        ...{ partition: world.partition(), fetchOffset: choice.usually(0, [1, 2, 5, -1, 9_999_999], 0.5) },
        partitionMaxBytes: choice.of([1_000_000, 1_000_000, 100, 1]),
        currentLeaderEpoch: choice.usually(-1, [0, 5], 0.8),
      },
    ],
  }));
  const isolationLevel = choice.of([0, 1]);
  const step = world.add(
    fetch,
    (seen) => ({
      ...{ maxWaitMs: 0, minBytes: 0, maxBytes: 10_000_000, isolationLevel, sessionEpoch, forgottenTopicsData: [] },
      sessionId: session === undefined ? 0 : Math.max(0, seen.number(session, "sessionId")),
      topics: partitions.map(({ name, partitions: of }) => {
        const { name: topic, ...byId } = { name: "", ...named(seen, version, 13, name) };
        return { topic, ...byId, partitions: of };
      }),
    }),
    "main",
    version,
  );
  if (version >= 7) world.sessions.push(step);
}

export function listsOffsets(world: World): void {
  const { choice } = world;
  const times = [-1, -1, -2, -2, -3, -4, -5, -6, -9, 0, batchTimeMs, batchTimeMs + 1, batchTimeMs * 2] as const;
  world.add(listOffsets, {
    ...{ replicaId: -1, isolationLevel: choice.of([0, 1]), timeoutMs: 1_000 },
    topics: [...new Set(choice.some([world.anyTopic(), world.topic()], 2))].map((name) => ({
      name,
      partitions: Array.from({ length: 1 + choice.below(2) }, () => ({
        ...{ partitionIndex: world.partition(), timestamp: choice.of(times) },
        currentLeaderEpoch: choice.usually(-1, [0, 7, -2], 0.85),
      })),
    })),
  });
}

export function asksForEpochs(world: World): void {
  const { choice } = world;
  world.add(offsetForLeaderEpoch, {
    topics: [
      {
        topic: world.anyTopic(),
        partitions: [
          {
            partition: world.partition(),
            leaderEpoch: choice.of([0, 1, -1, -5, 2_147_483_647]),
            currentLeaderEpoch: choice.of([-1, 0, 3]),
          },
        ],
      },
    ],
  });
}

export function deletesRecords(world: World): void {
  const { choice } = world;
  world.add(deleteRecords, {
    topics: [
      {
        name: world.anyTopic(),
        partitions: [{ partitionIndex: world.partition(), offset: choice.of([0, 1, 2, -1, -2, 9_999_999]) }],
      },
    ],
    timeoutMs: 5_000,
  });
}

export function describesProducers(world: World): void {
  world.add(describeProducers, {
    topics: [{ name: world.anyTopic(), partitionIndexes: [...new Set([world.partition(), world.partition()])] }],
  });
}
