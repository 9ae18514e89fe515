/**
 * A disk in memory that is as unkind as a real one may be when the power is cut: of what was not synced, every
 * 512-byte sector of every write, and every name that was made, changed or removed, may be there or not.
 *
 * Operations that change something are counted. `cutAfter(n)` lets n of them happen; the next one is caught in the
 * middle (it fails, and may still leave something behind) and all later calls fail. `survivor()` is then the disk as
 * the next process finds it. `failAt(n, code)` makes one operation fail and changes nothing.
 */
import * as path from "node:path";
import type { Disk, DiskFile } from "./disk.ts";
import type { Random } from "./random.ts";

export type DiskOperation =
  | "create"
  | "write"
  | "datasync"
  | "truncate"
  | "rename"
  | "remove"
  | "makeDirectory"
  | "syncDirectory";

const sectorBytes = 512;

type Change =
  | { readonly kind: "write"; readonly bytes: Buffer; readonly at: number }
  | { readonly kind: "truncate"; readonly length: number };

/** The first `length` bytes; the buffer may have room behind them. */
interface Content {
  bytes: Buffer;
  length: number;
}

interface FileNode {
  readonly kind: "file";
  readonly durable: Content;
  /** What a reader sees now. */
  readonly current: Content;
  /** Since the last sync, oldest first. */
  changes: Change[];
}

type NameChange = { readonly name: string; readonly node: Node | undefined; readonly moved: number | undefined };

interface DirectoryNode {
  readonly kind: "directory";
  durable: Map<string, Node>;
  current: Map<string, Node>;
  changes: NameChange[];
}

type Node = FileNode | DirectoryNode;

function newDirectory(): DirectoryNode {
  return { kind: "directory", durable: new Map(), current: new Map(), changes: [] };
}

function newFile(content: Content = { bytes: Buffer.alloc(0), length: 0 }): FileNode {
  return { kind: "file", durable: content, current: copied(content), changes: [] };
}

export function diskError(code: string, operation: string, at: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${code}: ${operation} ${at}`);
  error.code = code;
  error.path = at;
  return error;
}

export class SimulatedDisk implements Disk {
  readonly #random: Random;
  readonly #root: DirectoryNode;
  readonly #failures = new Map<number, string>();
  #operations = 0;
  #cutAfter = Number.POSITIVE_INFINITY;
  #off = false;
  #renames = 0;
  #freeBytes = Number.MAX_SAFE_INTEGER;
  #openFiles = 0;
  #reads = 0;
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

  setFreeBytes(bytes: number): void {
    this.#freeBytes = bytes;
  }

  /** The disk after a power cut: a new one, so that those who still hold this one cannot touch it. */
  survivor(): SimulatedDisk {
    this.#off = true;
    const copies = new Map<Node, Node>();
    const root = this.#surviveDirectory(this.#root, copies);
    return new SimulatedDisk(this.#random, root);
  }

  /** The disk after the process died and the machine did not: all that was written is there, synced or not. */
  afterKill(): SimulatedDisk {
    this.#off = true;
    return new SimulatedDisk(this.#random, this.#root);
  }

  /** Changes bytes on the platter, as a failing disk does. */
  corrupt(file: string, bytePosition: number, xor = 0xff): void {
    const node = this.#file(file);
    for (const { bytes, length } of [node.durable, node.current]) {
      if (bytePosition < length) bytes[bytePosition] = (bytes[bytePosition] as number) ^ xor;
    }
  }

  /** The bytes that a reader sees now. */
  contents(file: string): Buffer {
    const node = this.#file(file);
    return copied(node.current).bytes;
  }

  async open(file: string, mode: "read" | "write" | "create" | "exclusive"): Promise<DiskFile> {
    this.#alive("open", file);
    const { parent, name } = this.#place(file, "open");
    const node = parent.current.get(name);
    if (node?.kind === "directory") throw diskError("EISDIR", "open", file);
    if (node) {
      if (mode === "exclusive") throw diskError("EEXIST", "open", file);
      return this.#opened(node, file);
    }
    if (mode === "read" || mode === "write") throw diskError("ENOENT", "open", file);
    const made = newFile();
    await this.operation("create", file, () => this.#setName(parent, name, made));
    return this.#opened(made, file);
  }

  async makeDirectory(directory: string): Promise<void> {
    this.#alive("mkdir", directory);
    let at = this.#root;
    for (const name of parts(directory)) {
      const next = at.current.get(name);
      if (next?.kind === "file") throw diskError("ENOTDIR", "mkdir", directory);
      if (next) at = next;
      else {
        const made = newDirectory();
        const parent = at;
        await this.operation("makeDirectory", directory, () => this.#setName(parent, name, made));
        at = made;
      }
    }
  }

  async list(directory: string): Promise<string[]> {
    this.#alive("list", directory);
    return [...this.#directory(directory, "list").current.keys()].sort();
  }

  async exists(file: string): Promise<boolean> {
    this.#alive("exists", file);
    return this.#find(file) !== undefined;
  }

  async rename(from: string, to: string): Promise<void> {
    this.#alive("rename", from);
    const source = this.#place(from, "rename");
    const target = this.#place(to, "rename");
    const node = source.parent.current.get(source.name);
    if (!node) throw diskError("ENOENT", "rename", from);
    await this.operation("rename", to, () => {
      const moved = ++this.#renames;
      this.#setName(target.parent, target.name, node, moved);
      this.#setName(source.parent, source.name, undefined, moved);
    });
  }

  async remove(file: string): Promise<void> {
    this.#alive("remove", file);
    if (!this.#find(file)) return;
    const { parent, name } = this.#place(file, "remove");
    if (parent.current.get(name)?.kind === "directory") throw diskError("EISDIR", "remove", file);
    await this.operation("remove", file, () => this.#setName(parent, name, undefined));
  }

  async removeDirectory(directory: string): Promise<void> {
    this.#alive("remove", directory);
    const node = this.#find(directory);
    if (!node) return;
    if (node.kind === "directory") {
      for (const name of [...node.current.keys()]) await this.removeDirectory(path.join(directory, name));
    }
    const { parent, name } = this.#place(directory, "remove");
    await this.operation("remove", directory, () => this.#setName(parent, name, undefined));
  }

  async syncDirectory(directory: string): Promise<void> {
    this.#alive("syncDirectory", directory);
    const node = this.#directory(directory, "syncDirectory");
    await this.operation("syncDirectory", directory, undefined, () => {
      node.durable = new Map(node.current);
      node.changes = [];
    });
  }

  async freeBytes(): Promise<number> {
    return this.#freeBytes;
  }

  /**
   * One counted operation. `change` is done also when the power goes in its middle (its effect is not durable, so it
   * may or may not survive); `complete` only when the operation ends.
   */
  async operation(operation: DiskOperation, at: string, change?: () => void, complete?: () => void): Promise<void> {
    await null;
    this.#alive(operation, at);
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
  }

  /** For the files of this disk. */
  noticeRead(): void {
    this.#reads++;
  }

  noticeClose(): void {
    this.#openFiles--;
  }

  #opened(node: FileNode, file: string): DiskFile {
    this.#openFiles++;
    return new SimulatedFile(this, node, file);
  }

  assertOn(operation: string, at: string): void {
    this.#alive(operation, at);
  }

  #alive(operation: string, at: string): void {
    if (this.#off) throw diskError("EIO", `power is off: ${operation}`, at);
  }

  #setName(parent: DirectoryNode, name: string, node: Node | undefined, moved?: number): void {
    if (node) parent.current.set(name, node);
    else parent.current.delete(name);
    parent.changes.push({ name, node, moved });
  }

  #find(at: string): Node | undefined {
    let node: Node = this.#root;
    for (const name of parts(at)) {
      const next: Node | undefined = node.kind === "directory" ? node.current.get(name) : undefined;
      if (!next) return undefined;
      node = next;
    }
    return node;
  }

  #file(at: string): FileNode {
    const node = this.#find(at);
    if (node?.kind !== "file") throw diskError("ENOENT", "open", at);
    return node;
  }

  #directory(at: string, operation: string): DirectoryNode {
    const node = this.#find(at);
    if (!node) throw diskError("ENOENT", operation, at);
    if (node.kind !== "directory") throw diskError("ENOTDIR", operation, at);
    return node;
  }

  #place(at: string, operation: string): { readonly parent: DirectoryNode; readonly name: string } {
    return { parent: this.#directory(path.dirname(at), operation), name: path.basename(at) };
  }

  #surviveDirectory(node: DirectoryNode, copies: Map<Node, Node>): DirectoryNode {
    const known = copies.get(node);
    if (known?.kind === "directory") return known;
    const copy = newDirectory();
    copies.set(node, copy);
    const entries = new Map(node.durable);
    const keep = this.#choice(node.changes.length);
    const renames = new Map<number, boolean>();
    node.changes.forEach((change, i) => {
      // Both names of a rename change together.
      const kept = change.moved === undefined ? keep(i) : (renames.get(change.moved) ?? keep(i));
      if (change.moved !== undefined) renames.set(change.moved, kept);
      if (!kept) return;
      if (change.node) entries.set(change.name, change.node);
      else entries.delete(change.name);
    });
    for (const [name, child] of entries) {
      const survivor =
        child.kind === "directory" ? this.#surviveDirectory(child, copies) : this.#surviveFile(child, copies);
      copy.durable.set(name, survivor);
      copy.current.set(name, survivor);
    }
    return copy;
  }

  #surviveFile(node: FileNode, copies: Map<Node, Node>): FileNode {
    const known = copies.get(node);
    if (known?.kind === "file") return known;
    const pieces = node.changes.flatMap(sectors);
    const keep = this.#choice(pieces.length);
    const content = copied(node.durable);
    pieces.forEach((piece, i) => {
      if (keep(i)) apply(content, piece);
    });
    const copy = newFile(content);
    copies.set(node, copy);
    return copy;
  }

  /** Which of `count` unsynced things survive: none, all, a prefix, or any of them. */
  #choice(count: number): (index: number) => boolean {
    const kind = this.#random.below(4);
    if (kind === 0) return () => false;
    if (kind === 1) return () => true;
    if (kind === 2) {
      const prefix = this.#random.below(count + 1);
      return (index) => index < prefix;
    }
    const chance = this.#random.next();
    return () => this.#random.next() < chance;
  }
}

class SimulatedFile implements DiskFile {
  readonly path: string;
  readonly #disk: SimulatedDisk;
  readonly #node: FileNode;
  #closed = false;

  constructor(disk: SimulatedDisk, node: FileNode, path: string) {
    this.#disk = disk;
    this.#node = node;
    this.path = path;
  }

  async read(target: Buffer, bytePosition: number): Promise<number> {
    this.#usable("read");
    await null;
    this.#disk.assertOn("read", this.path);
    this.#disk.noticeRead();
    const { bytes, length } = this.#node.current;
    return bytes.copy(target, 0, Math.min(bytePosition, length), Math.min(length, bytePosition + target.length));
  }

  async write(buffers: readonly Buffer[], bytePosition: number): Promise<void> {
    this.#usable("write");
    await this.#disk.operation("write", this.path, () =>
      this.#change({ kind: "write", bytes: Buffer.concat(buffers), at: bytePosition }),
    );
  }

  async datasync(): Promise<void> {
    this.#usable("datasync");
    // What was written before the sync began is what it makes durable.
    const covered = this.#node.changes.length;
    const last = this.#node.changes.at(-1);
    await this.#disk.operation("datasync", this.path, undefined, () => {
      // Another sync may have ended meanwhile, with some of the same changes.
      const end = last ? this.#node.changes.indexOf(last) + 1 : 0;
      for (const change of this.#node.changes.splice(0, Math.min(end, covered))) apply(this.#node.durable, change);
    });
  }

  async truncate(lengthBytes: number): Promise<void> {
    this.#usable("truncate");
    await this.#disk.operation("truncate", this.path, () => this.#change({ kind: "truncate", length: lengthBytes }));
  }

  async size(): Promise<number> {
    this.#usable("size");
    return this.#node.current.length;
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#disk.noticeClose();
    this.#closed = true;
  }

  #usable(operation: string): void {
    if (this.#closed) throw diskError("EBADF", operation, this.path);
    this.#disk.assertOn(operation, this.path);
  }

  #change(change: Change): void {
    apply(this.#node.current, change);
    this.#node.changes.push(change);
  }
}

function copied({ bytes, length }: Content): Content {
  return { bytes: Buffer.from(bytes.subarray(0, length)), length };
}

function apply(content: Content, change: Change): void {
  const end = change.kind === "write" ? Math.max(content.length, change.at + change.bytes.length) : change.length;
  if (end > content.bytes.length) {
    const larger = Buffer.alloc(Math.min(2 * end, end + 1_048_576));
    content.bytes.copy(larger, 0, 0, content.length);
    content.bytes = larger;
  }
  // What was cut off before must not show again behind the new end.
  if (end < content.length) content.bytes.fill(0, end, content.length);
  if (change.kind === "write") change.bytes.copy(content.bytes, change.at);
  content.length = end;
}

/** A write as the disk may do it: in pieces that end where sectors end. */
function sectors(change: Change): Change[] {
  if (change.kind === "truncate") return [change];
  const pieces: Change[] = [];
  for (let done = 0; done < change.bytes.length; ) {
    const at = change.at + done;
    const count = Math.min(change.bytes.length - done, sectorBytes - (at % sectorBytes));
    pieces.push({ kind: "write", bytes: change.bytes.subarray(done, done + count), at });
    done += count;
  }
  return pieces;
}

function parts(at: string): string[] {
  return path.resolve("/", at).split("/").filter(Boolean);
}
