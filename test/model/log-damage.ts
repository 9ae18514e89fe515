/**
 * Histories in which the disk itself damages what it holds: a byte changes, a range is lost, a file is cut short, a write or
 * a sync never arrives or arrives elsewhere. What may come of it: it is healed from the journal, or reported, with the other
 * partitions served, or the end of a partition is gone as if torn. Nothing that is read is ever wrong.
 */
import { MillraceError } from "../../src/base/errors.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import type { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { LogHistory } from "./log-history.ts";

/** Answers whether the damage was reported; throws when something that was read was wrong. */
export async function runDamagedHistory(seed: number): Promise<"reported" | "unnoticed"> {
  const random = seededRandom(seed ^ 0xda3a6e);
  const lines: string[] = [];
  const options = {
    steps: 8 + random.below(10),
    damage: (disk: SimulatedDisk) => damageSomething(disk, random, (line) => lines.push(line)),
    trace: (line: string) => lines.push(line),
  };
  const history = new LogHistory(seed, options);
  try {
    return await history.runDamaged();
  } catch (error) {
    const { message, stack } = error as Error;
    throw new Error(`MILLRACE_TEST_SEED=${seed}: damaged: ${message}\n${stack}\n${lines.slice(-40).join("\n")}`, {
      cause: error,
    });
  }
}

export async function runDamagedHistories(firstSeed: number, count: number): Promise<number> {
  let reported = 0;
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    if ((await runDamagedHistory(seed)) === "reported") reported++;
  }
  return reported;
}

const damageCodes = ["PARTITION_DAMAGED", "LOG_DAMAGED", "PARTITION_FAILED", "LOG_FORMAT_NEWER"] as const;

export function isDamage(error: unknown): boolean {
  return damageCodes.some((code) => MillraceError.is(error, code));
}

async function damageSomething(disk: SimulatedDisk, random: Random, trace: (line: string) => void): Promise<void> {
  const files = await filesBelow(disk, "/data/log");
  const file = files[random.below(files.length)] as string;
  const other = files[random.below(files.length)] as string;
  const { length } = disk.contents(file);
  const at = random.below(Math.max(1, length));
  const kind = random.below(5);
  trace(
    `damage ${["a byte", "a hole", "cut short", "misdirected", "swapped"][kind]} ${file} at ${at} of ${length} (${other})`,
  );
  if (kind === 0) disk.corrupt(file, at, 1 << random.below(8));
  else if (kind === 1) disk.punchHole(file, at, at + 1 + random.below(600));
  else if (kind === 2) disk.cutShort(file, at);
  else if (kind === 3) {
    // As a write that went astray: bytes of one file stand in another.
    const bytes = disk.contents(other).subarray(random.below(disk.contents(other).length + 1));
    const image = disk.contents(file);
    bytes.copy(image, at);
    disk.restore(file, { toBuffer: () => image });
  } else if (sameFolder(file, other)) disk.swap(file, other);
}

function sameFolder(file: string, other: string): boolean {
  return file.slice(0, file.lastIndexOf("/")) === other.slice(0, other.lastIndexOf("/"));
}

async function filesBelow(disk: SimulatedDisk, folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const name of await disk.list(folder)) {
    const path = `${folder}/${name}`;
    const isFile = await disk.list(path).then(
      () => false,
      () => true,
    );
    if (isFile) files.push(path);
    else files.push(...(await filesBelow(disk, path)));
  }
  return files;
}
