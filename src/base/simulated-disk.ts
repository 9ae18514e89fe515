/**
 * A disk in memory that is as unkind as a real one may be. When the power is cut, of what was not synced every 512-byte
 * sector of every write, and every name that was made, changed or removed, may be there or not, each file and each
 * folder for itself.
 *
 * Operations that change something are counted. `cutAfter(n)` lets n of them happen; the next one is caught in the
 * middle (it fails, and may still leave something behind) and all later calls fail. `survivor()` is then the disk as
 * the next process finds it. `failAt(n, code)` makes one operation fail and changes nothing.
 *
 * Faults that nobody is told of (`loseNextSync`, `misdirectNextWrite`, and those that change what is there already) are
 * those of the platter. After a lost or misdirected write readers are answered from the cache, so it shows after
 * `survivor()`.
 */
import * as path from "node:path";
import type { Disk, DiskFile } from "./disk.ts";
import type { PagedContent } from "./paged-content.ts";
import type { Random } from "./random.ts";
import {
  allocatedBytes,
  asDirectory,
  type DirectoryNode,
  type Node,
  newDirectory,
  nodeAt,
  partsOf,
  setName,
  survivingDirectory,
  syncNames,
} from "./simulated-directory.ts";
import { type Choice, diskError, FileNode, SimulatedFile } from "./simulated-file.ts";

export { diskError };

export type DiskOperation =
  | "create"
  | "write"
  | "datasync"
  | "truncate"
  | "rename"
  | "remove"
  | "makeDirectory"
  | "syncDirectory";

/** A file by its path, or all those that it answers true for. */
export type WhichFile = string | ((path: string) => boolean);

/** What a file held at some moment, for `restore`. */
export interface FileImage {
  toBuffer(): Buffer;
}

interface Misdirection {
  readonly from: WhichFile;
  readonly to: string;
  readonly bytePosition: number;
}

/** One microtask: every operation takes at least that long. */
const soon = Promise.resolve();

export class SimulatedDisk implements Disk {
  readonly #random: Random;
  readonly #root: DirectoryNode;
  readonly #failures = new Map<number, string>();
  #operations = 0;
  #cutAfter = Number.POSITIVE_INFINITY;
  #off = false;
  #renames = 0;
  #freeBytes = Number.MAX_SAFE_INTEGER;
  #capacityBytes = Number.POSITIVE_INFINITY;
  #openFiles = 0;
  #reads = 0;
  #ignoresSync: (operation: "datasync" | "syncDirectory", path: string) => boolean = () => false;
  readonly #lostSyncs: WhichFile[] = [];
  readonly #failedSyncs: WhichFile[] = [];
  readonly #misdirections: Misdirection[] = [];
  /** The operations that happened, in order, for tests that look for one. */
  readonly history: { readonly operation: DiskOperation; readonly path: string }[] = [];

  constructor(random: Random, root: DirectoryNode = newDirectory()) {
    this.#random = random;
    this.#root = root;
  }

  /** How many changing operations there were. */
  get operations(): number {
    return this.#operations;
  }

  get openFiles(): number {
    return this.#openFiles;
  }

  /** How many times a file was read from. */
  get reads(): number {
    return this.#reads;
  }

  get isOff(): boolean {
    return this.#off;
  }

  cutAfter(operations: number): void {
    this.#cutAfter = operations;
  }

  /** The power is cut now. */
  cut(): void {
    this.#off = true;
  }

  /** The operation with this number (the first is 1) fails with `code` and changes nothing. */
  failAt(operation: number, code: "EIO" | "ENOSPC"): void {
    this.#failures.set(operation, code);
  }

  /** The next operation fails. */
  failNext(code: "EIO" | "ENOSPC"): void {
    this.failAt(this.#operations + 1, code);
  }

  /** What `freeBytes` answers, if the capacity does not say less; writes go on. */
  setFreeBytes(bytes: number): void {
    this.#freeBytes = bytes;
  }

  /**
   * Writes that need more fail with ENOSPC, done as far as there was room, until files are removed or cut. A file takes
   * whole pages of 4 KiB, and none where nothing was ever written (as behind a `truncate` that made it longer).
   */
  setCapacityBytes(bytes: number): void {
    this.#capacityBytes = bytes;
  }

  /** The room that all files take that have a name. */
  get usedBytes(): number {
    return allocatedBytes(this.#root);
  }

  /** The disk after a power cut: a new one, so that those who still hold this one cannot touch it. */
  survivor(): SimulatedDisk {
    this.#off = true;
    return this.#next(survivingDirectory(this.#root, this.#choice));
  }

  /** The disk after the process died and the machine did not: all that was written is there, synced or not. */
  afterKill(): SimulatedDisk {
    this.#off = true;
    return this.#next(this.#root);
  }

  /** Syncs that this answers true for say that they are done and do nothing: what they cover may be lost in a cut. */
  ignoreSyncs(ignores: (operation: "datasync" | "syncDirectory", path: string) => boolean): void {
    this.#ignoresSync = ignores;
  }

  /** The next sync of the file says that it is done, but its bytes never reach the platter, nor does a later sync take them there. */
  loseNextSync(file: WhichFile): void {
    this.#lostSyncs.push(file);
  }

  /**
   * The next sync of the file fails with EIO, after some of its bytes reached the platter. As on Linux the rest counts
   * as clean from then on: readers see it until the machine goes down, and a later sync does not take it there.
   */
  failNextSync(file: WhichFile): void {
    this.#failedSyncs.push(file);
  }

  /** The bytes of the next write to `from` reach the platter at a place of the file `to`, which may be the same. */
  misdirectNextWrite(from: WhichFile, to: string, bytePosition: number): void {
    this.#misdirections.push({ from, to, bytePosition });
  }

  /** Changes a byte on the platter, as a failing disk does. */
  corrupt(file: string, bytePosition: number, xor = 0xff): void {
    this.#file(file).damage((content) => {
      const byte = Buffer.alloc(1);
      if (content.read(byte, bytePosition) === 0) return;
      byte[0] = (byte[0] as number) ^ xor;
      content.write(byte, bytePosition);
    });
  }

  /** The range reads as zeros. */
  punchHole(file: string, fromBytes: number, toBytes: number): void {
    this.#file(file).damage((content) => content.clear(fromBytes, toBytes));
  }

  /** The file ends here. */
  cutShort(file: string, lengthBytes: number): void {
    this.#file(file).damage((content) => content.truncate(Math.min(lengthBytes, content.lengthBytes)));
  }

  /** Each file has the other one's bytes. */
  swap(file: string, other: string): void {
    this.#file(file).swapWith(this.#file(other));
  }

  /** What the file holds now, as a reader sees it. */
  imageOf(file: string): FileImage {
    return this.#file(file).current.copy();
  }

  /** The file holds again what it held then: all of it, or, with its length as it is, only what lies in the range. */
  restore(file: string, image: FileImage, range?: { readonly fromBytes: number; readonly toBytes: number }): void {
    const old = image.toBuffer();
    this.#file(file).damage((content) => {
      if (!range) content.truncate(old.length);
      const end = Math.min(content.lengthBytes, range?.toBytes ?? old.length);
      content.write(old.subarray(range?.fromBytes ?? 0, end), range?.fromBytes ?? 0);
    });
  }

  /** Reads that touch the range fail with EIO, under whatever name and after whatever crash, until `healReads`. */
  failReads(file: string, fromBytes = 0, toBytes = Number.POSITIVE_INFINITY): void {
    this.#file(file).failReads(fromBytes, toBytes);
  }

  healReads(file: string): void {
    this.#file(file).healReads();
  }

  /** The bytes that a reader sees now. */
  contents(file: string): Buffer {
    return this.#file(file).current.toBuffer();
  }

  async open(file: string, mode: "read" | "write" | "create" | "exclusive"): Promise<DiskFile> {
    this.assertOn("open", file);
    const { parent, name } = this.#place(file, "open");
    const found = () => {
      const node = parent.current.get(name);
      if (node?.kind === "directory") throw diskError("EISDIR", "open", file);
      if (node && mode === "exclusive") throw diskError("EEXIST", "open", file);
      return node;
    };
    const there = found();
    if (there) return this.#opened(there, file);
    if (mode === "read" || mode === "write") throw diskError("ENOENT", "open", file);
    let made = new FileNode();
    await this.operation("create", file, () => {
      // Somebody else may have made it meanwhile.
      const other = found();
      if (other) made = other;
      else setName(parent, name, made);
    });
    return this.#opened(made, file);
  }

  async makeDirectory(directory: string): Promise<void> {
    this.assertOn("mkdir", directory);
    let at = this.#root;
    for (const name of partsOf(directory)) {
      const parent = at;
      if (!parent.current.has(name)) {
        await this.operation("makeDirectory", directory, () => {
          if (!parent.current.has(name)) setName(parent, name, newDirectory());
        });
      }
      const next = parent.current.get(name);
      if (next?.kind !== "directory") throw diskError("ENOTDIR", "mkdir", directory);
      at = next;
    }
  }

  async list(directory: string): Promise<string[]> {
    this.assertOn("list", directory);
    return [...this.#directory(directory, "list").current.keys()].sort();
  }

  async exists(file: string): Promise<boolean> {
    this.assertOn("exists", file);
    return this.#find(file) !== undefined;
  }

  async rename(from: string, to: string): Promise<void> {
    this.assertOn("rename", from);
    const source = this.#place(from, "rename");
    const target = this.#place(to, "rename");
    const node = source.parent.current.get(source.name);
    if (!node) throw diskError("ENOENT", "rename", from);
    await this.operation("rename", to, () => {
      const moved = ++this.#renames;
      setName(target.parent, target.name, node, moved);
      setName(source.parent, source.name, undefined, moved);
    });
  }

  async remove(file: string): Promise<void> {
    this.assertOn("remove", file);
    if (!this.#find(file)) return;
    const { parent, name } = this.#place(file, "remove");
    if (parent.current.get(name)?.kind === "directory") throw diskError("EISDIR", "remove", file);
    await this.operation("remove", file, () => setName(parent, name, undefined));
  }

  async removeDirectory(directory: string): Promise<void> {
    this.assertOn("remove", directory);
    const node = this.#find(directory);
    if (!node) return;
    if (node.kind === "directory") {
      for (const name of [...node.current.keys()]) await this.removeDirectory(path.join(directory, name));
    }
    const { parent, name } = this.#place(directory, "remove");
    await this.operation("remove", directory, () => setName(parent, name, undefined));
  }

  async syncDirectory(directory: string): Promise<void> {
    this.assertOn("syncDirectory", directory);
    const node = this.#directory(directory, "syncDirectory");
    await this.operation("syncDirectory", directory, undefined, () => {
      if (!this.#ignoresSync("syncDirectory", directory)) syncNames(node);
    });
  }

  async freeBytes(): Promise<number> {
    if (this.#capacityBytes === Number.POSITIVE_INFINITY) return this.#freeBytes;
    return Math.max(0, Math.min(this.#freeBytes, this.#capacityBytes - this.usedBytes));
  }

  /**
   * One counted operation. `change` is done also when the power goes in its middle (its effect is not durable, so it
   * may or may not survive); `complete` only when the operation ends.
   */
  operation(operation: DiskOperation, at: string, change?: () => void, complete?: () => void): Promise<void> {
    return this.later(operation, at, () => {
      const number = ++this.#operations;
      const failure = this.#failures.get(number);
      if (failure) throw diskError(failure, operation, at);
      change?.();
      if (number > this.#cutAfter) {
        this.#off = true;
        throw diskError("EIO", `power cut in ${operation}`, at);
      }
      complete?.();
      this.history.push({ operation, path: at });
    });
  }

  /** For the files of this disk: after a moment, if the power is still on. */
  later<T>(operation: string, at: string, act: () => T): Promise<T> {
    return soon.then(() => {
      this.assertOn(operation, at);
      return act();
    });
  }

  /** For the files of this disk: a write, with the faults that wait for it. */
  write(node: FileNode, at: string, bytes: Buffer, bytePosition: number): void {
    const misdirection = takeFor(this.#misdirections, at, ({ from }) => from);
    if (misdirection) {
      node.changeInCacheOnly({ kind: "write", bytes, at: bytePosition });
      this.#file(misdirection.to).damage((content) => content.write(bytes, misdirection.bytePosition));
      return;
    }
    const fitting = this.#fitting(node.current, bytePosition, bytes.length);
    if (fitting > 0) node.change({ kind: "write", bytes: bytes.subarray(0, fitting), at: bytePosition });
    if (fitting < bytes.length) throw diskError("ENOSPC", "write", at);
  }

  /** For the files of this disk: the end of a sync of the changes before the mark, with the faults that wait for it. */
  sync(node: FileNode, at: string, mark: number): void {
    if (this.#ignoresSync("datasync", at)) return;
    if (takeFor(this.#failedSyncs, at, (which) => which)) {
      node.forget(mark, this.#choice);
      throw diskError("EIO", "datasync", at);
    }
    if (takeFor(this.#lostSyncs, at, (which) => which)) node.forget(mark);
    else node.settle(mark);
  }

  noticeRead(): void {
    this.#reads++;
  }

  noticeClose(): void {
    this.#openFiles--;
  }

  assertOn(operation: string, at: string): void {
    if (this.#off) throw diskError("EIO", `power is off: ${operation}`, at);
  }

  #opened(node: FileNode, file: string): DiskFile {
    this.#openFiles++;
    return new SimulatedFile(this, node, file);
  }

  #fitting(content: PagedContent, bytePosition: number, countBytes: number): number {
    if (this.#capacityBytes === Number.POSITIVE_INFINITY) return countBytes;
    return content.fitting(bytePosition, countBytes, this.#capacityBytes - this.usedBytes);
  }

  #next(root: DirectoryNode): SimulatedDisk {
    const next = new SimulatedDisk(this.#random, root);
    next.#capacityBytes = this.#capacityBytes;
    next.#ignoresSync = this.#ignoresSync;
    return next;
  }

  #find(at: string): Node | undefined {
    return nodeAt(this.#root, partsOf(at));
  }

  #file(at: string): FileNode {
    const node = this.#find(at);
    if (node?.kind !== "file") throw diskError("ENOENT", "open", at);
    return node;
  }

  #directory(at: string, operation: string): DirectoryNode {
    return asDirectory(this.#find(at), at, operation);
  }

  #place(at: string, operation: string): { readonly parent: DirectoryNode; readonly name: string } {
    const parts = partsOf(at);
    const parent = asDirectory(nodeAt(this.#root, parts, parts.length - 1), at, operation);
    return { parent, name: parts.at(-1) ?? "" };
  }

  /** Which of `count` unsynced things survive: none, all, a prefix, or any of them. */
  readonly #choice: Choice = (count) => {
    const kind = this.#random.below(4);
    if (kind === 0) return () => false;
    if (kind === 1) return () => true;
    if (kind === 2) {
      const prefix = this.#random.below(count + 1);
      return (index) => index < prefix;
    }
    const chance = this.#random.next();
    return () => this.#random.next() < chance;
  };
}

/** Takes the first of the waiting faults that is for this file. */
function takeFor<T>(waiting: T[], at: string, which: (fault: T) => WhichFile): T | undefined {
  const index = waiting.findIndex((fault) => {
    const file = which(fault);
    return typeof file === "string" ? file === at : file(at);
  });
  return index < 0 ? undefined : waiting.splice(index, 1)[0];
}
