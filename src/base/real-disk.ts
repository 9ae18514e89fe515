/** The operating system's disk. Descriptors are opened close-on-exec by Node; errors are Node's own, with `code`. */
import * as fs from "node:fs";
import * as path from "node:path";
import type { Disk, DiskFile } from "./disk.ts";

const { constants } = fs;
const flags = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT,
  exclusive: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
} as const;

/** writev(2) takes at most IOV_MAX buffers at once. */
const buffersPerWriteMax = 1024;

export const realDisk: Disk = {
  open: (path, mode) =>
    new Promise((resolve, reject) =>
      fs.open(path, flags[mode], 0o600, (error, fd) => (error ? reject(error) : resolve(new RealFile(path, fd)))),
    ),
  async makeDirectory(directory) {
    await fs.promises.mkdir(directory, { recursive: true, mode: 0o700 });
  },
  async list(directory) {
    return (await fs.promises.readdir(directory)).sort();
  },
  exists: (path) =>
    fs.promises.access(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT" || error.code === "ENOTDIR") return false;
        throw error;
      },
    ),
  rename: (from, to) => fs.promises.rename(from, to),
  remove: (path) => fs.promises.rm(path, { force: true }),
  removeDirectory: (path) => fs.promises.rm(path, { recursive: true, force: true }),
  async syncDirectory(directory) {
    const handle = await fs.promises.open(directory, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  async freeBytes(directory) {
    for (let at = path.resolve(directory); ; at = path.dirname(at)) {
      try {
        const stats = await fs.promises.statfs(at);
        return stats.bavail * stats.bsize;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT" || at === path.dirname(at)) throw error;
      }
    }
  },
};

class RealFile implements DiskFile {
  readonly path: string;
  readonly #fd: number;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  async read(target: Buffer, bytePosition: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const count = await this.#readOnce(target, done, bytePosition + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  async write(buffers: readonly Buffer[], bytePosition: number): Promise<void> {
    let position = bytePosition;
    for (let i = 0; i < buffers.length; i += buffersPerWriteMax) {
      let rest = buffers.slice(i, i + buffersPerWriteMax);
      while (rest.length > 0) {
        const written = await this.#writeOnce(rest, position);
        position += written;
        rest = after(rest, written);
      }
    }
  }

  datasync(): Promise<void> {
    return new Promise((resolve, reject) => fs.fdatasync(this.#fd, (error) => (error ? reject(error) : resolve())));
  }

  truncate(lengthBytes: number): Promise<void> {
    return new Promise((resolve, reject) =>
      fs.ftruncate(this.#fd, lengthBytes, (error) => (error ? reject(error) : resolve())),
    );
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.fstat(this.#fd, (error, stats) => (error ? reject(error) : resolve(stats.size))),
    );
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => fs.close(this.#fd, (error) => (error ? reject(error) : resolve())));
  }

  #readOnce(target: Buffer, at: number, bytePosition: number): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.read(this.#fd, target, at, target.length - at, bytePosition, (error, count) =>
        error ? reject(error) : resolve(count),
      ),
    );
  }

  #writeOnce(buffers: Buffer[], bytePosition: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const [only] = buffers;
      if (only && buffers.length === 1) {
        fs.write(this.#fd, only, 0, only.length, bytePosition, (error, count) =>
          error ? reject(error) : resolve(count),
        );
      } else {
        fs.writev(this.#fd, buffers, bytePosition, (error, count) => (error ? reject(error) : resolve(count)));
      }
    });
  }
}

/** What is left of `buffers` when the first `count` bytes are gone. */
function after(buffers: readonly Buffer[], count: number): Buffer[] {
  let skip = count;
  const rest: Buffer[] = [];
  for (const buffer of buffers) {
    if (skip >= buffer.length) skip -= buffer.length;
    else {
      rest.push(skip > 0 ? buffer.subarray(skip) : buffer);
      skip = 0;
    }
  }
  return rest;
}
