/**
 * A consumer group of KIP-848 (Kafka's new protocol): who is in it, and what each heartbeat changes. It does no I/O; times are
 * those of one monotonic clock.
 *
 * What members subscribe to, and which topics there are, make an epoch of the group. For an epoch a target is computed, at
 * most once in `assignmentIntervalMs`; members come to it one heartbeat after the other (consumer-member.ts).
 *
 * Always true: of no partition there are two owners; epochs of the group and of its target never go back. `revision` is another
 * one whenever something is that must outlive the process.
 */
import { assignConsumers, type ConsumerAssignor, consumerAssignors } from "./consumer-assignors.ts";
import {
  type ConsumerHeartbeat,
  epochFault,
  type HeartbeatAnswer,
  type HeartbeatRefusal,
  isFull,
  joinEpoch,
  refusal,
  withNews,
} from "./consumer-heartbeat.ts";
import {
  asAway,
  awayEpoch,
  bytesOf,
  type ConsumerMember,
  isReconciled,
  isSameSubscription,
  newMember,
  reconcile,
} from "./consumer-member.ts";
import { PartitionOwners } from "./consumer-owners.ts";
import { isSame, noPlaces, type Places, placesOf } from "./consumer-partitions.ts";
import { ConsumerTopics, type GroupTopic, type KeptTopics } from "./consumer-topics.ts";
import type { CommitClaim, GroupErrorName } from "./group-directory.ts";

export interface ConsumerGroupSettings {
  readonly sessionTimeoutMs: number;
  readonly assignmentIntervalMs: number;
  readonly patternRefreshMs: number;
  readonly membersMax: number;
  /** Of what members say of themselves, about. */
  readonly memberBytesMax: number;
}

/** What outlives the process. */
export interface KeptConsumerGroup extends KeptTopics {
  readonly epoch: number;
  /** For which the target is. */
  readonly targetEpoch: number;
  readonly members: readonly ConsumerMember[];
  readonly targets: ReadonlyMap<string, Places>;
}

/** As Kafka spells them. */
export type ConsumerGroupState = "Empty" | "Assigning" | "Reconciling" | "Stable";

export interface RemovedMember {
  readonly memberId: string;
  /** `expired`: no heartbeat; `slow`: did not let go of partitions in time. */
  readonly reason: "expired" | "slow";
}

/** Of an offset that is to be committed. */
export interface CommitPlace {
  readonly topicId: string;
  readonly partition: number;
}

interface Deadlines {
  readonly sessionEndMs: number;
  /** Null while the member has nothing to let go of. */
  readonly revokeEndMs: number | null;
}

export interface ConsumerGroupParts {
  readonly groupId: string;
  readonly settings: ConsumerGroupSettings;
  readonly topicOf: (name: string) => GroupTopic | undefined;
}

export class ConsumerGroup {
  readonly topics: ConsumerTopics;
  readonly #groupId: string;
  readonly #settings: ConsumerGroupSettings;
  readonly #members = new Map<string, ConsumerMember>();
  readonly #deadlines = new Map<string, Deadlines>();
  /** Member ids by instance id. */
  readonly #instances = new Map<string, string>();
  readonly #owners = new PartitionOwners();
  #targets: Map<string, Places>;
  /** Kafka's groups begin with it. */
  #epoch = 1;
  #targetEpoch = 0;
  /** When the target was computed; null when not in this process. */
  #targetMs: number | null = null;
  #memberBytes = 0;
  #revision = 0;

  constructor({ groupId, settings, topicOf }: ConsumerGroupParts, kept?: KeptConsumerGroup, nowMs = 0) {
    this.#groupId = groupId;
    this.#settings = settings;
    this.topics = new ConsumerTopics({ topicOf, patternRefreshMs: settings.patternRefreshMs }, kept);
    this.#targets = new Map(kept?.targets);
    if (!kept) return;
    this.#epoch = kept.epoch;
    this.#targetEpoch = kept.targetEpoch;
    for (const member of kept.members) {
      this.#put(member);
      this.#deadlines.set(member.memberId, this.#deadlinesOf(member, nowMs));
    }
    this.#revision = 0;
  }

  get revision(): number {
    return this.#revision;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get targetEpoch(): number {
    return this.#targetEpoch;
  }

  get members(): ReadonlyMap<string, ConsumerMember> {
    return this.#members;
  }

  get kept(): KeptConsumerGroup {
    const members = [...this.#members.values()];
    const targets = new Map(this.#targets);
    return { ...this.topics.kept, epoch: this.#epoch, targetEpoch: this.#targetEpoch, members, targets };
  }

  get state(): ConsumerGroupState {
    if (this.#members.size === 0) return "Empty";
    if (this.#epoch > this.#targetEpoch) return "Assigning";
    for (const member of this.#members.values()) if (!isReconciled(member, this.#targetEpoch)) return "Reconciling";
    return "Stable";
  }

  /** The one that most members ask for. */
  get assignor(): ConsumerAssignor {
    return this.#assignorOf(this.#members.values());
  }

  /** When somebody's time is over; undefined when nobody is there. */
  get nextDeadlineMs(): number | undefined {
    let next: number | undefined;
    for (const memberId of this.#deadlines.keys()) {
      const endMs = this.deadlineOf(memberId);
      if (next === undefined || (endMs !== undefined && endMs < next)) next = endMs;
    }
    return next;
  }

  deadlineOf(memberId: string): number | undefined {
    const deadlines = this.#deadlines.get(memberId);
    return deadlines && Math.min(deadlines.sessionEndMs, deadlines.revokeEndMs ?? deadlines.sessionEndMs);
  }

  targetOf(memberId: string): Places {
    return this.#targets.get(memberId) ?? noPlaces;
  }

  /** All topics that members subscribe to by name or by pattern. */
  subscribed(): ReadonlySet<string> {
    return new Set([...this.#members.values()].flatMap((member) => this.topics.namesOf(member)));
  }

  /** Why a heartbeat that stays or joins would be refused; undefined when it would be taken. */
  refusalOf(heartbeat: ConsumerHeartbeat): HeartbeatRefusal | undefined {
    const { memberId, memberEpoch, instanceId, topicPartitions } = heartbeat;
    const { membersMax } = this.#settings;
    const known = this.#members.get(memberId);
    if (!known && this.#members.size >= membersMax) {
      const message = `The consumer group has reached its maximum capacity of ${membersMax} members.`;
      return refusal("GROUP_MAX_SIZE_REACHED", message);
    }
    if (instanceId === null) {
      if (known) return epochFault(known, memberEpoch, topicPartitions);
      return memberEpoch === joinEpoch ? undefined : this.#unknown(memberId);
    }
    const holder = this.#holderOf(instanceId);
    if (memberEpoch !== joinEpoch) {
      return this.#staticFault(holder, heartbeat) ?? epochFault(holder as ConsumerMember, memberEpoch, topicPartitions);
    }
    if (!holder || (holder.epoch === awayEpoch && (!known || known === holder))) return undefined;
    const message =
      `Static member ${memberId} with instance id ${instanceId} cannot join the group because the instance id is owned by ` +
      `${holder.memberId} member.`;
    return refusal("UNRELEASED_INSTANCE_ID", message);
  }

  /**
   * Of a member that joins or stays; one that is new has a member id by now. `resolved` are the patterns that were due
   * (`ConsumerTopics.patternsDue`).
   */
  heartbeat(
    heartbeat: ConsumerHeartbeat,
    nowMs: number,
    resolved: ReadonlyMap<string, readonly string[]> = new Map(),
  ): HeartbeatAnswer | HeartbeatRefusal {
    const refused = this.refusalOf(heartbeat);
    if (refused) return refused;
    const replaced = this.#replacedBy(heartbeat);
    const before = this.#memberBefore(heartbeat, replaced);
    const member = withNews(before, heartbeat);
    const bytes = this.#memberBytes + bytesOf(member) - bytesOf(this.#members.get(before.memberId));
    if (member !== before && bytes > this.#settings.memberBytesMax) {
      const message = "The members of the consumer group subscribe to more than can be kept.";
      return refusal("GROUP_MAX_SIZE_REACHED", message);
    }
    if (replaced) this.#replace(replaced, before);
    const hasSubscriptionChanged = !isSameSubscription(before, member);
    const hasResolvedAnew = this.topics.resolve(resolved, nowMs);
    this.#renewEpoch(member, hasSubscriptionChanged || hasResolvedAnew);
    this.#renewTarget(member, nowMs);
    const reconciled = this.#reconcile(member, hasSubscriptionChanged, heartbeat);
    this.#put(reconciled);
    const deadlines = this.#deadlinesOf(reconciled, nowMs);
    const { revokeEndMs } = this.#deadlines.get(reconciled.memberId) ?? deadlines;
    const isAsBefore = reconciled === member && revokeEndMs !== null && deadlines.revokeEndMs !== null;
    this.#deadlines.set(reconciled.memberId, isAsBefore ? { ...deadlines, revokeEndMs } : deadlines);
    const isTold =
      heartbeat.memberEpoch === joinEpoch || isFull(heartbeat) || !isSame(before.assigned, reconciled.assigned);
    return {
      outcome: "answered",
      memberId: reconciled.memberId,
      memberEpoch: reconciled.epoch,
      assignment: isTold ? placesOf(reconciled.assigned) : null,
    };
  }

  /** Of a member that leaves, for good (-1) or to come back with its instance id (-2). */
  leave(heartbeat: ConsumerHeartbeat): HeartbeatAnswer | HeartbeatRefusal {
    const { memberId, memberEpoch, instanceId } = heartbeat;
    const member = instanceId === null ? this.#members.get(memberId) : this.#holderOf(instanceId);
    if (!member && instanceId === null) return this.#unknown(memberId);
    const fault = instanceId === null ? undefined : this.#staticFault(member, heartbeat);
    if (fault || !member) return fault ?? this.#unknown(memberId);
    if (memberEpoch === awayEpoch) {
      this.#put(asAway(member));
      const { sessionEndMs } = this.#deadlines.get(memberId) as Deadlines;
      this.#deadlines.set(memberId, { sessionEndMs, revokeEndMs: null });
    } else {
      this.#remove(member);
    }
    return { outcome: "answered", memberId, memberEpoch, assignment: null };
  }

  /** Removes whose time is over. */
  expire(nowMs: number): RemovedMember[] {
    const removed: RemovedMember[] = [];
    for (const [memberId, { sessionEndMs, revokeEndMs }] of [...this.#deadlines]) {
      const isExpired = sessionEndMs <= nowMs;
      if (!isExpired && (revokeEndMs === null || revokeEndMs > nowMs)) continue;
      this.#remove(this.#members.get(memberId) as ConsumerMember);
      removed.push({ memberId, reason: isExpired ? "expired" : "slow" });
    }
    return removed;
  }

  /**
   * May these offsets be committed (Kafka's validateOffsetCommit)? An older epoch is good for partitions that the member
   * has had since then (KIP-1251): for those that are named by `place`, and for none where none is named.
   */
  commitCheck(claim: CommitClaim, place?: CommitPlace): GroupErrorName {
    const { memberId, instanceId, generationOrEpoch: epoch, apiVersion, isTransactional } = claim;
    if (epoch < 0 && this.#members.size === 0) return "NONE";
    if (isTransactional && epoch === -1 && memberId === "" && instanceId === null) return "NONE";
    const member = this.#members.get(memberId);
    if (!member) return "UNKNOWN_MEMBER_ID";
    if (!isTransactional && apiVersion < 9) return "UNSUPPORTED_VERSION";
    if (epoch === member.epoch) return "NONE";
    if (epoch > member.epoch || !place) return "STALE_MEMBER_EPOCH";
    const { topicId, partition } = place;
    const since = member.assigned.get(topicId)?.get(partition) ?? member.revoking.get(topicId)?.get(partition);
    return since !== undefined && epoch >= since ? "NONE" : "STALE_MEMBER_EPOCH";
  }

  /** May offsets be fetched (Kafka's validateOffsetFetch)? */
  fetchCheck(memberId: string | null, memberEpoch: number): GroupErrorName {
    if (memberId === null && memberEpoch < 0) return "NONE";
    const member = this.#members.get(memberId ?? "");
    if (!member) return "UNKNOWN_MEMBER_ID";
    return memberEpoch === member.epoch ? "NONE" : "STALE_MEMBER_EPOCH";
  }

  #holderOf(instanceId: string): ConsumerMember | undefined {
    const memberId = this.#instances.get(instanceId);
    return memberId === undefined ? undefined : this.#members.get(memberId);
  }

  #staticFault(holder: ConsumerMember | undefined, heartbeat: ConsumerHeartbeat): HeartbeatRefusal | undefined {
    const { memberId, instanceId } = heartbeat;
    if (!holder) return refusal("UNKNOWN_MEMBER_ID", `Instance id ${instanceId} is unknown.`);
    if (holder.memberId === memberId) return undefined;
    const message = `Static member ${memberId} with instance id ${instanceId} was fenced by member ${holder.memberId}.`;
    return refusal("FENCED_INSTANCE_ID", message);
  }

  #unknown(memberId: string): HeartbeatRefusal {
    return refusal("UNKNOWN_MEMBER_ID", `Member ${memberId} is not a member of group ${this.#groupId}.`);
  }

  /** The static member that has left and whose place is taken. */
  #replacedBy({ memberEpoch, instanceId }: ConsumerHeartbeat): ConsumerMember | undefined {
    return memberEpoch === joinEpoch && instanceId !== null ? this.#holderOf(instanceId) : undefined;
  }

  #memberBefore({ memberId }: ConsumerHeartbeat, replaced: ConsumerMember | undefined): ConsumerMember {
    if (replaced) return { ...replaced, memberId, epoch: 0, previousEpoch: 0 };
    return this.#members.get(memberId) ?? newMember(memberId);
  }

  #replace(old: ConsumerMember, next: ConsumerMember): void {
    const target = this.targetOf(old.memberId);
    this.#take(old);
    this.#targets.set(next.memberId, target);
    this.#put(next);
  }

  /** Another epoch when the group's members want something else, or there are other topics for them. */
  #renewEpoch(member: ConsumerMember, isDue: boolean): void {
    if (!isDue && !this.topics.isOld) return;
    const hasOtherTopics = this.topics.refresh(this.#membersWith(member));
    if (!isDue && !hasOtherTopics) return;
    this.#epoch++;
    this.#revision++;
  }

  #renewTarget(member: ConsumerMember, nowMs: number): void {
    if (this.#epoch <= this.#targetEpoch) return;
    if (this.#targetMs !== null && nowMs < this.#targetMs + this.#settings.assignmentIntervalMs) return;
    const members = [...this.#membersWith(member)];
    const wanted = members.map((each) => ({
      memberId: each.memberId,
      rank: each.instanceId ?? each.memberId,
      topicIds: this.topics.idsOf(each),
    }));
    const before = (memberId: string) => this.#targets.get(memberId);
    this.#targets = new Map(assignConsumers(this.#assignorOf(members), wanted, this.topics.counts(), before));
    this.#targetEpoch = this.#epoch;
    this.#targetMs = nowMs;
    this.#revision++;
  }

  #reconcile(
    member: ConsumerMember,
    hasSubscriptionChanged: boolean,
    { topicPartitions }: ConsumerHeartbeat,
  ): ConsumerMember {
    if (!hasSubscriptionChanged && isReconciled(member, this.#targetEpoch)) return member;
    return reconcile(member, {
      topicIds: new Set(this.topics.idsOf(member)),
      targetEpoch: this.#targetEpoch,
      target: this.targetOf(member.memberId),
      hasSubscriptionChanged,
      owned: topicPartitions,
      isOwned: (topicId, partition) => this.#owners.has(topicId, partition),
    });
  }

  *#membersWith(member: ConsumerMember): Iterable<ConsumerMember> {
    let isNew = true;
    for (const each of this.#members.values()) {
      const isIt = each.memberId === member.memberId;
      if (isIt) isNew = false;
      yield isIt ? member : each;
    }
    if (isNew) yield member;
  }

  #assignorOf(members: Iterable<ConsumerMember>): ConsumerAssignor {
    const votes = new Map<string, number>();
    for (const { assignor } of members) if (assignor) votes.set(assignor, (votes.get(assignor) ?? 0) + 1);
    let most = consumerAssignors[0] as ConsumerAssignor;
    for (const assignor of consumerAssignors) {
      if ((votes.get(assignor) ?? 0) > (votes.get(most) ?? 0)) most = assignor;
    }
    return most;
  }

  #deadlinesOf({ state, epoch, rebalanceTimeoutMs }: ConsumerMember, nowMs: number): Deadlines {
    const hasToRevoke = state === "unrevoked" && epoch !== awayEpoch;
    return {
      sessionEndMs: nowMs + this.#settings.sessionTimeoutMs,
      revokeEndMs: hasToRevoke ? nowMs + Math.max(0, rebalanceTimeoutMs) : null,
    };
  }

  #put(member: ConsumerMember): void {
    const before = this.#members.get(member.memberId);
    if (before === member) return;
    if (before) this.#release(before);
    this.#members.set(member.memberId, member);
    this.#memberBytes += bytesOf(member) - bytesOf(before);
    if (member.instanceId !== null) this.#instances.set(member.instanceId, member.memberId);
    this.#owners.add(member);
    this.#revision++;
  }

  /** What it owned is anybody's, and its instance id too. */
  #release(member: ConsumerMember): void {
    if (member.instanceId !== null) this.#instances.delete(member.instanceId);
    this.#owners.release(member);
  }

  #take(member: ConsumerMember): void {
    this.#release(member);
    this.#members.delete(member.memberId);
    this.#deadlines.delete(member.memberId);
    this.#targets.delete(member.memberId);
    this.#memberBytes -= bytesOf(member);
    this.#revision++;
  }

  #remove(member: ConsumerMember): void {
    this.#take(member);
    this.topics.refresh(this.#members.values());
    this.#epoch++;
  }
}
