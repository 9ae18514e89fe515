/**
 * A file of the simulated disk: what stands on the platter, what a reader sees, and the changes between the two that
 * no sync has covered. Of those a power cut keeps any: each sector of each write for itself.
 */
import type { DiskFile } from "./disk.ts";
import { PagedContent } from "./paged-content.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

const sectorBytes = 512;

export function diskError(code: string, operation: string, at: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${code}: ${operation} ${at}`);
  error.code = code;
  error.path = at;
  return error;
}

export type Change =
  | { readonly kind: "write"; readonly bytes: Buffer; readonly at: number }
  | { readonly kind: "truncate"; readonly length: number };

/** Which of `count` unsynced things survive, by index, asked in order. */
export type Choice = (count: number) => (index: number) => boolean;

interface Range {
  readonly from: number;
  readonly to: number;
}

/** What a file is, whatever its names are. */
export class FileNode {
  readonly kind = "file";
  #durable: PagedContent;
  #current: PagedContent;
  /** Since the last sync, oldest first. */
  #changes: Change[] = [];
  /** How many changes there were before those. */
  #coveredCount = 0;
  #unreadable: Range[] = [];

  constructor(content: PagedContent = new PagedContent()) {
    this.#durable = content;
    this.#current = content.copy();
  }

  /** What a reader sees now. */
  get current(): PagedContent {
    return this.#current;
  }

  change(change: Change): void {
    apply(this.#current, change);
    this.#changes.push(change);
  }

  /** The reader sees it; the platter never gets it. */
  changeInCacheOnly(change: Change): void {
    apply(this.#current, change);
  }

  /** On the platter, and a reader sees it. */
  damage(change: (content: PagedContent) => void): void {
    change(this.#durable);
    change(this.#current);
  }

  /** The changes so far, for a sync that begins now. */
  get mark(): number {
    return this.#coveredCount + this.#changes.length;
  }

  /** The changes before the mark reach the platter. Another sync may have taken some of them there already. */
  settle(mark: number): void {
    for (const change of this.#take(mark)) apply(this.#durable, change);
  }

  /** The changes before the mark count as synced, but only some of them reach the platter; without a choice none. */
  forget(mark: number, choice?: Choice): void {
    const changes = this.#take(mark);
    if (choice) applySome(this.#durable, changes, choice);
  }

  /** The file after a power cut, on a platter of its own. */
  survivor(choice: Choice): FileNode {
    const content = this.#durable.copy();
    applySome(content, this.#changes, choice);
    const survivor = new FileNode(content);
    survivor.#unreadable = [...this.#unreadable];
    return survivor;
  }

  swapWith(other: FileNode): void {
    [this.#durable, other.#durable] = [other.#durable, this.#durable];
    [this.#current, other.#current] = [other.#current, this.#current];
    [this.#changes, other.#changes] = [other.#changes, this.#changes];
    [this.#coveredCount, other.#coveredCount] = [other.#coveredCount, this.#coveredCount];
  }

  failReads(from: number, to: number): void {
    this.#unreadable.push({ from, to });
  }

  healReads(): void {
    this.#unreadable = [];
  }

  isReadable(from: number, to: number): boolean {
    return !this.#unreadable.some((range) => from < range.to && range.from < to);
  }

  #take(mark: number): Change[] {
    const taken = this.#changes.splice(0, Math.max(0, mark - this.#coveredCount));
    this.#coveredCount += taken.length;
    return taken;
  }
}

export class SimulatedFile implements DiskFile {
  readonly path: string;
  readonly #disk: SimulatedDisk;
  readonly #node: FileNode;
  #closed = false;

  constructor(disk: SimulatedDisk, node: FileNode, path: string) {
    this.#disk = disk;
    this.#node = node;
    this.path = path;
  }

  read(target: Buffer, bytePosition: number): Promise<number> {
    if (this.#closed) return this.#refused("read");
    return this.#disk.later("read", this.path, () => {
      this.#disk.noticeRead();
      if (!this.#node.isReadable(bytePosition, bytePosition + target.length)) {
        throw diskError("EIO", "read", this.path);
      }
      return this.#node.current.read(target, bytePosition);
    });
  }

  write(buffers: readonly Buffer[], bytePosition: number): Promise<void> {
    if (this.#closed) return this.#refused("write");
    return this.#disk.operation("write", this.path, () => {
      const bytes = Buffer.concat(buffers);
      this.#disk.write(this.#node, this.path, bytes, bytePosition);
    });
  }

  datasync(): Promise<void> {
    if (this.#closed) return this.#refused("datasync");
    // What was written before the sync began is what it makes durable.
    const { mark } = this.#node;
    const sync = () => this.#disk.sync(this.#node, this.path, mark);
    return this.#disk.operation("datasync", this.path, undefined, sync);
  }

  truncate(lengthBytes: number): Promise<void> {
    if (this.#closed) return this.#refused("truncate");
    const change = () => this.#node.change({ kind: "truncate", length: lengthBytes });
    return this.#disk.operation("truncate", this.path, change);
  }

  async size(): Promise<number> {
    if (this.#closed) return this.#refused("size");
    this.#disk.assertOn("size", this.path);
    return this.#node.current.lengthBytes;
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#disk.noticeClose();
    this.#closed = true;
  }

  #refused(operation: string): Promise<never> {
    return Promise.reject(diskError("EBADF", operation, this.path));
  }
}

function apply(content: PagedContent, change: Change): void {
  if (change.kind === "write") content.write(change.bytes, change.at);
  else content.truncate(change.length);
}

function applySome(content: PagedContent, changes: readonly Change[], choice: Choice): void {
  if (changes.length === 0) return;
  const pieces = changes.flatMap(sectors);
  const keep = choice(pieces.length);
  pieces.forEach((piece, i) => {
    if (keep(i)) apply(content, piece);
  });
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
