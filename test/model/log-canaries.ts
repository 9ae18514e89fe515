/** Faults that the model must notice: each is a log, or a disk under it, that does something that no log may do. */
import { mock } from "node:test";
import type { Disk, DiskFile } from "../../src/base/disk.ts";
import type { Random } from "../../src/base/random.ts";
import type { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { OffsetMap } from "../../src/log/cleaner/offset-map.ts";
import { OffsetIndex } from "../../src/log/offset-index.ts";
import { Partition } from "../../src/log/partition.ts";
import { PartitionWriter } from "../../src/log/partition-writer.ts";
import { segmentHeaderBytes } from "../../src/log/segment.ts";
import { SegmentReader } from "../../src/log/segment-reader.ts";
import type { DecidedTransaction } from "../../src/log/transaction-records.ts";
import { Decisions } from "../../src/log/transaction-recovery.ts";
import { TransactionalIds } from "../../src/log/transactional-ids.ts";
import { batchBaseOffset, batchLastOffset, batchSizeBytes } from "../../src/records/batch-header.ts";
import { crc32c } from "../../src/records/crc32c.ts";
import { writeInt64 } from "../../src/records/int64.ts";
import type { HistoryOptions } from "./log-history.ts";

export interface Canary {
  readonly what: string;
  readonly options?: HistoryOptions;
  /** Breaks the log; answers what mends it. */
  readonly break?: () => { mock: { restore(): void } };
}

export const canaries: readonly Canary[] = [
  {
    what: "a log that does not sync its segments",
    options: { ignoresSync: (operation, path) => operation === "datasync" && path.endsWith(".log") },
  },
  {
    what: "a log that does not sync its journal",
    options: { ignoresSync: (operation, path) => operation === "datasync" && path.endsWith(".journal") },
  },
  {
    what: "a log that does not sync folders",
    options: { ignoresSync: (operation) => operation === "syncDirectory" },
  },
  { what: "a log that answers before its sync has ended", options: { wrap: withEarlySyncs } },
  {
    what: "a cleaner that drops the newest record of a key",
    break: () => {
      const { get } = OffsetMap.prototype;
      return mock.method(OffsetMap.prototype, "get", function (this: OffsetMap, index: number) {
        const offset = get.call(this, index);
        return offset < 0 ? offset : offset + 1;
      });
    },
  },
  {
    what: "a decision that does not wait for the data that it decides over",
    break: () => mock.method(Partition.prototype, "ahead", () => undefined),
  },
  {
    what: "a decision that goes along with an earlier one, before its data",
    break: () =>
      mock.method(PartitionWriter.prototype, "behind", function (this: PartitionWriter, _: number, offset: number) {
        return this.ahead(offset);
      }),
  },
  {
    what: "a start that takes a decision for that of a later transaction of the same epoch",
    break: () => {
      const { add } = Decisions.prototype;
      return mock.method(Decisions.prototype, "add", function (this: Decisions, decided: DecidedTransaction) {
        const { ends, ...without } = decided;
        add.call(this, without);
      });
    },
  },
  {
    what: "a start that does not know where partitions were added to a client's transaction",
    break: () => {
      const { learn } = TransactionalIds.prototype;
      return mock.method(
        TransactionalIds.prototype,
        "learn",
        function (this: TransactionalIds, ...args: LearnArguments) {
          const [{ wire, ...state }, usedMs] = args;
          const { open, ...kept } = wire ?? {};
          learn.call(this, wire ? { ...state, wire: kept } : state, usedMs);
        },
      );
    },
  },
  {
    what: "a reader that begins where a wrong index leads it",
    options: { beforeStart: misleadIndexes },
    break: () =>
      mock.method(SegmentReader.prototype, "read", async function (this: SegmentReader, ...args: ReadArguments) {
        const [{ segment, index, endOffset }, offset, end, bytesMax] = args;
        const start = index.positionOf(offset) ?? segmentHeaderBytes;
        const all = await readAll.call(this, { segment, index: empty(index), endOffset }, segment.baseOffset, end, 1e9);
        let position = segmentHeaderBytes;
        let bytes = 0;
        return all.filter((batch) => {
          const isBefore = position < start || batchLastOffset(batch) < offset;
          position += batch.length;
          if (isBefore || (bytes > 0 && bytes + batch.length > bytesMax)) return false;
          bytes += batch.length;
          return true;
        });
      }),
  },
];

type LearnArguments = Parameters<TransactionalIds["learn"]>;
type ReadArguments = Parameters<SegmentReader["read"]>;
const readAll = SegmentReader.prototype.read;

function empty({ baseOffset }: OffsetIndex): OffsetIndex {
  return new OffsetIndex(baseOffset, segmentHeaderBytes);
}

/** Syncs answer at once, and happen later. */
function withEarlySyncs(disk: Disk): Disk {
  return bound(disk, {
    open: async (path: string, mode: Parameters<Disk["open"]>[1]) => {
      const file = await disk.open(path, mode);
      return bound(file, {
        datasync: async () => {
          file.datasync().catch(() => undefined);
        },
      }) as DiskFile;
    },
  }) as Disk;
}

/** Calls go to `target` itself, whose private fields a prototype chain does not reach. */
function bound<T extends object>(target: T, instead: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get(_, name) {
      if (typeof name === "string" && Object.hasOwn(instead, name)) return instead[name];
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Every index, with right checksums, leads to the batch behind the one that it should, or to no batch at all. */
export async function misleadIndexes(disk: SimulatedDisk, random: Random): Promise<void> {
  for (const topic of await listed(disk, "/data/log/topics")) {
    for (const partition of await listed(disk, topic)) {
      for (const file of await listed(disk, partition)) {
        if (file.endsWith(".log")) await misleadIndex(disk, file, random);
      }
    }
  }
}

async function misleadIndex(disk: SimulatedDisk, segment: string, random: Random): Promise<void> {
  const file = segment.replace(/\.log$/, ".index");
  if (!(await disk.exists(file))) return;
  const baseOffset = Number(/(\d{20})[^/]*$/.exec(segment)?.[1]);
  const right = OffsetIndex.decode(disk.contents(file), baseOffset);
  if (!right) return;
  const bytes = disk.contents(segment);
  if (bytes.length < right.endBytes) return;
  const shiftBytes = random.below(3) === 0 ? 1 + random.below(100) : undefined;
  const entries: Buffer[] = [];
  for (let position = segmentHeaderBytes; position < right.endBytes; ) {
    const sizeBytes = batchSizeBytes(bytes, position);
    const entry = Buffer.alloc(20);
    entry.writeUInt32BE(batchBaseOffset(bytes, position) - baseOffset, 0);
    writeInt64(entry, 4, position + (shiftBytes ?? sizeBytes));
    // No search for a time begins here: that one cannot see whether it begins too late.
    writeInt64(entry, 12, Number.MAX_SAFE_INTEGER);
    entries.push(entry);
    position += sizeBytes;
  }
  const wrong = Buffer.concat([right.encode().subarray(0, 48), ...entries]);
  wrong.writeUInt32BE(entries.length, 40);
  wrong.writeUInt32BE(crc32c(Buffer.concat([wrong.subarray(0, 44), wrong.subarray(48)])), 44);
  disk.restore(file, { toBuffer: () => wrong });
}

async function listed(disk: SimulatedDisk, folder: string): Promise<string[]> {
  if (!(await disk.exists(folder))) return [];
  return (await disk.list(folder)).map((name) => `${folder}/${name}`);
}
