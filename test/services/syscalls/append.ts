/**
 * Appends to a log on the real disk, for strace to watch: callers, each with so many appends one after the other, spread
 * over so many partitions; or one caller with so many transactions, each over all partitions. It ends without closing
 * the log, so that what it does beside that is the same whatever the number.
 *
 * Arguments: directory, `append` or `transact`, callers, times of each, partitions.
 */
import { systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import { encodeBatch } from "../../../src/records/batch-builder.ts";

const [directory = "", kind, ...numbers] = process.argv.slice(2);
const [callers = 0, times = 0, partitions = 1] = numbers.map(Number);

const engine = await openEmbeddedEngine({
  disk: realDisk,
  directory,
  clock: systemClock,
  random: systemRandom,
  diagnostics: silentDiagnostics,
  limits: { diskReserveBytes: 0 },
});
await engine.createTopic("t", { partitions });
if (kind === "transact") await transact();
else await Promise.all(Array.from({ length: callers }, (_, caller) => append(caller % partitions)));
process.exit(0);

function batch(): Buffer {
  return encodeBatch([{ key: null, value: Buffer.alloc(200, "x") }], systemClock.now());
}

async function append(partition: number): Promise<void> {
  for (let i = 0; i < times; i++) await engine.append({ topic: "t", partition, batch: batch() });
}

async function transact(): Promise<void> {
  const producer = await engine.initProducer("one");
  for (let i = 0; i < times; i++) {
    const transaction = producer.begin();
    for (let partition = 0; partition < partitions; partition++) {
      await transaction.append({ topic: "t", partition, batch: batch() });
    }
    await transaction.commit();
  }
}
