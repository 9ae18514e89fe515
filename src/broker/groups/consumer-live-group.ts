/**
 * A consumer group of KIP-848 that has members or is about to: the shell around its machine. It wakes up when a time is over,
 * and keeps what is to be kept in the log, one write at a time, of the newest state.
 *
 * Always true: what an answer shows is durable before it is given. A heartbeat that changes nothing writes nothing.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import { ConsumerGroup, type ConsumerGroupParts, type KeptConsumerGroup } from "./consumer-group.ts";
import { encodeConsumerGroup } from "./consumer-group-format.ts";
import { type ConsumerHeartbeat, type HeartbeatAnswer, type HeartbeatRefusal, refusal } from "./consumer-heartbeat.ts";

/** What could not be written is tried again after so long, where no heartbeat does it before. */
const rewriteMs = 5_000;

export interface LiveConsumerGroupParts extends ConsumerGroupParts {
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly keep: (metadata: GroupMetadata) => Promise<void>;
  /** Nobody is in it, the log says so, and nobody is about to be. */
  readonly ended: () => void;
}

export class LiveConsumerGroup {
  readonly group: ConsumerGroup;
  readonly #parts: LiveConsumerGroupParts;
  #keptRevision: number;
  #writing: Promise<boolean> | undefined;
  #rewriteMs: number | undefined;
  #timer: { readonly atMs: number; readonly timer: Timer } | undefined;
  #uses = 0;
  #isClosed = false;

  /** `isKept` false: what stands in the log cannot be used, and is to be written anew. */
  constructor(parts: LiveConsumerGroupParts, kept?: KeptConsumerGroup, isKept = true) {
    this.#parts = parts;
    this.group = new ConsumerGroup(parts, kept, parts.clock.monotonicMs());
    this.#keptRevision = isKept ? this.group.revision : -1;
    if (!isKept) void this.#keep();
    this.#wakeBy(this.group.nextDeadlineMs);
  }

  /** The group stays for as long as this takes. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    this.#uses++;
    try {
      return await work();
    } finally {
      this.#uses--;
      this.#endIfVoid();
    }
  }

  async heartbeat(
    heartbeat: ConsumerHeartbeat,
    resolved?: ReadonlyMap<string, readonly string[]>,
  ): Promise<HeartbeatAnswer | HeartbeatRefusal> {
    return await this.#answer(this.group.heartbeat(heartbeat, this.#parts.clock.monotonicMs(), resolved));
  }

  async leave(heartbeat: ConsumerHeartbeat): Promise<HeartbeatAnswer | HeartbeatRefusal> {
    return await this.#answer(this.group.leave(heartbeat));
  }

  /** Resolves when what is known now is kept, or could not be. */
  async kept(): Promise<void> {
    await this.#keep();
  }

  /** Members stay as the log has them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.timer.cancel();
    await this.#writing;
  }

  async #answer(answer: HeartbeatAnswer | HeartbeatRefusal): Promise<HeartbeatAnswer | HeartbeatRefusal> {
    if (answer.outcome === "refused") return answer;
    this.#wakeBy(this.group.deadlineOf(answer.memberId));
    if (await this.#keep()) return answer;
    return refusal("COORDINATOR_NOT_AVAILABLE", "The group's state could not be written.");
  }

  /** True when all that is known now is durable. */
  async #keep(): Promise<boolean> {
    const { revision } = this.group;
    while (this.#keptRevision < revision) {
      if (this.#isClosed) return false;
      this.#writing ??= this.#write();
      if (!(await this.#writing)) return false;
    }
    return true;
  }

  async #write(): Promise<boolean> {
    const { groupId, clock, diagnostics, keep } = this.#parts;
    const { revision } = this.group;
    try {
      await keep(encodeConsumerGroup(this.group.kept, clock.now()));
      this.#keptRevision = revision;
      this.#rewriteMs = undefined;
      return true;
    } catch (cause) {
      const message = "what is known about a consumer group could not be written";
      diagnostics.warn(message, { group: groupId, cause: String(cause) });
      this.#rewriteMs = clock.monotonicMs() + rewriteMs;
      this.#wakeBy(this.#rewriteMs);
      return false;
    } finally {
      this.#writing = undefined;
      this.#endIfVoid();
    }
  }

  /** Deadlines of members that speak move on: an earlier timer finds nothing to do and sets the next one. */
  #wakeBy(atMs: number | undefined): void {
    if (this.#isClosed || atMs === undefined || (this.#timer && this.#timer.atMs <= atMs)) return;
    this.#timer?.timer.cancel();
    const { clock } = this.#parts;
    const timer = clock.after(Math.max(1, atMs - clock.monotonicMs()), () => this.#wake());
    this.#timer = { atMs, timer };
  }

  #wake(): void {
    this.#timer = undefined;
    const { groupId, clock, diagnostics } = this.#parts;
    const nowMs = clock.monotonicMs();
    for (const removed of this.group.expire(nowMs)) {
      diagnostics.warn("a member was removed from its consumer group", { ...removed, group: groupId });
    }
    if (this.#rewriteMs === undefined || this.#rewriteMs <= nowMs) void this.#keep();
    else this.#wakeBy(this.#rewriteMs);
    this.#wakeBy(this.group.nextDeadlineMs);
  }

  #endIfVoid(): void {
    if (this.#isClosed || this.#uses > 0 || this.#writing || this.group.members.size > 0) return;
    if (this.#keptRevision < this.group.revision) return;
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    this.#parts.ended();
  }
}
