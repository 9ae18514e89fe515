/**
 * The consumer groups of the classic protocol: one entry for each that has members or is about to, made when the first one
 * comes, gone when the last one has left and the log says so. Everything about one group follows in the order in which
 * it was asked, but for the first look into the log.
 *
 * Not here: the rules (classic-group.ts), and how requests stand on the wire (group-answers.ts).
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { Random } from "../../base/random.ts";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import type { OffsetStore } from "../../log/groups/offset-store.ts";
import { joinRefusal, syncRefusal } from "./classic-draft.ts";
import { decodeClassicGroup } from "./classic-group-format.ts";
import {
  type ClassicErrorName,
  type ClassicGroup,
  type ClassicSettings,
  commitError,
  defaultClassicSettings,
  emptyClassicGroup,
  type JoinAnswer,
  type JoinRequest,
  type LeaveAnswer,
  loadedClassicGroup,
  type MemberIdentity,
  type SyncAnswer,
  type SyncRequest,
  subscribedTopics,
} from "./classic-state.ts";
import { type GroupDirectory, type GroupKindHooks, inProcessProtocolType } from "./group-directory.ts";
import { LiveClassicGroup } from "./live-classic-group.ts";

export interface GroupCoordinatorOptions {
  readonly offsets: OffsetStore;
  readonly directory: GroupDirectory;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly settings?: Partial<ClassicSettings>;
}

export class GroupCoordinator {
  readonly #options: GroupCoordinatorOptions;
  readonly #settings: ClassicSettings;
  readonly #live = new Map<string, LiveClassicGroup>();
  #isClosed = false;

  /** Registers itself with the directory; groups of the log are there when the directory has been loaded. */
  constructor(options: GroupCoordinatorOptions) {
    this.#options = options;
    this.#settings = { ...defaultClassicSettings, ...options.settings };
    options.directory.register("classic", this.#hooks());
  }

  /** Waits until the group's rebalance is over. Who comes without a member id gets one made of `idPrefix`. */
  async join(groupId: string, idPrefix: string, join: Omit<JoinRequest, "newMemberId">): Promise<JoinAnswer> {
    const { memberId, protocolType } = join;
    if (this.#isClosed) return joinRefusal("COORDINATOR_NOT_AVAILABLE", memberId);
    // Named so, it would be taken for a group of members in this process.
    if (protocolType === inProcessProtocolType) return joinRefusal("INCONSISTENT_GROUP_PROTOCOL", memberId);
    const live = this.#live.get(groupId) ?? (await this.#begin(groupId, memberId));
    if (!(live instanceof LiveClassicGroup)) return joinRefusal(live, memberId);
    return await live.join({ ...join, newMemberId: `${idPrefix}-${this.#options.random.uuid()}` });
  }

  async sync(groupId: string, sync: SyncRequest): Promise<SyncAnswer> {
    const live = this.#open(groupId);
    return live ? await live.sync(sync) : syncRefusal(this.#noGroup);
  }

  async heartbeat(groupId: string, member: MemberIdentity, generation: number): Promise<ClassicErrorName> {
    const live = this.#open(groupId);
    return live ? await live.heartbeat(member, generation) : this.#noGroup;
  }

  async leave(groupId: string, members: readonly MemberIdentity[]): Promise<LeaveAnswer> {
    const live = this.#open(groupId);
    const error = this.#noGroup;
    return live ? await live.leave(members) : { members: members.map((member) => ({ ...member, error })) };
  }

  /** Of one that has members or is about to; undefined for others. */
  describe(groupId: string): ClassicGroup | undefined {
    return this.#current(groupId)?.group;
  }

  /** Who waits is told to ask again. Nothing is taken from the groups: they go on with the next start. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#live.values()].map((live) => live.close()));
  }

  #open(groupId: string): LiveClassicGroup | undefined {
    return this.#isClosed ? undefined : this.#live.get(groupId);
  }

  get #noGroup(): ClassicErrorName {
    return this.#isClosed ? "COORDINATOR_NOT_AVAILABLE" : "UNKNOWN_MEMBER_ID";
  }

  /** A group goes on with the generation and the protocol's type that it had. */
  async #begin(groupId: string, memberId: string): Promise<LiveClassicGroup | ClassicErrorName> {
    const { directory, offsets } = this.#options;
    await offsets.open(groupId);
    const stored = await offsets.group(groupId);
    const known = this.#live.get(groupId);
    if (known) return known;
    if (this.#isClosed) return "COORDINATOR_NOT_AVAILABLE";
    // Without a group nobody has an id in it.
    if (memberId !== "") return "UNKNOWN_MEMBER_ID";
    if (!directory.claim(groupId, "classic")) return "INCONSISTENT_GROUP_PROTOCOL";
    const { generation = 0, protocolType = "" } = stored?.metadata ?? {};
    return this.#enter(groupId, emptyClassicGroup(generation, protocolType || null));
  }

  #enter(groupId: string, group: ClassicGroup): LiveClassicGroup {
    const { clock, diagnostics, directory, offsets } = this.#options;
    const live: LiveClassicGroup = new LiveClassicGroup(
      {
        groupId,
        clock,
        diagnostics,
        settings: this.#settings,
        keep: (metadata) => offsets.putMetadata(groupId, metadata),
        ended: () => {
          if (this.#live.get(groupId) !== live) return;
          this.#live.delete(groupId);
          directory.release(groupId, "classic");
        },
      },
      group,
    );
    this.#live.set(groupId, live);
    return live;
  }

  #load(groupId: string, metadata: GroupMetadata): void {
    const kept = decodeClassicGroup(metadata);
    if (kept) {
      this.#enter(groupId, loadedClassicGroup(kept, this.#options.clock.monotonicMs()));
      return;
    }
    this.#options.diagnostics.warn("the members of a consumer group cannot be read; they join anew", {
      group: groupId,
    });
    this.#enter(groupId, emptyClassicGroup(metadata.generation, metadata.protocolType)).keepNow();
  }

  #hooks(): GroupKindHooks {
    return {
      list: () =>
        [...this.#live].map(([groupId, { group }]) => {
          return { groupId, protocolType: group.protocolType ?? "", state: group.phase, type: "classic" };
        }),
      isEmpty: (groupId) => (this.describe(groupId)?.phase ?? "Empty") === "Empty",
      commitCheck: (groupId, { memberId, instanceId, generationOrEpoch, isTransactional }) => {
        const live = this.#current(groupId);
        if (!live) return generationOrEpoch < 0 ? "NONE" : "UNKNOWN_MEMBER_ID";
        const claim = { memberId, instanceId, generation: generationOrEpoch, isTransactional };
        const error = commitError(live.group, claim);
        if (error === "NONE" && !isTransactional) live.committed(memberId);
        return error;
      },
      fetchCheck: () => "NONE",
      deleteCheck: (groupId) => {
        const group = this.describe(groupId);
        return !group || group.phase === "Empty" || group.protocolType === "consumer" ? "NONE" : "NON_EMPTY_GROUP";
      },
      subscribed: (groupId) => {
        const group = this.describe(groupId);
        return group?.phase === "Empty" ? undefined : group && subscribedTopics(group);
      },
      kept: async (groupId) => await this.#live.get(groupId)?.kept(),
      load: (groupId, metadata) => this.#load(groupId, metadata),
      // Their members look for themselves.
      topicsChanged: () => {},
    };
  }

  #current(groupId: string): LiveClassicGroup | undefined {
    this.#live.get(groupId)?.checkTime();
    return this.#live.get(groupId);
  }
}
