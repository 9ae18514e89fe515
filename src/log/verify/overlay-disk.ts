/**
 * A disk over another one that is never changed: what is written, renamed or removed here is kept in memory. So a start
 * can be tried, and what it would do be seen, without doing it.
 *
 * Memory: what was written. Not here: folders that are renamed or removed, which no reading back needs.
 */
import * as path from "node:path";
import type { Disk, DiskFile } from "../../base/disk.ts";
import { invariant } from "../../base/errors.ts";

interface Patch {
  readonly bytePosition: number;
  readonly bytes: Buffer;
}

/** A file's content: that of a file below, as far as it was not cut, and what was written over it. */
interface Content {
  readonly base: string | undefined;
  /** So much of the file below still counts. */
  baseBytes: number;
  lengthBytes: number;
  patches: Patch[];
}

export class OverlayDisk implements Disk {
  readonly #base: Disk;
  /** Of names that differ from those below; undefined for one that was removed. */
  readonly #contents = new Map<string, Content | undefined>();
  readonly #directories = new Set<string>();

  constructor(base: Disk) {
    this.#base = base;
  }

  /** Whether the file is there below and not here. */
  hasRemoved(file: string): boolean {
    return this.#contents.has(file) && this.#contents.get(file) === undefined;
  }

  /** Bytes that were written into the file. */
  writtenBytes(file: string): number {
    return this.#contents.get(file)?.patches.reduce((sum, { bytes }) => sum + bytes.length, 0) ?? 0;
  }

  async open(file: string, mode: "read" | "write" | "create" | "exclusive"): Promise<DiskFile> {
    const isThere = await this.exists(file);
    if (isThere && mode === "exclusive") throw failure("EEXIST", file);
    if (!isThere && (mode === "read" || mode === "write")) throw failure("ENOENT", file);
    if (!isThere) this.#contents.set(file, { base: undefined, baseBytes: 0, lengthBytes: 0, patches: [] });
    const content = await this.#content(file);
    const base = content.base === undefined ? undefined : await this.#base.open(content.base, "read");
    return new OverlayFile(file, content, base);
  }

  async makeDirectory(directory: string): Promise<void> {
    this.#directories.add(directory);
  }

  async list(directory: string): Promise<string[]> {
    const isBelow = !this.#directories.has(directory) || (await this.#base.exists(directory));
    const names = new Set(isBelow ? await this.#base.list(directory) : []);
    for (const [file, content] of this.#contents) {
      if (path.dirname(file) !== directory) continue;
      if (content) names.add(path.basename(file));
      else names.delete(path.basename(file));
    }
    return [...names].sort();
  }

  async exists(file: string): Promise<boolean> {
    if (this.#contents.has(file)) return this.#contents.get(file) !== undefined;
    return this.#directories.has(file) || (await this.#base.exists(file));
  }

  async rename(from: string, to: string): Promise<void> {
    if (!(await this.exists(from))) throw failure("ENOENT", from);
    this.#contents.set(to, await this.#content(from));
    this.#contents.set(from, undefined);
  }

  async remove(file: string): Promise<void> {
    if (await this.exists(file)) this.#contents.set(file, undefined);
  }

  async removeDirectory(): Promise<void> {
    invariant(false, "no folder is removed here");
  }

  async syncDirectory(): Promise<void> {}

  async freeBytes(at: string): Promise<number> {
    return await this.#base.freeBytes(at);
  }

  async #content(file: string): Promise<Content> {
    const known = this.#contents.get(file);
    if (known) return known;
    const below = await this.#base.open(file, "read");
    try {
      const lengthBytes = await below.size();
      const content = { base: file, baseBytes: lengthBytes, lengthBytes, patches: [] };
      this.#contents.set(file, content);
      return content;
    } finally {
      await below.close();
    }
  }
}

class OverlayFile implements DiskFile {
  readonly path: string;
  readonly #content: Content;
  readonly #base: DiskFile | undefined;

  constructor(file: string, content: Content, base: DiskFile | undefined) {
    this.path = file;
    this.#content = content;
    this.#base = base;
  }

  async read(target: Buffer, bytePosition: number): Promise<number> {
    const { baseBytes, lengthBytes, patches } = this.#content;
    const count = Math.max(0, Math.min(target.length, lengthBytes - bytePosition));
    const ofBase = Math.max(0, Math.min(count, baseBytes - bytePosition));
    const read = ofBase > 0 ? ((await this.#base?.read(target.subarray(0, ofBase), bytePosition)) ?? 0) : 0;
    target.fill(0, read, count);
    for (const { bytePosition: at, bytes } of patches) {
      const from = Math.max(at, bytePosition);
      const to = Math.min(at + bytes.length, bytePosition + count);
      if (from < to) bytes.copy(target, from - bytePosition, from - at, to - at);
    }
    return count;
  }

  async write(buffers: readonly Buffer[], bytePosition: number): Promise<void> {
    const bytes = Buffer.concat(buffers);
    this.#content.patches.push({ bytePosition, bytes });
    this.#content.lengthBytes = Math.max(this.#content.lengthBytes, bytePosition + bytes.length);
  }

  async datasync(): Promise<void> {}

  async truncate(lengthBytes: number): Promise<void> {
    const content = this.#content;
    content.baseBytes = Math.min(content.baseBytes, lengthBytes);
    content.lengthBytes = lengthBytes;
    content.patches = content.patches
      .filter(({ bytePosition }) => bytePosition < lengthBytes)
      .map(({ bytePosition, bytes }) => ({ bytePosition, bytes: bytes.subarray(0, lengthBytes - bytePosition) }));
  }

  async size(): Promise<number> {
    return this.#content.lengthBytes;
  }

  async close(): Promise<void> {
    await this.#base?.close();
  }
}

function failure(code: string, at: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${at}`), { code, path: at });
}
