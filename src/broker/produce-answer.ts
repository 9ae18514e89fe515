/**
 * Produce: each batch goes to the log as the client made it, and is answered when it is durable, whatever `acks` says; with
 * `acks=0` there is no answer, and a refusal closes the connection, which is all that such a client can notice.
 *
 * Always true: all batches of a request have their places before the handler first waits, so that the next request of
 * the connection may begin.
 */
import { MillraceError } from "../base/errors.ts";
import type { TopicInfo } from "../engine/engine.ts";
import { produce } from "../kafka/apis/produce.ts";
import type { RequestOf, ResponseInput } from "../kafka/fields.ts";
import { errorCodeOf, kafkaErrors } from "../kafka/kafka-errors.ts";
import {
  batchAttributes,
  batchField,
  batchHeaderBytes,
  batchLengthOverheadBytes,
  isTransactional,
} from "../records/batch-header.ts";
import { type Misfit, misfitWords } from "../registry/topic-schemas.ts";
import type { DoorContext } from "./door-context.ts";
import { type Answer, answers, type RequestContext } from "./handler.ts";
import { checkPartition, findTopic } from "./topic-access.ts";

type ProduceRequest = RequestOf<typeof produce>;
type TopicAnswer = ResponseInput<typeof produce>["responses"][number];
type PartitionAnswer = TopicAnswer["partitionResponses"][number];

/** Produce 12 on begins transactions by itself (KIP-890). */
const implicitTransactionsFrom = 12;
/** Produce 11 on knows TRANSACTION_ABORTABLE (KIP-890). */
const abortableFrom = 11;
/** Produce 13 on names topics by id (KIP-516). */
const topicIdsFrom = 13;
/** zstd came with Produce 7 (KIP-110). */
const zstdFrom = 7;
const zstdCodec = 4;
const magicPosition = batchField.magic;
/** Of any format. */
const leastBytes = batchLengthOverheadBytes + 14;

export function produceAnswer(door: DoorContext): Answer {
  return answers(produce, (request, context) => answerProduce(door, request, context), { pipelined: true });
}

async function answerProduce(
  door: DoorContext,
  request: ProduceRequest,
  context: RequestContext,
): Promise<ResponseInput<typeof produce> | null> {
  const refusal = refusalOf(request, context);
  let bytes = 0;
  const topics = request.topicData.map((wanted) => {
    const named = context.apiVersion >= topicIdsFrom ? { topicId: wanted.topicId } : { name: wanted.name };
    const { topic, errorCode } = findTopic(door.engine, context, "write", named);
    const partitions = wanted.partitionData.map(({ index, records }) => {
      bytes += records?.length ?? 0;
      if (refusal !== 0 || !topic) return Promise.resolve(failed(index, refusal || errorCode));
      return append(door, { topic, partition: index, records, request }, context);
    });
    return { name: wanted.name, topicId: wanted.topicId, partitions };
  });
  const responses = await Promise.all(
    topics.map(async ({ name, topicId, partitions }): Promise<TopicAnswer> => {
      return { name, topicId, partitionResponses: await Promise.all(partitions) };
    }),
  );
  const throttleTimeMs = door.quotas.record("produce", context.principal, context.clientId, bytes);
  context.throttle(throttleTimeMs);
  if (request.acks !== 0) return { responses, throttleTimeMs };
  const isRefused = responses.some(({ partitionResponses }) => partitionResponses.some((one) => one.errorCode !== 0));
  if (isRefused) context.closeAfter("a Produce with acks=0 was refused");
  return null;
}

/** What refuses the whole request, or 0. */
function refusalOf(request: ProduceRequest, context: RequestContext): number {
  const { transactionalId } = request;
  const isInTransaction = request.topicData.some(({ partitionData }) =>
    partitionData.some(({ records }) => isBatch(records) && isTransactional(batchAttributes(records))),
  );
  if (!isInTransaction) return 0;
  if (transactionalId === null || !context.allows("write", "transactional-id", transactionalId)) {
    return kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
  }
  return 0;
}

interface WantedAppend {
  readonly topic: TopicInfo;
  readonly partition: number;
  readonly records: Buffer | null;
  readonly request: ProduceRequest;
}

async function append(
  door: DoorContext,
  { topic, partition, records, request: { transactionalId, acks } }: WantedAppend,
  { apiVersion }: RequestContext,
): Promise<PartitionAnswer> {
  // What comes before tells nothing of the log.
  let isAsked = false;
  try {
    checkPartition(topic, partition);
    if (topic.readOnly) {
      throw new MillraceError("TOPIC_READ_ONLY", `topic ${topic.name} is written by Millrace only`);
    }
    const batch = oneBatch(records, apiVersion);
    if (acks < -1 || acks > 1) return failed(partition, kafkaErrors.INVALID_REQUIRED_ACKS);
    isAsked = true;
    door.schemas?.checkBatch(topic.name, batch);
    const { baseOffset, appendTimeMs } = await door.engine.append({
      topic: topic.name,
      partition,
      batch,
      ...(transactionalId !== null && {
        transactionalId,
        transactionVersion: apiVersion >= implicitTransactionsFrom ? 2 : 1,
      }),
    });
    const { logStart } = door.engine.offsets(topic.name, partition);
    return {
      index: partition,
      errorCode: 0,
      baseOffset,
      logAppendTimeMs: appendTimeMs,
      logStartOffset: logStart,
    };
  } catch (error) {
    const errorCode = refusedAppend(errorCodeOf(error), apiVersion);
    const isFenced = errorCode === kafkaErrors.INVALID_PRODUCER_EPOCH && transactionalId !== null;
    const isTold = isAsked && !isFenced && !withoutStart.has(errorCode);
    const logStartOffset = isTold ? logStartOf(door, topic, partition) : -1;
    return { ...failed(partition, errorCode), logStartOffset, ...explained(error) };
  }
}

/** A batch of a transaction that the partition is not part of has an error of its own since KIP-890. */
function refusedAppend(errorCode: number, apiVersion: number): number {
  const isAbortable = errorCode === kafkaErrors.INVALID_TXN_STATE && apiVersion >= abortableFrom;
  return isAbortable ? kafkaErrors.TRANSACTION_ABORTABLE : errorCode;
}

/** Errors with which Kafka says nothing of the log. */
const withoutStart: ReadonlySet<number> = new Set([
  kafkaErrors.INVALID_TXN_STATE,
  kafkaErrors.TRANSACTION_ABORTABLE,
  kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION,
  kafkaErrors.NOT_LEADER_OR_FOLLOWER,
  kafkaErrors.MESSAGE_TOO_LARGE,
  kafkaErrors.RECORD_LIST_TOO_LARGE,
  kafkaErrors.CORRUPT_MESSAGE,
  kafkaErrors.KAFKA_STORAGE_ERROR,
]);

function logStartOf(door: DoorContext, { name }: TopicInfo, partition: number): number {
  try {
    return door.engine.offsets(name, partition).logStart;
  } catch {
    return -1;
  }
}

/** Throws `RECORD_INVALID` and `BATCH_CORRUPT`: from version 3 on there is one batch, whole, and of format 2. */
function oneBatch(records: Buffer | null, apiVersion: number): Buffer {
  if (records === null || records.length <= magicPosition) throw invalid("there is no record batch");
  const sizeBytes = records.readInt32BE(batchField.batchLength) + batchLengthOverheadBytes;
  const magic = records.readInt8(magicPosition);
  const isFormat = magic >= 0 && magic <= 2;
  if (sizeBytes < leastBytes || !isFormat) throw new MillraceError("BATCH_CORRUPT", "this is no record batch");
  if (sizeBytes > records.length) throw invalid("there is no whole record batch");
  if (magic !== 2) throw invalid(`the message format is ${magic}, and 2 is the only one`);
  if (!isBatch(records)) throw new MillraceError("BATCH_CORRUPT", "the record batch is shorter than its header");
  if (sizeBytes < records.length) throw invalid("there is more than one record batch");
  if (apiVersion < zstdFrom && (batchAttributes(records) & 7) === zstdCodec) {
    throw new MillraceError("COMPRESSION_UNSUPPORTED", `zstd needs version ${zstdFrom} of Produce`);
  }
  return records;
}

function isBatch(records: Buffer | null): records is Buffer {
  return records !== null && records.length >= batchHeaderBytes;
}

function failed(index: number, errorCode: number): PartitionAnswer {
  return { index, errorCode, baseOffset: -1, logAppendTimeMs: -1, logStartOffset: -1 };
}

/** Which records are at fault, as far as the error names them (KIP-467). */
function explained(error: unknown): Pick<PartitionAnswer, "recordErrors" | "errorMessage"> {
  if (!MillraceError.is(error)) return {};
  return {
    errorMessage: error.message,
    recordErrors: recordErrorsOf(error).map(({ batchIndex, message }) => ({
      batchIndex,
      batchIndexErrorMessage: message,
    })),
  };
}

interface RecordError {
  readonly batchIndex: number;
  readonly message: string;
}

/** Of the log, or of the schema of the topic. */
function recordErrorsOf({ code, details }: MillraceError): readonly RecordError[] {
  if (code !== "SCHEMA_MISMATCH") return (details.recordErrors ?? []) as readonly RecordError[];
  const misfits = (details.events ?? []) as readonly Misfit[];
  return misfits.map((misfit) => ({ batchIndex: misfit.index, message: misfitWords(misfit) }));
}

function invalid(message: string): MillraceError {
  return new MillraceError("RECORD_INVALID", message);
}
