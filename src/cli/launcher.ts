/**
 * Notices that whoever launched this process is gone, although nothing is sent when it was killed: by the IPC channel
 * that a launcher of the repository holds, and by the ancestors up to npm. npm runs a command through `sh -c`, which
 * some shells replace by the command and others stay around as its parent.
 */
import { readFileSync } from "node:fs";
import type { Clock } from "../base/clock.ts";

const lookEveryMs = 500;

export interface LauncherOptions {
  readonly clock: Clock;
  /** Whether a package manager runs us; nobody else is watched, for a program may outlive its shell (`nohup`). */
  readonly byPackageManager: boolean;
}

/** Calls `onGone` once. */
export function watchLauncher(onGone: () => void, { clock, byPackageManager }: LauncherOptions): void {
  let gone = false;
  const once = (): void => {
    if (!gone) onGone();
    gone = true;
  };
  // Undefined when nobody gave us a channel.
  if (process.connected === false) once();
  else process.once("disconnect", once);
  if (!byPackageManager) return;
  const parent = process.ppid;
  const grandparent = isShell(parent) ? parentOf(parent) : null;
  const look = (): void => {
    const alone = process.ppid !== parent || (grandparent !== null && parentOf(parent) !== grandparent);
    if (alone) once();
    else clock.after(lookEveryMs, look);
  };
  clock.after(lookEveryMs, look);
}

/** Only Linux is asked: elsewhere a shell stays unnoticed, and its own end counts. */
function isShell(pid: number): boolean {
  return readProcess(pid, "cmdline")?.split("\0")[1] === "-c";
}

/** Null when the process is gone. */
function parentOf(pid: number): number | null {
  const stat = readProcess(pid, "stat");
  // The name is in parentheses and may hold anything; what follows the last one is "state ppid …".
  return stat === null ? null : Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

function readProcess(pid: number, file: "cmdline" | "stat"): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return null;
  }
}
