/**
 * Cleans the partition that `argv[2]` describes until nothing of it is dirty, and tells its parent what that took. A process
 * of its own, so that the most memory it ever had is that of the cleaning.
 */
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { cleanSegments } from "../../../src/log/cleaner/clean-segments.ts";
import { commitSwap } from "../../../src/log/cleaner/swap.ts";
import { FilePool } from "../../../src/log/file-pool.ts";
import type { PartitionPlace } from "../../../src/log/log-context.ts";
import type { Segment } from "../../../src/log/segment.ts";
import { parseSegmentName } from "../../../src/log/segment-name.ts";

export interface CompactionTask {
  readonly place: PartitionPlace;
  /** The offset behind the last record. */
  readonly endOffset: number;
  readonly segmentBytesMax: number;
  readonly memoryBytesMax: number;
}

export interface CompactionCost {
  readonly elapsedMs: number;
  /** More than one when the keys do not fit into the memory. */
  readonly cleanings: number;
  readonly bytesAfter: number;
  readonly rssBeforeBytes: number;
  readonly rssPeakBytes: number;
}

const task = JSON.parse(process.argv[2] ?? "") as CompactionTask;
process.send?.(await clean(task));
process.disconnect?.();

async function clean({ place, endOffset, segmentBytesMax, memoryBytesMax }: CompactionTask): Promise<CompactionCost> {
  const files = new FilePool(realDisk, 16);
  const rssBeforeBytes = process.memoryUsage().rss;
  const startMs = systemClock.monotonicMs();
  let cleanings = 0;
  for (let firstDirtyOffset = 0; firstDirtyOffset < endOffset; cleanings++) {
    const { cleanedTo } = await cleanSegments({
      disk: realDisk,
      files,
      place,
      segments: await segmentsOf(place),
      firstDirtyOffset,
      cleanableEnd: endOffset,
      lastStable: endOffset,
      settings: { segmentBytesMax, tombstoneRetentionMs: 0 },
      nowMs: systemClock.now(),
      memoryBytesMax,
      random: systemRandom,
      abortedIn: () => [],
      isLastBatch: () => false,
      replace: (replacement) => commitSwap(realDisk, files, place.directory, replacement),
    });
    firstDirtyOffset = cleanedTo;
  }
  const elapsedMs = systemClock.monotonicMs() - startMs;
  await files.close();
  const bytesAfter = (await segmentsOf(place)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  // In KiB.
  const rssPeakBytes = process.resourceUsage().maxRSS * 1024;
  return { elapsedMs, cleanings, bytesAfter, rssBeforeBytes, rssPeakBytes };
}

async function segmentsOf({ directory }: PartitionPlace): Promise<readonly Segment[]> {
  const segments: Segment[] = [];
  for (const name of await realDisk.list(directory)) {
    const parsed = parseSegmentName(name);
    if (!parsed) continue;
    const file = await realDisk.open(join(directory, name), "read");
    segments.push({ baseOffset: parsed.baseOffset, path: file.path, sizeBytes: await file.size() });
    await file.close();
  }
  return segments;
}
