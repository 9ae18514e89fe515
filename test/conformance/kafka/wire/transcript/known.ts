/** Differences that are meant, with the reason for each. */
import { zeroUuid } from "../../../../../src/kafka/fields.ts";
import type { Found, Verdict } from "./run.ts";

interface Known {
  readonly api: RegExp;
  /** Of fields in the answer; all when there is none. */
  readonly place?: RegExp;
  readonly when?: (found: Found) => boolean;
  /** What follows cannot be compared any more. */
  readonly ends?: true;
  readonly why: string;
}

/** ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID; and what is said of transactions. */
const membership: ReadonlySet<unknown> = new Set([22, 25, 82]);
const transaction: ReadonlySet<unknown> = new Set([47, 48, 49, 90, 120]);

const known: readonly Known[] = [
  {
    api: /^DescribeTopicPartitions$/,
    when: ({ request }) => (request.responsePartitionLimit as number) < 1,
    why: "a limit below 1 is taken for 1; Kafka fails on it",
  },
  {
    api: /^DescribeTopicPartitions$/,
    when: ({ request }) => (request.topics as { name: string }[]).some(({ name }) => name === ""),
    why: "a topic without a name is INVALID_TOPIC_EXCEPTION; Kafka fails on it",
  },
  {
    api: /^Metadata$/,
    when: ({ request }) =>
      (request.topics as { name: string | null; topicId: string }[]).some(
        ({ name, topicId }) => name === null && topicId === zeroUuid,
      ),
    why: "a topic without name and id is the client's mistake; Kafka fails on it",
  },
  {
    api: /^CreateTopics$/,
    when: ({ request }) => newPartitionsOf(request) > 0x7fffffff,
    ends: true,
    why: "so many partitions are a POLICY_VIOLATION; Kafka's sum overflows",
  },
  {
    api: /^((Incremental)?AlterConfigs|CreateTopics)$/,
    place: /errorCode$/,
    when: ({ ours, request }) => ours === 40 && hasNoPolicy(request),
    ends: true,
    why: "a topic without any cleanup.policy is refused",
  },
  {
    api: /^IncrementalAlterConfigs$/,
    place: /errorCode$/,
    when: ({ ours, kafkas }) => (ours === 17 || ours === 42) && kafkas === 40,
    why: "of two mistakes the topic's name is told first",
  },
  {
    api: /^OffsetForLeaderEpoch$/,
    place: /(leaderEpoch|endOffset)$/,
    when: ({ request }) => JSON.stringify(request).includes('"leaderEpoch":-'),
    why: "there is no epoch below zero; Kafka answers with what it was asked for",
  },
  {
    api: /^Produce$/,
    place: /(logStartOffset|logAppendTimeMs)$/,
    when: ({ request, ours, kafkas }) => ours === -1 && (request.transactionalId !== null || (kafkas as number) > 0),
    why: "of a batch that comes again no time is known; and who is fenced is told no more",
  },
  {
    api: /^Produce$/,
    place: /errorCode$/,
    when: ({ request, ours }) => ours === 21 && Math.abs(request.acks as number) > 1,
    why: "acks that there are not are told before a transaction is looked at",
  },
  {
    api: /^Fetch$/,
    // Also of one that came into the session before.
    when: ({ answer }) => answer?.errorCode === -1,
    ends: true,
    why: "an id of zero is no topic's; Kafka fails on it",
  },
  {
    api: /^Produce$/,
    place: /(errorCode|baseOffset)$/,
    // Kafka may have markers there.
    when: ({ ours, answer }) => (ours === 45 || ours === -1) && /"baseOffset":[0-3],/.test(JSON.stringify(answer)),
    ends: true,
    why: "a producer's first batch in an empty partition begins at sequence 0; Kafka takes any",
  },
  {
    api: /^Produce$/,
    when: ({ step, ours, kafkas }) =>
      step.version >= 12 && ((ours === 45 && kafkas === 0) || (ours === 47 && kafkas === 45)),
    ends: true,
    why: "a producer that mixes both protocols of transactions is refused; Kafka holds it to the one that it has begun with",
  },
  {
    api: /^Fetch$/,
    place: /^sessionId$/,
    when: ({ ours, kafkas }) => ours !== 0 && kafkas !== 0,
    why: "who is asked twice makes two sessions",
  },
  {
    api: /^TxnOffsetCommit$/,
    place: /errorCode$/,
    when: ({ ours, kafkas }) => (ours === 48 || ours === 120) && kafkas === 0,
    ends: true,
    why: "the group must be in the transaction; Kafka is content when another group of the same partition of __consumer_offsets is",
  },
  {
    api: /^DescribeGroups$/,
    place: /(groupState|errorCode)$/,
    when: ({ ours, kafkas }) => (ours === "Dead" && kafkas === "Empty") || (ours === 69 && kafkas === 0),
    why: "a group without members and offsets is gone; Kafka keeps it until its next sweep",
  },
  {
    api: /^(DeleteGroups|OffsetDelete)$/,
    when: ({ ours, kafkas }) => (ours === 69 && kafkas === 0) || ours === undefined,
    why: "and so it cannot be deleted, nor offsets of it",
  },
  {
    api: /^ListGroups$/,
    place: /-consumers(\.|$)/,
    why: "in which state a group is follows from when it got its assignment",
  },
  {
    api: /^OffsetDelete$/,
    place: /partitions.*errorCode$/,
    when: ({ ours, kafkas }) => ours === 0 && kafkas === 86,
    why: "a group without members subscribes to nothing; while Kafka's rebalances it subscribes to everything",
  },
  {
    api: /^(Describe|List)Transactions$/,
    when: ({ kafkas }) => isOngoing(kafkas),
    ends: true,
    why: "a batch that is refused leaves its partition out of the transaction; Kafka has added it, and begun one",
  },
  {
    api: /^DescribeTransactions$/,
    place: /topics/,
    ends: true,
    why: "and so the partition is not among its partitions",
  },
  {
    api: /^EndTxn$/,
    when: ({ ours, answer }) => (ours === 48 || ours === -1) && answer?.errorCode === 0,
    ends: true,
    why: "and so there may be none to end",
  },
  {
    api: /^JoinGroup$/,
    place: /^(leader|members)/,
    when: ({ answer }) => answer?.errorCode === 0,
    ends: true,
    why: "which member leads when the leader has gone is the broker's choice",
  },
  {
    api: /^SyncGroup$/,
    place: /^$/,
    when: ({ ours }) => ours === "answers",
    ends: true,
    why: "a member that leaves while its sync waits is told; Kafka lets it wait",
  },
  {
    api: /^ConsumerGroupHeartbeat$/,
    place: /^(memberEpoch|assignment)/,
    why: "a second has to be between two assignments, and how much of it is over differs",
  },
  {
    api: /^ConsumerGroupDescribe$/,
    place: /(groupState|[eE]poch|ssignment.*)$/,
    why: "follows from it",
  },
  {
    api: /^(ConsumerGroupHeartbeat|JoinGroup)$/,
    when: ({ step, ours, kafkas }) => isOtherProtocol(step.api.name, ours, kafkas),
    ends: true,
    why: "a group has members of one protocol; Kafka converts it, one way and the other",
  },
  {
    api: /^(OffsetCommit|OffsetFetch|TxnOffsetCommit|AddOffsetsToTxn)$/,
    when: ({ request }) => request.groupId === "",
    ends: true,
    why: "a group without a name has no offsets",
  },
  {
    api: /^DeleteGroups$/,
    when: ({ ours, kafkas }) => ours === 68 && kafkas === 0,
    ends: true,
    why: "a group in which somebody was given an id, and has not joined yet, is not deleted",
  },
  {
    api: /^JoinGroup$/,
    place: /^errorCode$/,
    when: ({ ours, kafkas }) => ours === 25 && kafkas === 23,
    why: "there is no such member because the group is gone; Kafka has the group, and looks at the protocols first",
  },
  {
    api: /^ListGroups$/,
    place: /^groups\.[^.]*$/,
    when: ({ ours, kafkas }) =>
      ours === undefined && ["", "Empty"].includes((kafkas as { groupState: string }).groupState),
    why: "a group that only refused somebody, or that everybody has left, is gone",
  },
  {
    api: /^TxnOffsetCommit$/,
    place: /errorCode$/,
    when: ({ ours, kafkas }) => membership.has(ours) && transaction.has(kafkas),
    why: "whether the member is one is asked first, and the transaction after it",
  },
  {
    api: /^TxnOffsetCommit$/,
    place: /errorCode$/,
    when: ({ ours, kafkas }) => ours === 120 && kafkas === 48,
    why: "no transaction is open; Kafka's is still ending",
  },
  {
    api: /^EndTxn$/,
    when: ({ ours, kafkas, step, request, answer }) =>
      (ours === 90 && kafkas === 48) ||
      (step.version >= 5 && answer?.errorCode === 0 && answer.producerEpoch === (request.producerEpoch as number) + 1),
    ends: true,
    why: "an end that is repeated must be the last one; to Kafka any of the epoch before is",
  },
  {
    api: /^TxnOffsetCommit$/,
    place: /errorCode$/,
    when: ({ ours, kafkas }) => ours === 49 && (kafkas === 47 || kafkas === 0),
    ends: true,
    why: "the transactional id must be the producer's; Kafka's group coordinator looks at the producer alone",
  },
  {
    api: /^Produce$/,
    place: /errorCode$/,
    when: ({ step, ours, kafkas }) =>
      (ours === 48 || ours === 120) && (kafkas === 45 || (kafkas === 0 && step.version < 12)),
    ends: true,
    why: "a batch that is refused leaves its partition out of the transaction; Kafka adds it before",
  },
  {
    api: /^Fetch$/,
    place: /partitions/,
    when: ({ ours, kafkas }) => ours === 1 && kafkas === 0,
    ends: true,
    why: "without the markers of transactions that wrote nothing the partition ends before that offset",
  },
  {
    api: /^Fetch$/,
    when: ({ answer }) => answer?.errorCode === 70,
    ends: true,
    why: "Kafka has forgotten the session: the test leaves more of them than it keeps",
  },
  {
    api: /^Produce$/,
    place: /errorCode$/,
    when: ({ ours, kafkas }) => ours === 10 && transaction.has(kafkas),
    why: "of two mistakes the batch's size is told first",
  },
  {
    api: /^OffsetFetch$/,
    place: /topics\.[^.]*$/,
    when: ({ ours, kafkas }) => kafkas === undefined && JSON.stringify(ours).includes('"errorCode":88'),
    why: "of all offsets those are told as well that only an open transaction has; Kafka leaves them out",
  },
  {
    api: /^ListOffsets$/,
    place: /(timestamp|leaderEpoch)$/,
    when: ({ ours, request }) => ours === -1 && JSON.stringify(request).includes('"timestamp":-3'),
    why: "in an empty partition no record is the latest; Kafka tells the time of one that was deleted",
  },
  {
    api: /^OffsetCommit$/,
    place: /errorCode$/,
    when: ({ ours, kafkas }) => (ours === 22 || ours === 69) && kafkas === 25,
    why: "the group is gone; Kafka has it, and looks for the member first",
  },
  {
    api: /^JoinGroup$/,
    place: /^memberId$/,
    when: ({ answer }) => answer?.errorCode !== 0,
    why: "who is refused is told the id that it has sent",
  },
  {
    api: /^DescribeProducers$/,
    place: /coordinatorEpoch$/,
    why: "a marker tells it, and is not there where nothing was written",
  },
  {
    api: /^DescribeProducers$/,
    place: /lastSequence$/,
    when: ({ kafkas }) => kafkas === -1,
    why: "a marker has the epoch of its transaction, and keeps its sequences; Kafka's begins the next one",
  },
  {
    api: /^DescribeProducers$/,
    place: /producer #\d+$/,
    when: ({ ours, kafkas }) => ours === undefined && isMarkerAlone(kafkas),
    why: "a partition without records of the transaction gets no marker",
  },
  {
    api: /^(Produce|Fetch|ListOffsets|OffsetForLeaderEpoch|DescribeProducers)$/,
    place: /(Offset|offset|highWatermark|records(\[\d+\]\.\w+)?)$/,
    when: ({ place, ours, kafkas }) => /records/.test(place) || (ours as number) < (kafkas as number),
    why: "and so what follows has lower offsets; a marker becomes readable with its partition's next write",
  },
  {
    api: /^(DescribeProducers|Fetch)$/,
    place: /producerEpoch$/,
    why: "a marker has the epoch of its transaction; Kafka's has the next one",
  },
  {
    api: /^CreateTopics$/,
    place: /\.topicId$/,
    when: ({ request }) => request.validateOnly === true,
    why: "a topic that is not made has no id; Kafka tells one that it then forgets",
  },
];

function hasNoPolicy(request: Found["request"]): boolean {
  return /"cleanup.policy","value":("","configOperation":[01]|"[a-z,]+","configOperation":3|""\})/.test(
    JSON.stringify(request),
  );
}

function isOtherProtocol(api: string, ours: unknown, kafkas: unknown): boolean {
  if (api === "JoinGroup") return (ours === 23 || ours === 25) && (kafkas === 0 || kafkas === 79);
  return ours === 69 && kafkas === 0;
}

function isOngoing(state: unknown): boolean {
  return JSON.stringify(state)?.includes("Ongoing") ?? false;
}

function isMarkerAlone(producer: unknown): boolean {
  const { lastSequence, currentTxnStartOffset } = producer as { lastSequence: number; currentTxnStartOffset: number };
  return lastSequence === -1 && currentTxnStartOffset === -1;
}

function newPartitionsOf(request: Found["request"]): number {
  const topics = request.topics as { numPartitions: number; assignments: unknown[] }[];
  return topics.reduce((sum, { numPartitions, assignments }) => sum + Math.abs(numPartitions) + assignments.length, 0);
}

export function judge(found: Found): Verdict {
  const one = known.find(
    ({ api, place = /^/, when = () => true }) =>
      api.test(found.step.api.name) && place.test(found.place) && when(found),
  );
  if (one === undefined) return "different";
  return one.ends ? "ends" : "known";
}
