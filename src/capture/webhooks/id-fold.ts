/**
 * Ids as a topic has them: read from the records' headers, kept up by the topic's one writer, saved from time to
 * time. Reading begins at the checkpoint, or where the window of deduplication does.
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { Engine, TopicInfo } from "../../engine/engine.ts";
import { forEachCommittedRecord, nextOffsetOf } from "../../engine/records.ts";
import type { BatchRecords } from "../../records/batch-records.ts";
import { hashOfId, idHeader, sequenceHeader } from "./hook-event.ts";
import type { Checkpoint, IdCheckpoint } from "./id-checkpoint.ts";
import { type IdPlace, IdTable } from "./id-table.ts";

export interface IdFoldOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly topic: TopicInfo;
  readonly windowMs: number;
  readonly idsMax: number;
  readonly checkpoint: IdCheckpoint;
  /** Ids between two checkpoints: what a start reads, at most. */
  readonly checkpointEvery?: number;
}

interface Position {
  nextOffset: number;
  leaderEpoch: number;
  /** Of the last record that was read. */
  timestampMs: number;
}

const readBytesMax = 1024 * 1024;
/** Ids that come while a page of a vendor's list is kept, at most; the page has 10,000. */
const arrivalsMax = 16_384;
/** Keys whose last sequence is known. */
const sequencesMax = 100_000;

export class IdFold {
  readonly table: IdTable;
  readonly #options: IdFoldOptions;
  /** What the clock's monotonic time is added to: a wall clock that jumps lets no id go. */
  readonly #startMs: number;
  #positions: Position[] | undefined;
  /** By the hash of the key; in the order of their last event. */
  readonly #sequences = new Map<string, number>();
  #evicted = 0;
  #recordsRead = 0;
  #sinceCheckpoint = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: IdFoldOptions) {
    this.#options = options;
    this.table = new IdTable(options.idsMax);
    this.#startMs = options.clock.now() - options.clock.monotonicMs();
  }

  /** Ids that had to go before their time, because there were too many. */
  get evicted(): number {
    return this.#evicted;
  }

  /** How many records were read from the topic. */
  get recordsRead(): number {
    return this.#recordsRead;
  }

  /** Ids of everything that arrived since then are known, and still are when a page of a list was kept. */
  get knownSinceMs(): number {
    const windowMs = this.#nowMs - this.#options.windowMs;
    const { size, idsMax } = this.table;
    // While there is room nothing goes but what is out of the window.
    if (size + arrivalsMax <= idsMax) return windowMs;
    const oldest = this.table.oldestSecondsAfter(arrivalsMax);
    return oldest === undefined ? this.#nowMs : Math.max(windowMs, (oldest + 1) * 1_000);
  }

  get isCheckpointDue(): boolean {
    return this.#sinceCheckpoint >= (this.#options.checkpointEvery ?? 65_536);
  }

  /** Reads everything that is committed. The first call begins at the checkpoint. */
  async catchUp(): Promise<void> {
    this.#positions ??= await this.#begin();
    const positions = this.#positions;
    const before = this.#recordsRead;
    const open = new Set(positions.keys());
    while (open.size > 0) {
      // The partition that is furthest behind is next, so that ids come nearly in the order of their time.
      let partition = -1;
      for (const one of open) {
        if (partition < 0 || at(positions, one).timestampMs < at(positions, partition).timestampMs) partition = one;
      }
      if (!(await this.#readOn(partition, at(positions, partition)))) open.delete(partition);
    }
    if (this.#recordsRead - before >= (this.#options.checkpointEvery ?? 65_536)) await this.checkpoint();
  }

  add(idHash: Buffer, place: IdPlace, timestampMs = this.#nowMs): void {
    this.table.expire(Math.floor((this.#nowMs - this.#options.windowMs) / 1_000));
    const gone = this.table.add(idHash, place, Math.max(0, Math.floor(timestampMs / 1_000)));
    this.#sinceCheckpoint++;
    if (gone && gone.evictedSeconds * 1_000 > this.#nowMs - this.#options.windowMs) this.#evicted++;
  }

  /** Remembers the sequence; true when a later one of this key came before. */
  isLate(key: Buffer | null, sequence: number | undefined): boolean {
    if (sequence === undefined) return false;
    const name = key ? hashOfId(key).toString("base64") : "";
    const last = this.#sequences.get(name);
    this.#sequences.delete(name);
    this.#sequences.set(name, last === undefined ? sequence : Math.max(last, sequence));
    if (this.#sequences.size > sequencesMax) {
      for (const oldest of this.#sequences.keys()) {
        this.#sequences.delete(oldest);
        break;
      }
    }
    return last !== undefined && sequence < last;
  }

  /** The writer has committed up to here. */
  reached(partition: number, nextOffset: number, leaderEpoch: number): void {
    const position = this.#positions?.[partition];
    if (!position) return;
    position.nextOffset = nextOffset;
    position.leaderEpoch = leaderEpoch;
  }

  /** Durable when it resolves. One after the other. */
  checkpoint(): Promise<void> {
    const { engine, topic, checkpoint } = this.#options;
    const positions = this.#positions;
    if (!positions) return Promise.resolve();
    this.#sinceCheckpoint = 0;
    const done = this.#writing.then(() =>
      checkpoint.write(this.table, {
        logId: engine.logId,
        topicId: topic.id,
        positions: positions.map(({ nextOffset, leaderEpoch }) => ({ nextOffset, leaderEpoch })),
        sequences: [...this.#sequences],
      }),
    );
    this.#writing = done.catch(() => undefined);
    return done;
  }

  get #nowMs(): number {
    return this.#startMs + this.#options.clock.monotonicMs();
  }

  async #begin(): Promise<Position[]> {
    const { engine, topic, checkpoint, diagnostics, windowMs } = this.#options;
    const partitions = [...Array(topic.settings.partitions).keys()];
    // An earlier try may have come as far as filling it.
    this.table.clear();
    const loaded = await checkpoint.load(this.table);
    const doubt = typeof loaded === "object" ? await this.#doubt(loaded) : loaded;
    if (typeof loaded === "object" && doubt === undefined) {
      for (const [key, sequence] of loaded.sequences) this.#sequences.set(key, sequence);
      return loaded.positions.map((position) => ({ ...position, timestampMs: 0 }));
    }
    if (doubt !== undefined) {
      diagnostics.warn("the checkpoint of a topic's ids cannot be used; the topic is read instead", {
        topic: topic.name,
        reason: doubt,
      });
      this.table.clear();
    }
    return await Promise.all(
      partitions.map(async (partition) => ({
        nextOffset: await engine.offsetForTime(topic.name, partition, Math.max(0, this.#nowMs - windowMs)),
        leaderEpoch: engine.leaderEpoch(topic.name, partition),
        timestampMs: 0,
      })),
    );
  }

  async #doubt({ logId, topicId, positions }: Checkpoint): Promise<string | undefined> {
    const { engine, topic } = this.#options;
    if (logId !== engine.logId || topicId !== topic.id) return "it is of another log";
    if (positions.length !== topic.settings.partitions) return "it does not fit the topic";
    for (const [partition, { nextOffset, leaderEpoch }] of positions.entries()) {
      const { logStart, lastStable, ...now } = await engine.offsets(topic.name, partition);
      if (nextOffset < logStart || nextOffset > lastStable) return "it does not fit the topic";
      if (leaderEpoch === now.leaderEpoch || nextOffset === 0) continue;
      const end = await engine.endOfEpoch(topic.name, partition, leaderEpoch);
      if (!end || end.epoch !== leaderEpoch || end.endOffset < nextOffset) return "the topic was cut since";
    }
    return undefined;
  }

  /** Reads the next piece; false at the end of what is committed. */
  async #readOn(partition: number, position: Position): Promise<boolean> {
    const { engine, topic } = this.#options;
    const { lastStable } = await engine.offsets(topic.name, partition);
    if (position.nextOffset >= lastStable) return false;
    const offset = position.nextOffset;
    const place = { topic: topic.name, partition, offset } as const;
    const result = await engine.read({ ...place, isolation: "read_committed", bytesMax: readBytesMax });
    if (result.batches.length === 0) return false;
    forEachCommittedRecord(result, offset, (record) => this.#fold(partition, record, position));
    position.nextOffset = nextOffsetOf(result, offset);
    position.leaderEpoch = result.leaderEpoch;
    return true;
  }

  #fold(partition: number, record: BatchRecords, position: Position): void {
    this.#recordsRead++;
    position.timestampMs = record.timestamp;
    let sequence: number | undefined;
    for (const { key, value } of record.headers) {
      if (key === idHeader && value) this.add(hashOfId(value), { partition, offset: record.offset }, record.timestamp);
      else if (key === sequenceHeader && value) sequence = Number(value.toString());
    }
    if (sequence !== undefined && Number.isFinite(sequence)) this.isLate(record.key, sequence);
  }
}

function at(positions: readonly Position[], partition: number): Position {
  return positions[partition] as Position;
}
