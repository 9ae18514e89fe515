/**
 * A consumer group that has, or had, members in this process: the shell around `decide`. It carries effects to the members,
 * wakes up when a time is over, and keeps what is to be kept about the group in the log.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import { type MemberHandle, partitionOf } from "../group-member.ts";
import type { MemberInfo } from "../groups.ts";
import {
  decide,
  emptyGroup,
  type GroupEffect,
  type GroupEvent,
  type GroupState,
  isSettled,
  type JoiningMember,
  nextDeadlineMs,
  type RemovalReason,
} from "./group-machine.ts";

export const ownProtocolType = "millrace";

export interface LiveGroupParts {
  readonly group: string;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  /** Partitions of a topic; 0 when there is none. */
  readonly partitionsOf: (topic: string) => number;
  readonly keep: (metadata: GroupMetadata) => Promise<void>;
  /** It has no members, and that is kept. */
  readonly ended: () => void;
}

export class LiveGroup {
  readonly #parts: LiveGroupParts;
  readonly #handles = new Map<string, MemberHandle>();
  #state: GroupState;
  /** What is decided while effects are carried out waits its turn. */
  readonly #waiting: GroupEvent[] = [];
  #isDeciding = false;
  #timer: { readonly atMs: number; readonly timer: Timer } | undefined;
  #emptySinceMs: number | null;
  #isUnkept = false;
  #keeping: Promise<void> | undefined;

  constructor(parts: LiveGroupParts, generation: number) {
    this.#parts = parts;
    this.#state = emptyGroup(generation);
    this.#emptySinceMs = parts.clock.now();
  }

  get state(): GroupState {
    return this.#state;
  }

  /** Nobody is in it, and there is nothing to keep. */
  get isIdle(): boolean {
    return this.#state.members.size === 0 && !this.#keeping;
  }

  get isSettled(): boolean {
    return isSettled(this.#state);
  }

  get subscribed(): ReadonlySet<string> | undefined {
    if (this.#state.members.size === 0) return undefined;
    return new Set([...this.#state.members.values()].flatMap(({ topics }) => topics));
  }

  members(): MemberInfo[] {
    return [...this.#state.members.values()].map(({ memberId, instanceId, metadata, topics, target }) => ({
      memberId,
      instanceId,
      metadata,
      topics,
      assignment: target.map(partitionOf),
    }));
  }

  /** What the group answers is with the handle when it returns. Throws what `decide` refuses. */
  join(member: JoiningMember, assignor: GroupState["assignor"], handle: MemberHandle): void {
    const counts = new Map(member.topics.map((topic) => [topic, this.#parts.partitionsOf(topic)]));
    let refused: MillraceError | undefined;
    this.#carryOut({ kind: "join", member, assignor: assignor ?? "sticky", counts }, (effect) => {
      if (effect.kind === "refused") {
        const details = { group: this.#parts.group, memberId: member.memberId };
        refused = new MillraceError(effect.code, `${this.#parts.group}: ${effect.message}`, { details });
      } else if (effect.kind === "assigned" && effect.memberId === member.memberId) {
        this.#handles.set(member.memberId, handle);
      }
    });
    if (refused) throw refused;
    handle.take();
  }

  dispatch(event: GroupEvent): void {
    this.#waiting.push(event);
    if (this.#isDeciding) return;
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) this.#carryOut(next);
  }

  /** Whose time is over is removed now, though its timer may be late. */
  checkTime(): void {
    const deadlineMs = nextDeadlineMs(this.#state);
    if (deadlineMs !== undefined && deadlineMs <= this.#nowMs()) this.dispatch({ kind: "tick" });
  }

  /** Notices topics that have grown, come or gone. */
  refreshTopics(): void {
    for (const [topic, count] of this.#state.counts) {
      if (this.#parts.partitionsOf(topic) === count) continue;
      const counts = [...this.#state.counts.keys()].map((name) => [name, this.#parts.partitionsOf(name)] as const);
      this.dispatch({ kind: "topics", counts: new Map(counts) });
      return;
    }
  }

  /** Resolves when what is known now is kept, or could not be. */
  async kept(): Promise<void> {
    while (this.#keeping) await this.#keeping;
  }

  /** Everybody is out, with this reason; it is kept that nobody is left. */
  async close(error: MillraceError): Promise<void> {
    this.#timer?.timer.cancel();
    for (const handle of this.#handles.values()) handle.end(error);
    this.#handles.clear();
    if (this.#state.members.size > 0) {
      this.#state = emptyGroup(this.#state.generation + 1);
      this.#emptySinceMs = this.#parts.clock.now();
      this.#keep();
    }
    await this.kept();
  }

  #carryOut(event: GroupEvent, notice?: (effect: GroupEffect) => void): void {
    const before = this.#state;
    this.#isDeciding = true;
    try {
      const { state, effects } = decide(before, event, this.#nowMs());
      this.#state = state;
      for (const effect of effects) {
        notice?.(effect);
        this.#tell(effect);
      }
    } finally {
      this.#isDeciding = false;
    }
    if (this.#state.members.size > 0) this.#emptySinceMs = null;
    else this.#emptySinceMs ??= this.#parts.clock.now();
    if (this.#state.generation !== before.generation) this.#keep();
    this.#wakeInTime();
    if (notice) for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) this.#carryOut(next);
  }

  #tell(effect: GroupEffect): void {
    const handle = this.#handles.get(effect.memberId);
    if (effect.kind === "assigned") handle?.tell(effect.generation, effect.assignment);
    if (effect.kind !== "removed") return;
    this.#handles.delete(effect.memberId);
    const { group, diagnostics } = this.#parts;
    if (effect.reason === "expired" || effect.reason === "slow") {
      diagnostics.warn("a member was removed from its consumer group", { ...effect, group });
    }
    handle?.end(removed(group, effect.memberId, effect.reason));
  }

  #wakeInTime(): void {
    const atMs = nextDeadlineMs(this.#state);
    // An earlier timer finds nothing to do and sets the next one: fewer timers than heartbeats.
    if (atMs !== undefined && this.#timer && this.#timer.atMs <= atMs) return;
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    if (atMs === undefined) return;
    const timer = this.#parts.clock.after(Math.max(1, atMs - this.#nowMs()), () => {
      this.#timer = undefined;
      this.dispatch({ kind: "tick" });
    });
    this.#timer = { atMs, timer };
  }

  /** One write at a time, of the newest state. */
  #keep(): void {
    this.#isUnkept = true;
    this.#keeping ??= this.#keepAll().finally(() => {
      this.#keeping = undefined;
      if (this.#state.members.size === 0 && !this.#isUnkept) this.#parts.ended();
    });
  }

  async #keepAll(): Promise<void> {
    while (this.#isUnkept) {
      this.#isUnkept = false;
      try {
        await this.#parts.keep({
          protocolType: ownProtocolType,
          generation: this.#state.generation,
          memberCount: this.#state.members.size,
          emptySinceMs: this.#emptySinceMs,
          detail: null,
        });
      } catch (cause) {
        this.#parts.diagnostics.warn("what is known about a consumer group could not be written", {
          group: this.#parts.group,
          cause: String(cause),
        });
      }
    }
  }

  #nowMs(): number {
    return this.#parts.clock.monotonicMs();
  }
}

function removed(group: string, memberId: string, reason: RemovalReason): MillraceError {
  if (reason === "replaced") return fenced(group, memberId);
  const why = {
    left: "has left",
    expired: "sent no heartbeat in time and was removed from",
    slow: "did not let go in time of what a rebalance took away, and was removed from",
  }[reason];
  return new MillraceError("GROUP_MEMBER_UNKNOWN", `member ${memberId} ${why} consumer group ${group}`, {
    hint: "Join again.",
    details: { group, memberId, reason },
  });
}

function fenced(group: string, memberId: string): MillraceError {
  return new MillraceError(
    "GROUP_MEMBER_FENCED",
    `another member has joined consumer group ${group} with the instance id of ${memberId}`,
    { hint: "Give every running member an instance id of its own.", details: { group, memberId } },
  );
}
