/**
 * Who is to have which partitions in a consumer group of KIP-848: pure functions of what members subscribe to, of how many
 * partitions topics have and of who was to have what. The same input gives the same answer, in whatever order members are.
 *
 * Always true: every partition of a topic that somebody subscribes to is one subscriber's. With `uniform` loads differ by one
 * at most where all subscribe to the same, and no assignment that is as even moves less; elsewhere no partition could
 * go to a subscriber who has at least two less.
 */
import { ascending, type Places } from "./consumer-partitions.ts";

export type ConsumerAssignor = "uniform" | "range";

/** The first is for members that leave the choice to the group. */
export const consumerAssignors: readonly ConsumerAssignor[] = ["uniform", "range"];

export interface AssignedMember {
  readonly memberId: string;
  /** What members are ordered by: it stays when a static member joins again. */
  readonly rank: string;
  /** Of topics that exist, each once. */
  readonly topicIds: readonly string[];
}

/** By member id, also of those who get nothing. */
export type ConsumerAssignment = ReadonlyMap<string, Places>;

export function assignConsumers(
  assignor: ConsumerAssignor,
  members: readonly AssignedMember[],
  /** Partitions of every topic that is subscribed to. */
  counts: ReadonlyMap<string, number>,
  /** What members were to have before. */
  before: (memberId: string) => Places | undefined,
): ConsumerAssignment {
  const ordered = [...members].sort((a, b) => compare(a.rank, b.rank) || compare(a.memberId, b.memberId));
  const topics = subscribersByTopic(ordered, counts);
  const draft = new Draft(ordered.length);
  if (assignor === "range") assignRanges(draft, topics);
  else assignUniformly(draft, topics, ordered, before);
  return new Map(ordered.map(({ memberId }, i) => [memberId, draft.placesOf(i)]));
}

interface SubscribedTopic {
  readonly topicId: string;
  readonly count: number;
  /** Places in the order of members. */
  readonly subscribers: readonly number[];
}

/** Who has what so far; members are numbers. */
class Draft {
  readonly loads: number[];
  readonly #places: Map<string, number[]>[];

  constructor(memberCount: number) {
    this.loads = new Array<number>(memberCount).fill(0);
    this.#places = Array.from({ length: memberCount }, () => new Map());
  }

  load(member: number): number {
    return this.loads[member] as number;
  }

  give(member: number, topicId: string, partition: number): void {
    this.loads[member] = this.load(member) + 1;
    const places = this.#places[member] as Map<string, number[]>;
    const partitions = places.get(topicId);
    if (partitions) partitions.push(partition);
    else places.set(topicId, [partition]);
  }

  /** One of the topic's partitions, away from who has it; undefined when it has none. */
  take(member: number, topicId: string): number | undefined {
    const partition = this.#places[member]?.get(topicId)?.pop();
    if (partition !== undefined) this.loads[member] = this.load(member) - 1;
    return partition;
  }

  has(member: number, topicId: string): boolean {
    return (this.#places[member]?.get(topicId)?.length ?? 0) > 0;
  }

  placesOf(member: number): Places {
    const places = this.#places[member] as Map<string, number[]>;
    return new Map([...places].filter(([, all]) => all.length > 0).map(([id, all]) => [id, all.sort(ascending)]));
  }
}

/** Topics in order, each with its subscribers in order. */
function subscribersByTopic(
  ordered: readonly AssignedMember[],
  counts: ReadonlyMap<string, number>,
): readonly SubscribedTopic[] {
  const byTopic = new Map<string, number[]>();
  for (const [i, { topicIds }] of ordered.entries()) {
    for (const topicId of topicIds) {
      const subscribers = byTopic.get(topicId);
      if (subscribers) subscribers.push(i);
      else byTopic.set(topicId, [i]);
    }
  }
  return [...byTopic]
    .sort(([a], [b]) => compare(a, b))
    .map(([topicId, subscribers]) => ({ topicId, count: counts.get(topicId) ?? 0, subscribers }));
}

/** Neighbours of each topic, and the same ones of topics that have as many partitions. */
function assignRanges(draft: Draft, topics: readonly SubscribedTopic[]): void {
  for (const { topicId, count, subscribers } of topics) {
    const share = Math.floor(count / subscribers.length);
    const larger = count % subscribers.length;
    let next = 0;
    for (const [i, member] of subscribers.entries()) {
      const end = next + share + (i < larger ? 1 : 0);
      while (next < end) draft.give(member, topicId, next++);
    }
  }
}

function assignUniformly(
  draft: Draft,
  topics: readonly SubscribedTopic[],
  ordered: readonly AssignedMember[],
  before: (memberId: string) => Places | undefined,
): void {
  const isHomogeneous = topics.every(({ subscribers }) => subscribers.length === ordered.length);
  const holders = holdersOf(topics, ordered, before);
  if (isHomogeneous) assignEvenly(draft, topics, holders);
  else assignSelectively(draft, topics, holders);
}

/** By topic: who was to have each partition and still subscribes to it; -1 for nobody. */
function holdersOf(
  topics: readonly SubscribedTopic[],
  ordered: readonly AssignedMember[],
  before: (memberId: string) => Places | undefined,
): ReadonlyMap<string, readonly number[]> {
  const holders = new Map(topics.map(({ topicId, count }) => [topicId, new Array<number>(count).fill(-1)]));
  for (const [i, { memberId, topicIds }] of ordered.entries()) {
    const places = before(memberId);
    if (!places) continue;
    for (const topicId of topicIds) {
      const holder = holders.get(topicId);
      for (const partition of places.get(topicId) ?? []) if (holder?.[partition] === -1) holder[partition] = i;
    }
  }
  return holders;
}

/** Who had more than the share keeps one more as long as there are such; what is left over goes round to who has less. */
function assignEvenly(
  draft: Draft,
  topics: readonly SubscribedTopic[],
  holders: ReadonlyMap<string, readonly number[]>,
): void {
  const memberCount = draft.loads.length;
  const total = topics.reduce((sum, { count }) => sum + count, 0);
  const share = Math.floor(total / memberCount);
  const held = new Array<number>(memberCount).fill(0);
  for (const holder of holders.values()) for (const i of holder) if (i >= 0) held[i] = (held[i] as number) + 1;
  const quotas = new Array<number>(memberCount).fill(share);
  let larger = total % memberCount;
  for (const hasMore of [true, false]) {
    for (let i = 0; larger > 0 && i < memberCount; i++) {
      if ((held[i] as number) > share !== hasMore) continue;
      quotas[i] = share + 1;
      larger--;
    }
  }
  const free: [topicId: string, partition: number][] = [];
  for (const { topicId } of topics) {
    for (const [partition, i] of (holders.get(topicId) ?? []).entries()) {
      if (i >= 0 && draft.load(i) < (quotas[i] as number)) draft.give(i, topicId, partition);
      else free.push([topicId, partition]);
    }
  }
  let turn = 0;
  for (const [topicId, partition] of free) {
    while (draft.load(turn) >= (quotas[turn] as number)) turn = (turn + 1) % memberCount;
    draft.give(turn, topicId, partition);
    turn = (turn + 1) % memberCount;
  }
}

/**
 * Everybody keeps what it had; what nobody had goes to the subscriber that has least, topics that few could take first; then
 * partitions go from who has more to who has at least two less. Each such step makes the sum of the squares of the loads
 * smaller, so it ends.
 */
function assignSelectively(
  draft: Draft,
  topics: readonly SubscribedTopic[],
  holders: ReadonlyMap<string, readonly number[]>,
): void {
  const scarce = [...topics].sort((a, b) => a.subscribers.length - b.subscribers.length);
  for (const { topicId } of scarce) {
    for (const [partition, i] of (holders.get(topicId) ?? []).entries()) if (i >= 0) draft.give(i, topicId, partition);
  }
  for (const { topicId, subscribers } of scarce) {
    for (const [partition, i] of (holders.get(topicId) ?? []).entries()) {
      if (i < 0) draft.give(leastOf(draft, subscribers), topicId, partition);
    }
  }
  for (let hasMoved = true; hasMoved; ) {
    hasMoved = false;
    for (const topic of scarce) if (evenOut(draft, topic)) hasMoved = true;
  }
}

/** Within one topic; true when something has moved. */
function evenOut(draft: Draft, { topicId, subscribers }: SubscribedTopic): boolean {
  for (let hasMoved = false; ; hasMoved = true) {
    const giver = mostOf(draft, subscribers, topicId);
    const taker = leastOf(draft, subscribers);
    if (giver === undefined || draft.load(giver) < draft.load(taker) + 2) return hasMoved;
    draft.give(taker, topicId, draft.take(giver, topicId) as number);
  }
}

function leastOf(draft: Draft, subscribers: readonly number[]): number {
  let least = subscribers[0] as number;
  for (const i of subscribers) if (draft.load(i) < draft.load(least)) least = i;
  return least;
}

/** Of those who have a partition of the topic. */
function mostOf(draft: Draft, subscribers: readonly number[], topicId: string): number | undefined {
  let most: number | undefined;
  for (const i of subscribers) {
    if ((most === undefined || draft.load(i) > draft.load(most)) && draft.has(i, topicId)) most = i;
  }
  return most;
}

/** By code unit: the same on every machine. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
