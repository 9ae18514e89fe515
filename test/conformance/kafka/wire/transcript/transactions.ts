/** Transactions, by producers that may have been fenced, forgotten or never begun. */
import { addOffsetsToTxn } from "../../../../../src/kafka/apis/add-offsets-to-txn.ts";
import { addPartitionsToTxn } from "../../../../../src/kafka/apis/add-partitions-to-txn.ts";
import { describeTransactions } from "../../../../../src/kafka/apis/describe-transactions.ts";
import { endTxn } from "../../../../../src/kafka/apis/end-txn.ts";
import { listTransactions } from "../../../../../src/kafka/apis/list-transactions.ts";
import { txnOffsetCommit } from "../../../../../src/kafka/apis/txn-offset-commit.ts";
import type { Seen } from "../script.ts";
import { plus } from "./records.ts";
import type { World } from "./world.ts";

interface Producer {
  readonly transactionalId: string;
  readonly producerId: number;
  readonly producerEpoch: number;
}

/** A producer that was begun, mostly with what it was told. */
function producerIn(
  world: World,
): { readonly transactionalId: string; readonly of: (seen: Seen) => Producer } | undefined {
  const { choice } = world;
  const begun = choice.maybe(world.producers.filter(({ transactionalId }) => transactionalId));
  if (begun?.transactionalId == null) return undefined;
  const transactionalId = choice.usually(
    begun.transactionalId,
    [world.transactionalId(), `${world.prefix}nobody`],
    0.93,
  );
  const epochOff = choice.usually(0, [1, -1, 5], 0.93);
  const strangeProducer = choice.chance(0.04);
  return {
    transactionalId,
    of: (seen) => ({
      transactionalId,
      ...producerOf(seen, begun.step, strangeProducer),
      producerEpoch: plus(Math.max(0, seen.number(begun.step, "producerEpoch")), epochOff),
    }),
  };
}

function producerOf(seen: Seen, step: string, isStrange: boolean): { readonly producerId: number } {
  const producerId = seen.number(step, "producerId");
  return { producerId: isStrange || producerId < 0 ? 999_999_999 : producerId };
}

export function addsPartitions(world: World): void {
  const { choice } = world;
  const producer = producerIn(world);
  if (!producer) return;
  const names = [...new Set(choice.some([world.topic(), world.topic(), world.anyTopic()], 2))];
  const topics = names.map((name) => ({ name, partitions: [world.partition()] }));
  world.add(
    addPartitionsToTxn,
    (seen) => {
      const { transactionalId, producerId, producerEpoch } = producer.of(seen);
      return {
        ...{ v3AndBelowTransactionalId: transactionalId, v3AndBelowProducerId: producerId },
        ...{ v3AndBelowProducerEpoch: producerEpoch, v3AndBelowTopics: topics },
      };
    },
    "main",
    // Later versions are between brokers.
    choice.below(4),
  );
}

export function addsOffsets(world: World): void {
  const producer = producerIn(world);
  const groupId = world.anyGroup();
  if (producer) world.add(addOffsetsToTxn, (seen) => ({ ...producer.of(seen), groupId }));
}

export function commitsInTransaction(world: World): void {
  const { choice } = world;
  const producer = producerIn(world);
  if (!producer) return;
  const join = choice.chance(0.3) ? choice.maybe(world.joins) : undefined;
  const groupId = join?.groupId ?? world.anyGroup();
  const partitions = [
    {
      partitionIndex: world.partition(),
      committedOffset: choice.of([0, 3, 7]),
      committedMetadata: choice.of([null, "m"]),
    },
  ];
  const topics = [{ name: choice.usually(world.topic(), [`${world.prefix}unknown`], 0.9), partitions }];
  world.add(txnOffsetCommit, (seen) => ({
    ...{ ...producer.of(seen), groupId, topics },
    ...(join && {
      memberId: seen.text(join.step, "memberId"),
      generationId: seen.number(join.step, "generationId"),
    }),
  }));
}

export function ends(world: World): void {
  const { choice } = world;
  const producer = producerIn(world);
  const committed = choice.chance(0.6);
  if (!producer) return;
  const step = world.add(endTxn, (seen) => ({ ...producer.of(seen), committed }));
  // From version 5 on the answer has the next epoch.
  const { transactionalId } = producer;
  if (step.endsWith("v5") && choice.chance(0.7)) world.producers.push({ step, transactionalId });
}

export function looksAtTransactions(world: World): void {
  const { choice } = world;
  if (choice.chance(0.5)) {
    world.add(describeTransactions, {
      transactionalIds: choice.some([world.transactionalId(), `${world.prefix}nobody`, ""], 2),
    });
    return;
  }
  const version = 2;
  world.add(
    listTransactions,
    {
      stateFilters: choice.of([[], ["Ongoing"], ["Empty", "Sleeping"], ["CompleteCommit", "CompleteAbort"]]),
      producerIdFilters: choice.usually([], [[-1], [4_242_424_242]], 0.9),
      transactionalIdPattern: `${world.prefix}.*`,
    },
    "main",
    version,
  );
}
