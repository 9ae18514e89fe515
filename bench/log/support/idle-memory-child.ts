/** Opens the log in `argv[2]` and tells its parent what it holds; then appends `argv[3]` bytes to each partition and tells it again. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { copyOf, randomBatch } from "./batches.ts";
import { openLog } from "./open-log.ts";

export interface HeldMemory {
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly rssBytes: number;
}

const [directory = "", recordBytes = ""] = process.argv.slice(2);
const template = randomBatch(1, Number(recordBytes));
const engine = await openLog(directory);
process.send?.(await held());
const partitions = engine.topic("t")?.settings.partitions ?? 0;
await Promise.all(
  Array.from({ length: partitions }, (_, partition) =>
    engine.append({ topic: "t", partition, batch: copyOf(template) }),
  ),
);
process.send?.(await held());
await engine.close();
process.disconnect?.();

/** What is let go of in a turn is collected in a later one. */
async function held(): Promise<HeldMemory> {
  for (let i = 0; i < 5; i++) {
    await nextTurn();
    globalThis.gc?.();
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heapBytes: heapUsed, externalBytes: external, rssBytes: rss };
}
