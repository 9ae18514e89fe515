import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import type { SimulatedDisk } from "../../base/simulated-disk.ts";
import { segmentHeaderBytes } from "../segment.ts";
import type { Finding } from "./finding.ts";
import {
  append,
  bytesOn,
  clock,
  findingsOn,
  journalLimits,
  makeLog,
  many,
  openOn,
  withCode,
  worst,
} from "./verify.fixture.ts";
import { verifyLog } from "./verify-log.ts";

/** Of a batch of `many`. */
const batchBytes = 61 + 7 + 150;

const only = (findings: readonly Finding[], severity = "damage"): Finding => {
  const chosen = findings.filter((one) => one.severity === severity);
  assert.equal(chosen.length, 1, JSON.stringify(findings, null, 1));
  return chosen[0] as Finding;
};

test("a whole log has nothing but totals", async () => {
  const { disk } = await makeLog();
  assert.deepEqual(await findingsOn(disk), []);
  let last = { bytesDone: 0, bytesTotal: 1 };
  const { totals, logId } = await verifyLog({
    disk,
    directory: "/data/log",
    clock,
    onProgress: (progress) => {
      last = progress;
    },
  });
  assert.match(logId ?? "", /^[0-9a-f-]{36}$/);
  const { topics, partitions, batches, records } = totals;
  assert.deepEqual({ topics, partitions, batches, records }, { topics: 2, partitions: 3, batches: 41, records: 41 });
  assert.equal(last.bytesDone, last.bytesTotal);
});

test("a log that was killed is whole too: what the next start does is told as such", async () => {
  const { disk } = await makeLog({ closed: false });
  assert.deepEqual(worst(await findingsOn(disk)), []);
});

test("a byte changed in a batch is named with its place, its offset and what is lost", async () => {
  const { disk, paths } = await makeLog();
  disk.corrupt(paths[1] as string, segmentHeaderBytes + batchBytes + 100);
  const finding = only(await findingsOn(disk));
  assert.equal(finding.code, "BATCH_DAMAGED");
  assert.equal(finding.path, paths[1]);
  assert.equal(finding.bytePosition, segmentHeaderBytes + (finding.lostBytes as number));
  assert.equal(finding.topic, "t");
  assert.equal(finding.partition, 0);
  assert.equal(finding.offset, Number((paths[1] as string).match(/(\d{20})\.log/)?.[1]) + 1);
  assert.equal(finding.lostRecords, 1);
  assert.match(finding.message, /checksum does not match; the next right batch has offset/);
  assert.match(finding.wayOut, /millrace log repair/);
});

test("a damaged header of a batch is passed over to the next right batch", async () => {
  const { disk, paths } = await makeLog();
  disk.corrupt(paths[1] as string, segmentHeaderBytes + 8);
  const finding = only(await findingsOn(disk));
  assert.deepEqual([finding.code, finding.bytePosition, finding.lostRecords], ["BATCH_DAMAGED", segmentHeaderBytes, 1]);
});

test("a base offset is not covered by the checksum: one that cannot be is found all the same", async () => {
  for (const xor of [0x01, 0x20]) {
    const { disk, paths } = await makeLog();
    disk.corrupt(paths[2] as string, segmentHeaderBytes + 7, xor);
    const finding = only(await findingsOn(disk));
    assert.deepEqual([finding.code, finding.bytePosition], ["BATCH_MISPLACED", segmentHeaderBytes]);
  }
});

test("a damaged segment header, and one that says another partition or another offset, are told apart", async () => {
  const first = await makeLog();
  first.disk.corrupt(first.paths[1] as string, 2);
  const damaged = only(await findingsOn(first.disk));
  assert.deepEqual([damaged.code, damaged.path, damaged.bytePosition], ["SEGMENT_HEADER_DAMAGED", first.paths[1], 0]);

  const second = await makeLog();
  second.disk.swap(second.paths[1] as string, second.paths[2] as string);
  const swapped = (await findingsOn(second.disk)).filter(({ code }) => code === "SEGMENT_MISPLACED");
  assert.deepEqual(swapped.map((one) => one.path).sort(), [second.paths[1], second.paths[2]]);
  assert.match(
    swapped[0]?.message ?? "",
    /its name is not that of its first offset: it is the segment of this partition/,
  );

  const third = await makeLog();
  const other = `${third.directory.slice(0, -1)}1/00000000000000000000.log`;
  third.disk.swap(third.paths[0] as string, other);
  const foreign = (await findingsOn(third.disk)).filter(({ code }) => code === "SEGMENT_MISPLACED");
  assert.deepEqual(foreign.map((one) => [one.path, one.partition]).sort(), [
    [third.paths[0], 0],
    [other, 1],
  ]);
  assert.match(foreign[0]?.message ?? "", /it belongs to another partition: it is the segment of partition 1/);
});

test("a range of zeros is named as a hole, with its ends", async () => {
  const { disk, paths } = await makeLog();
  disk.punchHole(paths[0] as string, 300, 1000);
  const finding = only(await findingsOn(disk));
  assert.equal(finding.code, "SEGMENT_HOLE");
  assert.match(finding.message, /bytes 300 to 1000 are zeros/);
});

test("a file that is cut short is named, at the end by what the checkpoint knows, else by the offsets", async () => {
  const last = await makeLog();
  last.disk.cutShort(last.paths.at(-1) as string, 100);
  const codes = worst(await findingsOn(last.disk));
  assert.ok(codes.includes("SEGMENT_TRUNCATED"), String(codes));
  const middle = await makeLog();
  const path = middle.paths[1] as string;
  middle.disk.cutShort(path, segmentHeaderBytes + 3 * 219);
  assert.ok(worst(await findingsOn(middle.disk)).length > 0);
});

test("a missing segment is named by its offsets, wherever it stood", async () => {
  for (const [at, what] of [
    [0, /the first segment is missing: offsets 0 to/],
    [2, /a segment, or the end of the one before, is missing/],
    [-1, /the last segment is missing: offsets \d+ to 39/],
  ] as const) {
    const { disk, paths } = await makeLog();
    await disk.remove(paths.at(at) as string);
    const finding = only(await findingsOn(disk));
    assert.equal(finding.code, "SEGMENT_MISSING");
    assert.match(finding.message, what);
    assert.ok(finding.lostRecords > 0);
  }
});

test("a missing folder, a damaged state file and a damaged checkpoint are named", async () => {
  const folder = await makeLog();
  await folder.disk.removeDirectory(folder.directory);
  assert.deepEqual(worst(await findingsOn(folder.disk)), ["PARTITION_MISSING"]);

  const state = await makeLog();
  const log = await openOn(state.disk);
  await log.partition("t", 0).deleteRecords(3);
  await log.close();
  state.disk.corrupt(`${state.directory}/state`, 50);
  assert.deepEqual(worst(await findingsOn(state.disk)), ["STATE_DAMAGED"]);

  const checkpoint = await makeLog();
  checkpoint.disk.corrupt("/data/log/checkpoint", 60);
  assert.deepEqual(worst(await findingsOn(checkpoint.disk)), ["CHECKPOINT_DAMAGED"]);
});

test("a damaged catalogue is told with the only way out, and segments are looked at by their ids", async () => {
  const { disk, paths } = await makeLog();
  disk.corrupt("/data/log/catalogue", 60);
  disk.corrupt(paths[1] as string, 200);
  const findings = await findingsOn(disk);
  assert.deepEqual(worst(findings).sort(), ["BATCH_DAMAGED", "CATALOGUE_DAMAGED"]);
  assert.match(findings.find(({ code }) => code === "CATALOGUE_DAMAGED")?.wayOut ?? "", /from a backup/);
});

test("an index that is missing or damaged is a note: it is made anew", async () => {
  const { disk, paths } = await makeLog();
  await disk.remove((paths[0] as string).replace(".log", ".index"));
  disk.corrupt((paths[1] as string).replace(".log", ".index"), 20);
  const findings = await findingsOn(disk);
  assert.deepEqual(
    findings.map(({ severity, code }) => [severity, code]),
    [
      ["note", "INDEX_MISSING"],
      ["note", "INDEX_DAMAGED"],
    ],
  );
});

test("a torn end is no damage: the next start cuts it", async () => {
  const { disk, paths } = await makeLog({ closed: false });
  const path = paths.at(-1) as string;
  disk.corrupt(path, disk.contents(path).length - 5);
  const findings = await findingsOn(disk);
  assert.deepEqual(worst(findings), []);
  const torn = findings.find(({ code }) => code === "END_TORN") as Finding;
  assert.equal(torn.path, path);
  assert.equal(torn.offset, 39);
  const log = await openOn(disk);
  assert.equal(log.partition("t", 0).highWatermark, 39);
});

test("leftovers of a compaction and strange files are told, and are no damage", async () => {
  const { disk, directory } = await makeLog();
  for (const name of ["00000000000000000000.1.log.draft", "notes.txt"]) {
    await (await disk.open(`${directory}/${name}`, "exclusive")).close();
  }
  const findings = await findingsOn(disk);
  assert.deepEqual(
    findings.map(({ severity, code }) => [severity, code]),
    [
      ["torn", "DRAFT_LEFT"],
      ["note", "FILE_UNKNOWN"],
    ],
  );
});

test("what the journal still holds is told as the next start's work", async () => {
  const { disk } = await makeLog({ closed: false, limits: journalLimits, values: many.slice(0, 4) });
  const findings = await findingsOn(disk, { limits: journalLimits });
  assert.deepEqual(worst(findings), []);
  assert.ok(findings.some(({ code, severity }) => code === "JOURNAL_PENDING" && severity === "torn"));
});

test("a damaged group in the middle of the journal is damage, and the partition that lost by it is named", async () => {
  const { disk } = await makeLog({ closed: false, limits: journalLimits, values: many.slice(0, 6) });
  const path = await journalWith(disk);
  const group = 512 * 3 + 100;
  disk.corrupt(path, group);
  const findings = await findingsOn(disk, { limits: journalLimits });
  const damage = findings.filter(({ severity }) => severity === "damage");
  assert.equal(damage.find(({ code }) => code === "JOURNAL_DAMAGED")?.path, path);
  assert.ok(
    damage.some(({ code, topic, partition }) => code === "OFFSETS_MISSING" && topic === "t" && partition === 0),
    JSON.stringify(damage, null, 1),
  );
});

test("a damaged group at the end of the journal is a torn end: it was never answered, or nobody can know", async () => {
  const { disk } = await makeLog({ closed: false, limits: journalLimits, values: many.slice(0, 6) });
  const path = await journalWith(disk);
  const bytes = disk.contents(path);
  let last = 0;
  for (let at = 512; at < bytes.length; at += 512) if (bytes.readUInt32BE(at) === 0x4d4c5247) last = at;
  disk.corrupt(path, last + 70);
  assert.deepEqual(worst(await findingsOn(disk, { limits: journalLimits })), []);
});

async function journalWith(disk: SimulatedDisk): Promise<string> {
  const [name] = await disk.list("/data/log/journal");
  return `/data/log/journal/${name}`;
}

test("bytes that the disk cannot read are named, and the rest is read", async () => {
  const { disk, paths } = await makeLog();
  disk.failReads(paths[1] as string, 500, 600);
  const { findings, totals } = await verifyLog({ disk, directory: "/data/log", clock });
  assert.ok(worst(findings).includes("SEGMENT_UNREADABLE"));
  assert.ok(totals.batches > 30);
});

test("--deep looks at the records of each batch", async () => {
  const { disk, paths } = await makeLog();
  assert.deepEqual(await findingsOn(disk, { deep: true }), []);
  assert.ok(paths.length > 2);
});

test("one topic alone is looked at when it is named, and an unknown one is refused", async () => {
  const { disk, paths } = await makeLog();
  disk.corrupt(paths[1] as string, 200);
  assert.deepEqual(await findingsOn(disk, { topics: ["_millrace.transactions"] }), []);
  assert.equal(worst(await findingsOn(disk, { topics: ["t"] })).length, 1);
  await assert.rejects(findingsOn(disk, { topics: ["none"] }), withCode("TOPIC_UNKNOWN"));
  await assert.rejects(verifyLog({ disk, directory: "/nowhere", clock }), withCode("USAGE_INVALID"));
});

test("what verify calls well or torn, a start serves; what it calls damage below no checkpoint, a start refuses", async () => {
  for (let seed = 1; seed <= 25; seed++) {
    const random = seededRandom(seed);
    const { disk, paths } = await makeLog({ closed: false });
    const path = paths[random.below(paths.length)] as string;
    disk.corrupt(path, random.below(disk.contents(path).length), 1 + random.below(255));
    const damage = worst(await findingsOn(disk));
    const log = await openOn(disk);
    assert.equal(log.partition("t", 0).failure !== undefined, damage.length > 0, `seed ${seed}: ${damage}`);
    await log.close();
  }
});

test("no file is written, not even where a start would write", async () => {
  const { disk } = await makeLog({ closed: false, limits: journalLimits });
  const before = await bytesOn(disk);
  await findingsOn(disk, { limits: journalLimits });
  assert.deepEqual(await bytesOn(disk), before);
  await append(await openOn(disk, journalLimits), ["more"]);
});
