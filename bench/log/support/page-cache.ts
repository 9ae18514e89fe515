/** The kernel's memory of files: forgotten where that is allowed, so that what is read comes from the disk. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";

export type CacheState = "cold" | "warm";

/**
 * Forgets all files that are not dirty, of the whole machine: for runs at full size only. Where it is not allowed (no Linux, not
 * root) the files are read once, so that the next readers find the same either way. Answers what they find.
 */
export async function settlePageCache(files: readonly string[]): Promise<CacheState> {
  try {
    writeFileSync("/proc/sys/vm/drop_caches", "1");
    return "cold";
  } catch {
    await cat(files);
    return "warm";
  }
}

/** `cat` of the files to nowhere. */
export async function cat(files: readonly string[]): Promise<void> {
  const process = spawn("cat", files, { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = await once(process, "exit");
  if (code !== 0) throw new Error(`cat ended with ${code}`);
}
