/**
 * The consumer groups of KIP-848: one entry for each that has members or is about to, made when the first one comes or at the
 * start, gone when the last one has left and the log says so.
 *
 * Not here: the rules (consumer-group.ts), and how requests stand on the wire (consumer-group-answers.ts).
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { checkGroupName } from "../../log/groups/group-checks.ts";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import type { OffsetStore, StoredGroup } from "../../log/groups/offset-store.ts";
import { isInternalTopic } from "../topic-access.ts";
import {
  type CommitPlace,
  ConsumerGroup,
  type ConsumerGroupSettings,
  type KeptConsumerGroup,
} from "./consumer-group.ts";
import { consumerProtocolType, decodeConsumerGroup } from "./consumer-group-format.ts";
import {
  type ConsumerHeartbeat,
  type HeartbeatAnswer,
  type HeartbeatRefusal,
  heartbeatFault,
  joinEpoch,
  refusal,
} from "./consumer-heartbeat.ts";
import { LiveConsumerGroup } from "./consumer-live-group.ts";
import { PatternResolver } from "./consumer-pattern-resolver.ts";
import type { GroupTopic } from "./consumer-topics.ts";
import {
  type CommitClaim,
  type GroupDirectory,
  type GroupErrorName,
  type GroupKindHooks,
  kindOfStored,
} from "./group-directory.ts";

export interface ConsumerCoordinatorSettings extends ConsumerGroupSettings {
  /** What members are told to keep to. */
  readonly heartbeatIntervalMs: number;
  /** In all groups. */
  readonly allMembersMax: number;
}

/** Kafka's, but for the bounds, of which it has none. */
export const defaultConsumerCoordinatorSettings: ConsumerCoordinatorSettings = {
  sessionTimeoutMs: 45_000,
  heartbeatIntervalMs: 5_000,
  assignmentIntervalMs: 1_000,
  patternRefreshMs: 10 * 60_000,
  membersMax: 1_000,
  memberBytesMax: 2 * 1024 * 1024,
  allMembersMax: 50_000,
};

/** An `EmbeddedEngine` has it all. */
export interface ConsumerGroupsEngine {
  readonly groups: { readonly offsets: OffsetStore };
  topics(): readonly { readonly name: string }[];
  topic(name: string): { readonly id: string; readonly settings: { readonly partitions: number } } | undefined;
}

export interface ConsumerGroupCoordinatorOptions {
  readonly engine: ConsumerGroupsEngine;
  readonly directory: GroupDirectory;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly settings?: Partial<ConsumerCoordinatorSettings>;
}

export class ConsumerGroupCoordinator {
  readonly settings: ConsumerCoordinatorSettings;
  readonly #options: ConsumerGroupCoordinatorOptions;
  readonly #live = new Map<string, LiveConsumerGroup>();
  readonly #resolver: PatternResolver;
  #isClosed = false;

  /** Registers itself with the directory; groups of the log are there when the directory has been loaded. */
  constructor(options: ConsumerGroupCoordinatorOptions) {
    const { engine, directory, settings } = options;
    this.#options = options;
    this.settings = { ...defaultConsumerCoordinatorSettings, ...settings };
    const topicNames = () =>
      engine
        .topics()
        .map(({ name }) => name)
        .filter((name) => !isInternalTopic(name));
    this.#resolver = new PatternResolver({ topicNames });
    directory.register("consumer", this.#hooks());
  }

  /** Joins, stays and leaves. `mayDescribe` is asked about the topics that a pattern matches. */
  async heartbeat(
    groupId: string,
    heartbeat: ConsumerHeartbeat,
    apiVersion: number,
    mayDescribe: (topic: string) => boolean,
  ): Promise<HeartbeatAnswer | HeartbeatRefusal> {
    const fault = heartbeatFault(groupId, heartbeat, apiVersion) ?? nameFault(groupId);
    if (fault) return fault;
    const live = this.#live.get(groupId) ?? (await this.#begin(groupId, heartbeat));
    if (!(live instanceof LiveConsumerGroup)) return live;
    if (this.#isClosed) return closing();
    if (heartbeat.memberEpoch < joinEpoch) return await live.leave(heartbeat);
    return await live.use(async () => await this.#stay(live, this.#named(heartbeat), mayDescribe));
  }

  /** Of one that has members or is about to; undefined for others. */
  live(groupId: string): ConsumerGroup | undefined {
    return this.#live.get(groupId)?.group;
  }

  /** As of the log. There may be no such group, or one of another kind. */
  async describe(groupId: string): Promise<ConsumerGroup | "unknown" | "other"> {
    const live = this.#live.get(groupId);
    if (live) {
      await live.kept();
      return live.group;
    }
    const { directory, engine, clock } = this.#options;
    if (directory.kindOf(groupId)) return "other";
    const stored = nameFault(groupId) ? undefined : await engine.groups.offsets.group(groupId);
    if (!stored) return "unknown";
    const kept = this.#keptOf(stored);
    return kept ? new ConsumerGroup(this.#partsOf(groupId), kept.group, clock.monotonicMs()) : "other";
  }

  /** Nothing is taken from the groups: they go on with the next start. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#live.values()].map((live) => live.close()));
  }

  async #stay(
    live: LiveConsumerGroup,
    heartbeat: ConsumerHeartbeat,
    mayDescribe: (topic: string) => boolean,
  ): Promise<HeartbeatAnswer | HeartbeatRefusal> {
    const { group } = live;
    const refused = group.refusalOf(heartbeat) ?? this.#fullFault(group, heartbeat);
    if (refused) return refused;
    const { subscribedTopicRegex: wanted } = heartbeat;
    const due = () => group.topics.patternsDue(wanted, this.#options.clock.monotonicMs());
    if (due().length === 0) return await live.heartbeat(heartbeat);
    const names = new Map<string, readonly string[]>();
    for (const [pattern, found] of await this.#resolver.resolve(due, mayDescribe)) {
      if (!("fault" in found)) {
        names.set(pattern, found);
        continue;
      }
      const before = group.topics.kept.patterns.get(pattern);
      if (before) names.set(pattern, before);
      else return patternFault(pattern, found.fault);
    }
    return this.#isClosed ? closing() : await live.heartbeat(heartbeat, names);
  }

  /** Clients name themselves from version 1 on. */
  #named(heartbeat: ConsumerHeartbeat): ConsumerHeartbeat {
    return heartbeat.memberId === "" ? { ...heartbeat, memberId: this.#options.random.uuid() } : heartbeat;
  }

  #fullFault(group: ConsumerGroup, { memberId }: ConsumerHeartbeat): HeartbeatRefusal | undefined {
    if (group.members.has(memberId)) return undefined;
    let count = 0;
    for (const live of this.#live.values()) count += live.group.members.size;
    if (count < this.settings.allMembersMax) return undefined;
    return refusal(
      "GROUP_MAX_SIZE_REACHED",
      `There are ${count} members in all consumer groups, and no room for more.`,
    );
  }

  /** A group goes on in the epoch that it had. */
  async #begin(
    groupId: string,
    { memberId, memberEpoch }: ConsumerHeartbeat,
  ): Promise<LiveConsumerGroup | HeartbeatRefusal> {
    const { directory, engine, diagnostics } = this.#options;
    const { offsets } = engine.groups;
    const isJoin = memberEpoch === joinEpoch;
    let stored: StoredGroup | undefined;
    try {
      if (isJoin) await offsets.open(groupId);
      stored = await offsets.group(groupId);
    } catch (cause) {
      diagnostics.warn("what is known about a consumer group could not be read", {
        group: groupId,
        cause: String(cause),
      });
      return refusal("COORDINATOR_NOT_AVAILABLE", "The group's state could not be read.");
    }
    const known = this.#live.get(groupId);
    if (known) return known;
    if (this.#isClosed) return closing();
    const isOther = refusal("GROUP_ID_NOT_FOUND", `Group ${groupId} is not a consumer group.`);
    if (directory.kindOf(groupId)) return isOther;
    const kept = stored && this.#keptOf(stored);
    if (!isJoin && !kept) return refusal("GROUP_ID_NOT_FOUND", `Consumer group ${groupId} not found.`);
    if (!isJoin && kept?.group.members.length === 0) {
      return refusal("UNKNOWN_MEMBER_ID", `Member ${memberId} is not a member of group ${groupId}.`);
    }
    return directory.claim(groupId, "consumer") ? this.#enter(groupId, kept?.group, kept?.isReadable) : isOther;
  }

  #enter(groupId: string, kept?: KeptConsumerGroup, isKept?: boolean): LiveConsumerGroup {
    const { clock, diagnostics, directory, engine } = this.#options;
    const live: LiveConsumerGroup = new LiveConsumerGroup(
      {
        ...this.#partsOf(groupId),
        clock,
        diagnostics,
        keep: (metadata) => engine.groups.offsets.putMetadata(groupId, metadata),
        ended: () => {
          if (this.#live.get(groupId) !== live) return;
          this.#live.delete(groupId);
          directory.release(groupId, "consumer");
        },
      },
      kept,
      isKept,
    );
    this.#live.set(groupId, live);
    return live;
  }

  #partsOf(groupId: string) {
    const topicOf = (name: string): GroupTopic | undefined => {
      const topic = this.#options.engine.topic(name);
      return topic && { topicId: topic.id, partitions: topic.settings.partitions };
    };
    return { groupId, settings: this.settings, topicOf };
  }

  /** Undefined for a group that another kind has kept, or nobody. */
  #keptOf({ group, metadata }: StoredGroup): { group: KeptConsumerGroup; isReadable: boolean } | undefined {
    if (!metadata || kindOfStored(metadata) !== "consumer") return undefined;
    const kept = decodeConsumerGroup(metadata);
    if (kept) return { group: kept, isReadable: true };
    this.#options.diagnostics.warn("the members of a consumer group cannot be read; they join anew", { group });
    const none = { members: [], targets: new Map(), topics: new Map(), patterns: new Map() };
    return { group: { ...none, epoch: Math.max(1, metadata.generation), targetEpoch: 0 }, isReadable: false };
  }

  #load(groupId: string, metadata: GroupMetadata): void {
    const kept = this.#keptOf({ group: groupId, metadata, offsetCount: 0 });
    if (kept) this.#enter(groupId, kept.group, kept.isReadable);
  }

  #hooks(): ConsumerGroupHooks {
    const groupOf = (groupId: string) => this.live(groupId);
    return {
      list: () =>
        [...this.#live].map(([groupId, { group }]) => {
          return { groupId, protocolType: consumerProtocolType, state: group.state, type: "consumer" };
        }),
      isEmpty: (groupId) => (groupOf(groupId)?.members.size ?? 0) === 0,
      commitCheck: (groupId, claim, place) => groupOf(groupId)?.commitCheck(claim, place) ?? "GROUP_ID_NOT_FOUND",
      fetchCheck: (groupId, memberId, memberEpoch) =>
        groupOf(groupId)?.fetchCheck(memberId, memberEpoch) ?? "GROUP_ID_NOT_FOUND",
      deleteCheck: () => "NONE",
      subscribed: (groupId) => groupOf(groupId)?.subscribed(),
      kept: async (groupId) => await this.#live.get(groupId)?.kept(),
      load: (groupId, metadata) => this.#load(groupId, metadata),
      topicsChanged: () => {
        for (const { group } of this.#live.values()) group.topics.changed();
      },
    };
  }
}

interface ConsumerGroupHooks extends GroupKindHooks {
  /** With `place`, an epoch is good as well that the member had after it got the partition (KIP-1251). */
  commitCheck(groupId: string, claim: CommitClaim, place?: CommitPlace): GroupErrorName;
}

function nameFault(groupId: string): HeartbeatRefusal | undefined {
  try {
    checkGroupName(groupId);
    return undefined;
  } catch (error) {
    return refusal("INVALID_GROUP_ID", MillraceError.from(error).message);
  }
}

function patternFault(pattern: string, fault: string): HeartbeatRefusal {
  const message = `SubscribedTopicRegex \`${pattern}\` is not a valid regular expression: ${fault}.`;
  return refusal("INVALID_REGULAR_EXPRESSION", message);
}

function closing(): HeartbeatRefusal {
  return refusal("COORDINATOR_NOT_AVAILABLE", "The broker is shutting down.");
}
