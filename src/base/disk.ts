/**
 * The disk, handed in. `real-disk.ts` is the operating system's; `simulated-disk.ts` loses, tears and reorders what
 * was not synced when the power is cut, and injects errors.
 *
 * Always true of every variant: bytes are durable only after `datasync` of their file; a name (created, renamed or
 * removed) is durable only after `syncDirectory` of its folder. Errors carry Node's `code` (`ENOENT`, `EIO`, `ENOSPC`).
 */
export interface Disk {
  /** `create` makes the file when it is missing; `exclusive` refuses one that is there (EEXIST). */
  open(path: string, mode: "read" | "write" | "create" | "exclusive"): Promise<DiskFile>;
  /** With all missing parents; no error when it is there. Parents that were made are not synced by this. */
  makeDirectory(path: string): Promise<void>;
  /** Names only, sorted. */
  list(path: string): Promise<string[]>;
  exists(path: string): Promise<boolean>;
  rename(from: string, to: string): Promise<void>;
  /** No error when it is missing. */
  remove(path: string): Promise<void>;
  /** A folder with all that is in it; no error when it is missing. */
  removeDirectory(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Bytes free for us on the file system of `path`. */
  freeBytes(path: string): Promise<number>;
}

export interface DiskFile {
  readonly path: string;
  /** Fills `target` from `bytePosition`; answers how many bytes there were (fewer only at the end of the file). */
  read(target: Buffer, bytePosition: number): Promise<number>;
  /** Writes all of the buffers, one after the other, from `bytePosition`. */
  write(buffers: readonly Buffer[], bytePosition: number): Promise<void>;
  /** fdatasync(2): the bytes, and the length if it changed. */
  datasync(): Promise<void>;
  truncate(lengthBytes: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}
