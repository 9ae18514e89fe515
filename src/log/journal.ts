/**
 * The journal: small appends of all partitions go down together, one write and one sync a group, and are answered. Their
 * batches reach the segments later, in larger pieces. While one group is synced the next one gathers; there is no timed
 * window.
 *
 * Always true: a group is written only when the one before is durable; a file is used again only when all that it holds
 * is synced in segments (`JournalMember.settle`); what was enrolled earlier is never in a later group.
 * Not here: what is read back at a start (journal-recovery.ts), and what goes straight to its segment (partition-writer.ts).
 */
import * as path from "node:path";
import type { DiskFile } from "../base/disk.ts";
import { nextTurn } from "../base/turn.ts";
import { batchLastOffset } from "../records/batch-header.ts";
import {
  encodeGroup,
  encodeJournalHeader,
  indexOfJournalName,
  journalBlockBytes,
  journalFileName,
  journalHeaderFault,
} from "./journal-format.ts";
import type { LogContext, PartitionPlace } from "./log-context.ts";

/** A partition that writes through the journal. */
export interface JournalMember {
  readonly place: PartitionPlace;
  /** Batches for the next group, in the order of their offsets; empty when they go another way. */
  take(): readonly Buffer[];
  /** What was taken is durable. */
  journaled(): void;
  /** What was taken may be durable or not, and what waits must not become so; nothing more is tried. */
  journalFailed(error: unknown): void;
  /** Resolves when all that is journaled below `offset` is synced in segments. */
  settle(offset: number): Promise<void>;
}

/** A place in the journal: groups up to `number` lie before it. */
export interface JournalPosition {
  readonly file: number;
  readonly bytePosition: number;
  readonly number: number;
}

interface JournalFile {
  readonly index: number;
  readonly handle: DiskFile;
  /** What it holds of each partition: the offset behind it. */
  readonly members: Map<JournalMember, number>;
  /** Of its first group. */
  firstNumber: number;
  /** Not to be used again before the next start, which needs what is in it. */
  isHeld: boolean;
}

interface Taken {
  readonly member: JournalMember;
  readonly batches: readonly Buffer[];
}

export class Journal {
  readonly #context: LogContext;
  readonly #directory: string;
  readonly #logId: string;
  readonly #buffer: Buffer;
  /** Those that hold something, oldest first; the last one is being written. */
  #used: JournalFile[] = [];
  #free: JournalFile[] = [];
  #nextIndex = 0;
  #position = 0;
  #number: number;
  #queue: JournalMember[] = [];
  #running: Promise<void> | undefined;
  #releasing: Promise<void> | undefined;
  #creating: Promise<void> | undefined;
  #createError: unknown;

  /** `lastNumber` is that of the newest group that was ever written; what the files hold is settled. */
  constructor(context: LogContext, directory: string, logId: string, lastNumber: number) {
    this.#context = context;
    this.#directory = directory;
    this.#logId = logId;
    this.#number = lastNumber + 1;
    this.#buffer = Buffer.allocUnsafeSlow(context.limits.groupBytesMax + 4 * journalBlockBytes);
  }

  /** Takes the files that are there, but not those `held`, and makes sure of one, which is enough to go on for ever. */
  async open(held: readonly number[]): Promise<void> {
    const { disk, limits } = this.#context;
    await disk.makeDirectory(this.#directory);
    for (const name of await disk.list(this.#directory)) {
      const index = indexOfJournalName(name);
      if (index === undefined) continue;
      this.#nextIndex = index + 1;
      if (held.includes(index)) continue;
      const file = path.join(this.#directory, name);
      const handle = await disk.open(file, "write");
      if (this.#free.length < limits.journalFilesMax && (await this.#isWhole(handle, file))) {
        this.#free.push({ index, handle, members: new Map(), firstNumber: 0, isHeld: false });
      } else {
        await handle.close();
        await disk.remove(file);
      }
    }
    if (this.#free.length === 0) await this.#create();
    // The names that were found may not be durable, when the process died and the machine did not.
    else await disk.syncDirectory(this.#directory);
  }

  /** Files that the next start must read whole, whatever its checkpoint says. */
  get held(): readonly number[] {
    return this.#used.filter(({ isHeld }) => isHeld).map(({ index }) => index);
  }

  /** Behind the newest durable group. */
  get position(): JournalPosition {
    const number = this.#number - 1;
    return { file: this.#used.at(-1)?.index ?? -1, bytePosition: this.#position, number };
  }

  /** What it holds of the member is needed by the next start. */
  hold(member: JournalMember): void {
    for (const file of this.#used) if (file.members.has(member)) file.isHeld = true;
  }

  /** The member's batches go into the next group, or the one after when that is full. */
  enrol(member: JournalMember): void {
    this.#queue.push(member);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** No more is taken; what has begun ends. */
  async close(): Promise<void> {
    await this.#running;
    await this.#releasing;
    await this.#creating;
    for (const { handle } of [...this.#used, ...this.#free]) await handle.close().catch(() => undefined);
  }

  async #run(): Promise<void> {
    for (;;) {
      // Those who were just answered append their next batches before the next group is taken.
      await nextTurn();
      if (this.#queue.length === 0) return;
      const taken = this.#gather();
      if (taken.length > 0) await this.#write(taken);
    }
  }

  #gather(): Taken[] {
    const { groupBytesMax, journalFileBytes } = this.#context.limits;
    const bytesMax = Math.min(groupBytesMax, journalFileBytes / 4);
    const taken: Taken[] = [];
    let bytes = 0;
    let count = 0;
    for (const member of this.#queue) {
      if (bytes >= bytesMax) break;
      count++;
      const batches = member.take();
      if (batches.length === 0) continue;
      for (const { length } of batches) bytes += length;
      taken.push({ member, batches });
    }
    this.#queue = this.#queue.slice(count);
    return taken;
  }

  async #write(taken: readonly Taken[]): Promise<void> {
    let current = this.#used.at(-1);
    const runs = taken.map(({ member: { place }, batches }) => ({
      topicId: place.topicId,
      partition: place.partition,
      batches,
    }));
    try {
      const encode = () => encodeGroup({ number: this.#number, oldest: this.#oldest() }, runs, this.#buffer);
      let encoded = encode();
      if (!current || current.isHeld || this.#position + encoded.length > this.#context.limits.journalFileBytes) {
        current = await this.#nextFile();
        // What was needed may be needed no more.
        encoded = encode();
      }
      for (const { member, batches } of taken) {
        current.members.set(member, batchLastOffset(batches.at(-1) as Buffer) + 1);
      }
      await current.handle.write([encoded], this.#position);
      await current.handle.datasync();
      this.#position += encoded.length;
      this.#number++;
      if (this.#position * 2 > this.#context.limits.journalFileBytes) this.#prepare();
    } catch (error) {
      this.#failed(taken, current, error);
      return;
    }
    for (const { member } of taken) member.journaled();
  }

  /**
   * Nobody knows what of the group is on the disk, so its partitions end here, and with them those that wait: a
   * transaction's decision among them must not become durable without its data.
   */
  #failed(taken: readonly Taken[], file: JournalFile | undefined, error: unknown): void {
    this.#context.diagnostics.error("a write of the journal failed", { cause: String(error) });
    if (file) file.isHeld = true;
    for (const { member } of taken) member.journalFailed(error);
    for (const member of this.#queue.splice(0)) member.journalFailed(error);
  }

  #oldest(): number {
    return this.#used.find(({ isHeld }) => !isHeld)?.firstNumber ?? this.#number;
  }

  async #nextFile(): Promise<JournalFile> {
    const file = await this.#someFile();
    // What stands in it from its earlier use counts no more, before any of it is written over.
    const use = { firstNumber: this.#number, oldest: this.#oldest() };
    const header = encodeJournalHeader(this.#logId, this.#context.limits.journalFileBytes, use);
    await file.handle.write([header], 0);
    await file.handle.datasync();
    file.firstNumber = this.#number;
    this.#used.push(file);
    this.#position = journalBlockBytes;
    return file;
  }

  async #someFile(): Promise<JournalFile> {
    for (;;) {
      const free = this.#free.shift();
      if (free) return free;
      if (this.#creating || this.#mayGrow) {
        await this.#createOne();
        continue;
      }
      const heldBefore = this.#heldCount;
      await this.#release();
      const nothingGiven = this.#free.length === 0 && this.#heldCount === heldBefore;
      if (nothingGiven) throw this.#createError ?? new Error("the journal has no file to write to");
      this.#createError = undefined;
    }
  }

  get #heldCount(): number {
    return this.#used.reduce((count, { isHeld }) => count + (isHeld ? 1 : 0), 0);
  }

  get #mayGrow(): boolean {
    const count = this.#used.length + this.#free.length - this.#heldCount;
    return count < this.#context.limits.journalFilesMax && this.#createError === undefined;
  }

  /** While the current file is written the next one is made ready. */
  #prepare(): void {
    if (this.#free.length > 0 || this.#creating || this.#releasing) return;
    if (this.#mayGrow) void this.#createOne();
    else if (this.#used.length - this.#heldCount > 1) void this.#release();
  }

  /** Settles the oldest file that is not being written. */
  #release(): Promise<void> {
    this.#releasing ??= this.#settleOldest().finally(() => {
      this.#releasing = undefined;
    });
    return this.#releasing;
  }

  async #settleOldest(): Promise<void> {
    const oldest = this.#used.find((file) => !file.isHeld);
    if (!oldest) return;
    const waiting = [...oldest.members];
    const settleNext = async () => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        const [member, offset] = next;
        try {
          await member.settle(offset);
        } catch {
          oldest.isHeld = true;
        }
      }
    };
    await Promise.all([settleNext(), settleNext()]);
    if (oldest.isHeld) return;
    oldest.members.clear();
    this.#used = this.#used.filter((file) => file !== oldest);
    this.#free.push(oldest);
  }

  /** Never rejects: when there is no space, what there is must do. */
  #createOne(): Promise<void> {
    this.#creating ??= this.#create()
      .catch((error) => {
        this.#createError = error;
        this.#context.diagnostics.warn("a file of the journal could not be made", { cause: String(error) });
      })
      .finally(() => {
        this.#creating = undefined;
      });
    return this.#creating;
  }

  /** Written with zeros, so that later writes change neither its length nor its blocks. */
  async #create(): Promise<void> {
    const { disk, limits } = this.#context;
    const index = this.#nextIndex++;
    const file = path.join(this.#directory, journalFileName(index));
    const handle = await disk.open(file, "exclusive");
    try {
      const zeros = Buffer.alloc(Math.min(limits.journalFileBytes, 1024 * 1024));
      for (let at = 0; at < limits.journalFileBytes; at += zeros.length) {
        await handle.write([zeros.subarray(0, Math.min(zeros.length, limits.journalFileBytes - at))], at);
      }
      await handle.write([encodeJournalHeader(this.#logId, limits.journalFileBytes, { firstNumber: 0, oldest: 0 })], 0);
      await handle.datasync();
      await disk.syncDirectory(this.#directory);
    } catch (error) {
      await handle.close();
      await disk.remove(file).catch(() => undefined);
      throw error;
    }
    this.#free.push({ index, handle, members: new Map(), firstNumber: 0, isHeld: false });
  }

  async #isWhole(handle: DiskFile, file: string): Promise<boolean> {
    const { journalFileBytes } = this.#context.limits;
    if ((await handle.size()) !== journalFileBytes) return false;
    const header = Buffer.alloc(journalBlockBytes);
    const count = await handle.read(header, 0);
    return journalHeaderFault(header.subarray(0, count), this.#logId, file) === undefined;
  }
}
