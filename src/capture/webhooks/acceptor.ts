/**
 * The owner of one source's ids: decides whether an event is new, and appends what is. While one group is made durable,
 * what comes in gathers for the next, so that many calls share a sync.
 *
 * Always true: an event is answered as accepted when its group is committed, and as a copy when the first one is; of
 * events with one id, one is in the topic. The id stands in the record, so that no crash comes between the two. Groups
 * follow each other, so that events of a partition keep their order. Who has been fenced commits nothing.
 * Not here: HTTP, signatures, quotas (hook.ts).
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { errorCodes } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";
import { nextTurn } from "../../base/turn.ts";
import type { Engine, PlacedBatch } from "../../engine/engine.ts";
import { becomeOwner, type Ownership } from "../../ownership/become-owner.ts";
import type { ProgressTable } from "../../ownership/progress-table.ts";
import { BatchBuilder } from "../../records/batch-builder.ts";
import { partitionOfKey } from "../../records/murmur2.ts";
import type { Header } from "../../records/record.ts";
import type { HookEvent } from "./hook-event.ts";
import { lateHeader } from "./hook-event.ts";
import type { IdFold } from "./id-fold.ts";
import type { IdPlace } from "./id-table.ts";

export interface Accepted extends IdPlace {
  readonly duplicate: boolean;
}

export type AcceptorState =
  /** Takes the unit over and reads what the topic has. */
  | { readonly kind: "connecting" }
  | { readonly kind: "streaming" }
  | { readonly kind: "waiting"; readonly error: MillraceError; readonly retryAtMs: number }
  | { readonly kind: "stopped" };

export interface AcceptorOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly progress: ProgressTable;
  readonly unit: string;
  readonly topic: string;
  readonly partitions: number;
  readonly batchBytesMax: number;
  readonly ids: IdFold;
  readonly limits?: Partial<AcceptorLimits>;
}

export interface AcceptorLimits {
  /** Events that wait for their group, in bytes; past it they are refused. */
  readonly pendingBytesMax: number;
  readonly groupBytesMax: number;
  readonly retryMsMin: number;
  readonly retryMsMax: number;
}

const defaultLimits: AcceptorLimits = {
  pendingBytesMax: 64 * 1024 * 1024,
  groupBytesMax: 8 * 1024 * 1024,
  retryMsMin: 500,
  retryMsMax: 15_000,
};

interface Pending {
  readonly event: HookEvent;
  readonly headers: readonly Header[];
  readonly idText: string;
  readonly partition: number;
  readonly sizeBytes: number;
  readonly timestampMs: number;
  readonly done: Promise<Accepted>;
  readonly resolve: (place: Accepted) => void;
  readonly reject: (reason: unknown) => void;
  place: IdPlace | undefined;
}

/** What a partition's builder holds between groups, at most. */
const builderBytesMax = 256 * 1024;
/** Length, attributes, deltas, counts, and the lengths of a dozen headers. */
const recordOverheadBytes = 128;

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #limits: AcceptorLimits;
  readonly #builders = new Map<number, BatchBuilder>();
  /** Accepted and not yet committed, by id. */
  readonly #pendingIds = new Map<string, Pending>();
  #queue: Pending[] = [];
  #pendingBytes = 0;
  #owner: Ownership | undefined;
  #state: AcceptorState = { kind: "connecting" };
  #late = 0;
  #retryMs = 0;
  #timer: { cancel(): void } | undefined;
  #working: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  get state(): AcceptorState {
    return this.#state;
  }

  /** Events that came behind a later one of their key. */
  get late(): number {
    return this.#late;
  }

  /** Takes the unit over, and tries again by itself where that may pass. */
  start(): void {
    this.#kick();
  }

  /** Throws what `accept` throws while it takes nothing. */
  assertServing(): void {
    if (this.#isClosed || !this.#owner) throw this.#notServing();
  }

  /** Throws `HOOK_BUSY` when too much waits, `UNIT_MOVING` before the ids are known, and what the log throws. */
  accept(event: HookEvent): Promise<Accepted> | Accepted {
    const { ids, clock } = this.#options;
    this.assertServing();
    const known = ids.table.find(event.idHash);
    if (known) return { ...known, duplicate: true };
    const idText = event.idHash.toString("latin1");
    const first = this.#pendingIds.get(idText);
    // It is answered with the place of the first one, or fails with it.
    if (first) return first.done.then((place) => ({ ...place, duplicate: true }));
    const sizeBytes = sizeOf(event);
    if (this.#pendingBytes + sizeBytes > this.#limits.pendingBytesMax) {
      throw new MillraceError("HOOK_BUSY", `more calls of "${this.#options.topic}" wait for the log than may`, {
        hint: "It was not kept; send it again later.",
      });
    }
    const isLate = ids.isLate(event.key, event.sequence);
    if (isLate) this.#late++;
    const headers = isLate ? [...event.headers, { key: lateHeader, value: Buffer.from("true") }] : event.headers;
    const { promise, resolve, reject } = Promise.withResolvers<Accepted>();
    promise.catch(() => {});
    const pending: Pending = {
      event,
      headers,
      idText,
      partition: this.#partitionOf(event),
      sizeBytes,
      timestampMs: clock.now(),
      done: promise,
      resolve,
      reject,
      place: undefined,
    };
    this.#pendingIds.set(idText, pending);
    this.#queue.push(pending);
    this.#pendingBytes += sizeBytes;
    this.#kick();
    return promise;
  }

  /** Lets what waits be committed, and writes the checkpoint. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#working;
    if (this.#owner) await this.#options.ids.checkpoint().catch((error) => this.#warnOfCheckpoint(error));
    this.#state = { kind: "stopped" };
  }

  #partitionOf({ key, idHash }: HookEvent): number {
    const { partitions } = this.#options;
    if (key) return partitionOfKey(key, partitions);
    return idHash.readUInt32LE(12) % partitions;
  }

  #kick(): void {
    if (this.#working) return;
    this.#working = this.#work().finally(() => {
      this.#working = undefined;
      // What came in while it ended.
      if (this.#queue.length > 0) this.#kick();
    });
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    if (!this.#owner && !this.#isClosed) await this.#takeOver();
    while (this.#owner && this.#queue.length > 0) {
      // Those who call in this turn are in this group.
      await nextTurn();
      const group = this.#takeGroup();
      try {
        await this.#commit(this.#owner, group);
      } catch (error) {
        // Whether it is in the log is only known when the log is read again.
        this.#owner = undefined;
        const refusal = this.#passing(MillraceError.from(error));
        this.#refuse(group, refusal);
        this.#refuse(this.#queue.splice(0), refusal);
        if (!this.#isClosed) await this.#takeOver();
        return;
      }
    }
    if (!this.#owner) this.#refuse(this.#queue.splice(0), this.#notServing());
  }

  /** Fences whoever was the owner, and reads what the topic has by now. */
  async #takeOver(): Promise<void> {
    const { engine, unit, progress, ids, clock } = this.#options;
    this.#state = { kind: "connecting" };
    try {
      const owner = await becomeOwner(engine, unit, { progress });
      await ids.catchUp();
      if (this.#isClosed) return;
      this.#owner = owner;
      this.#retryMs = 0;
      this.#state = { kind: "streaming" };
    } catch (thrown) {
      const error = MillraceError.from(thrown);
      if (this.#isClosed) return;
      this.#retryMs = Math.min(this.#limits.retryMsMax, Math.max(this.#limits.retryMsMin, this.#retryMs * 2));
      this.#state = { kind: "waiting", error, retryAtMs: clock.now() + this.#retryMs };
      this.#options.diagnostics.warn("a webhook source cannot take events", { source: this.#options.topic, error });
      this.#timer = clock.after(this.#retryMs, () => {
        if (!this.#isClosed) this.#kick();
      });
    }
  }

  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const { sizeBytes } of this.#queue) {
      if (count > 0 && bytes + sizeBytes > this.#limits.groupBytesMax) break;
      bytes += sizeBytes;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #commit(owner: Ownership, group: readonly Pending[]): Promise<void> {
    const { topic, ids } = this.#options;
    const transaction = owner.begin();
    const placed: PlacedBatch[] = [];
    for (const { partition, batch, members } of this.#batchesOf(group)) {
      const result = await transaction.append({ topic, partition, batch });
      placed.push(result);
      members.forEach((member, i) => {
        member.place = { partition, offset: result.baseOffset + i };
      });
    }
    await transaction.commit();
    for (const { partition, lastOffset, leaderEpoch } of placed) ids.reached(partition, lastOffset + 1, leaderEpoch);
    for (const pending of group) {
      const place = pending.place as IdPlace;
      this.#leave(pending);
      ids.add(pending.event.idHash, place);
      pending.resolve({ ...place, duplicate: false });
    }
    if (ids.isCheckpointDue) ids.checkpoint().catch((error) => this.#warnOfCheckpoint(error));
  }

  /** In the order of their arrival per partition. */
  *#batchesOf(group: readonly Pending[]) {
    const { batchBytesMax } = this.#options;
    const open = new Map<number, Pending[]>();
    for (const pending of group) {
      const { event, headers, partition, sizeBytes, timestampMs } = pending;
      let builder = this.#builders.get(partition);
      if (!builder) {
        builder = new BatchBuilder();
        this.#builders.set(partition, builder);
      }
      let members = open.get(partition);
      if (members && builder.sizeBytes + sizeBytes > batchBytesMax) {
        yield { partition, batch: builder.finish(), members };
        members = undefined;
      }
      if (!members) {
        members = [];
        open.set(partition, members);
      }
      builder.add(event.key, event.value, timestampMs, headers);
      members.push(pending);
    }
    for (const [partition, members] of open) {
      const batch = (this.#builders.get(partition) as BatchBuilder).finish();
      // It keeps room for as much again.
      if (batch.length > builderBytesMax) this.#builders.delete(partition);
      yield { partition, batch, members };
    }
  }

  #refuse(group: readonly Pending[], reason: unknown): void {
    this.#builders.clear();
    for (const pending of group) {
      this.#leave(pending);
      pending.reject(reason);
    }
  }

  #leave({ idText, sizeBytes }: Pending): void {
    this.#pendingIds.delete(idText);
    this.#pendingBytes -= sizeBytes;
  }

  #notServing(): MillraceError {
    const { topic } = this.#options;
    if (this.#isClosed) return new MillraceError("SHUTTING_DOWN", "Millrace is stopping");
    if ("error" in this.#state) return this.#passing(this.#state.error);
    return new MillraceError(
      "UNIT_MOVING",
      `source "${topic}" reads which ids it has, and takes events when it knows`,
      {
        hint: "Send it again in a moment.",
      },
    );
  }

  /** Vendors give up on calls that are refused as wrong; nothing is wrong with these. */
  #passing(error: MillraceError): MillraceError {
    const { http } = errorCodes[error.code];
    if (http === 503 || http === 507) return error;
    const { topic } = this.#options;
    return new MillraceError("UNIT_MOVING", `source "${topic}" takes no events now (${error.code})`, {
      hint: "Send it again in a moment.",
      cause: error,
    });
  }

  #warnOfCheckpoint(error: unknown): void {
    const source = this.#options.topic;
    this.#options.diagnostics.warn("the checkpoint of a webhook source's ids could not be written", { source, error });
  }
}

function sizeOf({ key, value, headers }: HookEvent): number {
  let bytes = recordOverheadBytes + (key?.length ?? 0) + value.length;
  for (const header of headers) bytes += header.key.length + (header.value?.length ?? 0);
  return bytes;
}
