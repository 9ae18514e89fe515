/**
 * Every reader of bytes from the disk, on valid bytes that were changed: by flips, cuts, holes, copies and numbers that
 * ask for much. In half of the cases the checksums are made right again, so that what stands behind them is reached.
 *
 * What must hold: nothing is thrown but coded errors; what is allocated at once is in proportion to the bytes; a file is
 * read a bounded number of times. `MILLRACE_FUZZ_CASES` sets the number of cases, `MILLRACE_FUZZ_SEED` the first seed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import type { Disk, DiskFile } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import { Gate } from "../base/gate.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { encodeBatch, encodeControlBatch } from "../records/batch-builder.ts";
import { batchSizeBytes, placeBatch, stampTransaction, writeBatchChecksum } from "../records/batch-header.ts";
import { checkBatchWhole, headerFault, splitBatches } from "../records/batch-validator.ts";
import { crc32c } from "../records/crc32c.ts";
import { AbortedIndex } from "./aborted-index.ts";
import { finishSwap } from "./cleaner/swap.ts";
import { FilePool } from "./file-pool.ts";
import { decodeGroupRecord, encodeGroupRecord } from "./groups/group-records.ts";
import {
  decodeGroup,
  encodeGroup,
  encodeJournalHeader,
  groupHeaderBytes,
  journalBlockBytes,
  journalHeaderFault,
  runHeaderBytes,
} from "./journal-format.ts";
import { readJournal } from "./journal-recovery.ts";
import { KeyMemory } from "./keys/key-memory.ts";
import { readLogCheckpoint } from "./log-checkpoint.ts";
import { defaultLogLimits, type LogContext, type PartitionPlace } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import { recoverPartition } from "./partition-recovery.ts";
import { readPartitionState } from "./partition-state.ts";
import { decodeProducerSnapshot, encodeProducerSnapshot } from "./producer-snapshot.ts";
import { ProducerTable } from "./producer-table.ts";
import { ReadAhead } from "./read-ahead.ts";
import { ReadMemory } from "./read-memory.ts";
import { encodeSegmentHeader, segmentHeaderBytes, segmentHeaderFault } from "./segment.ts";
import { SegmentIndexes } from "./segment-index.ts";
import { findBatchBehind, scanSegment } from "./segment-scan.ts";
import { TailCache } from "./tail-cache.ts";
import { laterTopicSettings, TopicCatalogue } from "./topic-catalogue.ts";
import { decodeTransactionRecords } from "./transaction-records.ts";
import { SegmentBytes } from "./verify/segment-bytes.ts";
import { scanTolerantly } from "./verify/tolerant-scan.ts";
import { WriteMemory } from "./write-memory.ts";

const cases = Number(process.env.MILLRACE_FUZZ_CASES ?? 20_000);
const firstSeed = Number(process.env.MILLRACE_FUZZ_SEED ?? 1);

const topicId = "0f5b3a52-6a0e-4d3a-9c51-6a1f8f6a2b11";
const logId = "6a1f8f6a-0e4d-4a52-9c51-0f5b3a526b11";
const place: PartitionPlace = { topic: "t", topicId, partition: 3, directory: "/log/topics/t/3" };
const settings = { segmentBytesMax: 1_000_000, segmentMs: 1e9, durability: "fsync" } as const;
const clock = new VirtualClock();

/** Files in memory; too many reads are an endless loop. */
class FuzzDisk implements Disk {
  readonly files = new Map<string, Buffer>();
  #readsLeft: number;

  constructor(files: Readonly<Record<string, Buffer>>, readsMax = 2000) {
    for (const [path, bytes] of Object.entries(files)) this.files.set(path, Buffer.from(bytes));
    this.#readsLeft = readsMax;
  }

  async open(path: string, mode: string): Promise<DiskFile> {
    const { files } = this;
    if (!files.has(path)) {
      if (mode === "read" || mode === "write") throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
      files.set(path, Buffer.alloc(0));
    }
    const bytes = () => files.get(path) ?? Buffer.alloc(0);
    return {
      path,
      read: async (target, at) => {
        assert.ok(this.#readsLeft-- > 0, "a file is read without end");
        return at >= bytes().length ? 0 : bytes().copy(target, 0, at);
      },
      write: async (buffers, at) => {
        const added = Buffer.concat(buffers);
        const whole = Buffer.alloc(Math.max(bytes().length, at + added.length));
        bytes().copy(whole);
        added.copy(whole, at);
        files.set(path, whole);
      },
      truncate: async (length) => {
        const cut = Buffer.alloc(length);
        bytes().copy(cut);
        files.set(path, cut);
      },
      size: async () => bytes().length,
      datasync: async () => undefined,
      close: async () => undefined,
    };
  }

  async list(directory: string): Promise<string[]> {
    const inside = [...this.files.keys()].filter((path) => path.startsWith(`${directory}/`));
    return [...new Set(inside.map((path) => path.slice(directory.length + 1).split("/")[0] as string))].sort();
  }

  async exists(path: string): Promise<boolean> {
    return this.files.has(path) || [...this.files.keys()].some((file) => file.startsWith(`${path}/`));
  }

  async rename(from: string, to: string): Promise<void> {
    this.files.set(to, this.files.get(from) as Buffer);
    this.files.delete(from);
  }

  async remove(path: string): Promise<void> {
    this.files.delete(path);
  }

  async makeDirectory(): Promise<void> {}
  async removeDirectory(): Promise<void> {}
  async syncDirectory(): Promise<void> {}
  async freeBytes(): Promise<number> {
    return Number.MAX_SAFE_INTEGER;
  }
}

function recordBatch(baseOffset: number, count: number, more: { codec?: number; producerId?: number } = {}): Buffer {
  const records = Array.from({ length: count }, (_, i) => ({
    key: Buffer.from(`k${i}`),
    value: Buffer.from(`value ${i}`),
  }));
  const batch = encodeBatch(records, 1000, more.codec ?? 0);
  if (more.producerId !== undefined) stampTransaction(batch, more.producerId, 1, baseOffset);
  placeBatch(batch, baseOffset, 0);
  return batch;
}

function marker(offset: number, kind: "abort" | "commit"): Buffer {
  const batch = encodeControlBatch(kind, { producerId: 5, epoch: 1 }, 1000);
  placeBatch(batch, offset, 0);
  return batch;
}

const batches = [
  recordBatch(0, 3),
  recordBatch(3, 1, { producerId: 5 }),
  marker(4, "abort"),
  recordBatch(5, 4, { codec: 1 }),
  recordBatch(9, 2, { producerId: 5 }),
  marker(11, "commit"),
];
const segment = Buffer.concat([encodeSegmentHeader({ topicId, partition: 3, baseOffset: 0 }), ...batches]);
const draftPath = `${place.directory}/00000000000000000000.1.log.draft`;
const segmentPath = `${place.directory}/00000000000000000000.log`;

function contextOn(disk: Disk): LogContext {
  const files = new FilePool(disk, 4);
  const readMemory = new ReadMemory(0);
  return {
    disk,
    clock,
    diagnostics: silentDiagnostics,
    limits: { ...defaultLogLimits, groupBytesMax: 100, unsyncedBytesMax: 100 },
    files,
    indexes: new SegmentIndexes(disk, files),
    tails: new TailCache(0),
    keys: new KeyMemory(0),
    memory: new WriteMemory(0),
    readMemory,
    ahead: new ReadAhead(readMemory, 0),
    oldReads: new Gate(1),
  };
}

interface Target {
  readonly name: string;
  readonly valid: Buffer;
  /** Makes its checksums right again. */
  readonly seal?: (bytes: Buffer) => Buffer;
  readonly read: (bytes: Buffer) => unknown;
  /** Of so many cases one is of this target, by weight. */
  readonly weight?: number;
}

function sealAt(crcAt: number, from: number, end?: number) {
  return (bytes: Buffer): Buffer => {
    if (bytes.length < Math.max(crcAt + 4, from)) return bytes;
    const covered = [bytes.subarray(0, from > crcAt ? crcAt : 0), bytes.subarray(from, end)];
    bytes.writeUInt32BE(crc32c(Buffer.concat(covered)), crcAt);
    return bytes;
  };
}

function checkedFile(name: string, format: number, value: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(value));
  return sealChecked(Buffer.concat([Buffer.from(`millrace ${name} ${format} 0 0\n`), body]));
}

function sealChecked(bytes: Buffer): Buffer {
  const lineEnd = bytes.indexOf(0x0a);
  if (lineEnd < 0) return bytes;
  const [brand, name, format] = bytes.toString("latin1", 0, lineEnd).split(" ");
  const body = bytes.subarray(lineEnd + 1);
  const head = `${brand} ${name} ${format} ${crc32c(body).toString(16)} ${body.length}\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), body]);
}

/** Of the header and the table; the runs have their own, and stay as they are. */
function sealGroup(bytes: Buffer): Buffer {
  if (bytes.length < groupHeaderBytes) return bytes;
  const count = bytes.readUInt32BE(24);
  const tableEnd = groupHeaderBytes + count * runHeaderBytes;
  if (tableEnd > bytes.length) return bytes;
  bytes.writeUInt32BE(crc32c(bytes.subarray(8, tableEnd)), 4);
  return bytes;
}

function sealJournal(bytes: Buffer): Buffer {
  sealGroup(bytes.subarray(journalBlockBytes));
  return bytes;
}

function sealBatches(from: number) {
  return (bytes: Buffer): Buffer => {
    for (let at = from; headerFault(bytes, at, bytes.length) === undefined; ) {
      const end = at + batchSizeBytes(bytes, at);
      if (end > bytes.length) break;
      writeBatchChecksum(bytes.subarray(at, end));
      at = end;
    }
    return bytes;
  };
}

const runs = [
  { topicId, partition: 3, batches: batches.slice(0, 3) },
  { topicId: logId, partition: 0, batches: batches.slice(3) },
];
const group = encodeGroup({ number: 1, oldest: 1 }, runs, Buffer.alloc(0));
const second = encodeGroup({ number: 2, oldest: 1 }, runs.slice(1), Buffer.alloc(0));
const journal = Buffer.concat([
  encodeJournalHeader(logId, 4096, { firstNumber: 1, oldest: 1 }),
  group,
  second,
  Buffer.alloc(1024),
]);

const transactionRecord = Buffer.from(
  JSON.stringify({ version: 1, producerId: 4, epoch: 18, decided: { outcome: "commit", producerId: 4, epoch: 17 } }),
);

function producers(): Buffer {
  const table = new ProducerTable();
  for (let i = 1; i < 8; i++) {
    const batch = recordBatch(i * 10, 2, { producerId: i });
    table.apply({ ...headerOf(batch), attributes: i % 2 === 0 ? 0 : 0x10 }, 1000);
  }
  return encodeProducerSnapshot(place, { offset: 100, table });
}

function headerOf(batch: Buffer) {
  return {
    baseOffset: batch.readUInt32BE(4),
    lastOffset: batch.readUInt32BE(4) + batch.readInt32BE(23),
    sizeBytes: batch.length,
    leaderEpoch: 0,
    attributes: 0,
    baseTimestamp: 1000,
    maxTimestamp: 1000,
    producerId: batch.readUInt32BE(47),
    producerEpoch: 1,
    baseSequence: 0,
    recordCount: 2,
  };
}

function offsetIndex(): Buffer {
  const index = new OffsetIndex(100, segmentHeaderBytes);
  for (let i = 0; i < 50; i++) index.add(100 + i, 100 + i, 20_000, 1000 + i);
  return index.encode();
}

function abortedIndex(): Buffer {
  const index = new AbortedIndex(100, segmentHeaderBytes);
  for (let i = 0; i < 20; i++) {
    const range = { producerId: i, firstOffset: 100 + i * 10, lastOffset: 105 + i * 10 };
    index.add(range, 106 + i * 10);
  }
  index.endBytes = 10_000;
  return index.encode();
}

const snapshot = producers();
const checkpoint = checkedFile("checkpoint", 2, {
  logId,
  transactionsOffset: 12,
  producers: [{ transactionalId: "unit", producerId: 5, epoch: 1, usedMs: 1 }],
  nextProducerId: 1000,
  journal: { file: 0, bytePosition: 512, number: 1 },
  heldJournalFiles: [1],
  partitions: { [`${topicId}/3`]: [0, 300, 9, snapshot.toString("base64")], [`${topicId}/4`]: [0, 40, 0] },
});
const catalogue = checkedFile("catalogue", 2, {
  logId,
  topics: [
    {
      name: "t",
      id: topicId,
      settings: { ...laterTopicSettings, partitions: 4, retentionMs: null, retentionBytes: 100, cleanup: "delete" },
      readOnly: false,
      createdMs: 1,
    },
  ],
});
const state = checkedFile("partition-state", 1, { logStart: 5, epochs: [{ epoch: 0, startOffset: 0 }], cleanedTo: 5 });
const swap = checkedFile("swap", 1, {
  remove: ["00000000000000000000.log", "00000000000000000012.log"],
  add: "00000000000000000000.1.log",
});

const groupRecord = encodeGroupRecord({
  kind: "offset",
  group: "g",
  topic: "t",
  partition: 1,
  value: { offset: 5, leaderEpoch: 1, metadata: "m", committedMs: 1, topicId },
});

const targets: readonly Target[] = [
  {
    name: "segment header",
    valid: segment.subarray(0, 40),
    seal: sealAt(36, 0, 36),
    read: (bytes) => segmentHeaderFault(bytes, { topicId, partition: 3, baseOffset: 0 }, "x"),
  },
  {
    name: "offset index",
    valid: offsetIndex(),
    seal: sealAt(44, 48),
    read: (bytes) => OffsetIndex.decode(bytes, 100)?.positionOf(120),
  },
  {
    name: "aborted index",
    valid: abortedIndex(),
    seal: sealAt(8, 12),
    read: (bytes) => AbortedIndex.decode(bytes, 100, "x")?.overlapping(0, 1000, []),
  },
  {
    name: "producer snapshot",
    valid: snapshot,
    seal: sealAt(8, 12),
    read: (bytes) => decodeProducerSnapshot(bytes, place, "x")?.table.openTransactions(),
  },
  {
    name: "journal header",
    valid: journal.subarray(0, journalBlockBytes),
    seal: sealAt(44, 0, 44),
    read: (bytes) => journalHeaderFault(bytes, logId, "x"),
  },
  {
    name: "journal group",
    valid: group,
    seal: sealGroup,
    read: (bytes) => decodeGroup(bytes, 0)?.runs.map((run) => splitBatches(run.bytes)),
  },
  {
    name: "journal file",
    valid: journal,
    seal: sealJournal,
    read: (bytes) =>
      readJournal(new FuzzDisk({ "/j/00000000.journal": bytes }), "/j", logId, { position: undefined, held: [] }),
  },
  {
    name: "checkpoint",
    valid: checkpoint,
    seal: sealChecked,
    read: (bytes) => readLogCheckpoint(new FuzzDisk({ "/log/checkpoint": bytes }), "/log", logId, silentDiagnostics),
  },
  {
    name: "catalogue",
    valid: catalogue,
    seal: sealChecked,
    read: (bytes) => TopicCatalogue.open(new FuzzDisk({ "/log/catalogue": bytes }), "/log", seededRandom(1)),
  },
  {
    name: "partition state",
    valid: state,
    seal: sealChecked,
    read: (bytes) => readPartitionState(new FuzzDisk({ [`${place.directory}/state`]: bytes }), place),
  },
  {
    name: "swap file",
    valid: swap,
    seal: sealChecked,
    read: (bytes) =>
      finishSwap(
        new FuzzDisk({ [`${place.directory}/swap`]: bytes, [segmentPath]: segment, [draftPath]: segment }),
        place,
      ),
  },
  {
    name: "transaction record",
    valid: transactionRecord,
    read: (bytes) => decodeTransactionRecords(encodeBatch([{ key: Buffer.from("unit"), value: bytes }], 0)),
  },
  {
    name: "group record",
    valid: groupRecord.value as Buffer,
    read: (bytes) => decodeGroupRecord(groupRecord.key, bytes),
  },
  {
    name: "group record's key",
    valid: groupRecord.key as Buffer,
    read: (bytes) => decodeGroupRecord(bytes, groupRecord.value),
  },
  {
    name: "record batch",
    valid: batches[3] as Buffer,
    seal: sealBatches(0),
    read: (bytes) => checkBatchWhole(bytes, 1024 * 1024),
  },
  { name: "segment scan", valid: segment, seal: sealBatches(segmentHeaderBytes), read: scanBoth, weight: 2 },
  { name: "segment scan past faults", valid: segment, seal: sealBatches(segmentHeaderBytes), read: scanOn, weight: 2 },
  { name: "recovery of a partition", valid: segment, seal: sealBatches(segmentHeaderBytes), read: recover, weight: 2 },
  {
    name: "recovery of a cleaned partition",
    valid: segment,
    seal: sealBatches(segmentHeaderBytes),
    read: recoverCleaned,
  },
];

async function scanBoth(bytes: Buffer): Promise<void> {
  const file = await new FuzzDisk({ "/s": bytes }).open("/s", "read");
  for (const gaps of [false, true]) {
    const end = await scanSegment(
      file,
      { bytePosition: segmentHeaderBytes, offset: 0 },
      bytes.length,
      gaps,
      () => undefined,
    );
    if (end.fault !== undefined) await findBatchBehind(file, end.bytePosition + 1, end.offset, bytes.length);
  }
}

async function scanOn(bytes: Buffer): Promise<void> {
  const file = await new FuzzDisk({ "/s": bytes }).open("/s", "read");
  const from = { bytePosition: segmentHeaderBytes, offset: 0, gaps: false, endOffsetMax: Number.MAX_SAFE_INTEGER };
  const { runs: found, faults } = await scanTolerantly(new SegmentBytes(file, bytes.length), from, () => undefined);
  const covered = [...found, ...faults].reduce((sum, { fromBytes, toBytes }) => sum + toBytes - fromBytes, 0);
  assert.equal(covered, Math.max(0, bytes.length - segmentHeaderBytes), "each byte is in one run or one fault");
}

async function recover(bytes: Buffer): Promise<void> {
  const disk = new FuzzDisk({ [segmentPath]: bytes });
  const journaled = { batches: new Map([[9, batches[4] as Buffer]]), files: new Set([0]) };
  await recoverPartition(contextOn(disk), place, settings, undefined, journaled);
}

async function recoverCleaned(bytes: Buffer): Promise<void> {
  const cleaned = `${place.directory}/00000000000000000000.1.log`;
  const last = `${place.directory}/00000000000000000012.log`;
  const empty = encodeSegmentHeader({ topicId, partition: 3, baseOffset: 12 });
  await recoverPartition(
    contextOn(new FuzzDisk({ [cleaned]: bytes, [last]: empty })),
    place,
    settings,
    undefined,
    undefined,
  );
}

function mutate(random: Random, valid: Buffer): Buffer {
  let bytes: Buffer = Buffer.from(valid);
  for (let i = random.below(4); i >= 0; i--) {
    const at = random.below(bytes.length + 1);
    const kind = random.below(8);
    if (kind === 0) bytes = bytes.subarray(0, at);
    else if (kind === 1) bytes = Buffer.concat([bytes, random.bytes(random.below(80))]);
    else if (kind === 2) bytes.fill(random.below(2) * 0xff, at, Math.min(bytes.length, at + random.below(64)));
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.below(bytes.length + 1))]);
    else if (kind === 4 && at + 4 <= bytes.length) bytes.writeInt32BE(loud[random.below(loud.length)] as number, at);
    else if (at < bytes.length)
      bytes[at] = kind === 5 ? random.below(256) : (bytes[at] as number) ^ (1 << random.below(8));
  }
  return bytes;
}

/** Numbers that ask for much, or for less than nothing. */
const loud = [0x7fffffff, -1, -0x80000000, 0x7ffffff0, 0x10000000, 0, 1, 0xffff];

/** The largest that was asked for at once while `act` runs. */
class Allocations {
  largest = 0;
  readonly #undo: (() => void)[] = [];

  constructor() {
    for (const name of ["alloc", "allocUnsafe", "allocUnsafeSlow"] as const) {
      const own = Buffer[name];
      Buffer[name] = ((size: number, ...rest: []) => {
        this.largest = Math.max(this.largest, size);
        return own.call(Buffer, size, ...rest);
      }) as typeof own;
      this.#undo.push(() => {
        Buffer[name] = own;
      });
    }
    const own = globalThis.Float64Array;
    globalThis.Float64Array = new Proxy(own, {
      construct: (target, args, newTarget) => {
        if (typeof args[0] === "number") this.largest = Math.max(this.largest, args[0] * 8);
        return Reflect.construct(target, args, newTarget);
      },
    });
    this.#undo.push(() => {
      globalThis.Float64Array = own;
    });
  }

  end(): void {
    for (const undo of this.#undo) undo();
  }
}

/** A window of a file, and the room that a table begins with. */
const allocationFloorBytes = 64 * 1024;

test("the samples that are changed are valid", async () => {
  for (const { name, valid, read } of targets) {
    await assert.doesNotReject(async () => await read(Buffer.from(valid)), name);
  }
});

test(`${cases} changed inputs: coded errors only, bounded allocations, no endless loop`, async () => {
  const weighted = targets.flatMap((target) => Array.from({ length: target.weight ?? 1 }, () => target));
  const allocations = new Allocations();
  const counts = new Map<string, { refused: number; taken: number }>();
  try {
    for (let i = 0; i < cases; i++) {
      const seed = firstSeed + i;
      const random = seededRandom(seed);
      const target = weighted[i % weighted.length] as Target;
      const changed = mutate(random, target.valid);
      const bytes = target.seal && random.below(2) === 0 ? target.seal(Buffer.from(changed)) : changed;
      allocations.largest = 0;
      const count = counts.get(target.name) ?? { refused: 0, taken: 0 };
      counts.set(target.name, count);
      try {
        const read = target.read(bytes);
        if (read instanceof Promise) await read;
        count.taken++;
      } catch (error) {
        if (!MillraceError.is(error)) throw new Error(`${target.name}, seed ${seed}`, { cause: error });
        count.refused++;
      }
      assert.ok(
        allocations.largest <= allocationFloorBytes + 16 * bytes.length,
        `${target.name}, seed ${seed}: ${allocations.largest} bytes at once for ${bytes.length}`,
      );
    }
  } finally {
    allocations.end();
  }
  if (cases > 100_000)
    for (const [name, { taken, refused }] of counts) console.log(`${name}: ${taken} read, ${refused} refused`);
});
