/** Appends to all partitions of topic `t` of the log in `argv[2]` in turn, telling its parent how many bytes were acknowledged, until it is killed. */
import { copyOf, randomBatch } from "./batches.ts";
import { openLog } from "./open-log.ts";

const appendsAtOnce = 64;
const [directory = ""] = process.argv.slice(2);
const template = randomBatch(64, 1024);
const engine = await openLog(directory);
const partitions = engine.topic("t")?.settings.partitions ?? 0;
let next = 0;
let acknowledgedBytes = 0;

// A parent that is gone kills nobody.
process.on("disconnect", () => process.exit(1));

async function write(): Promise<never> {
  for (;;) {
    const partition = next++ % partitions;
    await engine.append({ topic: "t", partition, batch: copyOf(template) });
    acknowledgedBytes += template.length;
    process.send?.(acknowledgedBytes);
  }
}

await Promise.all(Array.from({ length: appendsAtOnce }, write));
