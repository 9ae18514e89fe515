/**
 * Incremental fetch sessions (KIP-227): a client names its partitions once, and from then on only what changes; it is answered
 * with those partitions only that have something to tell.
 *
 * Always true: sessions and their partitions have a bound. Who finds no room is served without a session, which every
 * client can live with.
 */
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";

/** What a client wants of one partition. */
export interface WantedPartition {
  /** Empty where the version of the request has ids. */
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly currentLeaderEpoch: number;
  readonly fetchOffset: number;
  readonly lastFetchedEpoch: number;
  readonly bytesMax: number;
}

/** What was last told of a partition; -1 before anything was. */
interface SessionPartition {
  wanted: WantedPartition;
  highWatermark: number;
  logStart: number;
}

interface Session {
  readonly id: number;
  readonly usesIds: boolean;
  readonly partitions: Map<string, SessionPartition>;
  epoch: number;
  usedMs: number;
}

export interface SessionRequest {
  readonly sessionId: number;
  readonly sessionEpoch: number;
  readonly usesIds: boolean;
  readonly wanted: readonly WantedPartition[];
  readonly forgotten: readonly Pick<WantedPartition, "topic" | "topicId" | "partition">[];
}

/** What one fetch is to read, and which of the outcomes it tells. */
export interface FetchPlan {
  readonly sessionId: number;
  readonly partitions: readonly WantedPartition[];
  /** False for a partition that has nothing new to tell. Remembers what is told. */
  tells(wanted: WantedPartition, outcome: ToldPartition): boolean;
}

export interface ToldPartition {
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly logStart: number;
  readonly hasRecords: boolean;
}

export type SessionOutcome =
  | { readonly kind: "plan"; readonly plan: FetchPlan }
  | { readonly kind: "error"; readonly errorCode: number };

export interface FetchSessionBounds {
  readonly sessionsMax: number;
  readonly partitionsMax: number;
}

/** A session that was used within this is not given up for another one (min.incremental.fetch.session.eviction.ms). */
const evictableAfterMs = 120_000;
const sessionlessEpoch = -1;
const firstEpoch = 0;

export class FetchSessions {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #bounds: FetchSessionBounds;
  /** The one that was not used for longest first. */
  readonly #sessions = new Map<number, Session>();
  #partitionCount = 0;

  constructor(tools: { readonly clock: Clock; readonly random: Random }, bounds: FetchSessionBounds) {
    this.#clock = tools.clock;
    this.#random = tools.random;
    this.#bounds = bounds;
  }

  get count(): number {
    return this.#sessions.size;
  }

  plan(request: SessionRequest): SessionOutcome {
    const { sessionEpoch, sessionId } = request;
    if (sessionEpoch === sessionlessEpoch || sessionEpoch === firstEpoch) {
      this.#remove(sessionId);
      const session = sessionEpoch === firstEpoch ? this.#create(request) : undefined;
      return { kind: "plan", plan: session ? this.#full(session) : sessionless(request.wanted) };
    }
    const session = this.#sessions.get(sessionId);
    if (!session) return failed(kafkaErrors.FETCH_SESSION_ID_NOT_FOUND);
    if (session.epoch !== sessionEpoch) return failed(kafkaErrors.INVALID_FETCH_SESSION_EPOCH);
    if (session.usesIds !== request.usesIds && session.partitions.size > 0) {
      return failed(kafkaErrors.FETCH_SESSION_TOPIC_ID_ERROR);
    }
    if (this.#partitionCount + request.wanted.length > this.#bounds.partitionsMax) {
      // The client names all its partitions again, and is then served without a session.
      this.#remove(sessionId);
      return failed(kafkaErrors.FETCH_SESSION_ID_NOT_FOUND);
    }
    this.#update(session, request);
    return { kind: "plan", plan: this.#incremental(session) };
  }

  #create(request: SessionRequest): Session | undefined {
    const nowMs = this.#clock.monotonicMs();
    const needed = request.wanted.length;
    if (needed === 0) return undefined;
    while (
      this.#sessions.size >= this.#bounds.sessionsMax ||
      this.#partitionCount + needed > this.#bounds.partitionsMax
    ) {
      const [oldest] = this.#sessions.values();
      if (!oldest || nowMs - oldest.usedMs < evictableAfterMs) return undefined;
      this.#remove(oldest.id);
    }
    const session: Session = {
      id: this.#newId(),
      usesIds: request.usesIds,
      partitions: new Map(),
      epoch: 1,
      usedMs: nowMs,
    };
    for (const wanted of request.wanted) session.partitions.set(keyOf(wanted), begun(wanted));
    this.#partitionCount += session.partitions.size;
    this.#sessions.set(session.id, session);
    return session;
  }

  #update(session: Session, { wanted, forgotten }: SessionRequest): void {
    const before = session.partitions.size;
    for (const one of forgotten) session.partitions.delete(keyOf(one));
    for (const one of wanted) {
      const known = session.partitions.get(keyOf(one));
      if (known) known.wanted = one;
      else session.partitions.set(keyOf(one), begun(one));
    }
    this.#partitionCount += session.partitions.size - before;
    session.epoch = session.epoch === 2 ** 31 - 1 ? 1 : session.epoch + 1;
    session.usedMs = this.#clock.monotonicMs();
    this.#sessions.delete(session.id);
    this.#sessions.set(session.id, session);
  }

  #full({ id, partitions }: Session): FetchPlan {
    return {
      sessionId: id,
      partitions: [...partitions.values()].map(({ wanted }) => wanted),
      tells: (wanted, outcome) => {
        const known = partitions.get(keyOf(wanted));
        if (known) remember(known, outcome);
        return true;
      },
    };
  }

  #incremental({ id, partitions }: Session): FetchPlan {
    return {
      sessionId: id,
      partitions: [...partitions.values()].map(({ wanted }) => wanted),
      tells: (wanted, outcome) => {
        const key = keyOf(wanted);
        const known = partitions.get(key);
        if (!known) return true;
        const { errorCode, highWatermark, logStart, hasRecords } = outcome;
        const isNew =
          hasRecords || errorCode !== 0 || known.highWatermark !== highWatermark || known.logStart !== logStart;
        remember(known, outcome);
        if (hasRecords) {
          // Others come first next time, so that a busy partition does not starve them.
          partitions.delete(key);
          partitions.set(key, known);
        }
        return isNew;
      },
    };
  }

  #remove(id: number): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    this.#sessions.delete(id);
    this.#partitionCount -= session.partitions.size;
  }

  #newId(): number {
    for (;;) {
      const id = 1 + this.#random.below(2 ** 31 - 1);
      if (!this.#sessions.has(id)) return id;
    }
  }
}

function sessionless(partitions: readonly WantedPartition[]): FetchPlan {
  return { sessionId: 0, partitions, tells: () => true };
}

function failed(errorCode: number): SessionOutcome {
  return { kind: "error", errorCode };
}

function keyOf({ topic, topicId, partition }: Pick<WantedPartition, "topic" | "topicId" | "partition">): string {
  return `${topic || topicId}/${partition}`;
}

function begun(wanted: WantedPartition): SessionPartition {
  return { wanted, highWatermark: -1, logStart: -1 };
}

/** An error is told again until it is gone, and its end is told too. */
function remember(known: SessionPartition, { errorCode, highWatermark, logStart }: ToldPartition): void {
  known.highWatermark = errorCode === 0 ? highWatermark : -1;
  known.logStart = logStart;
}
