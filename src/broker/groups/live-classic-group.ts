/**
 * A consumer group of the classic protocol that has members, or is about to: the shell around `decide`. It gives requests
 * their answers, wakes up when a time is over, and keeps what is to be kept in the log, in order.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import { joinRefusal, syncRefusal } from "./classic-draft.ts";
import { decide } from "./classic-group.ts";
import { encodeClassicGroup } from "./classic-group-format.ts";
import {
  type ClassicEffect,
  type ClassicErrorName,
  type ClassicEvent,
  type ClassicGroup,
  type ClassicSettings,
  isVoid,
  type JoinAnswer,
  type JoinRequest,
  type LeaveAnswer,
  type MemberIdentity,
  nextDeadlineMs,
  type SyncAnswer,
  type SyncRequest,
} from "./classic-state.ts";

export interface LiveClassicGroupParts {
  readonly groupId: string;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly settings: ClassicSettings;
  readonly keep: (metadata: GroupMetadata) => Promise<void>;
  /** Nobody is in it, nothing is on its way into the log, and nobody waits. */
  readonly ended: () => void;
}

/** That nobody is left is tried to be kept again after so long. */
const keepAgainMs = 5_000;

type Waiter =
  | { readonly kind: "join"; readonly resolve: (answer: JoinAnswer) => void; readonly memberId: string }
  | { readonly kind: "sync"; readonly resolve: (answer: SyncAnswer) => void }
  | { readonly kind: "heartbeat"; readonly resolve: (error: ClassicErrorName) => void }
  | { readonly kind: "leave"; readonly resolve: (answer: LeaveAnswer) => void };

export class LiveClassicGroup {
  readonly #parts: LiveClassicGroupParts;
  #group: ClassicGroup;
  /** By the number of the request. */
  readonly #waiting = new Map<number, Waiter>();
  #requests = 0;
  #timer: { readonly atMs: number; readonly timer: Timer } | undefined;
  /** The last of what is on its way into the log, after all before it. */
  #keeping: Promise<void> = Promise.resolve();
  #unkept = 0;
  /** The log does not say what it is to say: an empty group must not be forgotten, for its generation is in no other place. */
  #isStale = false;
  #again: Timer | undefined;
  #isClosed = false;

  constructor(parts: LiveClassicGroupParts, group: ClassicGroup) {
    this.#parts = parts;
    this.#group = group;
    this.#wakeInTime();
  }

  get group(): ClassicGroup {
    return this.#group;
  }

  /** Resolves when the group has answered, which may take as long as its members' rebalance timeout. */
  join(join: JoinRequest): Promise<JoinAnswer> {
    const { memberId } = join;
    return new Promise((resolve) => {
      const request = this.#wait({ kind: "join", resolve, memberId });
      this.#dispatch({ kind: "join", request, join });
    });
  }

  sync(sync: SyncRequest): Promise<SyncAnswer> {
    return new Promise((resolve) => {
      const request = this.#wait({ kind: "sync", resolve });
      this.#dispatch({ kind: "sync", request, sync });
    });
  }

  heartbeat(member: MemberIdentity, generation: number): Promise<ClassicErrorName> {
    return new Promise((resolve) => {
      const request = this.#wait({ kind: "heartbeat", resolve });
      this.#dispatch({ kind: "heartbeat", request, member, generation });
    });
  }

  /** Resolves when it is durable that those who could leave are gone, if nobody is left. */
  async leave(members: readonly MemberIdentity[]): Promise<LeaveAnswer> {
    const answer = await new Promise<LeaveAnswer>((resolve) => {
      const request = this.#wait({ kind: "leave", resolve });
      this.#dispatch({ kind: "leave", request, members });
    });
    if (this.#group.phase === "Empty") await this.kept();
    return answer;
  }

  committed(memberId: string): void {
    this.#dispatch({ kind: "committed", memberId });
  }

  /** What is over is over now, though the timer may be late. */
  checkTime(): void {
    const deadlineMs = nextDeadlineMs(this.#group);
    if (deadlineMs !== undefined && deadlineMs <= this.#nowMs()) this.#dispatch({ kind: "tick" });
  }

  /** What stands in the log cannot be used: it is kept anew. */
  keepNow(): void {
    const { generation, protocolType, protocol, leaderId, members } = this.#group;
    const kept = { generation, protocolType: protocolType ?? "", protocol, leaderId, members: [...members.values()] };
    this.#keep(-1, encodeClassicGroup(kept, this.#parts.clock.now()));
  }

  /** Resolves when what is known now is kept, or could not be. */
  async kept(): Promise<void> {
    while (this.#unkept > 0) await this.#keeping;
  }

  /** Whoever waits is told to ask again; members stay as the log has them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.timer.cancel();
    this.#again?.cancel();
    await this.kept();
    for (const waiter of this.#waiting.values()) refuse(waiter, "COORDINATOR_NOT_AVAILABLE");
    this.#waiting.clear();
  }

  #wait(waiter: Waiter): number {
    const request = ++this.#requests;
    this.#waiting.set(request, waiter);
    return request;
  }

  #dispatch(event: ClassicEvent): void {
    const { group, effects } = decide(this.#group, event, this.#nowMs(), this.#parts.settings);
    this.#group = group;
    for (const effect of effects) this.#carryOut(effect);
    this.#wakeInTime();
    this.#endIfVoid();
  }

  #carryOut(effect: ClassicEffect): void {
    switch (effect.kind) {
      case "keep":
        this.#keep(effect.keepId, encodeClassicGroup(effect.kept, this.#parts.clock.now()));
        return;
      case "removed":
        this.#parts.diagnostics.debug("a member is no longer in its consumer group", {
          group: this.#parts.groupId,
          memberId: effect.memberId,
          reason: effect.reason,
        });
        return;
      default:
        this.#answer(effect);
    }
  }

  #answer(effect: Exclude<ClassicEffect, { readonly kind: "keep" | "removed" }>): void {
    const waiter = this.#waiting.get(effect.request);
    this.#waiting.delete(effect.request);
    if (effect.kind === "joined" && waiter?.kind === "join") waiter.resolve(effect.answer);
    else if (effect.kind === "synced" && waiter?.kind === "sync") waiter.resolve(effect.answer);
    else if (effect.kind === "heartbeat" && waiter?.kind === "heartbeat") waiter.resolve(effect.error);
    else if (effect.kind === "left" && waiter?.kind === "leave") waiter.resolve(effect.answer);
  }

  #keep(keepId: number, metadata: GroupMetadata): void {
    this.#unkept++;
    this.#keeping = this.#keeping.then(async () => {
      let error: ClassicErrorName = "NONE";
      try {
        await this.#parts.keep(metadata);
      } catch (cause) {
        const isTooLarge = MillraceError.is(cause, "RECORD_TOO_LARGE");
        error = isTooLarge ? "UNKNOWN_SERVER_ERROR" : "COORDINATOR_NOT_AVAILABLE";
        const group = this.#parts.groupId;
        const message = "what is known about a consumer group could not be written";
        this.#parts.diagnostics.warn(message, { group, cause: String(cause) });
      }
      this.#unkept--;
      this.#isStale = error !== "NONE";
      this.#dispatch({ kind: "kept", keepId, error });
    });
  }

  #wakeInTime(): void {
    if (this.#isClosed) return;
    const atMs = nextDeadlineMs(this.#group);
    // An earlier timer finds nothing to do and sets the next one: fewer timers than heartbeats.
    if (atMs !== undefined && this.#timer && this.#timer.atMs <= atMs) return;
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    if (atMs === undefined) return;
    const timer = this.#parts.clock.after(Math.max(0, atMs - this.#nowMs()), () => {
      this.#timer = undefined;
      this.#dispatch({ kind: "tick" });
    });
    this.#timer = { atMs, timer };
  }

  #endIfVoid(): void {
    if (!isVoid(this.#group) || this.#unkept > 0 || this.#isClosed) return;
    if (this.#isStale) {
      this.#again ??= this.#parts.clock.after(keepAgainMs, () => {
        this.#again = undefined;
        if (this.#isStale && this.#unkept === 0 && isVoid(this.#group)) this.keepNow();
      });
      return;
    }
    this.#again?.cancel();
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    this.#parts.ended();
  }

  #nowMs(): number {
    return this.#parts.clock.monotonicMs();
  }
}

function refuse(waiter: Waiter, error: ClassicErrorName): void {
  switch (waiter.kind) {
    case "join":
      waiter.resolve(joinRefusal(error, waiter.memberId));
      return;
    case "sync":
      waiter.resolve(syncRefusal(error));
      return;
    case "heartbeat":
      waiter.resolve(error);
      return;
    case "leave":
      waiter.resolve({ members: [] });
  }
}
