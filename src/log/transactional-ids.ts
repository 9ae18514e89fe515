/**
 * The transactional ids that there are, what each of them is doing, and whose a producer id is. It holds; what happens to them is
 * transaction-coordinator.ts.
 *
 * Always true: of the producer ids that an id has had only the newest leads to it; the ids stand in the order of their last change.
 */
import { MillraceError } from "../base/errors.ts";
import type { Partition } from "./partition.ts";
import type { Doing, Known } from "./transaction-decisions.ts";
import type {
  Decision,
  ProducerIdentity,
  ProducerState,
  StoredEnd,
  StoredOpenTransaction,
} from "./transaction-records.ts";

export interface Touched {
  /** Behind the last batch; 0 for none, infinity where it is not known. */
  endOffset: number;
  /** Of the next record, where the log counts them. */
  sequence: number;
}

/** An open transaction. */
export interface OpenWork {
  readonly startedMs: number;
  readonly touched: Map<Partition, Touched>;
  /** Behind the last record of it; 0 while none says that it is open. */
  storedEnd: number;
}

export type Phase =
  | { readonly kind: "none" }
  | { readonly kind: "open"; readonly work: OpenWork }
  | { readonly kind: "ending"; readonly work: OpenWork; readonly outcome: Decision; readonly ended: Promise<void> }
  /** Its next epoch is on its way to the disk. */
  | { readonly kind: "fencing"; readonly work: OpenWork | undefined };

/** What is known of one id; it stays the same object for as long as somebody takes the id. */
export interface Slot {
  readonly transactionalId: string;
  state: ProducerState | undefined;
  phase: Phase;
  usedMs: number;
  /** Takings of one id follow each other. */
  queue: Promise<unknown>;
  takers: number;
}

export interface TransactionDescription extends ProducerIdentity {
  readonly transactionalId: string;
  readonly state: "empty" | "ongoing" | "ending";
  /** Of the transaction that is being ended, or was ended last; undefined when none was since the id was taken. */
  readonly outcome: Decision | undefined;
  readonly timeoutMs: number | null;
  /** Undefined when none is open. */
  readonly startedMs: number | undefined;
  readonly updatedMs: number;
  readonly partitions: readonly { readonly topic: string; readonly partition: number }[];
}

export class TransactionalIds {
  readonly #slots = new Map<string, Slot>();
  readonly #byProducerId = new Map<number, Slot>();

  get size(): number {
    return this.#slots.size;
  }

  get(transactionalId: string): Slot | undefined {
    return this.#slots.get(transactionalId);
  }

  ofProducer(producerId: number): Slot | undefined {
    return this.#byProducerId.get(producerId);
  }

  /** The one that was changed longest ago first; ids may come and go meanwhile. */
  values(): IterableIterator<Slot> {
    return this.#slots.values();
  }

  /** One that is not known begins without a state. */
  slot(transactionalId: string, nowMs: number): Slot {
    const known = this.#slots.get(transactionalId);
    if (known) return known;
    const slot: Slot = {
      transactionalId,
      state: undefined,
      phase: { kind: "none" },
      usedMs: nowMs,
      queue: Promise.resolve(),
      takers: 0,
    };
    this.#slots.set(transactionalId, slot);
    return slot;
  }

  learn({ transactionalId, producerId, epoch, timeoutMs, wire }: ProducerState, usedMs: number): void {
    const slot = this.slot(transactionalId, usedMs);
    if (slot.state) this.#byProducerId.delete(slot.state.producerId);
    slot.state = { transactionalId, producerId, epoch, timeoutMs: timeoutMs ?? null, ...(wire && { wire }) };
    slot.usedMs = usedMs;
    this.#byProducerId.set(producerId, slot);
    this.#slots.delete(transactionalId);
    this.#slots.set(transactionalId, slot);
  }

  forget(transactionalId: string): void {
    const slot = this.#slots.get(transactionalId);
    if (!slot) return;
    if (slot.state) this.#byProducerId.delete(slot.state.producerId);
    slot.state = undefined;
    if (slot.takers === 0) this.#slots.delete(transactionalId);
  }
}

export function describe({ transactionalId, state, phase, usedMs }: Slot): TransactionDescription | undefined {
  if (!state) return undefined;
  const work = phase.kind === "open" || phase.kind === "ending" ? phase.work : undefined;
  const ended = phase.kind === "ending" ? phase.outcome : state.wire?.ended?.outcome;
  return {
    transactionalId,
    producerId: state.producerId,
    epoch: state.epoch,
    state: phase.kind === "open" ? "ongoing" : phase.kind === "none" ? "empty" : "ending",
    outcome: phase.kind === "open" ? undefined : phase.kind === "fencing" ? "abort" : ended,
    timeoutMs: state.timeoutMs ?? null,
    startedMs: work?.startedMs,
    updatedMs: usedMs,
    partitions: [...(work?.touched.keys() ?? [])].map(({ place: { topic, partition } }) => ({ topic, partition })),
  };
}

export function newWork(startedMs: number): OpenWork {
  return { startedMs, touched: new Map(), storedEnd: 0 };
}

export function workOf(phase: Phase): OpenWork | undefined {
  return phase.kind === "none" ? undefined : phase.work;
}

export function knownOf(slot: Slot | undefined): Known {
  return { state: slot?.state, doing: doingOf(slot?.phase) };
}

function doingOf(phase: Phase | undefined): Doing {
  if (phase?.kind === "ending") return { kind: "ending", outcome: phase.outcome };
  return { kind: phase?.kind ?? "none" };
}

/** What a record or a checkpoint says of it. */
export function withOpen(state: ProducerState, work: OpenWork | undefined): ProducerState {
  if (!work || !state.wire) return state;
  const partitions = Array.from(work.touched.keys(), ({ place }) => [place.topicId, place.partition] as const);
  const open: StoredOpenTransaction = { startedMs: work.startedMs, partitions };
  return { ...state, wire: { ...state.wire, open } };
}

/** Where there is something of it, and behind what. Of a client's, what went with its topic is not missed (Kafka's way). */
export function writtenIn({ touched }: OpenWork, state: ProducerState | undefined): [Partition, number][] {
  const written: [Partition, number][] = [];
  for (const [partition, { endOffset }] of touched) {
    const isGone = state?.wire !== undefined && MillraceError.is(partition.failure, "TOPIC_UNKNOWN");
    if (endOffset > 0 && !isGone) written.push([partition, endOffset]);
  }
  return written;
}

/** Undefined when they are not all known: then the epoch has to end. */
export function endsOf(work: OpenWork, state: ProducerState): StoredEnd[] | undefined {
  const ends: StoredEnd[] = [];
  for (const [{ place, failure }, endOffset] of writtenIn(work, state)) {
    if (failure) return undefined;
    ends.push([place.topicId, place.partition, endOffset]);
  }
  return ends;
}
