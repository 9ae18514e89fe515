/**
 * Fetch: batches as they stand in the log, from many partitions in one answer, after a wait for enough of them
 * (`minBytes`, at most `maxWaitMs`).
 *
 * Always true: the first batch that there is is answered, however large (KIP-74); nothing past the high watermark is, nor
 * past the last stable offset to a reader of committed records; and what answers hold until they are sent has a bound.
 */
import { MillraceError } from "../base/errors.ts";
import type { ReadPlace } from "../engine/embedded/embedded-engine.ts";
import type { Isolation, PartitionOffsets, ReadResult } from "../engine/engine.ts";
import { fetch } from "../kafka/apis/fetch.ts";
import { type RequestOf, type ResponseInput, zeroUuid } from "../kafka/fields.ts";
import { errorCodeOf, kafkaErrors } from "../kafka/kafka-errors.ts";
import { batchAttributes } from "../records/batch-header.ts";
import { nodeId } from "./broker-node.ts";
import type { DoorContext } from "./door-context.ts";
import type { FetchPlan, FetchSessions, WantedPartition } from "./fetch-sessions.ts";
import { type Answer, answers, type RequestContext } from "./handler.ts";
import { checkPartition, findTopic } from "./topic-access.ts";

type FetchRequest = RequestOf<typeof fetch>;
type FetchResponse = ResponseInput<typeof fetch>;
type TopicAnswer = FetchResponse["responses"][number];
type PartitionAnswer = TopicAnswer["partitions"][number];

/** Fetch 13 on names topics by id (KIP-516). */
const topicIdsFrom = 13;
/** zstd came with Fetch 10 (KIP-110). */
const zstdFrom = 10;
const zstdCodec = 4;
const readCommitted = 1;
/** A fetch may always have so much, whatever others hold. */
const bytesAlways = 64 * 1024;

interface ReadPartition {
  readonly wanted: WantedPartition;
  readonly answer: PartitionAnswer;
  /** Read for it, whether or not they are answered. */
  readonly batches: readonly Buffer[];
  /** Of those that are answered. */
  readonly bytes: number;
  /** Undefined for a partition that has an error: it is not waited for. */
  readonly watch: { readonly topic: string; readonly partition: number; readonly offset: number } | undefined;
}

export function fetchAnswer(door: DoorContext, sessions: FetchSessions): Answer {
  return answers(fetch, (request, context) => answerFetch(door, sessions, request, context));
}

async function answerFetch(
  door: DoorContext,
  sessions: FetchSessions,
  request: FetchRequest,
  context: RequestContext,
): Promise<FetchResponse> {
  if (request.replicaId >= 0 || request.replicaState.replicaId >= 0) {
    return { errorCode: kafkaErrors.CLUSTER_AUTHORIZATION_FAILED, responses: [] };
  }
  const planned = sessions.plan({
    sessionId: request.sessionId,
    sessionEpoch: request.sessionEpoch,
    usesIds: context.apiVersion >= topicIdsFrom,
    wanted: wantedOf(request),
    forgotten: request.forgottenTopicsData.flatMap(({ topic, topicId, partitions }) =>
      partitions.map((partition) => ({ topic, topicId, partition })),
    ),
  });
  if (planned.kind === "error") return { errorCode: planned.errorCode, responses: [] };
  const { plan } = planned;
  const read = await readEnough(door, plan, request, context);
  const bytes = bytesOf(read);
  context.afterSent(() => letGo(door, read));
  const throttleTimeMs = door.quotas.record("fetch", context.principal, context.clientId, bytes);
  context.throttle(throttleTimeMs);
  const told = read.filter(({ wanted, answer, bytes: answered }) =>
    plan.tells(wanted, {
      errorCode: answer.errorCode,
      highWatermark: answer.highWatermark,
      logStart: answer.logStartOffset ?? -1,
      hasRecords: answered > 0,
    }),
  );
  return {
    throttleTimeMs,
    errorCode: 0,
    sessionId: plan.sessionId,
    responses: byTopic(told),
    ...(context.apiVersion >= 16 && { nodeEndpoints: endpointsOf(door, told, context) }),
  };
}

/**
 * Reads, and again when more has come, until there is enough, something is wrong, or the time is up. What was read is held in
 * `fetchMemory`.
 */
async function readEnough(
  door: DoorContext,
  plan: FetchPlan,
  request: FetchRequest,
  context: RequestContext,
): Promise<ReadPartition[]> {
  const untilMs = door.clock.monotonicMs() + Math.max(0, request.maxWaitMs);
  for (;;) {
    const read = await readAll(door, plan, request, context);
    const bytes = bytesOf(read);
    const isEnough = bytes >= Math.min(request.minBytes, bytesMaxOf(door, request));
    const isWrong = read.some(({ answer }) => answer.errorCode !== 0);
    const leftMs = untilMs - door.clock.monotonicMs();
    if (isEnough || isWrong || leftMs <= 0 || context.signal.aborted || read.length === 0) return read;
    letGo(door, read);
    await grown(door, read, isolationOf(request), leftMs, context.signal);
  }
}

async function readAll(
  door: DoorContext,
  { partitions }: FetchPlan,
  request: FetchRequest,
  context: RequestContext,
): Promise<ReadPartition[]> {
  const read: ReadPartition[] = [];
  let left = bytesMaxOf(door, request);
  let isFirst = true;
  for (const wanted of partitions) {
    // Held while it is read: others that read at the same time see that it is taken.
    const reserved = Math.max(0, Math.min(left, wanted.bytesMax));
    door.fetchMemory.hold(reserved);
    const one = await readOne(door, wanted, { isolation: isolationOf(request), left, isFirst }, context);
    door.fetchMemory.giveBack(reserved - one.bytes);
    if (one.bytes > 0) isFirst = false;
    left -= one.bytes;
    read.push(one);
  }
  return read;
}

/** Nobody looks at what was read any more. */
function letGo(door: DoorContext, read: readonly ReadPartition[]): void {
  door.fetchMemory.giveBack(bytesOf(read));
  for (const { batches } of read) door.engine.letGo({ batches });
}

function bytesOf(read: readonly ReadPartition[]): number {
  return read.reduce((sum, { bytes }) => sum + bytes, 0);
}

interface Allowance {
  readonly isolation: Isolation;
  readonly left: number;
  /** Nothing has been read yet: one batch is answered whatever its size. */
  readonly isFirst: boolean;
}

async function readOne(
  door: DoorContext,
  wanted: WantedPartition,
  { isolation, left, isFirst }: Allowance,
  context: RequestContext,
): Promise<ReadPartition> {
  const byId = context.apiVersion >= topicIdsFrom;
  const found = findTopic(door.engine, context, "read", byId ? { topicId: wanted.topicId } : { name: wanted.topic });
  if (!found.topic) return refused(wanted, found.errorCode);
  const { name } = found.topic;
  try {
    checkPartition(found.topic, wanted.partition);
    const { partition, fetchOffset: offset } = wanted;
    const ends = door.engine.offsets(name, partition);
    const epochError = checkEpoch(ends.leaderEpoch, wanted.currentLeaderEpoch);
    if (epochError !== 0) return refused(wanted, epochError);
    const diverging = divergingEpoch(door, name, wanted, ends.leaderEpoch);
    const allowed = Math.min(wanted.bytesMax, left);
    const bytesMax = diverging || (allowed <= 0 && !isFirst) ? 0 : Math.max(1, allowed);
    const place = { topic: name, partition, offset, isolation };
    const result = bytesMax > 0 ? await door.engine.read({ ...place, bytesMax }) : endsOnly(ends, offset);
    const bytes = result.batches.reduce((sum, { length }) => sum + length, 0);
    const fits = bytesMax > 0 && (isFirst || bytes <= bytesMax);
    const end = isolation === "read_committed" ? result.lastStable : result.highWatermark;
    return {
      wanted,
      answer: {
        ...readAnswer(wanted, result, fits, isolation, context.apiVersion),
        ...(diverging && { divergingEpoch: diverging }),
      },
      batches: result.batches,
      bytes: fits ? bytes : 0,
      watch: { topic: name, partition, offset: Math.max(end, offset) },
    };
  } catch (error) {
    return refused(wanted, errorCodeOf(error));
  }
}

/** For a partition that has no room in the answer: it costs no read. Throws `OFFSET_OUT_OF_RANGE`, as reading does. */
function endsOnly(ends: PartitionOffsets, offset: number): ReadResult {
  if (offset >= ends.logStart && offset <= ends.highWatermark)
    return { ...ends, batches: [], aborted: [], throttleMs: 0 };
  throw new MillraceError("OFFSET_OUT_OF_RANGE", `offset ${offset} is not in the partition`);
}

function readAnswer(
  { partition }: WantedPartition,
  { batches, aborted, highWatermark, lastStable, logStart }: ReadResult,
  fits: boolean,
  isolation: Isolation,
  apiVersion: number,
): PartitionAnswer {
  if (apiVersion < zstdFrom && batches.some((batch) => (batchAttributes(batch) & 7) === zstdCodec)) {
    throw new MillraceError("COMPRESSION_UNSUPPORTED", `zstd needs version ${zstdFrom} of Fetch`);
  }
  return {
    partitionIndex: partition,
    errorCode: 0,
    highWatermark,
    lastStableOffset: lastStable,
    logStartOffset: logStart,
    abortedTransactions: isolation === "read_committed" ? (fits ? aborted : []) : null,
    records: fits ? batches : [],
  };
}

/** Errors that come before anything of the partition is looked at. */
const unread: ReadonlySet<number> = new Set([
  kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION,
  kafkaErrors.UNKNOWN_TOPIC_ID,
  kafkaErrors.TOPIC_AUTHORIZATION_FAILED,
]);

function refused(wanted: WantedPartition, errorCode: number): ReadPartition {
  const answer: PartitionAnswer = {
    partitionIndex: wanted.partition,
    errorCode,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    // As Kafka has it: null where the partition itself was asked.
    abortedTransactions: unread.has(errorCode) ? [] : null,
    records: [],
  };
  return { wanted, answer, batches: [], bytes: 0, watch: undefined };
}

/** KIP-320; -1 for a client that does not say which epoch it knows. */
export function checkEpoch(current: number, known: number): number {
  if (known === -1 || known === current) return 0;
  return known < current ? kafkaErrors.FENCED_LEADER_EPOCH : kafkaErrors.UNKNOWN_LEADER_EPOCH;
}

/** Where the log parts from what the reader has seen (KIP-595); undefined when it does not. */
function divergingEpoch(
  door: DoorContext,
  topic: string,
  { partition, lastFetchedEpoch, fetchOffset }: WantedPartition,
  current: number,
) {
  if (lastFetchedEpoch < 0) return undefined;
  const end = lastFetchedEpoch <= current ? door.engine.endOfEpoch(topic, partition, lastFetchedEpoch) : undefined;
  if (!end) throw new MillraceError("OFFSET_OUT_OF_RANGE", `leader epoch ${lastFetchedEpoch} is not known any more`);
  return end.epoch < lastFetchedEpoch || end.endOffset < fetchOffset ? end : undefined;
}

/** Resolves when one of the partitions has grown, the time is up or the signal is aborted. */
function grown(
  door: DoorContext,
  read: readonly ReadPartition[],
  isolation: Isolation,
  waitMs: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const unwatch: (() => void)[] = [];
    const done = () => {
      timer.cancel();
      signal.removeEventListener("abort", done);
      for (const stop of unwatch) stop();
      resolve();
    };
    const timer = door.clock.after(waitMs, done);
    signal.addEventListener("abort", done, { once: true });
    for (const { watch } of read) {
      if (!watch) continue;
      const stop = watchOf(door, { ...watch, isolation }, done);
      if (!stop) {
        done();
        return;
      }
      unwatch.push(stop);
    }
  });
}

/** Undefined also for a topic that was deleted meanwhile: the next read says so. */
function watchOf(door: DoorContext, place: ReadPlace, wake: () => void): (() => void) | undefined {
  try {
    return door.engine.watch(place, wake);
  } catch {
    return undefined;
  }
}

function wantedOf(request: FetchRequest): WantedPartition[] {
  return request.topics.flatMap(({ topic, topicId, partitions }) =>
    partitions.map((one) => ({
      topic,
      topicId,
      partition: one.partition,
      currentLeaderEpoch: one.currentLeaderEpoch,
      fetchOffset: one.fetchOffset,
      lastFetchedEpoch: one.lastFetchedEpoch,
      bytesMax: one.partitionMaxBytes,
    })),
  );
}

function byTopic(read: readonly ReadPartition[]): TopicAnswer[] {
  const topics = new Map<string, TopicAnswer & { readonly partitions: PartitionAnswer[] }>();
  for (const { wanted, answer } of read) {
    const { topic, topicId } = wanted;
    const key = topicId === zeroUuid ? topic : topicId;
    const known = topics.get(key);
    if (known) known.partitions.push(answer);
    else topics.set(key, { topic, topicId, partitions: [answer] });
  }
  return [...topics.values()];
}

/** A reader with another leader epoch learns from this whom to ask. */
function endpointsOf(door: DoorContext, read: readonly ReadPartition[], context: RequestContext) {
  const isFenced = read.some(({ answer }) => answer.errorCode === kafkaErrors.FENCED_LEADER_EPOCH);
  return isFenced ? [{ nodeId, ...door.node.endpoint(context), rack: null }] : [];
}

function isolationOf({ isolationLevel }: FetchRequest): Isolation {
  return isolationLevel === readCommitted ? "read_committed" : "read_uncommitted";
}

function bytesMaxOf(door: DoorContext, { maxBytes }: FetchRequest): number {
  const free = Math.max(bytesAlways, door.fetchMemory.freeBytes);
  return Math.max(0, Math.min(maxBytes, door.limits.fetchBytesMax, free));
}
