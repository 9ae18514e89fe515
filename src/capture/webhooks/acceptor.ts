/**
 * The owner of one source's ids: decides whether an event is new, and appends what is.
 *
 * Always true: an event is answered as accepted when its group is committed, and as a copy when the first one is; of
 * events with one id, one is in the topic. The id stands in the record, so that no crash comes between the two. Events
 * of a partition keep their order.
 * Not here: owning, groups and taking over (ownership/owned-writer.ts); HTTP, signatures, quotas (hook.ts).
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { errorCodes } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";
import type { Engine, PlacedBatch, Transaction } from "../../engine/engine.ts";
import {
  type OwnedWriterLimits as AcceptorLimits,
  type OwnedWriterState as AcceptorState,
  OwnedWriter,
} from "../../ownership/owned-writer.ts";
import type { ProgressTable } from "../../ownership/progress-table.ts";
import { BatchBuilder } from "../../records/batch-builder.ts";
import { partitionOfKey } from "../../records/murmur2.ts";
import type { Header } from "../../records/record.ts";
import type { HookEvent } from "./hook-event.ts";
import { lateHeader } from "./hook-event.ts";
import type { IdFold } from "./id-fold.ts";
import type { IdPlace } from "./id-table.ts";

export type { AcceptorLimits, AcceptorState };

export interface Accepted extends IdPlace {
  readonly duplicate: boolean;
}

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

interface Pending {
  readonly event: HookEvent;
  readonly headers: readonly Header[];
  readonly idText: string;
  readonly partition: number;
  readonly sizeBytes: number;
  readonly timestampMs: number;
}

interface Placed extends IdPlace {
  /** The batch that it is in. */
  readonly batch: PlacedBatch;
}

/** What a partition's builder holds between groups, at most. */
const builderBytesMax = 256 * 1024;
/** Length, attributes, deltas, counts, and the lengths of a dozen headers. */
const recordOverheadBytes = 128;

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #writer: OwnedWriter<Pending, Placed>;
  readonly #builders = new Map<number, BatchBuilder>();
  /** Accepted and not yet committed, by id. */
  readonly #pendingIds = new Map<string, Promise<Placed>>();
  #late = 0;
  #isClosed = false;

  constructor(options: AcceptorOptions) {
    this.#options = options;
    const { ids } = options;
    this.#writer = new OwnedWriter({
      ...options,
      work: {
        catchUp: () => ids.catchUp(),
        write: (transaction, group) => this.#write(transaction, group),
        committed: (group, places) => this.#committed(group, places),
        refused: (group) => {
          this.#builders.clear();
          for (const { idText } of group) this.#pendingIds.delete(idText);
        },
        refusal: (error) => (error ? this.#passing(error) : this.#reading()),
        busy: () =>
          new MillraceError("HOOK_BUSY", `more calls of "${options.topic}" wait for the log than may`, {
            hint: "It was not kept; send it again later.",
          }),
      },
    });
  }

  get state(): AcceptorState {
    return this.#writer.state;
  }

  /** Events that came behind a later one of their key. */
  get late(): number {
    return this.#late;
  }

  /** Takes the unit over, and tries again by itself where that may pass. */
  start(): void {
    this.#writer.start();
  }

  /** Throws what `accept` throws while it takes nothing. */
  assertServing(): void {
    this.#writer.assertServing();
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
    if (first) return first.then((placed) => acceptedAt(placed, true));
    const sizeBytes = sizeOf(event);
    this.#writer.assertRoom(sizeBytes);
    const isLate = ids.isLate(event.key, event.sequence);
    if (isLate) this.#late++;
    const headers = isLate ? [...event.headers, { key: lateHeader, value: Buffer.from("true") }] : event.headers;
    const partition = this.#partitionOf(event);
    const pending = { event, headers, idText, partition, sizeBytes, timestampMs: clock.now() };
    const placed = this.#writer.write(pending, sizeBytes);
    this.#pendingIds.set(idText, placed);
    return placed.then((place) => acceptedAt(place, false));
  }

  /** Lets what waits be committed, and writes the checkpoint. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const wasOwner = await this.#writer.close();
    if (wasOwner) await this.#options.ids.checkpoint().catch((error) => this.#warnOfCheckpoint(error));
  }

  #partitionOf({ key, idHash }: HookEvent): number {
    const { partitions } = this.#options;
    if (key) return partitionOfKey(key, partitions);
    return idHash.readUInt32LE(12) % partitions;
  }

  async #write(transaction: Transaction, group: readonly Pending[]): Promise<Placed[]> {
    const { topic } = this.#options;
    const places = new Map<Pending, Placed>();
    for (const { partition, batch, members } of this.#batchesOf(group)) {
      const placed = await transaction.append({ topic, partition, batch });
      members.forEach((member, i) => {
        places.set(member, { partition, offset: placed.baseOffset + i, batch: placed });
      });
    }
    return group.map((pending) => places.get(pending) as Placed);
  }

  #committed(group: readonly Pending[], places: readonly Placed[]): void {
    const { ids } = this.#options;
    for (const { partition, lastOffset, leaderEpoch } of new Set(places.map(({ batch }) => batch))) {
      ids.reached(partition, lastOffset + 1, leaderEpoch);
    }
    group.forEach(({ event, idText }, i) => {
      this.#pendingIds.delete(idText);
      ids.add(event.idHash, places[i] as Placed);
    });
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

  #reading(): MillraceError {
    const { topic } = this.#options;
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

function acceptedAt({ partition, offset }: IdPlace, duplicate: boolean): Accepted {
  return { partition, offset, duplicate };
}

function sizeOf({ key, value, headers }: HookEvent): number {
  let bytes = recordOverheadBytes + (key?.length ?? 0) + value.length;
  for (const header of headers) bytes += header.key.length + (header.value?.length ?? 0);
  return bytes;
}
