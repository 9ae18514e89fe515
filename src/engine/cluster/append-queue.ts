/**
 * The batches of one producer for one partition, in the order in which they were given: what is on its way, what waits, and
 * how they are numbered. Pure: it is told what was answered, and answers what to send.
 *
 * Always true: batches are sent in their order, at most `inFlightMax` at a time, all to one broker. When one of them has to be
 * sent again, nothing is sent until all that are on their way are answered; then they go again in their order, under the
 * sequences that they had, so that the partition knows those that it has. A batch that may be there already is never given
 * another sequence: when its outcome stays unknown, it is rejected.
 */
import { MillraceError } from "../../base/errors.ts";
import { batchField, stampTransaction, writeBatchChecksum } from "../../records/batch-header.ts";
import { writeInt64 } from "../../records/int64.ts";
import type { ProducerIdentity, TransactionVersion } from "../engine.ts";
import { KafkaError, type KafkaErrorLabel, remedyOfLabel } from "./kafka-error.ts";

export interface Placed {
  readonly baseOffset: number;
  readonly appendTimeMs: number;
}

/** `foreign` batches name their producer themselves. */
export type Numbering = "own" | "transaction" | "foreign";

/** Whose transaction batches are of, and by which rules partitions become a part of it. */
export interface BatchTransaction {
  readonly id: string;
  readonly version: TransactionVersion;
}

/** What the broker said; `lost` when it said nothing. */
export type AppendAnswer =
  | { readonly kind: "placed"; readonly placed: Placed }
  | { readonly kind: "refused"; readonly error: KafkaError }
  | { readonly kind: "lost"; readonly error: unknown };

export interface PendingAppend {
  readonly batch: Buffer;
  /** It is given up after that. */
  readonly endMs: number;
  readonly resolve: (placed: Placed) => void;
  readonly reject: (error: unknown) => void;
}

interface Entry extends PendingAppend {
  /** -1 before it was numbered. */
  sequence: number;
  state: "waiting" | "sent" | "again";
  /** An answer was lost, so the partition may have it. */
  mayBeThere: boolean;
}

export const inFlightMax = 5;
const sequences = 2 ** 31;
/** Kafka's largest but one: the largest fences. */
const epochMax = 32_766;
const renewalsMax = 3;

/** Refused, and perhaps appended all the same. */
const doubtful: ReadonlySet<KafkaErrorLabel> = new Set<KafkaErrorLabel>([
  "REQUEST_TIMED_OUT",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "UNKNOWN_SERVER_ERROR",
  "NETWORK_EXCEPTION",
]);

const misnumbered: ReadonlySet<KafkaErrorLabel> = new Set<KafkaErrorLabel>([
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
]);

export class AppendQueue {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly transaction: BatchTransaction | null;
  readonly #numbering: Numbering;
  #identity: ProducerIdentity | undefined;
  /** The partition has a batch of this identity. */
  #isKnown = false;
  #spentProducerId: number | undefined;
  #nextSequence = 0;
  #inFlight: Entry[] = [];
  #waiting: Entry[] = [];
  #node: number | undefined;
  /** From this sequence on nothing is there: what was refused at it. */
  #rollBackTo: number | undefined;
  #mustRenew: "epoch" | "producer" | undefined;
  #renewals = 0;
  #failures = 0;
  #lastError: unknown;

  constructor(
    place: { readonly topic: string; readonly topicId: string; readonly partition: number },
    numbering: Numbering,
    transaction: BatchTransaction | null,
  ) {
    this.topic = place.topic;
    this.topicId = place.topicId;
    this.partition = place.partition;
    this.transaction = transaction;
    this.#numbering = numbering;
  }

  get isIdle(): boolean {
    return this.#inFlight.length === 0 && this.#waiting.length === 0;
  }

  /** A producer id is wanted before anything can be sent: `identify`. */
  get wantsProducer(): boolean {
    return this.#numbering !== "foreign" && this.#identity === undefined;
  }

  /** A producer id that is of no use for this queue any more. */
  get spentProducerId(): number | undefined {
    return this.#spentProducerId;
  }

  /** Failed answers since the last good one; 0 when there is nothing to pause for. */
  get failures(): number {
    return this.#failures;
  }

  /** Sequences begin at 0. Nothing is on its way. */
  identify(identity: ProducerIdentity): void {
    this.#identity = identity;
    this.#isKnown = false;
    this.#nextSequence = 0;
    for (const entry of this.#waiting) entry.sequence = -1;
  }

  add(append: PendingAppend): void {
    this.#waiting.push({ ...append, sequence: -1, state: "waiting", mayBeThere: false });
  }

  /** The next batch for this broker, or undefined when there is none to send now. Its bytes are numbered. */
  take(node: number): object | undefined {
    const entry = this.#waiting[0];
    if (entry === undefined || this.wantsProducer || this.#inFlight.length >= this.#inFlightMax) return undefined;
    if (this.#inFlight.length > 0 && (this.#node !== node || this.#isRecovering)) return undefined;
    this.#waiting.shift();
    this.#node = node;
    this.#number(entry);
    entry.state = "sent";
    this.#inFlight.push(entry);
    return entry;
  }

  bytesOf(taken: object): Buffer {
    return (taken as Entry).batch;
  }

  /** An answer for what was taken. Settled batches are told; others will be taken again. */
  settle(taken: object, answer: AppendAnswer): void {
    const entry = taken as Entry;
    if (!this.#inFlight.includes(entry)) return;
    if (answer.kind === "placed") {
      this.#isKnown = true;
      this.#drop(entry);
      this.#failures = 0;
      this.#renewals = 0;
      entry.resolve(answer.placed);
    } else if (answer.kind === "lost") {
      entry.mayBeThere = true;
      this.#again(entry, answer.error);
    } else this.#refused(entry, answer.error);
    this.#recover();
  }

  /** Gives up what is older than it may become; it has to be called when nothing else happens. */
  expire(nowMs: number): void {
    // What may be there goes with all that was sent behind it, since its sequence cannot be given again.
    const overdue = this.#waiting.findIndex(({ endMs }) => endMs <= nowMs);
    if (overdue < 0 || this.#inFlight.length > 0) return;
    const until = this.#waiting.findLastIndex(({ mayBeThere }) => mayBeThere);
    const given = this.#waiting.splice(0, Math.max(overdue, until) + 1);
    const numbered = given.find(({ sequence }) => sequence >= 0);
    if (until >= 0) this.#renew("epoch");
    else if (numbered) {
      this.#rollBackTo = numbered.sequence;
      this.#roll();
    }
    for (const entry of given) entry.reject(gaveUp(this, this.#lastError, entry.mayBeThere));
  }

  /** Everything is rejected. */
  end(error: unknown): void {
    const all = [...this.#inFlight, ...this.#waiting];
    this.#inFlight = [];
    this.#waiting = [];
    for (const { reject } of all) reject(error);
  }

  /** A partition takes any sequence of a producer that it does not know, so the first one goes alone. */
  get #inFlightMax(): number {
    return this.#numbering === "foreign" || this.#isKnown ? inFlightMax : 1;
  }

  get #isRecovering(): boolean {
    return (
      this.#rollBackTo !== undefined ||
      this.#mustRenew !== undefined ||
      this.#inFlight.some(({ state }) => state === "again")
    );
  }

  #refused(entry: Entry, error: KafkaError): void {
    const { label } = error;
    if (doubtful.has(label)) entry.mayBeThere = true;
    if (misnumbered.has(label) && this.#isBehindAFailure(entry)) {
      this.#again(entry, error);
      return;
    }
    if (this.#numbering === "own" && !entry.mayBeThere && this.#renewals < renewalsMax) {
      if (misnumbered.has(label)) {
        this.#renewAndAgain(entry, error, "epoch");
        return;
      }
      if (label === "INVALID_PRODUCER_EPOCH") {
        this.#renewAndAgain(entry, error, "producer");
        return;
      }
    }
    if (remedyOfLabel(label) !== "none") {
      this.#again(entry, error);
      return;
    }
    this.#drop(entry);
    if (entry.mayBeThere) this.#mustRenew ??= "epoch";
    else if (entry.sequence >= 0) this.#rollBackTo = this.#earlier(entry.sequence);
    entry.reject(entry.mayBeThere ? gaveUp(this, error, true) : error);
  }

  #again(entry: Entry, error: unknown): void {
    entry.state = "again";
    this.#lastError = error;
  }

  /** The partition knows nothing of what this one follows, so it has not taken this one. */
  #renewAndAgain(entry: Entry, error: unknown, what: "epoch" | "producer"): void {
    this.#mustRenew = what;
    this.#again(entry, error);
  }

  /** One that was sent before it was not taken, so this one could not be. */
  #isBehindAFailure(entry: Entry): boolean {
    if (this.#rollBackTo !== undefined) return true;
    const at = this.#inFlight.indexOf(entry);
    return this.#inFlight.slice(0, at).some(({ state }) => state === "again");
  }

  /** When everything that was on its way is answered, what has to go again goes before what waits. */
  #recover(): void {
    if (!this.#isRecovering || this.#inFlight.some(({ state }) => state === "sent")) return;
    const again = this.#inFlight;
    this.#inFlight = [];
    if (again.length > 0) this.#failures++;
    for (const entry of again) entry.state = "waiting";
    this.#waiting.unshift(...again);
    if (this.#mustRenew !== undefined) {
      this.#renewals++;
      this.#renew(this.#mustRenew);
    } else this.#roll();
  }

  /** What comes next takes the place of what was refused: nothing behind it is there. */
  #roll(): void {
    const from = this.#rollBackTo;
    this.#rollBackTo = undefined;
    if (from === undefined || this.#numbering === "foreign") return;
    this.#nextSequence = from;
    for (const entry of this.#waiting) if (!isBefore(entry.sequence, from)) entry.sequence = -1;
  }

  #renew(what: "epoch" | "producer"): void {
    this.#mustRenew = undefined;
    this.#rollBackTo = undefined;
    if (this.#numbering !== "own" || !this.#identity) return;
    const { producerId, epoch } = this.#identity;
    this.#identity = what === "epoch" && epoch < epochMax ? { producerId, epoch: epoch + 1 } : undefined;
    if (!this.#identity) this.#spentProducerId = producerId;
    this.#nextSequence = 0;
    this.#isKnown = false;
    const lost = this.#waiting.filter(({ mayBeThere }) => mayBeThere);
    this.#waiting = this.#waiting.filter(({ mayBeThere }) => !mayBeThere);
    for (const entry of this.#waiting) entry.sequence = -1;
    for (const entry of lost) entry.reject(gaveUp(this, this.#lastError, true));
  }

  #number(entry: Entry): void {
    if (this.#numbering === "foreign" || !this.#identity) return;
    const { producerId, epoch } = this.#identity;
    // One that goes again has the sequence that it had: those behind it may be there already.
    if (entry.sequence < 0) {
      const count = entry.batch.readInt32BE(batchField.lastOffsetDelta) + 1;
      entry.sequence = this.#nextSequence;
      this.#nextSequence = (entry.sequence + count) % sequences;
    }
    if (this.#numbering === "own") stampProducer(entry.batch, producerId, epoch, entry.sequence);
    else stampTransaction(entry.batch, producerId, epoch, entry.sequence);
  }

  #earlier(sequence: number): number {
    const known = this.#rollBackTo;
    return known === undefined || isBefore(sequence, known) ? sequence : known;
  }

  #drop(entry: Entry): void {
    this.#inFlight.splice(this.#inFlight.indexOf(entry), 1);
  }
}

/** Sequences begin again behind the largest one: the nearer way round is the order. One that is none is behind all. */
function isBefore(sequence: number, other: number): boolean {
  return sequence >= 0 && sequence !== other && (other - sequence + sequences) % sequences < sequences / 2;
}

function stampProducer(batch: Buffer, producerId: number, epoch: number, sequence: number): void {
  writeInt64(batch, batchField.producerId, producerId);
  batch.writeInt16BE(epoch, batchField.producerEpoch);
  batch.writeInt32BE(sequence, batchField.baseSequence);
  writeBatchChecksum(batch);
}

function gaveUp({ topic, partition }: AppendQueue, cause: unknown, mayBeThere: boolean): MillraceError {
  const reason =
    cause instanceof KafkaError
      ? `Kafka answers ${cause.label}`
      : cause instanceof Error
        ? cause.message
        : "no broker leads it";
  return new MillraceError(
    "CLUSTER_UNREACHABLE",
    `appending to ${topic}/${partition} did not succeed in time: ${reason}; the records ${mayBeThere ? "may be there" : "are not there"}`,
    { cause, details: { topic, partition, mayBeThere } },
  );
}
