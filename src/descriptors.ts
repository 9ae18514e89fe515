/** How many files and sockets this process may have open (`ulimit -n`). */
import { readFileSync } from "node:fs";

/** Where the system does not say: a common default. */
const assumed = 1_024;

export function descriptorsMax(): number {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(soft ?? assumed);
  } catch {
    // macOS has no /proc; the report is slow, and asked once.
    const limits = (process.report?.getReport() as { userLimits?: { open_files?: { soft: number | string } } })
      ?.userLimits;
    const soft = limits?.open_files?.soft;
    return soft === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(soft ?? assumed);
  }
}
