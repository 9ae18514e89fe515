/**
 * One log transaction of a publisher: records by partition, and its progress with them, all together or not at all.
 *
 * Always true: records of one key keep the order in which they were added; what waits to be appended is bounded, however
 * large the transaction becomes; nothing is begun in the log before there is something to write.
 */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { Transaction } from "../engine/engine.ts";
import type { Ownership } from "../ownership/become-owner.ts";
import { BatchBuilder } from "../records/batch-builder.ts";
import { batchHeaderBytes } from "../records/batch-header.ts";
import { partitionOfKey } from "../records/murmur2.ts";
import type { Header } from "../records/record.ts";
import type { GroupPosition } from "../views/view-info.ts";

export interface WriterTopic {
  readonly name: string;
  /** By which keys are spread; final for a topic, so that a key stays where it is. */
  readonly partitions: number;
  readonly batchBytesMax: number;
}

/** In which batch of the view's group a record's row came to be so: `generation.batch`. */
export const batchHeader = "millrace.batch";

/** A batch is closed at this size, or at the topic's own bound. */
const batchBytes = 512 * 1024;
/** Of all partitions together. */
const waitingBytesMax = 4 * 1024 * 1024;
/** Length, attributes, deltas and lengths of a record and of its header, at most. */
const recordOverheadBytes = 128;
const builderBytes = 4 * 1024;

export class TopicWriter {
  readonly #owner: Ownership;
  readonly #clock: Clock;
  readonly #topic: WriterTopic;
  readonly #bytesMax: number;
  readonly #builders = new Map<number, BatchBuilder>();
  #transaction: Transaction | undefined;
  #headers: readonly Header[] = [];
  #waitingBytes = 0;
  records = 0;

  constructor(owner: Ownership, clock: Clock, topic: WriterTopic) {
    this.#owner = owner;
    this.#clock = clock;
    this.#topic = topic;
    this.#bytesMax = Math.min(batchBytes, topic.batchBytesMax);
  }

  partitionOf(key: Buffer): number {
    return partitionOfKey(key, this.#topic.partitions);
  }

  /** What is added from now on belongs to this batch. */
  at({ generation, batch }: GroupPosition): void {
    this.#headers = [{ key: batchHeader, value: Buffer.from(`${generation}.${batch}`) }];
  }

  /** Null takes the key away. Throws `RECORD_TOO_LARGE`, and what the log throws. */
  async add(key: Buffer, value: Buffer | null, partition = this.partitionOf(key)): Promise<void> {
    const recordBytes = recordOverheadBytes + key.length + (value?.length ?? 0);
    if (batchHeaderBytes + recordBytes > this.#topic.batchBytesMax) throw this.#tooLarge(key, recordBytes);
    let builder = this.#builders.get(partition);
    if (builder && builder.recordCount > 0 && builder.sizeBytes + recordBytes > this.#bytesMax) {
      await this.#append(partition, builder);
    }
    if (!builder) {
      builder = new BatchBuilder(builderBytes);
      this.#builders.set(partition, builder);
    }
    const before = builder.recordCount === 0 ? 0 : builder.sizeBytes;
    builder.add(key, value, this.#clock.now(), this.#headers);
    this.#waitingBytes += builder.sizeBytes - before;
    this.records++;
    if (this.#waitingBytes >= waitingBytesMax) await this.#appendAll();
  }

  /** Throws what the log throws; then nobody knows whether it is there. */
  async commit(progress: unknown): Promise<void> {
    await this.#appendAll();
    const transaction = this.#begun();
    await transaction.append(this.#owner.progressBatch(progress));
    await transaction.commit();
  }

  /** Never throws: the next owner's first step aborts what this could not. */
  async abort(): Promise<void> {
    await this.#transaction?.abort().catch(() => {});
  }

  async #appendAll(): Promise<void> {
    for (const [partition, builder] of this.#builders) {
      if (builder.recordCount > 0) await this.#append(partition, builder);
    }
    // A partition that has nothing more keeps no buffer.
    this.#builders.clear();
  }

  async #append(partition: number, builder: BatchBuilder): Promise<void> {
    this.#waitingBytes -= builder.sizeBytes;
    await this.#begun().append({ topic: this.#topic.name, partition, batch: builder.finish() });
  }

  #begun(): Transaction {
    this.#transaction ??= this.#owner.begin();
    return this.#transaction;
  }

  #tooLarge(key: Buffer, recordBytes: number): MillraceError {
    const { name, batchBytesMax } = this.#topic;
    const shown = key.toString().slice(0, 200);
    return new MillraceError(
      "RECORD_TOO_LARGE",
      `the row with the key ${JSON.stringify(shown)} takes ${recordBytes} bytes, and a batch of topic "${name}" at most ${batchBytesMax}`,
      {
        hint: `Give the topic room: publish: topic("${name}", { maxBatch: "10MB" }); or show less in the view.`,
        details: { topic: name, key: shown, recordBytes, batchBytesMax },
      },
    );
  }
}
