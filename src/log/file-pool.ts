/** Open files, at most so many: the least recently used idle one is closed when another is needed. */
import type { Disk, DiskFile } from "../base/disk.ts";

interface Entry {
  readonly file: Promise<DiskFile>;
  users: number;
  forgotten: boolean;
}

export class FilePool {
  readonly #disk: Disk;
  readonly #openMax: number;
  /** In order of use, the oldest first. */
  readonly #entries = new Map<string, Entry>();

  /** More than `openMax` are open only while more are in use at the same moment. */
  constructor(disk: Disk, openMax: number) {
    this.#disk = disk;
    this.#openMax = openMax;
  }

  get openCount(): number {
    return this.#entries.size;
  }

  /** Runs `fn` with the file, which must exist; it stays open for the next one. */
  async use<T>(path: string, fn: (file: DiskFile) => Promise<T>): Promise<T> {
    let entry = this.#entries.get(path);
    if (entry) this.#entries.delete(path);
    else entry = { file: this.#disk.open(path, "write"), users: 0, forgotten: false };
    this.#entries.set(path, entry);
    entry.users++;
    try {
      return await fn(await entry.file);
    } catch (error) {
      // A file that could not be opened is tried again by the next user.
      await entry.file.catch(() => {
        if (this.#entries.get(path) === entry) this.#entries.delete(path);
      });
      throw error;
    } finally {
      entry.users--;
      if (entry.forgotten) await closeIdle(entry);
      else await this.#shrink();
    }
  }

  /** Closes it, when its last user is done. */
  async forget(path: string): Promise<void> {
    const entry = this.#entries.get(path);
    if (!entry) return;
    this.#entries.delete(path);
    entry.forgotten = true;
    await closeIdle(entry);
  }

  /** All files below a folder. */
  async forgetUnder(directory: string): Promise<void> {
    const inside = [...this.#entries.keys()].filter((path) => path.startsWith(`${directory}/`));
    await Promise.all(inside.map((path) => this.forget(path)));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((path) => this.forget(path)));
  }

  async #shrink(): Promise<void> {
    if (this.#entries.size <= this.#openMax) return;
    for (const [path, entry] of this.#entries) {
      if (entry.users === 0) {
        await this.forget(path);
        return;
      }
    }
  }
}

async function closeIdle(entry: Entry): Promise<void> {
  if (entry.users > 0) return;
  const file = await entry.file.catch(() => undefined);
  await file?.close().catch(() => undefined);
}
