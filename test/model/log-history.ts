/**
 * A generated history of the log on a simulated disk: what many callers do, alone and at the same time, the ends that it
 * comes to (closed, killed, without power, with a disk that fails), and what the next start must find. Everything is small,
 * so that few steps reach every mechanism. Nothing depends on the machine: a seed is a history.
 */
import assert from "node:assert/strict";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import type { Disk } from "../../src/base/disk.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { Log } from "../../src/log/log.ts";
import type { LogLimits } from "../../src/log/log-context.ts";
import { transactionsTopic } from "../../src/log/transaction-records.ts";
import { isDamage } from "./log-damage.ts";
import { LogModel, type ModelPartition, type ModelTopic, placeOf } from "./log-model.ts";
import { LogOperations } from "./log-operations.ts";
import { assertLatest, lostFrom, type Scan, scanChecked } from "./log-reading.ts";

export interface HistoryOptions {
  readonly steps?: number;
  /** Puts a fault of its own between the log and its disk. */
  readonly wrap?: (disk: Disk) => Disk;
  /** Syncs that do nothing. */
  readonly ignoresSync?: (operation: "datasync" | "syncDirectory", path: string) => boolean;
  /** Done to the disk before a start. */
  readonly beforeStart?: (disk: SimulatedDisk, random: Random) => Promise<void>;
  /** For `runDamaged`: harms what the disk holds. */
  readonly damage?: (disk: SimulatedDisk) => Promise<void>;
  /** What the history does, line by line. */
  readonly trace?: (line: string) => void;
}

const directory = "/data/log";

/** How a run of the process ends. */
type End = "closed" | "killed" | "cut";

export class LogHistory {
  readonly model = new LogModel();
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly #options: HistoryOptions;
  readonly #limits: Partial<LogLimits>;
  readonly operations: LogOperations;
  #disk: SimulatedDisk;
  #log: Log | undefined;
  /** An injected fault may have shown itself since the last start. */
  isFaulty = false;
  #starts = 0;

  constructor(seed: number, options: HistoryOptions = {}) {
    this.random = seededRandom(seed);
    this.#options = options;
    this.#disk = new SimulatedDisk(seededRandom(seed ^ 0x5eed));
    if (options.ignoresSync) this.#disk.ignoreSyncs(options.ignoresSync);
    this.#limits = tinyLimits(this.random);
    this.operations = new LogOperations(this);
  }

  get log(): Log {
    return this.#log as Log;
  }

  get disk(): SimulatedDisk {
    return this.#disk;
  }

  trace(line: string): void {
    this.#options.trace?.(line);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.random.below(from.length)] as T;
  }

  async run(): Promise<void> {
    const steps = this.#options.steps ?? 20 + this.random.below(25);
    await this.#open();
    await this.operations.createTopic();
    await this.operations.createTopic();
    for (let i = 0; i < steps; i++) await this.#step();
    await this.#restart(this.pick(["closed", "killed", "cut"]));
    await this.log.close();
  }

  /** Ends once, is damaged, and is read: each partition is right as far as it can be read, or says that it is damaged. */
  async runDamaged(): Promise<"reported" | "unnoticed"> {
    const { steps = 10, damage } = this.#options;
    await this.#open();
    await this.operations.createTopic();
    await this.operations.createTopic();
    for (let i = 0; i < steps; i++) await this.#atOnce(1 + this.random.below(3));
    const end = this.pick<End>(["closed", "killed", "cut"]);
    this.trace(`-- ${end}`);
    if (end === "closed") await this.log.close();
    this.#disk = end === "cut" ? this.#disk.survivor() : this.#disk.afterKill();
    await damage?.(this.#disk);
    this.model.allowsLostEnds = true;
    // The end that is lost may be that of the decisions.
    for (const act of this.model.acts) {
      if (act.fate === "acknowledged" && act.isTransaction) act.fate = "unknown";
    }
    let reported = false;
    try {
      await this.#open();
    } catch (error) {
      if (!isDamage(error)) throw error;
      return "reported";
    }
    for (const partition of this.partitions()) {
      try {
        await this.#checkDamaged(partition);
      } catch (error) {
        if (!isDamage(error)) throw error;
        this.trace(`   ${(error as Error).message}`);
        reported = true;
      }
    }
    await this.log.close();
    return reported ? "reported" : "unnoticed";
  }

  async #checkDamaged(partition: ModelPartition): Promise<void> {
    const from = this.log.partition(partition.topic.name, partition.number);
    if (from.failure) throw from.failure;
    this.model.cutBack(partition, await lostFrom(this.log, partition));
    partition.logStart = from.logStart;
    await this.scan(partition, false);
    await this.scan(partition, true);
  }

  async #step(): Promise<void> {
    const kind = this.random.below(24);
    if (kind === 0) await this.#restart("closed");
    else if (kind === 1) await this.#restart(this.pick(["killed", "cut"]));
    else if (kind === 2) await this.#cutInTheMiddle();
    else if (kind === 3) await this.#failInTheMiddle();
    else if (kind < 13) await this.#atOnce(2 + this.random.below(4));
    else await this.#atOnce(1);
    if (this.#disk.isOff) await this.#restart("cut");
    else if (kind >= 3 && !this.isFaulty) this.#checkQuiet();
  }

  /** All of them begin in one turn. */
  async #atOnce(count: number): Promise<void> {
    const done = await Promise.allSettled(Array.from({ length: count }, () => this.operations.some()));
    for (const outcome of done) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #cutInTheMiddle(): Promise<void> {
    this.isFaulty = true;
    const after = this.random.below(20);
    this.#disk.cutAfter(this.#disk.operations + after);
    this.trace(`the power goes after ${after} more operations`);
    await this.#atOnce(2 + this.random.below(5));
    await this.#restart("cut");
  }

  /** The disk refuses something; after some more steps, which may fail, the log starts again. */
  async #failInTheMiddle(): Promise<void> {
    this.isFaulty = true;
    const kind = this.random.below(4);
    const at = this.#disk.operations + 1 + this.random.below(15);
    this.trace(`the disk fails: ${["EIO", "ENOSPC", "a failed sync", "full"][kind]}`);
    if (kind === 0) this.#disk.failAt(at, "EIO");
    else if (kind === 1) this.#disk.failAt(at, "ENOSPC");
    else if (kind === 2) this.#disk.failNextSync((path) => /\.(log|journal)$/.test(path));
    else this.#disk.setCapacityBytes(this.#disk.usedBytes + 4096 * this.random.below(4));
    await this.#atOnce(2 + this.random.below(5));
    await this.#atOnce(1);
    this.#disk.setCapacityBytes(Number.POSITIVE_INFINITY);
    await this.#atOnce(2);
    // What a sync failed to write is in the page cache, and looks well to whoever starts without a power cut.
    await this.#restart(kind === 2 ? "cut" : this.pick(["closed", "killed", "cut"]));
  }

  async #open(): Promise<void> {
    const disk = this.#options.wrap?.(this.#disk) ?? this.#disk;
    this.#log = await Log.open({
      disk,
      directory,
      clock: this.clock,
      random: seededRandom(++this.#starts * 7919 + this.random.below(1_000_000)),
      diagnostics: silentDiagnostics,
      limits: this.#limits,
    });
  }

  async #restart(end: End): Promise<void> {
    this.trace(`-- ${end}`);
    if (end === "closed") await this.log.close();
    this.#disk = end === "cut" ? this.#disk.survivor() : this.#disk.afterKill();
    let isCut = end === "cut";
    if (this.random.below(6) === 0) isCut = await this.#cutWhileStarting(isCut);
    await this.#options.beforeStart?.(this.#disk, this.random);
    this.operations.restarted();
    await this.#open();
    this.isFaulty = false;
    this.#checkTopics();
    await this.#checkAll(isCut);
    await this.operations.sendUnansweredAgain();
    await this.operations.goOnByWire();
  }

  /** Answers whether the power was cut by now. */
  async #cutWhileStarting(wasCut: boolean): Promise<boolean> {
    const operations = this.random.below(40);
    this.#disk.cutAfter(operations);
    const opened = await this.#open().then(
      () => true,
      (error) => {
        if (!this.#disk.isOff) throw error;
        return false;
      },
    );
    const next = opened && this.random.below(2) === 0 ? "killed" : "cut";
    this.trace(`-- again ${next} while starting, after at most ${operations} operations`);
    this.#disk = next === "cut" ? this.#disk.survivor() : this.#disk.afterKill();
    return wasCut || next === "cut";
  }

  #checkTopics(): void {
    for (const topic of this.model.topics) {
      const found = this.log.topic(topic.name);
      if (topic.state === "there") assert.ok(found, `topic ${topic.name} was acknowledged and is gone`);
      if (topic.state === "gone") assert.ok(!found, `topic ${topic.name} was deleted and is there`);
      if (!found) topic.state = "gone";
      else topic.state = topic.state === "doomed" || topic.state === "left" ? "left" : "there";
      if (topic.state !== "there" || !found) continue;
      const { partitions } = found.settings;
      assert.ok(partitions >= topic.partitions.length, `topic ${topic.name} has lost partitions`);
      while (topic.partitions.length < partitions) this.model.addPartition(topic);
    }
    for (const { name } of this.log.topics()) {
      const known = name === transactionsTopic || this.model.topics.some((topic) => topic.name === name);
      assert.ok(known, `nobody made topic ${name}`);
    }
  }

  /** What a start has found: all of it is read. */
  async #checkAll(isCut: boolean): Promise<void> {
    const visible = new Set<number>();
    const scans = new Map<ModelPartition, Scan>();
    for (const partition of this.partitions()) {
      await this.#checkEnds(partition, isCut);
      for (const offset of partition.compacted) partition.compactedBefore.add(offset);
      partition.compacted = new Set();
      // What lies behind an open transaction is there, though nobody may read it.
      if (this.#lastStable(partition) < partition.highWatermark) await this.scan(partition, false);
      const scan = await this.scan(partition, true);
      scans.set(partition, scan);
      for (const id of scan.visible) visible.add(id);
      this.model.forgetMissing(partition);
      this.operations.assertLastStable(partition);
    }
    this.#checkActs(visible);
    for (const [partition, scan] of scans) assertLatest(this.model, partition, scan, this.#lastStable(partition));
  }

  async #checkEnds(partition: ModelPartition, isCut: boolean): Promise<void> {
    const from = this.log.partition(partition.topic.name, partition.number);
    const { highWatermark, logStart } = from;
    const where = placeOf(partition);
    if (from.failure) throw from.failure;
    const mayLose = (isCut && partition.topic.durability === "os") || this.model.allowsLostEnds;
    if (mayLose) this.model.cutBack(partition, await lostFrom(this.log, partition));
    else {
      const before = partition.highWatermark;
      assert.ok(highWatermark >= before, `${where} ended at ${before}, and now at ${highWatermark}`);
    }
    assert.ok(highWatermark >= logStart, `${where} begins at ${logStart} and ends at ${highWatermark}`);
    const { logStartMin } = partition;
    assert.ok(logStart >= logStartMin, `${where} began at ${logStartMin}, and now at ${logStart}`);
    if (!partition.topic.isRetired) {
      const logStartMax = Math.max(partition.logStart, partition.logStartMax);
      assert.ok(logStart <= logStartMax, `${where} was to begin at ${logStartMax}, and begins at ${logStart}`);
    }
    partition.logStart = logStart;
    partition.logStartMax = Math.max(partition.logStartMax, logStart);
    partition.highWatermark = highWatermark;
  }

  /** Transactions are whole or absent, and what is in doubt is decided by what was seen. */
  #checkActs(visible: ReadonlySet<number>): void {
    for (const act of this.model.acts) {
      if (act.fate !== "unknown" && act.batches.length < 2) continue;
      let isThere = false;
      let missing: string | undefined;
      for (const { partition, records, offset, isGone } of act.batches) {
        const { topic, logStart } = partition;
        if (topic.state !== "there" || (topic.durability === "os" && isGone)) continue;
        if (offset !== undefined && offset >= this.#lastStable(partition)) {
          if (!act.isTransaction && !isGone) isThere = true;
          continue;
        }
        if (records.some(({ id }) => visible.has(id))) isThere = true;
        else if (!topic.isCompacted && (offset === undefined || offset >= logStart)) {
          missing = `${records[0]?.id} of ${placeOf(partition)}`;
        }
      }
      assert.ok(!(isThere && missing), `of act ${act.number} (${act.fate}) there is a part, and not record ${missing}`);
      if (act.fate !== "unknown") continue;
      if (isThere) act.fate = "acknowledged";
      else if (missing) act.fate = "never";
    }
  }

  /** Between the steps nothing is on its way. */
  #checkQuiet(): void {
    for (const partition of this.partitions()) {
      const { highWatermark, logStart, failure } = this.log.partition(partition.topic.name, partition.number);
      const where = placeOf(partition);
      assert.equal(failure, undefined, `${where} does not serve`);
      assert.ok(highWatermark >= partition.highWatermark, `the end of ${where} went back`);
      partition.highWatermark = highWatermark;
      this.operations.assertLastStable(partition);
      if (!partition.topic.isRetired) assert.equal(logStart, partition.logStart, `the start of ${where}`);
      if (logStart > partition.logStart) partition.logStartMin = logStart;
      partition.logStart = logStart;
    }
  }

  #lastStable({ topic, number }: ModelPartition): number {
    return this.log.partition(topic.name, number).lastStable;
  }

  scan(partition: ModelPartition, committed: boolean): Promise<Scan> {
    const bytesMax = () => 1 + this.random.below(4000);
    return scanChecked(this.log, this.model, partition, committed, bytesMax, () => this.clock.now());
  }

  *partitions(): Generator<ModelPartition> {
    for (const topic of this.topics()) yield* topic.partitions;
  }

  topics(): ModelTopic[] {
    return this.model.topics.filter(({ state }) => state === "there");
  }
}

function tinyLimits(random: Random): Partial<LogLimits> {
  const pick = <T>(...from: T[]): T => from[random.below(from.length)] as T;
  return {
    tailCacheBytes: pick(0, 1500, 4000),
    openFilesMax: pick(3, 4, 6),
    checkpointBytes: pick(3000, 5000, 12_000),
    diskReserveBytes: 0,
    directBytesMin: pick(500, 700, 1000),
    flushBytes: pick(600, 900, 2500),
    unflushedBytesMax: pick(1500, 3000, 6000),
    journalFileBytes: 512 * pick(9, 13, 24),
    journalFilesMax: pick(2, 3, 4),
    groupBytesMax: pick(1000, 2000),
    unsyncedBytesMax: pick(2000, 4000),
    pendingBytesMax: pick(1000, 3000),
    cleanerBytes: pick(1, 9 * 1024 * 1024),
  };
}
