/**
 * Where a repair puts what it takes out of the log: `<log>/repaired/<number>/`, numbered from 1, with copies of bytes and a
 * `manifest.json` that says what each is, from where, and why. Millrace never reads it again.
 *
 * Always true: the folder is durable, manifest and all, before the repair changes anything. A folder without a manifest is
 * of a repair that did not come so far, and is made anew by the next.
 */
import * as path from "node:path";
import type { Disk } from "../../base/disk.ts";
import { SegmentBytes } from "./segment-bytes.ts";

export interface AsideItem {
  readonly path: string;
  readonly fromBytes: number;
  /** Infinite for all of the file. */
  readonly toBytes: number;
  readonly topic: string | null;
  readonly partition: number | null;
  readonly reason: string;
}

export interface AsideFacts {
  readonly madeMs: number;
  readonly logId: string | null;
  /** What is done, in words. */
  readonly steps: readonly string[];
}

const manifestName = "manifest.json";
const copyBytes = 1024 * 1024;

/** Copies; durable when it resolves. Answers the folder. A file that is missing is told as such. */
export async function keepAside(
  disk: Disk,
  logDirectory: string,
  items: readonly AsideItem[],
  facts: AsideFacts,
): Promise<string> {
  const root = path.join(logDirectory, "repaired");
  const folder = await nextFolder(disk, root);
  await disk.makeDirectory(folder);
  const kept = [];
  for (const [i, item] of items.entries()) {
    const name = `${String(i + 1).padStart(4, "0")}.${path.basename(item.path)}`;
    const copied = await copy(disk, item, path.join(folder, name));
    const { topic, partition, reason } = item;
    const from = path.relative(logDirectory, item.path);
    kept.push({ file: copied ? name : null, from, ...copied, topic, partition, reason });
  }
  await writeWhole(
    disk,
    path.join(folder, `${manifestName}.new`),
    Buffer.from(JSON.stringify({ format: 1, ...facts, kept }, null, 2)),
  );
  await disk.syncDirectory(folder);
  await disk.syncDirectory(root);
  await disk.syncDirectory(logDirectory);
  // The name says that all of it is there.
  await disk.rename(path.join(folder, `${manifestName}.new`), path.join(folder, manifestName));
  await disk.syncDirectory(folder);
  return folder;
}

async function nextFolder(disk: Disk, root: string): Promise<string> {
  const numbers = (await disk.exists(root)) ? (await disk.list(root)).filter((name) => /^\d{4,9}$/.test(name)) : [];
  const last = Math.max(0, ...numbers.map(Number));
  const folderOf = (number: number): string => path.join(root, String(number).padStart(4, "0"));
  if (last === 0 || (await disk.exists(path.join(folderOf(last), manifestName)))) return folderOf(last + 1);
  await disk.removeDirectory(folderOf(last));
  return folderOf(last);
}

interface Copied {
  readonly fromBytes: number;
  readonly toBytes: number;
  /** Zeros stand in the copy for what the disk could not read. */
  readonly unreadable?: readonly (readonly [number, number])[];
}

async function copy(disk: Disk, item: AsideItem, to: string): Promise<Copied | undefined> {
  if (!(await disk.exists(item.path))) return undefined;
  const source = await disk.open(item.path, "read");
  try {
    const sizeBytes = await source.size();
    const toBytes = Math.min(item.toBytes, sizeBytes);
    const bytes = new SegmentBytes(source, sizeBytes);
    const target = await disk.open(to, "exclusive");
    try {
      for (let at = item.fromBytes; at < toBytes; at += copyBytes) {
        const chunk = await bytes.at(at, Math.min(copyBytes, toBytes - at));
        await target.write([chunk], at - item.fromBytes);
      }
      await target.datasync();
    } finally {
      await target.close();
    }
    const unreadable = bytes.unreadable.map((range) => [range.fromBytes, range.toBytes] as const);
    return { fromBytes: item.fromBytes, toBytes, ...(unreadable.length > 0 ? { unreadable } : {}) };
  } finally {
    await source.close();
  }
}

async function writeWhole(disk: Disk, file: string, bytes: Buffer): Promise<void> {
  const handle = await disk.open(file, "exclusive");
  try {
    await handle.write([bytes], 0);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}
