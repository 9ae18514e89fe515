/**
 * What operators ask about transactions: which there are, what a partition knows of its producers, and to abort one that hangs.
 * All APIs of `kafka-transactions`.
 *
 * A marker that is written by hand (WriteTxnMarkers) would tear a transaction of more than one partition: here it aborts the
 * whole of it, and one that would commit is refused.
 */
import { clusterName } from "../../access/access-rules.ts";
import { nextTurn } from "../../base/turn.ts";
import type { TransactionInfo } from "../../engine/engine.ts";
import { checkTopicName } from "../../engine/topic-settings.ts";
import { describeProducers } from "../../kafka/apis/describe-producers.ts";
import { describeTransactions } from "../../kafka/apis/describe-transactions.ts";
import { listTransactions } from "../../kafka/apis/list-transactions.ts";
import { writeTxnMarkers } from "../../kafka/apis/write-txn-markers.ts";
import type { RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { errorCodeOf, kafkaErrors } from "../../kafka/kafka-errors.ts";
import { TopicPattern } from "../groups/consumer-pattern-program.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import { findTopic } from "../topic-access.ts";
import { coordinatorErrorOf, type TransactionDoor } from "./transaction-door.ts";

type ListRequest = RequestOf<typeof listTransactions>;
type Marker = RequestOf<typeof writeTxnMarkers>["markers"][number];
type ProducersTopic = RequestOf<typeof describeProducers>["topics"][number];
type DescribedTopic = ResponseInput<typeof describeProducers>["topics"][number];
type DescribedTransaction = ResponseInput<typeof describeTransactions>["transactionStates"][number];

/** Kafka's names of the states, also of those that nothing is in here. */
const stateNames = [
  "Empty",
  "Ongoing",
  "PrepareCommit",
  "PrepareAbort",
  "CompleteCommit",
  "CompleteAbort",
  "Dead",
  "PrepareEpochFence",
] as const;

type StateName = (typeof stateNames)[number];

const int32Max = 0x7fffffff;
/** Others get their turn behind so many ids that a pattern was held against. */
const matchesPerTurn = 256;

export function transactionAdminAnswers(door: TransactionDoor): Answer[] {
  return [
    answers(describeProducers, ({ topics }, context) => ({
      topics: topics.map((topic) => describeTopic(door, topic, context)),
    })),

    answers(describeTransactions, ({ transactionalIds }, context) => ({
      transactionStates: transactionalIds.map((transactionalId) => describeOne(door, transactionalId, context)),
    })),

    answers(listTransactions, (request, context) => list(door, request, context)),

    answers(writeTxnMarkers, async ({ markers }, context) => {
      const isAllowed =
        context.allows("alter", "cluster", clusterName) || context.allows("cluster-action", "cluster", clusterName);
      const written = [];
      for (const marker of markers) written.push(await writeMarker(door, marker, isAllowed));
      return { markers: written };
    }),
  ];
}

export function stateNameOf({ state, outcome }: Pick<TransactionInfo, "state" | "outcome">): StateName {
  if (state === "ongoing") return "Ongoing";
  if (state === "ending") return outcome === "commit" ? "PrepareCommit" : "PrepareAbort";
  if (outcome === undefined) return "Empty";
  return outcome === "commit" ? "CompleteCommit" : "CompleteAbort";
}

function describeTopic(
  door: TransactionDoor,
  { name, partitionIndexes }: ProducersTopic,
  context: RequestContext,
): DescribedTopic {
  const refusal = topicRefusal(door, name, context);
  return {
    name,
    partitions: partitionIndexes.map((partitionIndex) => {
      const nothing = { partitionIndex, errorMessage: null, activeProducers: [] };
      if (refusal !== 0) return { ...nothing, errorCode: refusal };
      try {
        const producers = door.engine.producers(name, partitionIndex);
        const activeProducers = producers.map((producer) => ({
          producerId: producer.producerId,
          producerEpoch: producer.epoch,
          lastSequence: producer.lastSequence,
          lastTimestamp: producer.lastTimestamp,
          coordinatorEpoch: producer.coordinatorEpoch,
          currentTxnStartOffset: producer.currentTransactionStartOffset,
        }));
        return { ...nothing, errorCode: 0, activeProducers };
      } catch (error) {
        return { ...nothing, errorCode: errorCodeOf(error) };
      }
    }),
  };
}

function topicRefusal(door: TransactionDoor, name: string, context: RequestContext): number {
  try {
    checkTopicName(name);
  } catch (error) {
    return errorCodeOf(error);
  }
  return findTopic(door.engine, context, "read", { name }).errorCode;
}

function describeOne(door: TransactionDoor, transactionalId: string, context: RequestContext): DescribedTransaction {
  const nothing = {
    transactionalId,
    transactionState: "",
    transactionTimeoutMs: 0,
    transactionStartTimeMs: 0,
    producerId: 0,
    producerEpoch: 0,
    topics: [],
  };
  if (!context.allows("describe", "transactional-id", transactionalId)) {
    return { ...nothing, errorCode: kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED };
  }
  if (transactionalId === "") return { ...nothing, errorCode: kafkaErrors.INVALID_REQUEST };
  let info: TransactionInfo | undefined;
  try {
    info = door.engine.transactions.describe(transactionalId);
  } catch (error) {
    return { ...nothing, errorCode: coordinatorErrorOf(error) };
  }
  if (!info) return { ...nothing, errorCode: kafkaErrors.TRANSACTIONAL_ID_NOT_FOUND };
  const byTopic = new Map<string, number[]>();
  for (const { topic, partition } of info.partitions) {
    if (!context.allows("describe", "topic", topic)) continue;
    const partitions = byTopic.get(topic);
    if (partitions) partitions.push(partition);
    else byTopic.set(topic, [partition]);
  }
  return {
    errorCode: 0,
    transactionalId,
    transactionState: stateNameOf(info),
    transactionTimeoutMs: info.timeoutMs ?? int32Max,
    transactionStartTimeMs: info.startedMs ?? -1,
    producerId: info.producerId,
    producerEpoch: info.epoch,
    topics: Array.from(byTopic, ([topic, partitions]) => ({ topic, partitions })),
  };
}

async function list(
  door: TransactionDoor,
  { stateFilters, producerIdFilters, durationFilter, transactionalIdPattern }: ListRequest,
  context: RequestContext,
): Promise<ResponseInput<typeof listTransactions>> {
  const pattern = transactionalIdPattern ? TopicPattern.compile(transactionalIdPattern) : undefined;
  if (pattern && "fault" in pattern) {
    const errorCode = kafkaErrors.INVALID_REGULAR_EXPRESSION;
    return { errorCode, unknownStateFilters: [], transactionStates: [] };
  }
  const nowMs = door.clock.now();
  const states: ReadonlySet<string> = new Set(stateFilters);
  const producerIds = new Set(producerIdFilters);
  const transactionStates = [];
  let matches = 0;
  let infos: readonly TransactionInfo[];
  try {
    infos = door.engine.transactions.list();
  } catch (error) {
    return { errorCode: coordinatorErrorOf(error), unknownStateFilters: [], transactionStates: [] };
  }
  for (const info of infos) {
    const { transactionalId, producerId } = info;
    const transactionState = stateNameOf(info);
    if (states.size > 0 && !states.has(transactionState)) continue;
    if (producerIds.size > 0 && !producerIds.has(producerId)) continue;
    if (durationFilter >= 0 && nowMs - (info.startedMs ?? -1) <= durationFilter) continue;
    if (!context.allows("describe", "transactional-id", transactionalId)) continue;
    if (pattern && ++matches % matchesPerTurn === 0) await nextTurn();
    if (pattern && !pattern.matches(transactionalId)) continue;
    transactionStates.push({ transactionalId, producerId, transactionState });
  }
  const unknownStateFilters = stateFilters.filter((name) => !stateNames.some((known) => known === name));
  return { errorCode: 0, unknownStateFilters, transactionStates };
}

async function writeMarker(door: TransactionDoor, marker: Marker, isAllowed: boolean) {
  const { producerId, topics } = marker;
  const written = [];
  for (const { name, partitionIndexes } of topics) {
    const partitions = [];
    for (const partitionIndex of partitionIndexes) {
      const errorCode = isAllowed
        ? await endIn(door, marker, name, partitionIndex)
        : kafkaErrors.CLUSTER_AUTHORIZATION_FAILED;
      partitions.push({ partitionIndex, errorCode });
    }
    written.push({ name, partitions });
  }
  return { producerId, topics: written };
}

async function endIn(
  { engine }: TransactionDoor,
  { producerId, producerEpoch, transactionResult }: Marker,
  topic: string,
  partition: number,
): Promise<number> {
  try {
    if (!transactionResult) {
      await engine.transactions.abortIn(topic, partition, { producerId, epoch: producerEpoch });
      return 0;
    }
    const known = engine.producers(topic, partition).find((producer) => producer.producerId === producerId);
    return (known?.currentTransactionStartOffset ?? -1) < 0 ? 0 : kafkaErrors.INVALID_TXN_STATE;
  } catch (error) {
    return errorCodeOf(error);
  }
}
