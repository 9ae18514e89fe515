/**
 * Transactions that the server sends while they still run (pgoutput's streaming): kept as they came until they commit or
 * abort, in memory up to a bound over all of them, then in a file each. The files are scratch: never synced, and what a
 * crash left behind is removed by `open`.
 *
 * A frame is: length of the message (4 bytes), subtransaction (4), LSN (8), the message.
 */
import * as path from "node:path";
import type { Disk, DiskFile } from "../base/disk.ts";
import { readLsn, writeLsn } from "./lsn.ts";

const frameHeaderBytes = 16;
const readBytes = 1024 * 1024;

/** Frames are gathered in blocks of this size. */
const blockBytes = 128 * 1024;

interface Spooled {
  chunks: Buffer[];
  block: Buffer;
  blockEnd: number;
  memoryBytes: number;
  file: DiskFile | null;
  fileBytes: number;
  readonly aborted: Set<number>;
}

export class TransactionSpool {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #memoryBytesMax: number;
  readonly #transactions = new Map<number, Spooled>();
  #memoryBytes = 0;

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
        chunks: [],
        block: Buffer.alloc(0),
        blockEnd: 0,
        memoryBytes: 0,
        file: null,
        fileBytes: 0,
        aborted: new Set(),
      };
      this.#transactions.set(topXid, spooled);
    }
    const bytes = frameHeaderBytes + message.length;
    if (spooled.blockEnd + bytes > spooled.block.length) {
      closeBlock(spooled);
      spooled.block = Buffer.allocUnsafeSlow(Math.max(bytes, blockBytes));
    }
    const { block, blockEnd } = spooled;
    block.writeUInt32BE(message.length, blockEnd);
    block.writeUInt32BE(xid, blockEnd + 4);
    writeLsn(block, lsn, blockEnd + 8);
    message.copy(block, blockEnd + frameHeaderBytes);
    spooled.blockEnd += bytes;
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

  /** Writes the largest transaction in memory to its file. */
  async spill(): Promise<void> {
    let largest: [number, Spooled] | undefined;
    for (const entry of this.#transactions) {
      if (largest === undefined || entry[1].memoryBytes > largest[1].memoryBytes) largest = entry;
    }
    if (largest === undefined) return;
    const [xid, spooled] = largest;
    closeBlock(spooled);
    if (spooled.file === null) {
      await this.#disk.makeDirectory(this.#directory);
      spooled.file = await this.#disk.open(path.join(this.#directory, `${xid}.spool`), "create");
      await spooled.file.truncate(0);
    }
    await spooled.file.write(spooled.chunks, spooled.fileBytes);
    spooled.fileBytes += spooled.memoryBytes;
    this.#memoryBytes -= spooled.memoryBytes;
    spooled.memoryBytes = 0;
    spooled.chunks = [];
  }

  /** Gives each message that was not rolled back, in order, and forgets the transaction. */
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
      let size = readBytes;
      while (position < spooled.fileBytes) {
        const bytes = Buffer.allocUnsafe(Math.min(size, spooled.fileBytes - position));
        await spooled.file.read(bytes, position);
        const taken = await giveFrames(bytes);
        position += taken;
        size = taken === 0 ? size * 2 : readBytes;
      }
    }
    closeBlock(spooled);
    for (const block of spooled.chunks) await giveFrames(block);
    await this.#forget(topXid, spooled);
  }

  async close(): Promise<void> {
    for (const [xid, spooled] of this.#transactions) await this.#forget(xid, spooled);
    await this.#disk.removeDirectory(this.#directory);
  }

  async #forget(xid: number, spooled: Spooled): Promise<void> {
    this.#transactions.delete(xid);
    this.#memoryBytes -= spooled.memoryBytes;
    if (spooled.file === null) return;
    await spooled.file.close();
    await this.#disk.remove(spooled.file.path);
  }
}

function closeBlock(spooled: Spooled): void {
  if (spooled.blockEnd > 0) spooled.chunks.push(spooled.block.subarray(0, spooled.blockEnd));
  spooled.block = Buffer.alloc(0);
  spooled.blockEnd = 0;
}
