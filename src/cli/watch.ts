/**
 * Notices edits of a set of files. Folders are watched, not files: editors write beside and rename, and a file that an
 * import misses has a folder already. Edits that come together are one.
 */
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import type { Clock, Timer } from "../base/clock.ts";

const settleMs = 80;

export class FileWatch {
  readonly #clock: Clock;
  readonly #onEdit: () => void;
  readonly #folders = new Map<string, FSWatcher>();
  #files = new Set<string>();
  /** What the files held when they were last looked at: touching is no edit. */
  #contents = new Map<string, string>();
  #anything = false;
  #timer: Timer | null = null;

  constructor(clock: Clock, onEdit: () => void) {
    this.#clock = clock;
    this.#onEdit = onEdit;
  }

  /** From now on these; with `anything`, any module in their folders counts, for one that is missing may appear. */
  set(files: readonly string[], { anything = false } = {}): void {
    this.#files = new Set(files);
    this.#anything = anything;
    this.#contents = new Map(files.map((file) => [file, contentOf(file)]));
    const folders = new Set(files.map((file) => dirname(file)));
    for (const [folder, watcher] of this.#folders) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#folders.delete(folder);
    }
    for (const folder of folders) {
      if (!this.#folders.has(folder)) this.#watch(folder);
    }
  }

  close(): void {
    this.#timer?.cancel();
    for (const watcher of this.#folders.values()) watcher.close();
    this.#folders.clear();
  }

  #watch(folder: string): void {
    try {
      const watcher = watch(folder, (_event, name) => this.#seen(folder, name));
      // A folder that was removed is found again when the next load names it.
      watcher.on("error", () => {
        watcher.close();
        this.#folders.delete(folder);
      });
      this.#folders.set(folder, watcher);
    } catch {
      // Not there, or no watches left: the other folders are still watched.
    }
  }

  #seen(folder: string, name: string | null): void {
    const known = name === null || this.#files.has(join(folder, name));
    if (!known && !(this.#anything && /\.([cm]?[jt]s|json)$/.test(name))) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(settleMs, () => this.#settled(!known));
  }

  #settled(unknown: boolean): void {
    const edited = [...this.#files].filter((file) => this.#contents.get(file) !== contentOf(file));
    for (const file of edited) this.#contents.set(file, contentOf(file));
    if (unknown || edited.length > 0) this.#onEdit();
  }
}

/** A file that is not there has no content of its own; the null byte keeps it apart from an empty one. */
function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "\0";
  }
}
