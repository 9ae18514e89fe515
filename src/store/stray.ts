/**
 * What an earlier start left behind on a data directory: a PostgreSQL that runs on because the process that minded it
 * was killed, server processes whose postmaster was killed, or only the pid file of one of them.
 */
import { readFileSync } from "node:fs";
import { readFile, realpath, rm } from "node:fs/promises";
import path from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Account } from "./account.ts";
import { run } from "./child.ts";

const fastMs = 30_000;
const immediateMs = 5_000;
const pollMs = 20;

export interface StrayRequest {
  readonly dataDirectory: string;
  readonly account: Account | null;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
}

/** Afterwards nothing runs on the data directory. Throws `STORE_START_FAILED` when what runs there cannot be ended by us. */
export async function endStray({ dataDirectory, account, clock, diagnostics }: StrayRequest): Promise<void> {
  const pidFile = path.join(dataDirectory, "postmaster.pid");
  const text = await readFile(pidFile, "utf8").catch(() => null);
  if (text === null) return;
  const directory = await realpath(dataDirectory);
  const postmaster = parsePidFile(text);
  let left = await serversOf(directory, account);
  if (postmaster !== null && left.includes(postmaster)) {
    diagnostics.info("a PostgreSQL of an earlier start is still running, and is stopped", { pid: postmaster });
    await end([postmaster], "SIGINT", fastMs, directory, clock);
    left = await serversOf(directory, account);
  }
  // Servers without a postmaster, and one that did not stop when it was asked to.
  for (const signal of ["SIGQUIT", "SIGKILL"] as const) {
    if (left.length > 0) await end(left, signal, immediateMs, directory, clock);
    left = left.filter(isRunning);
  }
  if (left.length > 0) throw cannotEnd(directory, left);
  // A number that another program has by now would keep the server from starting.
  if (postmaster !== null && isRunning(postmaster)) await rm(pidFile, { force: true });
}

/** The first line of `postmaster.pid`; null when that is no process number. */
export function parsePidFile(text: string): number | null {
  const first = text.split("\n", 1)[0]?.trim() ?? "";
  return /^[1-9]\d{0,9}$/.test(first) ? Number(first) : null;
}

/** Returns when all of them are gone, or the time is over. */
async function end(
  pids: readonly number[],
  signal: NodeJS.Signals,
  withinMs: number,
  directory: string,
  clock: Clock,
): Promise<void> {
  for (const pid of pids) {
    if (!send(pid, signal)) throw cannotEnd(directory, [pid]);
  }
  const deadline = clock.monotonicMs() + withinMs;
  while (pids.some(isRunning) && clock.monotonicMs() < deadline) await clock.sleep(pollMs);
}

/** False when we may not. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (cause) {
    return !(cause instanceof Error && "code" in cause && cause.code === "EPERM");
  }
}

/** A zombie runs no more: where nobody collects orphans (a container without an init) it stays for ever. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "EPERM")) return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return process.platform !== "linux";
  }
}

/**
 * All PostgreSQL processes of this data directory. On Linux by their working folder, which only their own account may
 * see (root in a container may not), so that account looks; elsewhere only the postmaster can be told, by its command.
 */
async function serversOf(directory: string, account: Account | null): Promise<number[]> {
  if (process.platform !== "linux") {
    const { output } = await run("ps", ["-axo", "pid=,command="], { account: null });
    return pidsOf(output, (line) => (line.includes(`postgres -D ${directory} -c `) ? /^\s*(\d+) / : null));
  }
  const { output } = await run("/bin/sh", ["-c", "ls -l /proc/[0-9]*/cwd 2>/dev/null"], { account });
  const pids = pidsOf(output, (line) => (line.endsWith(` -> ${directory}`) ? /\/proc\/(\d+)\/cwd/ : null));
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "postgres";
    } catch {
      return false;
    }
  });
}

function pidsOf(listing: string, expression: (line: string) => RegExp | null): number[] {
  return listing.split("\n").flatMap((line) => {
    const match = expression(line)?.exec(line);
    return match ? [Number(match[1])] : [];
  });
}

function cannotEnd(directory: string, pids: readonly number[]): MillraceError {
  return new MillraceError(
    "STORE_START_FAILED",
    `a PostgreSQL that this user may not stop runs on ${directory} (process ${pids.join(", ")})`,
    { hint: `Stop it (kill -INT ${pids[0]}), or start Millrace as the user that it belongs to.` },
  );
}
