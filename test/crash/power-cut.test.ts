import assert from "node:assert/strict";
import { test } from "node:test";
import type { Disk, DiskFile } from "../../src/base/disk.ts";
import { seededRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { encodeBatch } from "../../src/records/batch-builder.ts";
import { assertPossible, type History, openOn, readEverything, runHistory, type Seen } from "./history.ts";

/** `MILLRACE_TEST_RUNS` runs more histories. */
const seeds = Number(process.env.MILLRACE_TEST_RUNS ?? 1);
const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? 1);
const steps = 5;

type Wrap = (disk: Disk) => Disk;
const asItIs: Wrap = (disk) => disk;

async function operationsOf(seed: number): Promise<number> {
  const disk = new SimulatedDisk(seededRandom(seed));
  const history: History = { topics: new Map(), acts: [] };
  await runHistory(disk, seed, steps, history);
  assert.ok(history.acts.some(({ fate }) => fate === "acknowledged"));
  return disk.operations;
}

/** One history whose power goes after `operations`, then again during the recovery, then is recovered and looked at. */
async function cutOnce(seed: number, operations: number, wrap: Wrap): Promise<void> {
  const random = seededRandom(seed * 100_003 + operations);
  const disk = new SimulatedDisk(random);
  disk.cutAfter(operations);
  const history: History = { topics: new Map(), acts: [] };
  await runHistory(wrap(disk), seed, steps, history);
  // Sometimes only the process dies, and what it left unsynced meets the cut of the next start.
  let next = random.below(4) === 0 ? disk.afterKill() : disk.survivor();
  if (random.below(2) === 0) {
    next.cutAfter(random.below(30));
    await openOn(wrap(next)).catch(() => undefined);
    next = next.survivor();
  }
  const engine = await openOn(wrap(next));
  const seen = await readEverything(engine);
  assertPossible(history, engine, seen);
  // What a reader has seen stays, whatever happens next; and the log goes on.
  const later = next.survivor();
  const again = await openOn(wrap(later));
  assertKept(seen, await readEverything(again));
  await goOn(again);
  await again.close();
}

function assertKept(before: Seen, after: Seen): void {
  for (const [place, values] of before) {
    for (const [offset, value] of values) {
      assert.equal(after.get(place)?.get(offset), value, `offset ${offset} of ${place} was read and is gone`);
    }
  }
}

async function goOn(engine: Awaited<ReturnType<typeof openOn>>): Promise<void> {
  await engine.createTopic("later");
  const transaction = (await engine.initProducer("one")).begin();
  const batch = encodeBatch([{ key: null, value: Buffer.from("goes on") }], 0);
  await transaction.append({ topic: "later", partition: 0, batch });
  await transaction.commit();
  for (const { name, settings } of engine.topics()) {
    for (let partition = 0; partition < settings.partitions; partition++) {
      const { lastStable, highWatermark } = await engine.offsets(name, partition);
      assert.equal(lastStable, highWatermark, `a transaction is still open in ${name}/${partition}`);
    }
  }
}

async function cutEverywhere(seed: number, wrap: Wrap): Promise<void> {
  const operations = await operationsOf(seed);
  for (let n = 0; n <= operations; n++) {
    try {
      await cutOnce(seed, n, wrap);
    } catch (error) {
      throw new Error(`seed ${seed}, power cut after operation ${n}: ${(error as Error).message}`, { cause: error });
    }
  }
}

for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
  test(`after a power cut at any disk operation what was acknowledged is there, whole and in order (seed ${seed})`, async () => {
    await cutEverywhere(seed, asItIs);
  });
}

/** A disk that says it has synced, and has not. */
function withoutSync(skips: (operation: "datasync" | "syncDirectory", path: string) => boolean): Wrap {
  return (disk) =>
    Object.setPrototypeOf(
      {
        open: async (path: string, mode: "read" | "write" | "create" | "exclusive") => {
          const file = await disk.open(path, mode);
          if (!skips("datasync", path)) return file;
          return Object.setPrototypeOf({ datasync: async () => {} }, bound(file)) as DiskFile;
        },
        syncDirectory: async (path: string) => {
          if (!skips("syncDirectory", path)) await disk.syncDirectory(path);
        },
      },
      bound(disk),
    ) as Disk;
}

/** Calls go to `target` itself, whose private fields a prototype chain does not reach. */
function bound<T extends object>(target: T): T {
  return new Proxy(target, {
    get(_, name) {
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** The first sync of a file is its header's; those of what is appended to it come later. */
function withoutLaterSyncs(): Wrap {
  const synced = new Set<string>();
  return withoutSync((operation, path) => {
    if (operation !== "datasync" || !path.endsWith(".log")) return false;
    const isLater = synced.has(path);
    synced.add(path);
    return isLater;
  });
}

const canaries: readonly [string, Wrap][] = [
  ["of segments", withoutSync((operation, path) => operation === "datasync" && path.endsWith(".log"))],
  ["of appended batches", withoutLaterSyncs()],
  ["of the journal", withoutSync((operation, path) => operation === "datasync" && path.endsWith(".journal"))],
  ["of the catalogue", withoutSync((operation, path) => operation === "datasync" && path.endsWith("catalogue.new"))],
  [
    "of the checkpoint's or catalogue's name",
    withoutSync((operation, path) => operation === "syncDirectory" && path === "/data/log"),
  ],
  ["of a new segment's name", withoutSync((operation, path) => operation === "syncDirectory" && /\/\d+$/.test(path))],
  [
    "of a new topic's name",
    withoutSync((operation, path) => operation === "syncDirectory" && path.endsWith("/topics")),
  ],
];

test("the canaries' disk is not caught when it skips nothing", async () => {
  await cutEverywhere(
    1,
    withoutSync(() => false),
  );
});

for (const [what, wrap] of canaries) {
  test(`canary: a skipped sync ${what} is caught`, async () => {
    await assert.rejects(
      async () => {
        for (let seed = 1; seed < 20; seed++) await cutEverywhere(seed, wrap);
      },
      // Caught by the model, or by the log that misses what it had made durable.
      / gone|damaged|cannot be used|half of a transaction/,
    );
  });
}
