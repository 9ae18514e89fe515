/**
 * What producers ask of the coordinator: InitProducerId, AddPartitionsToTxn and EndTxn; and what operators ask
 * (transaction-admin-answers.ts). What an error means depends on the version, since older clients know fewer.
 *
 * Not here: AddOffsetsToTxn and TxnOffsetCommit, which are the groups'.
 */
import { clusterName } from "../../access/access-rules.ts";
import { MillraceError } from "../../base/errors.ts";
import type { ProducerIdentity, TransactionInfo } from "../../engine/engine.ts";
import { addPartitionsToTxn } from "../../kafka/apis/add-partitions-to-txn.ts";
import { endTxn } from "../../kafka/apis/end-txn.ts";
import { initProducerId } from "../../kafka/apis/init-producer-id.ts";
import type { RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import { checkPartition, findTopic } from "../topic-access.ts";
import { transactionAdminAnswers } from "./transaction-admin-answers.ts";
import { coordinatorErrorOf, type TransactionDoor, transactionTimeoutMsMaxDefault } from "./transaction-door.ts";

type InitRequest = RequestOf<typeof initProducerId>;
type AddRequest = RequestOf<typeof addPartitionsToTxn>;
type AddTopic = AddRequest["v3AndBelowTopics"][number];
type TopicResult = NonNullable<ResponseInput<typeof addPartitionsToTxn>["resultsByTopicV3AndBelow"]>[number];

/** The first version of each API whose clients know PRODUCER_FENCED. */
const fencedFrom = { initProducerId: 4, addPartitionsToTxn: 2, endTxn: 2 } as const;
/** Of ids that this process uses itself. */
const ownPrefixes = ["_millrace", "millrace.http."];
/** From this version on it is a batch, which only brokers send. */
const brokersAddFrom = 4;
/** From this version on the epoch grows with the end of a transaction (KIP-890). */
const epochGrowsFrom = 5;

export function transactionAnswers(door: TransactionDoor): Answer[] {
  return [
    answers(initProducerId, (request, context) => answerInit(door, request, context)),
    answers(addPartitionsToTxn, (request, context) => answerAdd(door, request, context)),
    answers(endTxn, async ({ transactionalId, producerId, producerEpoch, committed }, context) => {
      if (!context.allows("write", "transactional-id", transactionalId)) {
        return { errorCode: kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED };
      }
      if (transactionalId === "") return { errorCode: kafkaErrors.INVALID_REQUEST };
      const producer = { producerId, epoch: producerEpoch };
      try {
        const next = await door.engine.transactions.end(transactionalId, producer, committed ? "commit" : "abort", {
          transactionVersion: context.apiVersion >= epochGrowsFrom ? 2 : 1,
        });
        return { errorCode: 0, producerId: next.producerId, producerEpoch: next.epoch };
      } catch (error) {
        return { errorCode: coordinatorErrorOf(error, context.apiVersion, fencedFrom.endTxn) };
      }
    }),
    ...transactionAdminAnswers(door),
  ];
}

async function answerInit(
  door: TransactionDoor,
  request: InitRequest,
  context: RequestContext,
): Promise<ResponseInput<typeof initProducerId>> {
  try {
    const { producerId, epoch } = await initialise(door, request, context);
    return { errorCode: 0, producerId, producerEpoch: epoch };
  } catch (error) {
    const errorCode =
      error instanceof Refused
        ? error.errorCode
        : coordinatorErrorOf(error, context.apiVersion, fencedFrom.initProducerId);
    return { errorCode, producerId: -1, producerEpoch: -1 };
  }
}

/** Of the door itself. */
class Refused extends Error {
  readonly errorCode: number;

  constructor(errorCode: number) {
    super("refused");
    this.errorCode = errorCode;
  }
}

async function initialise(
  door: TransactionDoor,
  { transactionalId, transactionTimeoutMs, producerId, producerEpoch }: InitRequest,
  context: RequestContext,
): Promise<ProducerIdentity> {
  const { transactions } = door.engine;
  if (transactionalId === null) {
    if (!mayBeIdempotent(door, context)) throw new Refused(kafkaErrors.CLUSTER_AUTHORIZATION_FAILED);
  } else if (isOwn(transactionalId) || !context.allows("write", "transactional-id", transactionalId)) {
    throw new Refused(kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
  }
  if ((producerId === -1) !== (producerEpoch === -1)) throw new Refused(kafkaErrors.INVALID_REQUEST);
  // Whatever it says it has: a producer without an id is given a new one.
  if (transactionalId === null) return await transactions.newProducerId();
  if (transactionalId === "") throw new Refused(kafkaErrors.INVALID_REQUEST);
  const timeoutMsMax = door.transactionTimeoutMsMax ?? transactionTimeoutMsMaxDefault;
  if (transactionTimeoutMs <= 0 || transactionTimeoutMs > timeoutMsMax) {
    throw new MillraceError(
      "TRANSACTION_TIMEOUT_INVALID",
      `a transaction may be open for at most ${timeoutMsMax} ms, not ${transactionTimeoutMs}`,
    );
  }
  const producer = producerId === -1 ? {} : { producer: { producerId, epoch: producerEpoch } };
  return await transactions.init(transactionalId, transactionTimeoutMs, producer);
}

/** Of the units of work in this process: taking one would end what it does. */
function isOwn(transactionalId: string): boolean {
  return ownPrefixes.some((prefix) => transactionalId.startsWith(prefix));
}

function mayBeIdempotent(door: TransactionDoor, context: RequestContext): boolean {
  if (context.allows("idempotent-write", "cluster", clusterName)) return true;
  if (door.mayWriteSomewhere) return door.mayWriteSomewhere(context);
  return door.engine.topics().some(({ name, readOnly }) => !readOnly && context.allows("write", "topic", name));
}

async function answerAdd(
  door: TransactionDoor,
  request: AddRequest,
  context: RequestContext,
): Promise<ResponseInput<typeof addPartitionsToTxn>> {
  if (context.apiVersion < brokersAddFrom) {
    const { v3AndBelowTransactionalId: transactionalId, v3AndBelowTopics: topics } = request;
    const producer = { producerId: request.v3AndBelowProducerId, epoch: request.v3AndBelowProducerEpoch };
    const resultsByTopicV3AndBelow = context.allows("write", "transactional-id", transactionalId)
      ? await add(door, { transactionalId, producer, topics }, context)
      : everyPartition(topics, kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    return { resultsByTopicV3AndBelow };
  }
  if (!context.allows("cluster-action", "cluster", clusterName)) {
    return { errorCode: kafkaErrors.CLUSTER_AUTHORIZATION_FAILED };
  }
  const resultsByTransaction = [];
  for (const { transactionalId, producerId, producerEpoch, verifyOnly, topics } of request.transactions) {
    const wanted = { transactionalId, producer: { producerId, epoch: producerEpoch }, topics };
    const topicResults = verifyOnly ? verify(door, wanted) : await add(door, wanted, context);
    resultsByTransaction.push({ transactionalId, topicResults });
  }
  return { resultsByTransaction };
}

interface WantedPartitions {
  readonly transactionalId: string;
  readonly producer: ProducerIdentity;
  readonly topics: readonly AddTopic[];
}

/** All of them or none. */
async function add(door: TransactionDoor, wanted: WantedPartitions, context: RequestContext): Promise<TopicResult[]> {
  const { transactionalId, producer, topics } = wanted;
  const refused = topics.map((topic) => refusalsOf(door, topic, context));
  if (refused.some((codes) => codes.some((code) => code !== 0))) {
    return topics.map(({ name, partitions }, i) => ({
      name,
      resultsByPartition: partitions.map((partitionIndex, j) => {
        return { partitionIndex, partitionErrorCode: refused[i]?.[j] || kafkaErrors.OPERATION_NOT_ATTEMPTED };
      }),
    }));
  }
  if (transactionalId === "") return everyPartition(topics, kafkaErrors.INVALID_REQUEST);
  const partitions = topics.flatMap(({ name, partitions: numbers }) => {
    return numbers.map((partition) => ({ topic: name, partition }));
  });
  try {
    await door.engine.transactions.addPartitions(transactionalId, producer, partitions);
    return everyPartition(topics, 0);
  } catch (error) {
    return everyPartition(topics, coordinatorErrorOf(error, context.apiVersion, fencedFrom.addPartitionsToTxn));
  }
}

/** By partition; 0 where there is nothing against it. */
function refusalsOf(door: TransactionDoor, { name, partitions }: AddTopic, context: RequestContext): number[] {
  const isOfBroker = context.apiVersion >= brokersAddFrom;
  const { topic, errorCode } = findTopic(door.engine, isOfBroker ? { allows: () => true } : context, "write", { name });
  return partitions.map((partition) => {
    if (!topic) return errorCode;
    if (topic.readOnly) return kafkaErrors.TOPIC_AUTHORIZATION_FAILED;
    try {
      checkPartition(topic, partition);
      return 0;
    } catch {
      return kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION;
    }
  });
}

/** What a broker asks before it takes a batch: whether the partitions are in the transaction. */
function verify(door: TransactionDoor, { transactionalId, producer, topics }: WantedPartitions): TopicResult[] {
  let known: TransactionInfo | undefined;
  try {
    known = door.engine.transactions.describe(transactionalId);
  } catch (error) {
    return everyPartition(topics, coordinatorErrorOf(error));
  }
  if (!known || known.producerId !== producer.producerId) {
    return everyPartition(topics, kafkaErrors.INVALID_PRODUCER_ID_MAPPING);
  }
  if (known.epoch !== producer.epoch) return everyPartition(topics, kafkaErrors.PRODUCER_FENCED);
  if (known.state === "ending") return everyPartition(topics, kafkaErrors.CONCURRENT_TRANSACTIONS);
  const added = new Set(known.partitions.map(({ topic, partition }) => `${topic}/${partition}`));
  return topics.map(({ name, partitions }) => ({
    name,
    resultsByPartition: partitions.map((partitionIndex) => {
      const isAdded = added.has(`${name}/${partitionIndex}`);
      return { partitionIndex, partitionErrorCode: isAdded ? 0 : kafkaErrors.TRANSACTION_ABORTABLE };
    }),
  }));
}

function everyPartition(topics: readonly AddTopic[], partitionErrorCode: number): TopicResult[] {
  return topics.map(({ name, partitions }) => ({
    name,
    resultsByPartition: partitions.map((partitionIndex) => ({ partitionIndex, partitionErrorCode })),
  }));
}
