import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import type { Disk } from "../../base/disk.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { rebuildBatch } from "../../records/batch-rewriter.ts";
import { writeCheckedFile } from "../checked-file.ts";
import {
  batchesOn,
  batchOf,
  clean,
  committedIn,
  place,
  put,
  recordsOn,
  segmentsOn,
  shown,
  writeSegment,
} from "./cleaner.fixture.ts";
import { finishSwap } from "./swap.ts";

const end = 12;
const nowMs = 5000;

/** Three segments that become one or three, with files beside them. */
async function diskBefore(seed: number): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk(seededRandom(seed));
  await writeSegment(disk, 0, [batchOf(0, [put("a", "1"), put("b", "1")]), batchOf(2, [put("c", "x".repeat(600))])]);
  await writeSegment(disk, 3, [batchOf(3, [put("a", null), put("d", "1")]), batchOf(5, [put("e", "y".repeat(600))])]);
  await writeSegment(disk, 6, [
    batchOf(6, [put("b", "2"), put("f", "1"), put("d", null)]),
    batchOf(9, [put("g"), put("c", "2"), put("h")]),
  ]);
  for (const segment of await segmentsOn(disk)) {
    for (const companion of [".index", ".aborted"]) {
      await (await disk.open(segment.path.replace(".log", companion), "create")).close();
    }
  }
  await disk.syncDirectory(place.directory);
  return disk;
}

const before = [
  "0 a=1",
  "1 b=1",
  `2 c=${"x".repeat(600)}`,
  "3 a=null",
  "4 d=1",
  `5 e=${"y".repeat(600)}`,
  "6 b=2",
  "7 f=1",
];
before.push("8 d=null", "9 g=value of g", "10 c=2", "11 h=value of h");
const after = [
  "3 a=null",
  `5 e=${"y".repeat(600)}`,
  "6 b=2",
  "7 f=1",
  "8 d=null",
  "9 g=value of g",
  "10 c=2",
  "11 h=value of h",
];

async function cleanAll(disk: SimulatedDisk, segmentBytesMax: number): Promise<void> {
  await clean(disk, { end, nowMs, chunkBytes: 512, settings: { segmentBytesMax, tombstoneRetentionMs: 1000 } });
}

/** A start, then what a reader finds. */
async function assertNothingLost(disk: SimulatedDisk, segmentBytesMax: number): Promise<void> {
  await finishSwap(disk, place);
  const names = await disk.list(place.directory);
  const strange = names.filter((name) => !/^\d{20}(\.\d+)?\.(log|index|aborted)$/.test(name));
  assert.deepEqual(strange, [], "something was left behind");
  const bases = names.filter((name) => name.endsWith(".log")).map((name) => name.slice(0, 20));
  assert.equal(new Set(bases).size, bases.length, "a segment is there twice");
  const found = committedIn(await batchesOn(disk, end)).map(shown);
  for (const record of found) assert.ok(before.includes(record), `${record} was never there`);
  for (const record of after) assert.ok(found.includes(record), `${record} is lost`);
  await cleanAll(disk, segmentBytesMax);
  assert.deepEqual(await recordsOn(disk), after);
}

type Death = "power cut" | "kill";

function dead(disk: SimulatedDisk, death: Death): SimulatedDisk {
  return death === "kill" ? disk.afterKill() : disk.survivor();
}

/**
 * The death comes after so many operations of the cleaning, and then again after every operation of the start that
 * follows; at last the power is cut when that start has ended. Answers false when the cleaning has no more operations.
 */
async function cutIn(
  operation: number,
  seed: number,
  segmentBytesMax: number,
  death: Death,
  spoil?: (disk: SimulatedDisk) => void,
): Promise<boolean> {
  for (let again = 0; ; again++) {
    const disk = await diskBefore(seed * 100 + again);
    spoil?.(disk);
    disk.cutAfter(disk.operations + operation);
    const ended = await succeeds(cleanAll(disk, segmentBytesMax));
    const next = dead(disk, death);
    next.cutAfter(next.operations + again);
    const started = await succeeds(finishSwap(next, place));
    const last = started ? next.survivor() : dead(next, death);
    // One that came back could name what retention has retired since.
    if (started) assert.ok(!(await last.exists(path.join(place.directory, "swap"))), "an ended swap came back");
    await assertNothingLost(last, segmentBytesMax);
    if (started) return !ended;
  }
}

async function succeeds(promise: Promise<unknown>): Promise<boolean> {
  try {
    await promise;
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
    return false;
  }
}

for (const death of ["power cut", "kill"] as const) {
  for (const [what, segmentBytesMax] of [
    ["all segments become one", 1_000_000],
    ["each is replaced by itself", 512],
  ] as const) {
    test(`a ${death} at every disk operation loses nothing when ${what}`, async () => {
      let cuts = 0;
      for (let seed = 1; seed <= 3; seed++) {
        for (let operation = 0; await cutIn(operation, seed, segmentBytesMax, death); operation++) cuts++;
      }
      assert.ok(cuts > 30, `${cuts} cuts`);
    });
  }
}

const breakages: readonly (readonly [string, (disk: SimulatedDisk) => void])[] = [
  [
    "the draft's bytes are not synced",
    (disk) => disk.ignoreSyncs((operation, file) => operation === "datasync" && file.endsWith(".draft")),
  ],
  ["the folder is not synced", (disk) => disk.ignoreSyncs((operation) => operation === "syncDirectory")],
  [
    "the swap's bytes are not synced",
    (disk) => disk.ignoreSyncs((operation, file) => operation === "datasync" && file.endsWith("swap.new")),
  ],
];

for (const [what, spoil] of breakages) {
  test(`that test fails when ${what}`, async () => {
    await assert.rejects(async () => {
      for (let seed = 1; seed <= 40; seed++) {
        for (let operation = 0; await cutIn(operation, seed, 512, "power cut", spoil); operation++);
      }
    });
  });
}

test("a death at every disk operation brings nothing back that a tombstone deletes", async () => {
  for (const death of ["power cut", "kill"] as const) {
    for (let operation = 0, ended = false; !ended; operation++) {
      const disk = new SimulatedDisk(seededRandom(operation));
      const filler = "x".repeat(600);
      await writeSegment(disk, 0, [batchOf(0, [put("a", "1"), put("b", filler)])]);
      const tombstone = rebuildBatch(batchOf(2, [put("a", null), put("c", filler)]), () => true, nowMs - 1);
      await writeSegment(disk, 2, [tombstone]);
      disk.cutAfter(disk.operations + operation);
      const settings = { segmentBytesMax: 512, tombstoneRetentionMs: 1000 };
      ended = await succeeds(clean(disk, { end: 4, nowMs, settings }));
      const next = dead(disk, death);
      await finishSwap(next, place);
      const found = committedIn(await batchesOn(next, 4)).filter(({ key }) => key?.toString() === "a");
      assert.equal(found.at(-1)?.value ?? null, null, `the value came back after ${operation} operations`);
      if (ended) assert.deepEqual(found, []);
    }
  }
});

test("a start removes drafts that no swap names, and nothing else", async () => {
  const disk = await diskBefore(1);
  const names = await disk.list(place.directory);
  for (const name of ["00000000000000000000.1.log.draft", "swap.new"]) {
    await (await disk.open(path.join(place.directory, name), "exclusive")).close();
  }
  assert.equal(await finishSwap(disk, place), true);
  assert.deepEqual(await disk.list(place.directory), names);
  assert.equal(await finishSwap(disk, place), false);
});

test("a folder that was never cleaned costs a start nothing", async () => {
  const disk = await diskBefore(1);
  const { operations } = disk;
  await finishSwap(disk, place);
  assert.equal(disk.operations, operations);
});

test("a failing disk in a swap leaves what the next start can go on with", async () => {
  for (let operation = 1; ; operation++) {
    const disk = await diskBefore(1);
    disk.failAt(disk.operations + operation, "EIO");
    if (await succeeds(cleanAll(disk, 512))) break;
    await assertNothingLost(disk, 512);
  }
});

test("a swap that did not end is not hidden by another one", async () => {
  const disk = await diskBefore(1);
  const file = path.join(place.directory, "swap");
  await writeCheckedFile(disk, file, "swap", 1, {});
  const before = disk.contents(file);
  await assert.rejects(cleanAll(disk, 512), /did not end/);
  assert.deepEqual(disk.contents(file), before);
});

test("a swap file that is damaged, or is none, stops the partition and removes nothing", async () => {
  const file = path.join(place.directory, "swap");
  const writeSwap = (disk: Disk, value: unknown) => writeCheckedFile(disk, file, "swap", 1, value);
  const add = "00000000000000000000.1.log";
  const values = [
    null,
    [],
    {},
    { remove: [], add },
    { remove: "00000000000000000000.log", add },
    { remove: ["00000000000000000000.log", 5], add },
    { remove: ["../../other/00000000000000000000.log"], add },
    { remove: ["00000000000000000000.log"], add: "../evil" },
    { remove: [add], add },
    // What it names is nowhere.
    { remove: ["00000000000000000000.log"], add },
  ];
  for (const value of values) {
    const disk = await diskBefore(1);
    await writeSwap(disk, value);
    const names = await disk.list(place.directory);
    await assert.rejects(finishSwap(disk, place), { code: "PARTITION_DAMAGED" }, JSON.stringify(value));
    assert.deepEqual(await disk.list(place.directory), names);
  }
  const disk = await diskBefore(1);
  await writeSwap(disk, { remove: ["00000000000000000000.log"], add });
  disk.corrupt(file, disk.contents(file).length - 3);
  await assert.rejects(finishSwap(disk, place), { code: "PARTITION_DAMAGED" });
  await writeCheckedFile(disk, file, "swap", 2, {});
  await assert.rejects(finishSwap(disk, place), { code: "LOG_FORMAT_NEWER" });
});
