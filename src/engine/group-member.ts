/**
 * A member of a consumer group, as its user has it: what it has taken of what the group has told it.
 *
 * Always true: a partition that the group takes away is acknowledged only when the user has never taken it, or has said that
 * it has let go of it.
 */
import { MillraceError } from "../base/errors.ts";
import type { Answer, Transaction } from "./engine.ts";
import { placeName } from "./group-assignors.ts";
import type { FetchedOffset, GroupMember, MemberInfo, OffsetCommit, Rebalance, TopicPartition } from "./groups.ts";

/** The group, as its members call it. */
export interface MemberHost {
  /** Whose time is over is removed now. */
  checkTime(): void;
  heartbeat(memberId: string): Answer<void>;
  acknowledge(memberId: string, generation: number): void;
  leave(memberId: string, forGood: boolean): Answer<void>;
  members(): readonly MemberInfo[];
  commit(offsets: readonly OffsetCommit[]): Promise<void>;
  commitIn(transaction: Transaction, offsets: readonly OffsetCommit[]): Promise<void>;
  fetch(partitions: readonly TopicPartition[], requireStable: boolean): Promise<FetchedOffset[]>;
}

interface Told {
  readonly generation: number;
  readonly places: ReadonlySet<string>;
}

interface Waiter {
  readonly resolve: (rebalance: Rebalance) => void;
  readonly reject: (reason: unknown) => void;
}

export class MemberHandle implements GroupMember {
  readonly group: string;
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly #host: MemberHost;
  readonly #lost = new AbortController();
  #error: MillraceError | undefined;
  #told: Told = { generation: 0, places: new Set() };
  #isTaken = true;
  #isAcknowledged = true;
  #generation = 0;
  /** As the user has taken it. */
  #places: ReadonlySet<string> = new Set();
  #assignment: readonly TopicPartition[] = [];
  /** Revoked, and the user may still be at it; by the number of the rebalance that said so. */
  readonly #releasing = new Map<string, number>();
  #rebalances = 0;
  #waiter: Waiter | undefined;

  constructor(host: MemberHost, group: string, memberId: string, instanceId: string | null) {
    this.#host = host;
    this.group = group;
    this.memberId = memberId;
    this.instanceId = instanceId;
  }

  get generation(): number {
    return this.#generation;
  }

  get assignment(): readonly TopicPartition[] {
    return this.#assignment;
  }

  get members(): readonly MemberInfo[] {
    return this.#host.members();
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  async heartbeat(): Promise<void> {
    this.#assertMember();
    await this.#host.heartbeat(this.memberId);
    this.#assertMember();
  }

  next(signal?: AbortSignal): Promise<Rebalance> {
    if (this.#error) return Promise.reject(this.#error);
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#waiter) {
      return Promise.reject(invalid(`member ${this.memberId} is asked for its next assignment twice at a time`));
    }
    if (!this.#isTaken) return Promise.resolve(this.take());
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiter = undefined;
        reject(signal?.reason);
      };
      const done = () => {
        this.#waiter = undefined;
        signal?.removeEventListener("abort", onAbort);
      };
      this.#waiter = {
        resolve: (rebalance) => {
          done();
          resolve(rebalance);
        },
        reject: (reason) => {
          done();
          reject(reason);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  async commit(offsets: readonly OffsetCommit[], options: { readonly generation?: number } = {}): Promise<void> {
    this.#assertMayCommit(offsets, options.generation);
    await this.#host.commit(offsets);
  }

  async commitIn(
    transaction: Transaction,
    offsets: readonly OffsetCommit[],
    options: { readonly generation?: number } = {},
  ): Promise<void> {
    this.#assertMayCommit(offsets, options.generation);
    await this.#host.commitIn(transaction, offsets);
  }

  async committed(
    partitions: readonly TopicPartition[] = this.#assignment,
    options: { readonly requireStable?: boolean } = {},
  ): Promise<FetchedOffset[]> {
    return await this.#host.fetch(partitions, options.requireStable ?? true);
  }

  async leave(options: { readonly forGood?: boolean } = {}): Promise<void> {
    if (!this.#error) await this.#host.leave(this.memberId, options.forGood ?? false);
  }

  /** For the group: what the member has from now on. */
  tell(generation: number, places: readonly string[]): void {
    this.#told = { generation, places: new Set(places) };
    this.#isTaken = false;
    this.#isAcknowledged = false;
    // Before it is taken: what the user never had need not be let go of.
    this.#acknowledgeIfFree();
    if (this.#waiter) this.#waiter.resolve(this.take());
  }

  /** For the group: what the user may be at, or is about to be. */
  held(): Set<string> {
    return new Set([...this.#places, ...this.#releasing.keys()]);
  }

  /** For the group: it is no member any more. */
  end(error: MillraceError): void {
    if (this.#error) return;
    this.#error = error;
    this.#waiter?.reject(error);
    this.#lost.abort(error);
  }

  /** What was told last becomes the user's. */
  take(): Rebalance {
    const { generation, places } = this.#told;
    const number = ++this.#rebalances;
    const granted = [...places].filter((place) => !this.#places.has(place));
    const revoked = [...this.#places].filter((place) => !places.has(place));
    for (const place of revoked) this.#releasing.set(place, number);
    for (const place of places) this.#releasing.delete(place);
    this.#places = places;
    this.#assignment = [...places].map(partitionOf);
    this.#generation = generation;
    this.#isTaken = true;
    return {
      generation,
      assignment: this.#assignment,
      granted: granted.map(partitionOf),
      revoked: revoked.map(partitionOf),
      acknowledge: () => {
        for (const [place, since] of this.#releasing) if (since <= number) this.#releasing.delete(place);
        this.#acknowledgeIfFree();
      },
    };
  }

  #acknowledgeIfFree(): void {
    if (this.#isAcknowledged || this.#error) return;
    const { generation, places } = this.#told;
    for (const place of this.#places) if (!places.has(place)) return;
    for (const place of this.#releasing.keys()) if (!places.has(place)) return;
    this.#isAcknowledged = true;
    this.#host.acknowledge(this.memberId, generation);
  }

  #assertMember(): void {
    if (this.#error) throw this.#error;
  }

  #assertMayCommit(offsets: readonly OffsetCommit[], generation: number | undefined): void {
    this.#host.checkTime();
    this.#assertMember();
    if (generation !== undefined && generation !== this.#generation) {
      throw new MillraceError(
        "GROUP_GENERATION_OLD",
        `member ${this.memberId} is in generation ${this.#generation}, not ${generation}`,
        {
          hint: "Commit what belongs to the newest assignment only.",
          details: { group: this.group, generation, current: this.#generation },
        },
      );
    }
    for (const { topic, partition } of offsets) {
      const place = placeName(topic, partition);
      if (this.#places.has(place) || this.#releasing.has(place)) continue;
      throw new MillraceError(
        "GROUP_PARTITION_NOT_ASSIGNED",
        `partition ${String(partition)} of topic ${String(topic)} is not assigned to member ${this.memberId}`,
        { details: { group: this.group, topic, partition, generation: this.#generation } },
      );
    }
  }
}

export function partitionOf(place: string): TopicPartition {
  const slash = place.lastIndexOf("/");
  return { topic: place.slice(0, slash), partition: Number(place.slice(slash + 1)) };
}

function invalid(message: string): MillraceError {
  return new MillraceError("GROUP_REQUEST_INVALID", message);
}
