/**
 * Appends of requests that carry an idempotency key: each is done once, and answered the same each time.
 *
 * Always true: how a request was answered stands in the transaction of its events, so that no crash comes between the
 * two; of requests with one key, one is appended while the key is remembered. A request that is refused leaves its
 * key as it was. Memory is bounded: an id takes what the table of webhooks' ids does, the answer is read from the log.
 * Nothing is opened before the first key comes. Not here: HTTP (append-route.ts).
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import { errorCodes } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import type { Metrics } from "../base/metrics.ts";
import { hashOfId } from "../capture/webhooks/hook-event.ts";
import { IdCheckpoint } from "../capture/webhooks/id-checkpoint.ts";
import { IdFold } from "../capture/webhooks/id-fold.ts";
import type { IdPlace } from "../capture/webhooks/id-table.ts";
import type { Engine, PlacedBatch, Transaction } from "../engine/engine.ts";
import { forEachCommittedRecord } from "../engine/records.ts";
import { unitOfIdempotency } from "../ownership/become-owner.ts";
import { OwnedWriter, type OwnedWriterLimits } from "../ownership/owned-writer.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import {
  type AnsweredPlace,
  type AnsweredRequest,
  decodeAnswered,
  encodeAnswered,
  idempotencyTopic,
  idOfRequest,
} from "./idempotency-records.ts";
import type { PlannedBatch } from "./topic-append.ts";

export interface IdempotentAppendsOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly diagnostics: Diagnostics;
  readonly metrics: Metrics;
  readonly progress: ProgressTable;
  /** Where checkpoints of the ids are kept. */
  readonly directory: string;
  /** How long a key is remembered, at least. */
  readonly windowMs: number;
  /** Keys that are remembered; past it the oldest go before their time. */
  readonly idsMax?: number;
  readonly limits?: Partial<OwnedWriterLimits>;
  readonly checkpointEvery?: number;
}

export interface IdempotentRequest {
  readonly topic: string;
  readonly topicId: string;
  readonly key: string;
  readonly fingerprint: string;
  /** Called for a request that is new, and again when it is written again: the log keeps the bytes. Throws what it is refused with. */
  plan(): readonly PlannedBatch[];
}

export interface IdempotentAnswer {
  readonly places: readonly AnsweredPlace[];
  /** It was appended before. */
  readonly replayed: boolean;
}

interface Item {
  readonly request: IdempotentRequest;
  readonly id: string;
  readonly idHash: Buffer;
  readonly isConditional: boolean;
  /** Until they are handed to the log. */
  planned: readonly PlannedBatch[] | undefined;
}

interface Written {
  readonly places: readonly AnsweredPlace[];
  /** Of the record that says so. */
  readonly record: PlacedBatch;
}

interface Opened {
  readonly ids: IdFold;
  readonly writer: OwnedWriter<Item, Written>;
}

const idsMaxDefault = 2_000_000;
const segmentBytesMax = 16 * 1024 * 1024;
/** The answer to a request of the largest body, in the smallest batches. */
const batchBytesMax = 8 * 1024 * 1024;

export class IdempotentAppends {
  readonly #options: IdempotentAppendsOptions;
  /** Requests that are not answered yet, by id. */
  readonly #pending = new Map<string, string>();
  #opening: Promise<Opened> | undefined;
  #opened: Opened | undefined;
  #isClosed = false;

  constructor(options: IdempotentAppendsOptions) {
    this.#options = options;
    const { metrics } = options;
    const ids = (read: (ids: IdFold) => number) => () => [{ value: this.#opened ? read(this.#opened.ids) : 0 }];
    metrics.collect(
      "gauge",
      "millrace_idempotency_keys",
      "Idempotency keys that are remembered.",
      ids(({ table }) => table.size),
    );
    metrics.collect(
      "counter",
      "millrace_idempotency_keys_evicted_total",
      "Idempotency keys that had to go before their time, because there were too many.",
      ids(({ evicted }) => evicted),
    );
  }

  /**
   * Resolves when the events are durable. Throws `IDEMPOTENCY_KEY_REUSED`, `IDEMPOTENCY_KEY_IN_USE`, `IDEMPOTENCY_BUSY`,
   * `UNIT_MOVING` when it is not known what came of it, and what planning and the log refuse it with.
   */
  async append(request: IdempotentRequest): Promise<IdempotentAnswer> {
    const { ids, writer } = await this.#open();
    await writer.settled();
    const id = idOfRequest(request.topicId, request.key);
    const idHash = hashOfId(id);
    for (let place = ids.table.find(idHash); place; place = ids.table.find(idHash)) {
      const answered = await this.#answered(place, () => ids.table.find(idHash) !== undefined);
      if (!answered) continue;
      if (answered.fingerprint !== request.fingerprint) throw reused();
      return { places: answered.places, replayed: true };
    }
    // From the last look to the writing in one turn: of two requests the second finds the first.
    writer.assertServing();
    const first = this.#pending.get(id);
    if (first !== undefined) throw first === request.fingerprint ? inUse() : reused();
    const planned = request.plan();
    const sizeBytes = planned.reduce((sum, { batch }) => sum + batch.length, 0);
    const isConditional = planned.some(({ expect }) => expect !== undefined);
    const written = writer.write({ request, id, idHash, isConditional, planned }, sizeBytes);
    this.#pending.set(id, request.fingerprint);
    return { places: (await written).places, replayed: false };
  }

  /** Lets what waits be committed, and writes the checkpoint. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const opened = await this.#opening?.catch(() => undefined);
    if (opened && (await opened.writer.close())) await this.#checkpoint(opened.ids);
  }

  #open(): Promise<Opened> {
    if (this.#isClosed) throw new MillraceError("SHUTTING_DOWN", "Millrace is stopping");
    this.#opening ??= this.#openOnce().catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #openOnce(): Promise<Opened> {
    const { engine, disk, directory, idsMax = idsMaxDefault } = this.#options;
    // Its records go when their ids do: the log's own clock would forget them when it jumps.
    const settings = { partitions: 1, retentionMs: null, segmentBytesMax, batchBytesMax } as const;
    const topic =
      engine.topic(idempotencyTopic) ?? (await engine.createTopic(idempotencyTopic, settings, { readOnly: true }));
    const checkpoint = new IdCheckpoint(disk, directory);
    const ids = new IdFold({ ...this.#options, topic, idsMax, checkpoint });
    const writer = new OwnedWriter<Item, Written>({
      ...this.#options,
      unit: unitOfIdempotency,
      work: {
        catchUp: () => ids.catchUp(),
        write: (transaction, group) => this.#write(transaction, group),
        committed: (group, written) => this.#committed(ids, group, written),
        refused: (group) => {
          for (const { id } of group) this.#pending.delete(id);
        },
        refusal,
        busy: () =>
          new MillraceError("IDEMPOTENCY_BUSY", "more requests with idempotency keys wait for the log than may", {
            hint: "Nothing was appended; send it again later, with the same key.",
          }),
      },
    });
    writer.start();
    this.#opened = { ids, writer };
    return this.#opened;
  }

  /** Undefined when the key's time was over meanwhile, and the record was let go. */
  async #answered({ partition, offset }: IdPlace, isHeld: () => boolean): Promise<AnsweredRequest | undefined> {
    const place = { topic: idempotencyTopic, partition, offset } as const;
    let answered: AnsweredRequest | undefined;
    try {
      const result = await this.#options.engine.read({ ...place, isolation: "read_committed", bytesMax: 1 });
      forEachCommittedRecord(result, offset, (record) => {
        if (record.offset === offset && record.value) answered = decodeAnswered(record.value);
      });
    } catch (error) {
      if (isHeld()) throw error;
    }
    if (!answered && isHeld()) {
      throw new MillraceError("INTERNAL_ERROR", `there is no record at offset ${offset} of ${idempotencyTopic}`);
    }
    return answered;
  }

  /** Conditions come first: the log may read a partition's keys for them, and would wait for what this transaction has there. */
  async #write(transaction: Transaction, group: readonly Item[]): Promise<Written[]> {
    const placesOf = new Map<Item, readonly AnsweredPlace[]>();
    const conditionsFirst = group.toSorted((a, b) => Number(b.isConditional) - Number(a.isConditional));
    for (const item of conditionsFirst) placesOf.set(item, await this.#writeEvents(transaction, item));
    const written: Written[] = [];
    for (const item of group) {
      const places = placesOf.get(item) as readonly AnsweredPlace[];
      const answered = { fingerprint: item.request.fingerprint, places };
      const batch = encodeAnswered(item.id, answered, this.#options.clock.now());
      written.push({ places, record: await transaction.append({ topic: idempotencyTopic, partition: 0, batch }) });
    }
    return written;
  }

  async #writeEvents(transaction: Transaction, item: Item): Promise<readonly AnsweredPlace[]> {
    const { request } = item;
    const batches = item.planned ?? request.plan();
    item.planned = undefined;
    const places: AnsweredPlace[] = [];
    for (const planned of batches) {
      const { partition, baseOffset, lastOffset } = await transaction.append({ topic: request.topic, ...planned });
      places.push({ partition, baseOffset, lastOffset });
    }
    return places;
  }

  #committed(ids: IdFold, group: readonly Item[], written: readonly Written[]): void {
    group.forEach(({ id, idHash }, i) => {
      const { partition, baseOffset, lastOffset, leaderEpoch } = (written[i] as Written).record;
      this.#pending.delete(id);
      ids.add(idHash, { partition, offset: baseOffset });
      ids.reached(partition, lastOffset + 1, leaderEpoch);
    });
    if (ids.isCheckpointDue) void this.#checkpoint(ids);
  }

  /** And lets the records go whose ids have gone. Never rejects. */
  async #checkpoint(ids: IdFold): Promise<void> {
    try {
      await ids.checkpoint();
      const oldest = ids.table.firstPlace;
      if (oldest) await this.#options.engine.deleteRecords(idempotencyTopic, oldest.partition, oldest.offset);
    } catch (error) {
      this.#options.diagnostics.warn("the checkpoint of idempotency keys could not be written", { error });
    }
  }
}

/** What came of it is found out by who sends it again with the same key. */
function refusal(error: MillraceError | undefined, outcome: "refused" | "unknown"): MillraceError {
  const hint = "Send it again in a moment, with the same key.";
  if (error === undefined) return new MillraceError("UNIT_MOVING", "the idempotency keys are being read", { hint });
  const { http } = errorCodes[error.code];
  if (outcome === "refused" || http === 503 || http === 507) return error;
  const message = `it is not known whether the events are there (${error.code})`;
  return new MillraceError("UNIT_MOVING", message, { hint, cause: error });
}

function reused(): MillraceError {
  return new MillraceError("IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was used for another request", {
    hint: "Take a new key for each request, and send the same bytes when one is repeated.",
  });
}

function inUse(): MillraceError {
  return new MillraceError(
    "IDEMPOTENCY_KEY_IN_USE",
    "the first request with this Idempotency-Key is not answered yet",
    {
      hint: "Send it again in a moment: it is then answered as the first one.",
    },
  );
}
