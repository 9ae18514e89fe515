/** The simplest thing that makes bytes durable: write a group, sync it, and only then take the next one. */
import { systemClock } from "../../../src/base/clock.ts";
import type { DiskFile } from "../../../src/base/disk.ts";
import { realDisk } from "../../../src/base/real-disk.ts";

export interface SyncLoopRun {
  readonly bytes: number;
  readonly elapsedMs: number;
  /** Of each group, from before its write to behind its sync. */
  readonly latenciesMs: number[];
}

/**
 * Through the same calls as the log's. `growing` makes the file longer with every group, which the file system has to
 * note as well; `preallocated` has all of its length written with zeros and synced before.
 */
export async function writeAndSync(
  path: string,
  groups: readonly number[],
  source: Buffer,
  kind: "growing" | "preallocated",
): Promise<SyncLoopRun> {
  const bytes = groups.reduce((sum, group) => sum + group, 0);
  const file = await realDisk.open(path, "exclusive");
  try {
    if (kind === "preallocated") await fillWithZeros(file, bytes);
    const latenciesMs: number[] = [];
    const startMs = systemClock.monotonicMs();
    let bytePosition = 0;
    let beganMs = startMs;
    for (const group of groups) {
      await file.write(pieces(source, group), bytePosition);
      await file.datasync();
      bytePosition += group;
      const endedMs = systemClock.monotonicMs();
      latenciesMs.push(endedMs - beganMs);
      beganMs = endedMs;
    }
    return { bytes, elapsedMs: systemClock.monotonicMs() - startMs, latenciesMs };
  } finally {
    await file.close();
    await realDisk.remove(path);
  }
}

async function fillWithZeros(file: DiskFile, bytes: number): Promise<void> {
  const zeros = Buffer.alloc(1024 * 1024);
  for (let at = 0; at < bytes; at += zeros.length) {
    await file.write([zeros.subarray(0, Math.min(zeros.length, bytes - at))], at);
  }
  await file.datasync();
}

/** `bytes` of the source over and over, as the log has one buffer for each batch. */
function pieces(source: Buffer, bytes: number): Buffer[] {
  const buffers: Buffer[] = [];
  for (let at = 0; at < bytes; at += source.length) buffers.push(source.subarray(0, bytes - at));
  return buffers;
}
