/**
 * One partition of `_millrace.groups` as it is read and written: a fold, and how far it has come. What was appended is
 * read back, so that there is one way in which state changes.
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import { batchLastOffset } from "../../records/batch-header.ts";
import { encodeGroupRecord, type GroupRecord } from "./group-records.ts";
import { type GroupsLog, type GroupsPlaced, groupsTopic, groupsTopicSettings } from "./groups-log.ts";
import { OffsetFold } from "./offset-fold.ts";

const readBytesMax = 1024 * 1024;
/** Records of one batch of removals. */
const recordsPerBatch = 5_000;

export class OffsetTable {
  readonly #log: GroupsLog;
  readonly #partition: number;
  readonly #clock: Clock;
  readonly #diagnostics: Diagnostics;
  #fold = new OffsetFold();
  /** Everything below is in the fold; undefined until it is first read. */
  #nextOffset: number | undefined;
  /** Of the topic that was read. */
  #topicId: string | undefined;
  #reading: Promise<void> | undefined;

  constructor(
    { log, clock, diagnostics }: { readonly log: GroupsLog; readonly clock: Clock; readonly diagnostics: Diagnostics },
    partition: number,
  ) {
    this.#log = log;
    this.#partition = partition;
    this.#clock = clock;
    this.#diagnostics = diagnostics;
  }

  /** As of what was last read. */
  get fold(): OffsetFold {
    return this.#fold;
  }

  /** Whether what is appended now takes its place in this turn. */
  get isOpen(): boolean {
    return this.#nextOffset !== undefined && this.#log.topic(groupsTopic)?.id === this.#topicId;
  }

  /** Everything below is in the fold. */
  get nextOffset(): number {
    return this.#nextOffset ?? 0;
  }

  /** Makes the topic if need be, and reads it to its end. */
  async open(): Promise<void> {
    if (!this.#log.topic(groupsTopic)) {
      await this.#log.createTopic(groupsTopic, groupsTopicSettings, { readOnly: true });
    }
    await this.readToEnd();
  }

  /** Everything that is durable now. Nothing when there is no topic. */
  async readToEnd(): Promise<void> {
    const topicId = this.#log.topic(groupsTopic)?.id;
    if (topicId !== this.#topicId) {
      this.#topicId = topicId;
      this.#nextOffset = undefined;
      this.#reading = undefined;
      this.#fold = new OffsetFold();
    }
    if (topicId !== undefined) await this.#readTo(this.#log.offsets(groupsTopic, this.#partition).highWatermark);
  }

  /** Resolves when the records are durable and in the fold. The table is open. */
  async write(records: readonly GroupRecord[]): Promise<void> {
    if (records.length === 0) return;
    const placed: Promise<GroupsPlaced>[] = [];
    for (let from = 0; from < records.length; from += recordsPerBatch) {
      const some = records.slice(from, from + recordsPerBatch).map(encodeGroupRecord);
      placed.push(this.#append(encodeBatch(some, this.#clock.now())));
    }
    const last = (await Promise.all(placed)).at(-1) as GroupsPlaced;
    await this.#readTo(last.lastOffset + 1);
  }

  /** The same with one batch. */
  async writeBatch(batch: Buffer): Promise<void> {
    const { lastOffset } = await this.#append(batch);
    await this.#readTo(lastOffset + 1);
  }

  /** A transaction may have ended without its marker being durable yet: nobody waits for markers, so this does. */
  async settle(): Promise<void> {
    if (this.#log.settle) await this.#log.settle(groupsTopic, this.#partition);
    else await this.write([{ kind: "mark" }]);
    await this.readToEnd();
  }

  #append(batch: Buffer): Promise<GroupsPlaced> {
    return this.#log.append({ topic: groupsTopic, partition: this.#partition, batch });
  }

  async #readTo(endOffset: number): Promise<void> {
    while (this.#nextOffset === undefined || this.#nextOffset < endOffset) {
      const before = this.#nextOffset;
      this.#reading ??= this.#startReading();
      await this.#reading;
      if (this.#nextOffset === before) break;
    }
  }

  #startReading(): Promise<void> {
    const reading = this.#read(this.#topicId).finally(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    return reading;
  }

  /** One at a time, until the topic is another. */
  async #read(topicId: string | undefined): Promise<void> {
    if (this.#nextOffset === undefined) {
      const loaded = await this.#load();
      if (this.#topicId !== topicId) return;
      this.#fold = loaded.fold;
      this.#nextOffset = loaded.nextOffset;
    }
    while (this.#nextOffset < this.#log.offsets(groupsTopic, this.#partition).highWatermark) {
      const offset = this.#nextOffset;
      const { batches } = await this.#readFrom(offset, "read_uncommitted");
      const last = batches.at(-1);
      if (!last || this.#topicId !== topicId) break;
      this.#fold.add(batches, offset);
      this.#nextOffset = batchLastOffset(last) + 1;
      this.#fold.reached(this.#nextOffset);
    }
  }

  /** What is decided is read as such, so that a marker is not needed that compaction has taken away. */
  async #load(): Promise<{ readonly fold: OffsetFold; readonly nextOffset: number }> {
    const { logStart, lastStable } = this.#log.offsets(groupsTopic, this.#partition);
    const fold = new OffsetFold();
    let nextOffset = logStart;
    while (nextOffset < lastStable) {
      const { batches, aborted } = await this.#readFrom(nextOffset, "read_committed");
      const last = batches.at(-1);
      if (!last) break;
      fold.addCommitted(batches, aborted, nextOffset);
      nextOffset = batchLastOffset(last) + 1;
    }
    if (fold.unknownRecords > 0) {
      this.#diagnostics.warn("records of consumer groups are not understood by this version and are passed over", {
        partition: this.#partition,
        records: fold.unknownRecords,
      });
    }
    return { fold, nextOffset };
  }

  #readFrom(offset: number, isolation: "read_committed" | "read_uncommitted") {
    const partition = this.#partition;
    return this.#log.read({ topic: groupsTopic, partition, offset, isolation, bytesMax: readBytesMax });
  }
}
