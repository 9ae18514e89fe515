/**
 * Transactions that the server sends while they still run (pgoutput's streaming): kept as they came until they commit or
 * abort, in memory up to a bound over all of them, then in a file each. The files are scratch: never synced, and what a
 * crash left behind is removed by `open`.
 *
 * A frame is: length of the message (4 bytes), subtransaction (4), LSN (8), the message.
 */
import * as path from "node:path";
import type { Disk, DiskFile } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import { readLsn, writeLsn } from "./lsn.ts";
import { XidSet } from "./xid-set.ts";

const frameHeaderBytes = 16;
const readBytes = 1024 * 1024;

/** Frames are gathered in blocks of this size. */
const blockBytes = 128 * 1024;

/** What stands in memory, up to `end`. */
interface Block {
  readonly bytes: Buffer;
  end: number;
}

interface Spooled {
  blocks: Block[];
  memoryBytes: number;
  file: DiskFile | null;
  fileBytes: number;
  readonly aborted: XidSet;
}

export class TransactionSpool {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #memoryBytesMax: number;
  readonly #transactions = new Map<number, Spooled>();
  #memoryBytes = 0;
  /** Blocks that were written to a file: gigabytes pass through a few of them. */
  #free: Buffer[] = [];

  private constructor(disk: Disk, directory: string, memoryBytesMax: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#memoryBytesMax = memoryBytesMax;
  }

  static async open(disk: Disk, directory: string, memoryBytesMax: number): Promise<TransactionSpool> {
    await disk.removeDirectory(directory);
    return new TransactionSpool(disk, directory, memoryBytesMax);
  }

  /** True when `spill` should be called before more is added. */
  get full(): boolean {
    return this.#memoryBytes > this.#memoryBytesMax;
  }

  get empty(): boolean {
    return this.#transactions.size === 0;
  }

  /** The message is copied. */
  add(topXid: number, xid: number, lsn: number, message: Buffer): void {
    let spooled = this.#transactions.get(topXid);
    if (spooled === undefined) {
      spooled = {
        blocks: [],
        memoryBytes: 0,
        file: null,
        fileBytes: 0,
        aborted: new XidSet(),
      };
      this.#transactions.set(topXid, spooled);
    }
    const bytes = frameHeaderBytes + message.length;
    let block = spooled.blocks.at(-1);
    if (block === undefined || block.end + bytes > block.bytes.length) {
      block = { bytes: this.#newBlock(bytes), end: 0 };
      spooled.blocks.push(block);
    }
    const { bytes: to, end: at } = block;
    to.writeUInt32BE(message.length, at);
    to.writeUInt32BE(xid, at + 4);
    writeLsn(to, lsn, at + 8);
    message.copy(to, at + frameHeaderBytes);
    block.end += bytes;
    spooled.memoryBytes += bytes;
    this.#memoryBytes += bytes;
  }

  /** Of a part of a transaction, or of all of it. */
  async abort(topXid: number, xid: number): Promise<void> {
    const spooled = this.#transactions.get(topXid);
    if (spooled === undefined) return;
    if (xid === topXid) await this.#forget(topXid, spooled);
    else spooled.aborted.add(xid);
  }

  /**
   * Writes the largest transaction in memory to its file. Throws `DISK_LOW` when there is no room: nothing of what is
   * held here was confirmed to the server, which sends it again.
   */
  async spill(): Promise<void> {
    try {
      await this.#spillLargest();
    } catch (cause) {
      if (!isFull(cause)) throw cause;
      throw new MillraceError("DISK_LOW", `there is no room for transactions that still run in ${this.#directory}`, {
        cause,
        hint: "The source goes on by itself when there is room again; until then its server keeps what is missing.",
      });
    }
  }

  async #spillLargest(): Promise<void> {
    let largest: [number, Spooled] | undefined;
    for (const entry of this.#transactions) {
      if (largest === undefined || entry[1].memoryBytes > largest[1].memoryBytes) largest = entry;
    }
    if (largest === undefined) return;
    const [xid, spooled] = largest;
    if (spooled.file === null) {
      await this.#disk.makeDirectory(this.#directory);
      spooled.file = await this.#disk.open(path.join(this.#directory, `${xid}.spool`), "create");
      await spooled.file.truncate(0);
    }
    const written = spooled.blocks.map(({ bytes, end }) => bytes.subarray(0, end));
    await spooled.file.write(written, spooled.fileBytes);
    spooled.fileBytes += spooled.memoryBytes;
    this.#memoryBytes -= spooled.memoryBytes;
    spooled.memoryBytes = 0;
    this.#release(spooled);
  }

  /**
   * Gives each message that was not rolled back, in order, and forgets the transaction. Throws `SOURCE_FAILED` when the
   * file is not as it was written.
   */
  async replay(topXid: number, give: (lsn: number, message: Buffer) => Promise<void> | undefined): Promise<void> {
    const spooled = this.#transactions.get(topXid);
    if (spooled === undefined) return;
    const giveFrames = async (bytes: Buffer): Promise<number> => {
      let at = 0;
      while (at + frameHeaderBytes <= bytes.length) {
        const end = at + frameHeaderBytes + bytes.readUInt32BE(at);
        if (end > bytes.length) break;
        // What a relation looks like holds beyond the subtransaction that it was first used in.
        const kept = bytes[at + frameHeaderBytes] === 0x52 || !spooled.aborted.has(bytes.readUInt32BE(at + 4));
        if (kept) {
          const wait = give(readLsn(bytes, at + 8), bytes.subarray(at + frameHeaderBytes, end));
          if (wait !== undefined) await wait;
        }
        at = end;
      }
      return at;
    };
    if (spooled.file !== null) {
      let position = 0;
      let buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, spooled.fileBytes));
      while (position < spooled.fileBytes) {
        const leftBytes = spooled.fileBytes - position;
        const bytes = buffer.subarray(0, Math.min(buffer.length, leftBytes));
        if ((await spooled.file.read(bytes, position)) < bytes.length) throw damaged(spooled.file);
        const taken = await giveFrames(bytes);
        position += taken;
        // A message larger than the buffer: one is made that holds it.
        if (taken === 0) {
          const bytesWanted =
            bytes.length < frameHeaderBytes ? leftBytes + 1 : frameHeaderBytes + bytes.readUInt32BE(0);
          if (bytesWanted > leftBytes) throw damaged(spooled.file);
          buffer = Buffer.allocUnsafeSlow(bytesWanted);
        } else if (buffer.length > readBytes) buffer = Buffer.allocUnsafeSlow(readBytes);
      }
    }
    for (const { bytes, end } of spooled.blocks) await giveFrames(bytes.subarray(0, end));
    await this.#forget(topXid, spooled);
  }

  async close(): Promise<void> {
    for (const [xid, spooled] of this.#transactions) await this.#forget(xid, spooled);
    await this.#disk.removeDirectory(this.#directory);
  }

  #newBlock(bytes: number): Buffer {
    const used = bytes <= blockBytes ? this.#free.pop() : undefined;
    return used ?? Buffer.allocUnsafeSlow(Math.max(bytes, blockBytes));
  }

  /** As many are kept as the bound on memory would fill. */
  #release(spooled: Spooled): void {
    for (const { bytes } of spooled.blocks) {
      if (bytes.length === blockBytes && this.#free.length * blockBytes < this.#memoryBytesMax) this.#free.push(bytes);
    }
    spooled.blocks = [];
  }

  async #forget(xid: number, spooled: Spooled): Promise<void> {
    this.#transactions.delete(xid);
    this.#memoryBytes -= spooled.memoryBytes;
    this.#release(spooled);
    if (spooled.file === null) return;
    await spooled.file.close();
    await this.#disk.remove(spooled.file.path);
  }
}

function damaged({ path }: DiskFile): MillraceError {
  return new MillraceError("SOURCE_FAILED", `${path} was changed or cut while its transaction still ran`, {
    hint: "Nothing of it was written: the source's server sends the transaction again. Leave this folder to Millrace.",
  });
}

function isFull(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && (cause.code === "ENOSPC" || cause.code === "EDQUOT");
}
