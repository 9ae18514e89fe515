/**
 * What every unit's newest committed owner and progress records say, folded from `_millrace.progress`.
 *
 * So that a start need not read the whole topic there is a checkpoint file: the table, and the offset that it reaches.
 * It is written from time to time and on close; when it is damaged, of another log, or reaches past the topic's end, it is
 * thrown away and the topic is read from its beginning.
 */
import type { Clock } from "../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import type { Engine, TopicInfo } from "../engine/engine.ts";
import { forEachCommitted, nextOffsetOf } from "../engine/records.ts";
import { readCheckedFile, writeCheckedFile } from "../log/checked-file.ts";
import { decodeProgressRecord, progressTopic } from "./progress-records.ts";

const checkpointFormat = 1;
const checkpointName = "progress";
const readBytesMax = 1024 * 1024;
/** Progress records of this process between two checkpoints: what a start reads, at most, when only it writes. */
const checkpointEveryRecords = 5_000;

export interface UnitState {
  /** The offset of its last owner record; -1 when it never had one. */
  readonly ownerEpoch: number;
  /** Undefined when none was ever committed. */
  readonly progress: unknown;
}

interface Checkpoint {
  readonly logId: string;
  readonly topicId: string;
  readonly leaderEpoch: number;
  readonly nextOffset: number;
  readonly units: readonly (readonly [unit: string, ownerEpoch: number, progress?: unknown])[];
}

export interface ProgressTableOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  /** Where the checkpoint is kept; without it every start reads the whole topic. */
  readonly checkpoint?: { readonly disk: Disk; readonly file: string };
  readonly diagnostics?: Diagnostics;
}

const noState: UnitState = { ownerEpoch: -1, progress: undefined };

/** How long one look waits for an open transaction to end. */
const openWaitMs = 1_000;

export class ProgressTable {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly #options: ProgressTableOptions;
  readonly #topic: TopicInfo;
  readonly #units = new Map<string, UnitState>();
  #nextOffset = 0;
  #sinceCheckpointRecords = 0;
  #recordsRead = 0;
  /** Readings and checkpoints follow each other. */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(options: ProgressTableOptions, topic: TopicInfo) {
    this.engine = options.engine;
    this.clock = options.clock;
    this.#options = options;
    this.#topic = topic;
  }

  /** Makes the topic when it is missing, and reads up to its end. Throws what reading throws. */
  static async open(options: ProgressTableOptions): Promise<ProgressTable> {
    const settings = { partitions: 1, cleanup: "compact", segmentBytesMax: 64 * 1024 * 1024 } as const;
    const topic = await options.engine.createTopic(progressTopic, settings, { readOnly: true });
    const table = new ProgressTable(options, topic);
    await table.#loadCheckpoint();
    await table.readToEnd();
    return table;
  }

  /** As of the last `readToEnd`. */
  unit(unit: string): UnitState {
    return this.#units.get(unit) ?? noState;
  }

  /** What stands behind the prefix in the names of those units that have progress, where no other slash follows. */
  unitsOf(prefix: string): string[] {
    return [...this.#units].flatMap(([unit, { progress }]) => {
      const name = unit.slice(prefix.length);
      return unit.startsWith(prefix) && !name.includes("/") && progress !== undefined ? [name] : [];
    });
  }

  /** How many records this table has read from the topic. */
  get recordsRead(): number {
    return this.#recordsRead;
  }

  /** Reads everything committed so far. */
  readToEnd(): Promise<void> {
    return this.#enqueue(() => this.#read());
  }

  /**
   * Reads until it has read past `offset`, which was committed. That takes long only where another's open transaction lies
   * before it: one that a killed process left, until its unit has a new owner or its time is over.
   */
  async readPast(offset: number): Promise<void> {
    for (let isFirst = true; ; isFirst = false) {
      await this.readToEnd();
      if (this.#nextOffset > offset) return;
      if (isFirst) {
        this.#diagnostics.info("progress is behind a transaction that another process left open, which is waited for");
      }
      const place = { topic: progressTopic, partition: 0, offset: this.#nextOffset } as const;
      await this.engine.read({ ...place, isolation: "read_committed", bytesMax: 1, waitMs: openWaitMs });
    }
  }

  /** A unit of this process has written progress. */
  noticed(): void {
    if (++this.#sinceCheckpointRecords < checkpointEveryRecords) return;
    this.#sinceCheckpointRecords = 0;
    this.#enqueue(async () => {
      await this.#read();
      await this.#writeCheckpoint();
    }).catch((cause) =>
      this.#diagnostics.warn("the checkpoint of progress could not be written", { cause: String(cause) }),
    );
  }

  /** Writes the checkpoint. Before the engine is closed. */
  close(): Promise<void> {
    return this.#enqueue(async () => {
      await this.#read();
      await this.#writeCheckpoint();
    });
  }

  get #diagnostics(): Diagnostics {
    return this.#options.diagnostics ?? silentDiagnostics;
  }

  async #read(): Promise<void> {
    const { lastStable } = await this.engine.offsets(progressTopic, 0);
    while (this.#nextOffset < lastStable) {
      const offset = this.#nextOffset;
      const result = await this.engine.read({
        topic: progressTopic,
        partition: 0,
        offset,
        isolation: "read_committed",
        bytesMax: readBytesMax,
      });
      if (result.batches.length === 0) break;
      forEachCommitted(result, offset, (at, _timestamp, key, value) => this.#fold(at, key, value));
      this.#nextOffset = nextOffsetOf(result, offset);
    }
  }

  #fold(offset: number, key: Buffer | null, value: Buffer | null): void {
    this.#recordsRead++;
    const record = decodeProgressRecord(key, value);
    if (!record) return;
    const state = this.unit(record.unit);
    if (record.kind === "owner") this.#units.set(record.unit, { ...state, ownerEpoch: offset });
    else if (record.epoch >= state.ownerEpoch) {
      // A larger epoch is that of an owner whose record was compacted away, since it has a successor.
      this.#units.set(record.unit, { ownerEpoch: record.epoch, progress: record.value });
    }
  }

  async #loadCheckpoint(): Promise<void> {
    const at = this.#options.checkpoint;
    if (!at) return;
    const found = await readCheckedFile(at.disk, at.file, checkpointName, checkpointFormat);
    if (found.kind === "missing") return;
    const checkpoint = found.kind === "read" ? (found.value as Checkpoint) : undefined;
    const doubt = found.kind === "damaged" ? found.reason : await this.#doubt(checkpoint);
    if (doubt !== undefined || !checkpoint) {
      this.#diagnostics.warn("the checkpoint of progress cannot be used; the topic is read from its beginning", {
        file: at.file,
        reason: doubt,
      });
      return;
    }
    for (const [unit, ownerEpoch, progress] of checkpoint.units) this.#units.set(unit, { ownerEpoch, progress });
    this.#nextOffset = checkpoint.nextOffset;
  }

  async #doubt(checkpoint: Checkpoint | undefined): Promise<string | undefined> {
    const { leaderEpoch, lastStable, logStart } = await this.engine.offsets(progressTopic, 0);
    if (checkpoint?.logId !== this.engine.logId || checkpoint.topicId !== this.#topic.id) return "it is of another log";
    if (checkpoint.leaderEpoch !== leaderEpoch) return "the topic was cut since";
    if (!(checkpoint.nextOffset >= logStart && checkpoint.nextOffset <= lastStable)) return "it does not fit the topic";
    return undefined;
  }

  async #writeCheckpoint(): Promise<void> {
    const at = this.#options.checkpoint;
    if (!at) return;
    const checkpoint: Checkpoint = {
      logId: this.engine.logId,
      topicId: this.#topic.id,
      leaderEpoch: this.engine.leaderEpoch(progressTopic, 0),
      nextOffset: this.#nextOffset,
      units: [...this.#units].map(([unit, { ownerEpoch, progress }]) =>
        // JSON knows no undefined in an array.
        progress === undefined ? [unit, ownerEpoch] : [unit, ownerEpoch, progress],
      ),
    };
    await writeCheckedFile(at.disk, at.file, checkpointName, checkpointFormat, checkpoint);
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }
}
