/**
 * Consumer groups in this process (`engine/groups.ts`): members by `group-machine.ts`, offsets by `log/groups/`.
 *
 * Members live in this process, so a start finds none of an earlier one: groups that the log says have members of this
 * protocol are taken for empty since the start. Groups of other protocols (the doors') share the offsets; as long as the log says
 * that they have members, nobody joins here or commits for them.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import type { GroupsLog } from "../../log/groups/groups-log.ts";
import {
  groupNotEmpty,
  groupUnknown,
  OffsetStore,
  type OffsetStoreSettings,
  type StoredGroup,
} from "../../log/groups/offset-store.ts";
import type { Transaction } from "../engine.ts";
import { checkJoin } from "../group-checks.ts";
import { MemberHandle, type MemberHost } from "../group-member.ts";
import type {
  FetchedOffset,
  GroupDescription,
  GroupListing,
  GroupMember,
  GroupState,
  Groups,
  JoinOptions,
  OffsetCommit,
  TopicPartition,
} from "../groups.ts";
import { LiveGroup, ownProtocolType } from "./live-group.ts";

/** Kafka's offsets.retention.check.interval.ms. */
const expireEveryMs = 10 * 60_000;

/** Doors whose clients lead groups of their own (`broker/groups/group-directory.ts`). */
export interface OutsideGroups {
  /** Clients have members in the group, or are about to, though the log need not say so yet. */
  isClaimed(group: string): boolean;
  /** Topics that its members subscribe to, where that is known. */
  subscribed(group: string): ReadonlySet<string> | undefined;
}

export interface ConsumerGroupsOptions {
  /** The engine's own log: an `Engine` is one. */
  readonly engine: GroupsLog;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly settings?: Partial<OffsetStoreSettings>;
}

export class ConsumerGroups implements Groups {
  /** For doors that lead groups of their own. */
  readonly offsets: OffsetStore;
  readonly #options: ConsumerGroupsOptions;
  readonly #live = new Map<string, LiveGroup>();
  readonly #startedMs: number;
  #outside: OutsideGroups | undefined;
  #timer: Timer | undefined;
  #expiring: Promise<unknown> | undefined;
  #isClosed = false;

  /** Reads and writes nothing yet. */
  constructor(options: ConsumerGroupsOptions) {
    const { engine: log, clock, diagnostics, settings } = options;
    this.#options = options;
    this.offsets = new OffsetStore({ log, clock, diagnostics, ...(settings && { settings }) });
    this.#startedMs = clock.now();
    this.#expireLater();
  }

  /** Groups that clients have are not for members in this process. */
  leadOutside(outside: OutsideGroups): void {
    this.#outside = outside;
  }

  async joinGroup(options: JoinOptions): Promise<GroupMember> {
    const { group, assignor, member: wanted } = checkJoin(options);
    options.signal?.throwIfAborted();
    this.#assertOpen();
    await this.offsets.open(group);
    const stored = await this.#stored(group);
    options.signal?.throwIfAborted();
    this.#assertOpen();
    if (isForeign(stored?.metadata) || this.#outside?.isClaimed(group)) throw groupNotEmpty(group);
    const live = this.#live.get(group) ?? this.#begin(group, stored?.metadata?.generation ?? 0);
    const memberId = wanted.memberId ?? this.#options.random.uuid();
    const handle = new MemberHandle(this.#hostOf(group, live), group, memberId, wanted.instanceId);
    try {
      live.join({ ...wanted, memberId }, assignor, handle);
    } catch (error) {
      if (live.isIdle) this.#live.delete(group);
      throw error;
    }
    this.#leaveOnAbort(handle, options.signal);
    return handle;
  }

  async commitOffsets(group: string, offsets: readonly OffsetCommit[]): Promise<void> {
    await this.#assertNoMembers(group);
    await this.offsets.commit(group, offsets);
  }

  async commitOffsetsIn(transaction: Transaction, group: string, offsets: readonly OffsetCommit[]): Promise<void> {
    await this.#assertNoMembers(group);
    await this.offsets.commitIn(transaction, group, offsets);
  }

  async fetchOffsets(
    group: string,
    partitions?: readonly TopicPartition[],
    options: { readonly requireStable?: boolean } = {},
  ): Promise<FetchedOffset[]> {
    this.#assertOpen();
    return await this.offsets.fetch(group, partitions, options);
  }

  async deleteOffsets(group: string, partitions: readonly TopicPartition[]): Promise<void> {
    this.#assertOpen();
    const subscribed = this.#live.get(group)?.subscribed;
    if (partitions.some(({ topic }) => subscribed?.has(topic))) throw groupNotEmpty(group);
    if (!subscribed && isForeign((await this.#stored(group))?.metadata)) throw groupNotEmpty(group);
    await this.offsets.deleteOffsets(group, partitions);
  }

  async deleteGroup(group: string): Promise<void> {
    await this.#assertNoMembers(group);
    await this.#live.get(group)?.kept();
    const stored = await this.offsets.group(group);
    if (!stored) throw groupUnknown(group);
    await this.#keepEmpty(stored);
    await this.offsets.deleteGroup(group);
  }

  async listGroups(): Promise<GroupListing[]> {
    this.#assertOpen();
    const listed = new Map((await this.offsets.groups()).map((stored) => [stored.group, this.#listing(stored)]));
    for (const group of this.#live.keys()) {
      if (!listed.has(group)) listed.set(group, this.#listing({ group, metadata: null, offsetCount: 0 }));
    }
    return [...listed.values()].sort((a, b) => (a.group < b.group ? -1 : 1));
  }

  async describeGroup(group: string): Promise<GroupDescription> {
    this.#assertOpen();
    const stored = await this.offsets.group(group);
    const live = this.#live.get(group);
    if (!stored && !live) throw groupUnknown(group);
    const listing = this.#listing(stored ?? { group, metadata: null, offsetCount: 0 });
    return { ...listing, assignor: live?.state.assignor ?? null, members: live?.members() ?? [] };
  }

  /** In this process, right now. */
  hasMembers(group: string): boolean {
    return this.#live.get(group)?.isIdle === false;
  }

  /** A topic was made or has grown: groups that subscribe to it are rebalanced now and not with the next heartbeat. */
  topicsChanged(): void {
    for (const live of this.#live.values()) live.refreshTopics();
  }

  /** After a topic was deleted: no group has offsets of it any more. */
  async topicDeleted(topic: string): Promise<void> {
    this.topicsChanged();
    await this.offsets.forgetTopic(topic);
  }

  /** Removes offsets and groups that nobody needs any more; runs by itself every ten minutes. */
  async expire(): Promise<{ readonly offsets: number; readonly groups: number }> {
    for (const stored of await this.offsets.groups()) await this.#keepEmpty(stored);
    return await this.offsets.expire(
      this.#options.clock.now(),
      (group) => this.#live.get(group)?.subscribed ?? this.#outside?.subscribed(group),
    );
  }

  /** Members are told `LOG_CLOSED`. Before the engine is closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#expiring;
    await Promise.all([...this.#live.values()].map((live) => live.close(closed())));
  }

  #begin(group: string, generation: number): LiveGroup {
    const { clock, diagnostics, engine } = this.#options;
    const live: LiveGroup = new LiveGroup(
      {
        group,
        clock,
        diagnostics,
        partitionsOf: (topic) => engine.topic(topic)?.settings.partitions ?? 0,
        keep: (metadata) => this.offsets.putMetadata(group, metadata),
        ended: () => {
          if (this.#live.get(group) === live) this.#live.delete(group);
        },
      },
      generation,
    );
    this.#live.set(group, live);
    return live;
  }

  #hostOf(group: string, live: LiveGroup): MemberHost {
    return {
      checkTime: () => live.checkTime(),
      heartbeat: (memberId) => {
        live.refreshTopics();
        live.dispatch({ kind: "heartbeat", memberId });
      },
      acknowledge: (memberId, generation) => live.dispatch({ kind: "acknowledge", memberId, generation }),
      leave: (memberId, forGood) => live.dispatch({ kind: "leave", memberId, forGood }),
      members: () => live.members(),
      commit: (offsets) => this.offsets.commit(group, offsets),
      commitIn: async (transaction, offsets) => void (await this.offsets.commitIn(transaction, group, offsets)),
      fetch: (partitions, requireStable) => this.offsets.fetch(group, partitions, { requireStable }),
    };
  }

  #leaveOnAbort(member: GroupMember, signal: AbortSignal | undefined): void {
    if (!signal) return;
    const onAbort = () => void member.leave();
    signal.addEventListener("abort", onAbort, { once: true });
    member.signal.addEventListener("abort", () => signal.removeEventListener("abort", onAbort), { once: true });
  }

  /** As of the log, without members of this protocol that an earlier process had. */
  async #stored(group: string): Promise<StoredGroup | undefined> {
    const stored = await this.offsets.group(group);
    if (!stored?.metadata || isForeign(stored.metadata) || this.#live.has(group)) return stored;
    return { ...stored, metadata: { ...stored.metadata, memberCount: 0 } };
  }

  async #assertNoMembers(group: string): Promise<void> {
    this.#assertOpen();
    const stored = await this.#stored(group);
    const live = this.#live.get(group);
    const isForeigners = isForeign(stored?.metadata) || this.#outside?.isClaimed(group) === true;
    if ((live?.state.members.size ?? 0) > 0 || isForeigners) throw groupNotEmpty(group);
  }

  /** An earlier process ended without saying that its members were gone. */
  async #keepEmpty({ group, metadata }: StoredGroup): Promise<void> {
    if (!metadata || metadata.protocolType !== ownProtocolType || metadata.memberCount === 0) return;
    if (this.#live.has(group)) return;
    await this.offsets.putMetadata(group, { ...metadata, memberCount: 0, emptySinceMs: this.#startedMs });
  }

  #listing({ group, metadata }: StoredGroup): GroupListing {
    const live = this.#live.get(group);
    if (live) {
      const { members, generation } = live.state;
      const state: GroupState = members.size === 0 ? "empty" : live.isSettled ? "stable" : "rebalancing";
      return { group, state, protocolType: ownProtocolType, generation, memberCount: members.size };
    }
    const memberCount = isForeign(metadata) ? (metadata?.memberCount ?? 0) : 0;
    return {
      group,
      state: memberCount > 0 ? "stable" : "empty",
      protocolType: metadata?.protocolType ?? null,
      generation: metadata?.generation ?? 0,
      memberCount,
    };
  }

  #expireLater(): void {
    this.#timer = this.#options.clock.after(expireEveryMs, () => {
      this.#expiring = this.expire()
        .catch((cause) =>
          this.#options.diagnostics.warn("offsets that have expired could not be removed; it is tried again", {
            cause: String(cause),
          }),
        )
        .finally(() => {
          if (!this.#isClosed) this.#expireLater();
        });
    });
  }

  #assertOpen(): void {
    if (this.#isClosed) throw closed();
  }
}

/** It has members that another protocol leads. */
function isForeign(metadata: GroupMetadata | null | undefined): boolean {
  return metadata ? metadata.protocolType !== ownProtocolType && metadata.memberCount > 0 : false;
}

function closed(): MillraceError {
  return new MillraceError("LOG_CLOSED", "the log is shutting down");
}
