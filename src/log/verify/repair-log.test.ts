import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { type Random, seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import { splitBatches } from "../../records/batch-validator.ts";
import { segmentHeaderBytes } from "../segment.ts";
import {
  append,
  bytesOn,
  clock,
  findingsOn,
  journalLimits,
  limits,
  type Made,
  type MakeOptions,
  makeLog,
  many,
  openOn,
  recordsOf,
  repairOn,
  segmentPaths,
  settings,
  withCode,
  worst,
} from "./verify.fixture.ts";

interface Kept {
  readonly file: string | null;
  readonly from: string;
  readonly fromBytes: number;
  readonly toBytes: number;
  readonly reason: string;
}

function manifestOf(disk: SimulatedDisk, folder: string): Kept[] {
  return JSON.parse(disk.contents(`${folder}/manifest.json`).toString()).kept;
}

/** The records of partition 0 that are there are those that were appended, at their offsets. Answers which are not. */
function missingOf(found: ReadonlyMap<number, string>, values: readonly string[] = many): number[] {
  for (const [offset, value] of found) assert.equal(value, values[offset] ?? "after", `offset ${offset}`);
  return values.flatMap((_, offset) => (found.has(offset) ? [] : [offset]));
}

/** Repairs, and looks that all is well then and after a start. Answers the offsets that are missing, and the folder. */
async function repaired(
  disk: SimulatedDisk,
  more: { readonly values?: readonly string[]; readonly limits?: MakeOptions["limits"] } = {},
): Promise<{ missing: number[]; folder: string }> {
  const own = more.limits ?? limits;
  const folder = await repairOn(disk, {}, { limits: own });
  assert.ok(folder);
  assert.deepEqual(worst(await findingsOn(disk, { limits: own })), []);
  assert.equal(disk.openFiles, 0);
  const log = await openOn(disk, own);
  const missing = missingOf(await recordsOf(log), more.values);
  assert.deepEqual([...(await recordsOf(log, 1)).values()], ["other"]);
  assert.equal(log.partition("t", 0).failure, undefined);
  const before = log.partition("t", 0).highWatermark;
  await append(log, ["after"]);
  assert.equal((await recordsOf(log)).get(before), "after");
  await log.close();
  assert.deepEqual(worst(await findingsOn(disk, { limits: own })), []);
  return { missing, folder };
}

test("a damaged batch is taken out, kept aside with its reason, and every other record stays at its offset", async () => {
  const { disk, paths, directory } = await makeLog();
  const file = paths[1] as string;
  disk.corrupt(file, segmentHeaderBytes + 300);
  const before = disk.contents(file);
  const { missing, folder } = await repaired(disk);
  assert.equal(missing.length, 1);
  assert.equal(folder, "/data/log/repaired/0001");
  const [kept] = manifestOf(disk, folder) as [Kept];
  assert.equal(`/data/log/${kept.from}`, file);
  assert.match(kept.reason, /checksum/);
  assert.deepEqual(disk.contents(`${folder}/${kept.file}`), before.subarray(kept.fromBytes, kept.toBytes));
  assert.ok((await segmentPaths(disk, directory)).includes(file.replace(".log", ".1.log")));
});

test("clients notice a repair by the leader epoch", async () => {
  const { disk, paths } = await makeLog();
  disk.corrupt(paths[1] as string, segmentHeaderBytes + 300);
  await repairOn(disk);
  const log = await openOn(disk);
  const partition = log.partition("t", 0);
  assert.equal(partition.leaderEpoch, 1);
  assert.equal(partition.endOfEpoch(0)?.endOffset, 40);
  assert.equal(log.partition("t", 1).leaderEpoch, 0);
});

const damages: Record<string, { readonly missingMax: number; readonly act: (made: Made) => Promise<void> | void }> = {
  "a byte in the first batch": { missingMax: 1, act: ({ disk, paths }) => disk.corrupt(paths[0] as string, 100) },
  "a byte in the last batch": {
    missingMax: 1,
    act: ({ disk, paths }) => disk.corrupt(paths.at(-1) as string, disk.contents(paths.at(-1) as string).length - 3),
  },
  "a byte in a batch's length": {
    missingMax: 1,
    act: ({ disk, paths }) => disk.corrupt(paths[1] as string, segmentHeaderBytes + 9),
  },
  "a byte in a base offset": {
    missingMax: 1,
    act: ({ disk, paths }) => disk.corrupt(paths[1] as string, segmentHeaderBytes + 6, 1),
  },
  "a segment header": { missingMax: 0, act: ({ disk, paths }) => disk.corrupt(paths[1] as string, 5) },
  "the header of the last segment": {
    missingMax: 0,
    act: ({ disk, paths }) => disk.corrupt(paths.at(-1) as string, 30),
  },
  "a hole": { missingMax: 6, act: ({ disk, paths }) => disk.punchHole(paths[1] as string, 300, 1200) },
  "a hole over all of a segment": {
    missingMax: 10,
    act: ({ disk, paths }) => disk.punchHole(paths[1] as string, 0, 10_000),
  },
  "a hole over all of the last segment": {
    missingMax: 10,
    act: ({ disk, paths }) => disk.punchHole(paths.at(-1) as string, 0, 10_000),
  },
  "a last segment that is cut short": {
    missingMax: 10,
    act: ({ disk, paths }) => disk.cutShort(paths.at(-1) as string, 300),
  },
  "a last segment without bytes": {
    missingMax: 10,
    act: ({ disk, paths }) => disk.cutShort(paths.at(-1) as string, 0),
  },
  "a middle segment that is cut short": {
    missingMax: 10,
    act: ({ disk, paths }) => disk.cutShort(paths[2] as string, 700),
  },
  "a first segment that is missing": { missingMax: 10, act: ({ disk, paths }) => disk.remove(paths[0] as string) },
  "a middle segment that is missing": { missingMax: 10, act: ({ disk, paths }) => disk.remove(paths[2] as string) },
  "a last segment that is missing": { missingMax: 10, act: ({ disk, paths }) => disk.remove(paths.at(-1) as string) },
  "all segments missing": {
    missingMax: 40,
    act: async ({ disk, paths }) => {
      for (const path of paths) await disk.remove(path);
    },
  },
  "the folder missing": { missingMax: 40, act: ({ disk, directory }) => disk.removeDirectory(directory) },
  "two segments of the partition swapped": {
    missingMax: 0,
    act: ({ disk, paths }) => disk.swap(paths[1] as string, paths[3] as string),
  },
  "segments of two partitions swapped": {
    missingMax: 0,
    act: ({ disk, paths, directory }) =>
      disk.swap(paths[0] as string, `${directory.slice(0, -1)}1/00000000000000000000.log`),
  },
  "a segment twice": {
    missingMax: 10,
    act: ({ disk, paths }) => disk.restore(paths[2] as string, disk.imageOf(paths[1] as string)),
  },
  "several at once": {
    missingMax: 30,
    act: async ({ disk, paths }) => {
      disk.corrupt(paths[0] as string, 120);
      await disk.remove(paths[1] as string);
      disk.punchHole(paths[2] as string, 100, 800);
      disk.corrupt(paths.at(-1) as string, 3);
    },
  },
};

/** Those whose repairs have each kind of step. */
const cutIn = [
  "a byte in the first batch",
  "a hole over all of the last segment",
  "two segments of the partition swapped",
  "segments of two partitions swapped",
  "a middle segment that is missing",
  "several at once",
  "the folder missing",
];

for (const [what, { missingMax, act }] of Object.entries(damages)) {
  test(`repaired: ${what}`, async () => {
    const made = await makeLog();
    await act(made);
    assert.ok(worst(await findingsOn(made.disk)).length > 0);
    const { missing } = await repaired(made.disk);
    assert.ok(missing.length <= missingMax, `${missing}`);
  });
}

test("offsets that were given out are not given out again, also when their records are lost", async () => {
  const { disk, paths } = await makeLog();
  await disk.remove(paths.at(-1) as string);
  await repairOn(disk);
  const log = await openOn(disk);
  assert.equal(log.partition("t", 0).highWatermark, 40);
});

test("a damaged state file is made anew: nothing comes back but what was retired, and the leader epoch is one that never was", async () => {
  const made = await makeLog();
  const log = await openOn(made.disk);
  await log.partition("t", 0).deleteRecords(20);
  await log.close();
  made.disk.corrupt(`${made.directory}/state`, 50);
  const { missing } = await repaired(made.disk);
  assert.ok(missing.every((offset) => offset < 20));
  const again = await openOn(made.disk);
  assert.ok(again.partition("t", 0).leaderEpoch > 1000);
});

test("a damaged swap file is put aside, and what stands twice goes", async () => {
  const { disk, directory } = await makeLog();
  const file = await disk.open(`${directory}/swap`, "exclusive");
  await file.write([Buffer.from("millrace swap 1 zz 3\n{}")], 0);
  await file.close();
  assert.deepEqual(worst(await findingsOn(disk)), ["SWAP_DAMAGED"]);
  const { missing, folder } = await repaired(disk);
  assert.deepEqual(missing, []);
  assert.match(manifestOf(disk, folder)[0]?.from ?? "", /swap$/);
});

test("a damaged checkpoint goes to the side", async () => {
  const { disk } = await makeLog();
  disk.corrupt("/data/log/checkpoint", 60);
  const { missing, folder } = await repaired(disk);
  assert.deepEqual(missing, []);
  assert.deepEqual(
    manifestOf(disk, folder).map(({ from }) => from),
    ["checkpoint"],
  );
});

test("without a catalogue nothing is repaired, and nothing invented", async () => {
  const { disk } = await makeLog();
  disk.corrupt("/data/log/catalogue", 60);
  const before = await bytesOn(disk);
  await assert.rejects(repairOn(disk), withCode("LOG_DAMAGED"));
  assert.deepEqual(await bytesOn(disk), before);
});

test("a log without damage is not touched", async () => {
  const { disk } = await makeLog({ closed: false });
  const before = await bytesOn(disk);
  assert.equal(await repairOn(disk), undefined);
  assert.deepEqual(await bytesOn(disk), before);
});

test("one partition alone is repaired when it is named", async () => {
  const { disk, paths, directory } = await makeLog();
  disk.corrupt(paths[1] as string, 300);
  disk.corrupt(`${directory.slice(0, -1)}1/00000000000000000000.log`, 60);
  await repairOn(disk, { topics: ["t"], partition: 1 });
  const left = (await findingsOn(disk)).filter(({ severity }) => severity === "damage");
  assert.deepEqual(
    left.map(({ partition }) => partition),
    [0],
  );
});

test("bytes that the disk cannot read are given up, and the rest is kept", async () => {
  const { disk, paths } = await makeLog();
  disk.failReads(paths[1] as string, 500, 600);
  const { missing } = await repaired(disk);
  assert.ok(missing.length > 0 && missing.length < 20);
});

async function journaled(count: number): Promise<{ disk: SimulatedDisk; path: string; values: string[] }> {
  const values = many.slice(0, count);
  const { disk } = await makeLog({ closed: false, limits: journalLimits, values });
  const [name] = await disk.list("/data/log/journal");
  return { disk, path: `/data/log/journal/${name}`, values };
}

test("of a journal with a damaged group in the middle the groups before and behind it are kept", async () => {
  const { disk, path, values } = await journaled(6);
  disk.corrupt(path, 512 * 3 + 100);
  await assert.rejects(openOn(disk, journalLimits), withCode("LOG_DAMAGED"));
  const { missing, folder } = await repaired(disk, { values, limits: journalLimits });
  assert.deepEqual(missing, [2]);
  assert.ok(manifestOf(disk, folder).some(({ from }) => from.startsWith("journal/")));
});

test("what a damaged segment lacks is taken from the journal where that has it", async () => {
  const values = many.slice(0, 8);
  const { disk, paths } = await makeLog({
    closed: false,
    limits: { ...journalLimits, flushBytes: 600 },
    values,
    settings: { segmentBytesMax: 600 },
  });
  for (const path of paths.slice(0, -1)) disk.corrupt(path, segmentHeaderBytes + 70);
  if (worst(await findingsOn(disk, { limits: journalLimits })).length === 0) return;
  const { missing } = await repaired(disk, { values, limits: journalLimits });
  assert.deepEqual(missing, []);
});

test("what the journal holds for a damaged partition is kept while the others go on, until the repair", async () => {
  const values = many.slice(0, 8);
  const made = await makeLog({ closed: false, limits: { ...journalLimits, flushBytes: 600 }, values });
  const { disk, paths } = made;
  disk.corrupt(paths[0] as string, 3);
  const log = await openOn(disk, journalLimits);
  assert.ok(log.partition("t", 0).failure);
  await log.close();
  const { missing } = await repaired(disk, { values, limits: journalLimits });
  assert.deepEqual(missing, []);
});

test("a transaction whose marker lies in the damage is ended by the next start, and what is behind it is served", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk);
  await log.createTopic("t", { ...settings, segmentBytesMax: 1_000_000 }, false);
  const producer = await log.initProducer("unit");
  for (const value of ["a", "b", "c"]) {
    const transaction = producer.begin();
    const batch = encodeBatch([{ key: null, value: Buffer.from(value) }], clock.now());
    await transaction.append({ topic: "t", partition: 0, batch });
    await transaction.commit();
  }
  const { directory } = log.partition("t", 0).place;
  await log.close();
  const file = `${directory}/00000000000000000000.log`;
  const [, marker] = splitBatches(disk.contents(file).subarray(segmentHeaderBytes)) as [Buffer, Buffer];
  disk.corrupt(file, disk.contents(file).indexOf(marker) + 65);
  await repairOn(disk);
  const again = await openOn(disk);
  const partition = again.partition("t", 0);
  assert.equal(partition.failure, undefined);
  assert.equal(partition.lastStable, partition.highWatermark);
  assert.deepEqual(
    [...(await recordsOf(again)).values()].filter((value) => /^[abc]$/.test(value)),
    ["a", "b", "c"],
  );
});

type Ignored = Parameters<SimulatedDisk["ignoreSyncs"]>[0];

/** Cuts the power after each operation of a repair, and repairs again. Throws when that does not end as one whole repair does. */
async function cutEverywhere(whole: Made, what: string, ignored?: Ignored): Promise<void> {
  const damage = damages[what];
  assert.ok(damage);
  const damagedDisk = async () => {
    const made = { ...whole, disk: whole.disk.survivor() };
    await damage.act(made);
    // What is gone must not come back with the power.
    await made.disk.syncDirectory(path.dirname(made.directory));
    if (await made.disk.exists(made.directory)) await made.disk.syncDirectory(made.directory);
    return made.disk;
  };
  const { missing: expected } = await repaired(await damagedDisk());
  for (let cut = 0; ; cut++) {
    const disk = await damagedDisk();
    if (ignored) disk.ignoreSyncs(ignored);
    disk.cutAfter(disk.operations + cut);
    const ended = await repairOn(disk).then(
      () => true,
      () => false,
    );
    const survivor = disk.survivor();
    await repairOn(survivor);
    assert.deepEqual(worst(await findingsOn(survivor)), [], `${what}, cut after ${cut}`);
    const log = await openOn(survivor);
    assert.deepEqual(missingOf(await recordsOf(log)), expected, `${what}, cut after ${cut}`);
    assert.equal(log.partition("t", 0).highWatermark, 40);
    await log.close();
    if (ended) break;
  }
}

test("a repair that the power ends anywhere is ended by the next one, and loses no more", async () => {
  const whole = await makeLog();
  for (const what of cutIn) await cutEverywhere(whole, what);
});

test("that test can fail: a disk that does not sync drafts is caught", async () => {
  const whole = await makeLog();
  const ignored: Ignored = (operation, file) => operation === "datasync" && file.endsWith(".draft");
  await assert.rejects(async () => {
    for (let i = 0; i < 5; i++) await cutEverywhere(whole, "a byte in the first batch", ignored);
  });
});

test("a journal's repair that the power ends anywhere is ended by the next one", async () => {
  for (let cut = 0; ; cut++) {
    const { disk, path, values } = await journaled(6);
    disk.corrupt(path, 512 * 3 + 100);
    disk.cutAfter(disk.operations + cut);
    const ended = await repairOn(disk, {}, { limits: journalLimits }).then(
      () => true,
      () => false,
    );
    if (ended) break;
    const survivor = disk.survivor();
    await repairOn(survivor, {}, { limits: journalLimits });
    const log = await openOn(survivor, journalLimits);
    assert.deepEqual(missingOf(await recordsOf(log), values), [2], `cut after ${cut}`);
    await log.close();
  }
});

/** Damages something in the file, or swaps it with another. */
async function damageSomewhere(disk: SimulatedDisk, random: Random, files: readonly string[]): Promise<void> {
  const there: string[] = [];
  for (const file of files) if (await disk.exists(file)) there.push(file);
  const file = there[random.below(there.length)] as string;
  const at = random.below(disk.contents(file).length + 1);
  const kind = random.below(5);
  if (kind === 0) disk.corrupt(file, at, 1 + random.below(255));
  else if (kind === 1) disk.punchHole(file, at, at + random.below(1000));
  else if (kind === 2) disk.cutShort(file, at);
  else if (kind === 3) await disk.remove(file);
  else disk.swap(file, there[random.below(there.length)] as string);
}

test("whatever was damaged, a repair ends in a log that opens, and no record is another one", async () => {
  for (let seed = 1; seed <= 25; seed++) {
    const random = seededRandom(seed);
    const own = random.below(2) === 0 ? limits : journalLimits;
    const made = await makeLog({
      closed: random.below(2) === 0,
      settings: { segmentBytesMax: 500 + random.below(3000) },
      limits: own,
    });
    let { disk } = made;
    const files = [...(await bytesOn(disk)).keys()].filter((file) => !/catalogue|lock/.test(file));
    for (let i = random.below(4); i >= 0; i--) await damageSomewhere(disk, random, files);
    // In some the power goes in between.
    if (random.below(2) === 0) {
      disk.cutAfter(disk.operations + random.below(60));
      await repairOn(disk, {}, { limits: own }).catch(() => undefined);
      disk = disk.survivor();
    }
    await repairOn(disk, {}, { limits: own });
    assert.deepEqual(worst(await findingsOn(disk, { limits: own })), [], `seed ${seed}`);
    const log = await openOn(disk, own);
    for (const partition of [0, 1]) assert.equal(log.partition("t", partition).failure, undefined, `seed ${seed}`);
    missingOf(await recordsOf(log));
    for (const value of (await recordsOf(log, 1)).values()) assert.equal(value, "other");
    await log.close();
    assert.equal(disk.openFiles, 0);
  }
});
