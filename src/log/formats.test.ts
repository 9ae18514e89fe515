/** The worked examples of docs/internals/formats are what the code reads and writes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { decodeBatch } from "../records/batch-records.ts";
import { splitBatches } from "../records/batch-validator.ts";
import { writeCheckedFile } from "./checked-file.ts";
import {
  decodeGroup,
  encodeGroup,
  encodeJournalHeader,
  journalBlockBytes,
  journalHeaderFault,
} from "./journal-format.ts";
import { readLogCheckpoint, writeLogCheckpoint } from "./log-checkpoint.ts";
import { OffsetIndex } from "./offset-index.ts";
import { readPartitionState } from "./partition-state.ts";
import { encodeSegmentHeader } from "./segment.ts";
import { TopicCatalogue } from "./topic-catalogue.ts";
import { decodeTransactionRecords, encodeTransactionRecord } from "./transaction-records.ts";

const topicId = "6f1c2a52-8d7b-4c6e-9a33-0e5b7d41c9f0";
const logId = "0b8f6d1e-4a2c-4f57-8e90-5c3d2b1a7e66";

/** The blocks of a page in one language, in order. */
function blocks(page: string, language: "hex" | "json"): string[] {
  const text = readFileSync(new URL(`../../docs/internals/formats/${page}.md`, import.meta.url), "utf8");
  return [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(
    ([, block]) => block as string,
  );
}

function bytesOf(block: string | undefined): Buffer {
  return Buffer.from((block ?? "").replaceAll(/#.*$/gm, "").replaceAll(/\s/g, ""), "hex");
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(journalBlockBytes - (bytes.length % journalBlockBytes))]);
}

test("the journal's header and group are those of the page", () => {
  const [header, group] = blocks("journal", "hex").map(bytesOf) as [Buffer, Buffer];
  assert.deepEqual(padded(header), encodeJournalHeader(logId, 16 * 1024 * 1024, { firstNumber: 12, oldest: 9 }));
  assert.equal(journalHeaderFault(padded(header), logId, "x"), undefined);
  const decoded = decodeGroup(padded(group), 0);
  const [run] = decoded?.runs ?? [];
  assert.ok(decoded && run);
  assert.deepEqual([decoded.number, decoded.oldest, decoded.blockBytes], [12, 9, 512]);
  assert.deepEqual([run.topicId, run.partition], [topicId, 2]);
  const batches = splitBatches(run.bytes);
  const [record] = batches.flatMap(decodeBatch);
  assert.deepEqual([record?.offset, String(record?.key), String(record?.value)], [7, "k", "v"]);
  assert.deepEqual(
    encodeGroup({ number: 12, oldest: 9 }, [{ topicId, partition: 2, batches }], Buffer.alloc(0)),
    padded(group),
  );
});

test("the segment's header is that of the page", () => {
  const [header] = blocks("segment", "hex").map(bytesOf);
  assert.deepEqual(encodeSegmentHeader({ topicId, partition: 2, baseOffset: 1000 }), header);
});

test("the offset index is that of the page", () => {
  const [bytes] = blocks("offset-index", "hex").map(bytesOf) as [Buffer];
  const index = OffsetIndex.decode(bytes, 1000);
  assert.deepEqual(
    [index?.positionOf(1019), index?.positionOf(1020), index?.positionOfTime(701), index?.endBytes],
    [40, 18_040, 18_040, 18_440],
  );
  assert.deepEqual(index?.encode(), bytes);
});

test("the checkpoint is that of the page", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  await disk.makeDirectory("/log");
  const content = JSON.parse(blocks("checkpoint", "json")[0] as string) as { readonly partitions: object };
  await writeCheckedFile(disk, "/log/checkpoint", "checkpoint", 2, content);
  const checkpoint = await readLogCheckpoint(disk, "/log", logId, silentDiagnostics);
  assert.ok(checkpoint);
  assert.deepEqual(checkpoint.partitions.get(`${topicId}/2`), {
    segment: 1000,
    bytePosition: 4096,
    offset: 1024,
    producers: undefined,
  });
  const before = disk.contents("/log/checkpoint");
  await writeLogCheckpoint(disk, "/log", checkpoint);
  assert.deepEqual(disk.contents("/log/checkpoint"), before);
});

test("the partition's state is that of the page", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  await disk.makeDirectory("/p");
  const content = JSON.parse(blocks("partition-state", "json")[0] as string);
  await writeCheckedFile(disk, "/p/state", "partition-state", 1, content);
  assert.deepEqual(await readPartitionState(disk, { topic: "t", topicId, partition: 0, directory: "/p" }), content);
});

test("the catalogue is that of the page, and older ones have their later settings by default", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  await disk.makeDirectory("/log");
  const content = JSON.parse(blocks("topic-catalogue", "json")[0] as string);
  await writeCheckedFile(disk, "/log/catalogue", "catalogue", 3, content);
  const catalogue = await TopicCatalogue.open(disk, "/log", seededRandom(1));
  assert.deepEqual(catalogue.topics, content.topics);
  const { configs: _, settings, ...topic } = content.topics[0];
  const { timestampType, timestampBeforeMaxMs, timestampAfterMaxMs, compression, minInsyncReplicas, ...ofFormat2 } =
    settings;
  const { segmentMs, dirtyRatioMin, tombstoneRetentionMs, compactionLagMinMs, compactionLagMaxMs, ...ofFormat1 } =
    ofFormat2;
  for (const [i, older] of [ofFormat1, ofFormat2].entries()) {
    await writeCheckedFile(disk, "/log/catalogue", "catalogue", i + 1, {
      ...content,
      topics: [{ ...topic, settings: older }],
    });
    assert.deepEqual((await TopicCatalogue.open(disk, "/log", seededRandom(1))).topics, [{ ...topic, settings }]);
  }
  const wrong = { ...content, topics: [{ ...content.topics[0], configs: { "retention.ms": 5 } }] };
  await writeCheckedFile(disk, "/log/catalogue", "catalogue", 3, wrong);
  await assert.rejects(TopicCatalogue.open(disk, "/log", seededRandom(1)), (error) =>
    MillraceError.is(error, "LOG_DAMAGED"),
  );
});

test("the records of decisions are those of the page", () => {
  for (const [i, block] of blocks("transaction-state", "json").entries()) {
    const { version, ...state } = JSON.parse(block);
    assert.equal(version, i + 1);
    const encoded = encodeTransactionRecord({ transactionalId: "unit", ...state }, 0);
    const [stored] = decodeTransactionRecords(encoded) ?? [];
    assert.deepEqual(stored, { kind: "state", offset: 0, timestamp: 0, record: { transactionalId: "unit", ...state } });
    assert.equal(JSON.parse(String([...decodeBatch(encoded)][0]?.value)).version, version);
  }
});
