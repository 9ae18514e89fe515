/**
 * One membership in a group on a cluster, by the classic protocol (join, sync, heartbeat, leave; KIP-345, KIP-429): it joins
 * again whenever the coordinator, its user or its topics make that necessary, and tells its handle what came of it.
 *
 * Always true: the coordinator hears of the member for as long as its user does, and not longer; when it has not answered for a
 * session the membership is over here, before the coordinator gives its partitions to others. What the user may be at is said to
 * be so in every join.
 */
import type { Timer } from "../../base/clock.ts";
import { MillraceError } from "../../base/errors.ts";
import { heartbeat } from "../../kafka/apis/heartbeat.ts";
import { joinGroup } from "../../kafka/apis/join-group.ts";
import { leaveGroup } from "../../kafka/apis/leave-group.ts";
import { syncGroup } from "../../kafka/apis/sync-group.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { CheckedJoin } from "../group-checks.ts";
import type { MemberHandle } from "../group-member.ts";
import { type ClusterClient, leadsElsewhere } from "./cluster-client.ts";
import { decodeAssignment, decodeSubscription, encodeAssignment, encodeSubscription } from "./group-messages.ts";
import { planAssignments } from "./group-plan.ts";
import { assertNone, KafkaError, type KafkaErrorLabel, logClosed, toMillraceError } from "./kafka-error.ts";

export const ownProtocolType = "millrace";

/** What the coordinator knows the member by. */
export interface Standing {
  readonly coordinatorId: string;
  readonly generation: number;
}

export interface MembershipParts {
  readonly client: ClusterClient;
  readonly join: CheckedJoin;
  readonly memberId: string;
  readonly heartbeatMs: number;
  /** Partitions of a topic; 0 when there is none. */
  readonly partitionsOf: (topic: string) => number;
  /** It has another standing, or what others have may be another. */
  readonly changed: () => void;
  /** It is over. */
  readonly ended: () => void;
}

/** Kafka's group.min.session.timeout.ms and group.max.session.timeout.ms; how long it is here is counted here. */
const coordinatorSessionMsMin = 6_000;
const coordinatorSessionMsMax = 30 * 60_000;
/** Beyond what the coordinator itself may wait for others. */
const answerWaitMs = 30_000;
const leaveWaitMs = 3_000;

const rejoinLabels: ReadonlySet<KafkaErrorLabel> = new Set<KafkaErrorLabel>([
  "REBALANCE_IN_PROGRESS",
  "ILLEGAL_GENERATION",
]);

let lanes = 0;

export class GroupMembership {
  readonly #parts: MembershipParts;
  readonly #handle: MemberHandle;
  readonly #lane = `group-${++lanes}`;
  readonly #joinedMs: number;
  readonly #over = new AbortController();
  #standing: Standing = { coordinatorId: "", generation: 0 };
  /** What was assigned last. */
  #told: readonly string[] = [];
  /** What the coordinator was told that the member has. */
  #published: readonly string[] = [];
  /** As the one that leads has seen them; null in one that does not. */
  #counts: ReadonlyMap<string, number> | null = null;
  #joining: Promise<void> | undefined;
  #isStanding = false;
  #mustJoin = false;
  #heardMs: number;
  #userMs: number;
  /** Since when something has to be let go of. */
  #revokedSinceMs: number | undefined;
  #timer: Timer | undefined;

  constructor(parts: MembershipParts, handle: (membership: GroupMembership) => MemberHandle) {
    this.#parts = parts;
    this.#joinedMs = parts.client.clock.now();
    this.#heardMs = parts.client.clock.monotonicMs();
    this.#userMs = this.#heardMs;
    this.#handle = handle(this);
  }

  get handle(): MemberHandle {
    return this.#handle;
  }

  get topics(): readonly string[] {
    return this.#parts.join.member.topics;
  }

  /** Rejects with what the coordinator refuses. */
  async start(): Promise<void> {
    try {
      await this.#join();
      this.#handle.take();
    } catch (error) {
      this.end(toMillraceError(error));
      throw error;
    }
    this.#beatLater();
  }

  /** By now: after a rebalance that is under way, if there is one. Throws what ended the membership. */
  async standing(): Promise<Standing> {
    while (!this.#isStanding || this.#joining) {
      this.#assertMember();
      await (this.#joining ?? this.#join()).catch(() => undefined);
    }
    this.#assertMember();
    return this.#standing;
  }

  /** The user is there. Throws what ended the membership. */
  async beat(): Promise<void> {
    this.#userMs = this.#nowMs;
    await this.#heartbeat();
    this.#assertMember();
  }

  /** The user has let go of what was revoked. */
  released(): void {
    this.#revokedSinceMs = undefined;
    if (this.#hasLetGo()) this.#joinSoon();
  }

  /** Topics have come, gone or grown: whoever leads assigns anew. */
  topicsChanged(): void {
    if (!this.#counts || !this.#isStanding) return;
    for (const [topic, count] of this.#counts) {
      if (this.#parts.partitionsOf(topic) !== count) {
        this.#joinSoon();
        return;
      }
    }
  }

  /** Whose time is over is none any more. */
  checkTime(): void {
    if (this.#over.signal.aborted) return;
    const { sessionTimeoutMs, rebalanceTimeoutMs } = this.#parts.join.member;
    const nowMs = this.#nowMs;
    if (nowMs - this.#userMs >= sessionTimeoutMs) {
      this.#remove("sent no heartbeat in time and was removed from");
      return;
    }
    const isMember = this.#standing.generation > 0;
    if (isMember && nowMs - this.#heardMs >= sessionTimeoutMs) {
      this.#remove("could not reach the coordinator in time of");
      return;
    }
    if (this.#revokedSinceMs !== undefined && nowMs - this.#revokedSinceMs >= rebalanceTimeoutMs) {
      this.#remove("did not let go in time of what a rebalance took away, and was removed from");
    }
  }

  /** A static member that does not leave for good is awaited for the rest of its session. */
  async leave(forGood: boolean): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.end(this.#gone("has left"));
    if (this.#parts.join.member.instanceId === null || forGood) await this.#sayGoodbye();
  }

  /** The engine is closed. */
  async close(): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.end(logClosed());
    if (this.#parts.join.member.instanceId === null) await this.#sayGoodbye();
  }

  /** The coordinator, or the time, has ended it. */
  end(error: MillraceError): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort(error);
    this.#isStanding = false;
    this.#timer?.cancel();
    this.#handle.end(error);
    void this.#parts.client.closeLane(this.#lane);
    this.#parts.ended();
  }

  /** What the coordinator answers to something that was asked as this member; true when it can be asked again. */
  async refused(error: unknown): Promise<boolean> {
    if (!(error instanceof KafkaError)) return false;
    const { group, member } = this.#parts.join;
    if (error.label === "UNKNOWN_MEMBER_ID") this.end(this.#gone("was removed from"));
    else if (error.label === "FENCED_INSTANCE_ID") this.end(fenced(group, this.#parts.memberId, member.instanceId));
    this.#assertMember();
    if (!rejoinLabels.has(error.label)) return false;
    this.#joinSoon();
    return true;
  }

  get #nowMs(): number {
    return this.#parts.client.clock.monotonicMs();
  }

  /** One at a time; whoever asks meanwhile gets one more. */
  #joinSoon(): void {
    this.#mustJoin = true;
    if (!this.#joining && !this.#over.signal.aborted) this.#join().catch(() => undefined);
  }

  #join(): Promise<void> {
    this.#joining ??= this.#joinUntilSettled().finally(() => {
      this.#joining = undefined;
      if (this.#mustJoin && !this.#over.signal.aborted) this.#joinSoon();
    });
    return this.#joining;
  }

  async #joinUntilSettled(): Promise<void> {
    const { client, join } = this.#parts;
    const what = `joining consumer group ${join.group}`;
    this.#isStanding = false;
    try {
      for (;;) {
        this.#mustJoin = false;
        const isDone = await client.persistAtCoordinator("group", join.group, what, (node) => this.#joinOnce(node), {
          signal: this.#over.signal,
        });
        if (isDone) break;
      }
    } catch (error) {
      if (this.#over.signal.aborted) throw this.#over.signal.reason;
      // A start that is refused is its caller's to hear of; later it is the end.
      if (this.#standing.generation > 0) this.end(await this.#endOf(error));
      throw error;
    }
    this.#isStanding = true;
    this.#heardMs = this.#nowMs;
    this.#parts.changed();
    if (this.#hasLetGo()) this.#mustJoin = true;
  }

  async #endOf(error: unknown): Promise<MillraceError> {
    try {
      await this.refused(error);
    } catch (ended) {
      return toMillraceError(ended);
    }
    const { message } = toMillraceError(error);
    return new MillraceError("GROUP_MEMBER_UNKNOWN", `${this.#gone("could not stay in").message}: ${message}`, {
      cause: error,
    });
  }

  /** False when it has to be done again. */
  async #joinOnce(node: number): Promise<boolean> {
    const { client, join, memberId } = this.#parts;
    const { member, group, assignor } = join;
    const held = this.#handle.held();
    const kept = [...this.#told];
    const keptSet = new Set(kept);
    const releasing = [...held].filter((place) => !keptSet.has(place));
    const published = [...kept, ...releasing];
    const { topics, metadata } = member;
    const said = encodeSubscription({ memberId, joinedMs: this.#joinedMs, topics, metadata, kept, releasing });
    const joined = await client.ask(
      node,
      this.#lane,
      joinGroup,
      {
        groupId: group,
        sessionTimeoutMs: Math.min(Math.max(member.sessionTimeoutMs, coordinatorSessionMsMin), coordinatorSessionMsMax),
        rebalanceTimeoutMs: member.rebalanceTimeoutMs,
        memberId: this.#standing.coordinatorId,
        groupInstanceId: member.instanceId,
        protocolType: ownProtocolType,
        protocols: [{ name: assignor, metadata: said }],
      },
      { timeoutMs: member.rebalanceTimeoutMs + answerWaitMs, versionMin: 5 },
    );
    const what = `joining consumer group ${group}`;
    const error = joined.errorCode === 0 ? undefined : new KafkaError(joined.errorCode, what);
    if (error?.label === "MEMBER_ID_REQUIRED") {
      this.#standing = { coordinatorId: joined.memberId, generation: 0 };
      return false;
    }
    if (error) throw error;
    this.#standing = { coordinatorId: joined.memberId, generation: joined.generationId };
    this.#published = published;
    const leads = joined.leader === joined.memberId;
    this.#counts = leads ? this.#countsOf(joined.members.map((one) => one.metadata)) : null;
    const assignments = leads && !joined.skipAssignment ? this.#plan(joined.members) : [];
    const synced = await client.ask(
      node,
      this.#lane,
      syncGroup,
      {
        groupId: group,
        generationId: joined.generationId,
        memberId: joined.memberId,
        groupInstanceId: member.instanceId,
        protocolType: ownProtocolType,
        protocolName: assignor,
        assignments,
      },
      { timeoutMs: member.rebalanceTimeoutMs + answerWaitMs, versionMin: 3 },
    );
    if (synced.errorCode !== 0) {
      const failure = new KafkaError(synced.errorCode, what);
      if (rejoinLabels.has(failure.label)) return false;
      throw failure;
    }
    this.#tell(joined.generationId, synced.assignment);
    return true;
  }

  #tell(generation: number, bytes: Buffer): void {
    const { places, revoked } = decodeAssignment(bytes);
    this.#told = places;
    // A predecessor's that nobody is at any more: it was fenced, or has left.
    const heldNow = this.#handle.held();
    if (revoked.some((place) => !heldNow.has(place) && !this.#published.includes(place))) this.#mustJoin = true;
    this.#handle.tell(generation, places);
    const placesNow = new Set(places);
    const isReleasing = [...this.#handle.held()].some((place) => !placesNow.has(place));
    this.#revokedSinceMs = isReleasing ? (this.#revokedSinceMs ?? this.#nowMs) : undefined;
  }

  /** The coordinator believes of something that the member has it, and it is nobody's. */
  #hasLetGo(): boolean {
    if (!this.#isStanding) return false;
    const told = new Set(this.#told);
    const held = this.#handle.held();
    return this.#published.some((place) => !told.has(place) && !held.has(place));
  }

  #plan(
    members: readonly {
      readonly memberId: string;
      readonly groupInstanceId: string | null;
      readonly metadata: Buffer;
    }[],
  ) {
    const joined = members.map(({ memberId, groupInstanceId, metadata }) => ({
      coordinatorId: memberId,
      instanceId: groupInstanceId,
      subscription: decodeSubscription(metadata),
    }));
    const { generation } = this.#standing;
    const plan = planAssignments(this.#parts.join.assignor, generation, joined, this.#counts ?? new Map());
    return [...plan].map(([memberId, assignment]) => ({ memberId, assignment: encodeAssignment(assignment) }));
  }

  #countsOf(subscriptions: readonly Buffer[]): Map<string, number> {
    const topics = new Set(subscriptions.flatMap((bytes) => decodeSubscription(bytes).topics));
    return new Map([...topics].map((topic) => [topic, this.#parts.partitionsOf(topic)]));
  }

  #beatLater(): void {
    if (this.#over.signal.aborted) return;
    this.#timer = this.#parts.client.clock.after(this.#parts.heartbeatMs, () => {
      this.checkTime();
      this.topicsChanged();
      const isKnown = this.#standing.generation > 0;
      (isKnown ? this.#heartbeat() : Promise.resolve()).catch(() => undefined).finally(() => this.#beatLater());
    });
  }

  async #heartbeat(): Promise<void> {
    const { client, join } = this.#parts;
    const { coordinatorId, generation } = this.#standing;
    try {
      const node = await client.coordinatorOf("group", join.group);
      const request = {
        groupId: join.group,
        generationId: generation,
        memberId: coordinatorId,
        groupInstanceId: join.member.instanceId,
      };
      const { errorCode } = await client.ask(node, "group", heartbeat, request, { versionMin: 3 });
      if (this.#standing.generation !== generation) return;
      const isRebalancing = errorCode === kafkaErrors.REBALANCE_IN_PROGRESS;
      if (errorCode === kafkaErrors.NONE || isRebalancing) this.#heardMs = this.#nowMs;
      // A join that is under way waits for others, and hears of all else itself.
      if (!this.#joining) assertNone(errorCode, `a heartbeat of ${coordinatorId}`);
    } catch (error) {
      if (leadsElsewhere(error)) client.forgetCoordinator("group", join.group);
      if (error instanceof KafkaError) await this.refused(error);
    }
  }

  #remove(why: string): void {
    this.end(this.#gone(why));
    void this.#sayGoodbye();
  }

  /** So that others need not wait for the session's end. */
  async #sayGoodbye(): Promise<void> {
    const { client, join } = this.#parts;
    const { coordinatorId } = this.#standing;
    if (coordinatorId === "") return;
    const members = [{ memberId: coordinatorId, groupInstanceId: join.member.instanceId, reason: null }];
    try {
      const node = await client.coordinatorOf("group", join.group);
      await client.ask(
        node,
        "group",
        leaveGroup,
        { groupId: join.group, members },
        { timeoutMs: leaveWaitMs, versionMin: 3 },
      );
    } catch {
      // The session ends by itself.
    }
  }

  #gone(why: string): MillraceError {
    const { join, memberId } = this.#parts;
    return new MillraceError("GROUP_MEMBER_UNKNOWN", `member ${memberId} ${why} consumer group ${join.group}`, {
      hint: "Join again.",
      details: { group: join.group, memberId },
    });
  }

  #assertMember(): void {
    if (this.#over.signal.aborted) throw this.#over.signal.reason;
  }
}

function fenced(group: string, memberId: string, instanceId: string | null): MillraceError {
  return new MillraceError(
    "GROUP_MEMBER_FENCED",
    `another member has joined consumer group ${group} with the instance id of ${memberId}`,
    { hint: "Give every running member an instance id of its own.", details: { group, memberId, instanceId } },
  );
}
