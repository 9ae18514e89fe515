/**
 * One process per data directory. The lock is an exclusive transaction of SQLite on a file of its own, so the
 * operating system frees it when the process ends, however it ends. The holder's process id stands in a second file:
 * it is there to be named, and decides nothing.
 */
import * as path from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Clock } from "../base/clock.ts";
import type { Disk } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";

const retryMs = 50;

export interface DirectoryLock {
  release(): Promise<void>;
}

export interface DirectoryLockOptions {
  /** The folder is made when it is missing. */
  readonly directory: string;
  readonly disk: Disk;
  readonly clock: Clock;
  /** How long to wait for a holder that is going down; 0 tries once. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Throws `DATA_DIRECTORY_LOCKED`, which names the holder, and `DATA_DIRECTORY_UNUSABLE` when the folder cannot be
 * written.
 */
export async function lockDirectory(options: DirectoryLockOptions): Promise<DirectoryLock> {
  const { directory, disk, clock } = options;
  const holderFile = path.join(directory, "lock.pid");
  await makeUsable(disk, directory);
  const deadlineMs = clock.monotonicMs() + (options.waitMs ?? 0);
  let database = tryLock(path.join(directory, "lock"));
  while (!database && clock.monotonicMs() < deadlineMs) {
    await clock.sleep(retryMs, options.signal);
    database = tryLock(path.join(directory, "lock"));
  }
  if (!database) throw await lockedBy(disk, directory, holderFile);
  const held = database;
  try {
    await writeHolder(disk, holderFile);
  } catch (cause) {
    held.close();
    throw unusable(directory, cause);
  }
  let released = false;
  return {
    async release() {
      if (released) return;
      released = true;
      await disk.remove(holderFile).catch(() => undefined);
      held.close();
    },
  };
}

/** Undefined when somebody else has it. Throws `DATA_DIRECTORY_UNUSABLE`. */
function tryLock(file: string): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    // Nothing is ever written: the lock itself is all that the file is for.
    database.exec("pragma locking_mode = exclusive; begin exclusive");
    return database;
  } catch (cause) {
    database?.close();
    if (isBusy(cause)) return undefined;
    throw unusable(path.dirname(file), cause);
  }
}

function isBusy(error: unknown): boolean {
  // SQLITE_BUSY is 5, SQLITE_LOCKED 6; extended codes have them in the low byte.
  const code = (error as { errcode?: number }).errcode ?? 0;
  return (code & 0xff) === 5 || (code & 0xff) === 6;
}

async function makeUsable(disk: Disk, directory: string): Promise<void> {
  try {
    await disk.makeDirectory(directory);
  } catch (cause) {
    throw unusable(directory, cause);
  }
}

async function writeHolder(disk: Disk, file: string): Promise<void> {
  const handle = await disk.open(file, "create");
  try {
    const bytes = Buffer.from(`${process.pid}\n`);
    await handle.truncate(0);
    await handle.write([bytes], 0);
  } finally {
    await handle.close();
  }
}

async function lockedBy(disk: Disk, directory: string, holderFile: string): Promise<MillraceError> {
  const pid = await readHolder(disk, holderFile).catch(() => undefined);
  const who = pid === undefined ? "another process" : `process ${pid}`;
  return new MillraceError("DATA_DIRECTORY_LOCKED", `${who} uses the data directory ${directory}`, {
    hint: "Stop that one first, or give this one a data directory of its own with MILLRACE_DATA.",
    details: { directory, pid },
  });
}

async function readHolder(disk: Disk, file: string): Promise<number | undefined> {
  const handle = await disk.open(file, "read");
  try {
    const bytes = Buffer.alloc(32);
    const pid = Number(bytes.toString("utf8", 0, await handle.read(bytes, 0)).trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } finally {
    await handle.close();
  }
}

function unusable(directory: string, cause: unknown): MillraceError {
  const what = cause instanceof Error ? cause.message : String(cause);
  return new MillraceError("DATA_DIRECTORY_UNUSABLE", `the data directory ${directory} cannot be written: ${what}`, {
    hint: "Give this user the right to write there, or name another folder with MILLRACE_DATA.",
    cause,
    details: { directory },
  });
}
