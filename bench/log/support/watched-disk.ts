/**
 * A disk that counts what is done to its files. It knows nothing of which files there are, so that it measures the
 * same thing whatever the log keeps beside its segments.
 */
import type { Disk } from "../../../src/base/disk.ts";

export class WatchedDisk {
  readonly disk: Disk;
  readBytes = 0;
  writtenBytes = 0;
  syncs = 0;
  /** The last one is still growing. */
  #groups = [0];

  constructor(inner: Disk) {
    this.disk = {
      ...inner,
      open: async (path, mode) => {
        const file = await inner.open(path, mode);
        const read = file.read.bind(file);
        const write = file.write.bind(file);
        const datasync = file.datasync.bind(file);
        file.read = async (target, bytePosition) => {
          const count = await read(target, bytePosition);
          this.readBytes += count;
          return count;
        };
        file.write = (buffers, bytePosition) => {
          for (const { length } of buffers) this.writtenBytes += length;
          return write(buffers, bytePosition);
        };
        file.datasync = async () => {
          await datasync();
          this.syncs++;
          if (this.#groups.at(-1) !== 0) this.#groups.push(0);
        };
        return file;
      },
    };
  }

  /** To be told of each append when it is answered. */
  acknowledged(bytes: number): void {
    this.#groups[this.#groups.length - 1] = (this.#groups.at(-1) ?? 0) + bytes;
  }

  /**
   * How many bytes were answered after each sync that let something be answered: the groups that a loop has to write
   * and sync to give the same answers.
   */
  get groups(): readonly number[] {
    return this.#groups.filter((bytes) => bytes > 0);
  }

  reset(): void {
    this.readBytes = this.writtenBytes = this.syncs = 0;
    this.#groups = [0];
  }
}
