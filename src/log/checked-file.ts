/**
 * A small file that is replaced whole: one line with what it is, its format and a checksum, then JSON. A reader finds
 * the old content or the new, never a mixture; what is damaged is told apart from what is missing.
 */
import * as path from "node:path";
import type { Disk } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import { crc32c } from "../records/crc32c.ts";

export type CheckedContent =
  | { readonly kind: "missing" }
  | { readonly kind: "damaged"; readonly reason: string }
  | { readonly kind: "read"; readonly format: number; readonly value: unknown };

/** Durable when it resolves. `name` has no spaces. */
export async function writeCheckedFile(
  disk: Disk,
  file: string,
  name: string,
  format: number,
  value: unknown,
): Promise<void> {
  const body = Buffer.from(JSON.stringify(value));
  const head = Buffer.from(`millrace ${name} ${format} ${crc32c(body).toString(16)} ${body.length}\n`);
  const draft = `${file}.new`;
  await disk.remove(draft);
  const handle = await disk.open(draft, "exclusive");
  try {
    await handle.write([head, body], 0);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await disk.rename(draft, file);
  await disk.syncDirectory(path.dirname(file));
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A whole number from 0. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * `isRight` looks at the content's shape: a checksum says that the bytes are those that were written, not who wrote them.
 * Throws `LOG_FORMAT_NEWER` for a format above `formatMax`.
 */
export async function readCheckedFile(
  disk: Disk,
  file: string,
  name: string,
  formatMax: number,
  isRight: (content: unknown) => boolean = () => true,
): Promise<CheckedContent> {
  if (!(await disk.exists(file))) return { kind: "missing" };
  const bytes = await readWhole(disk, file);
  const lineEnd = bytes.indexOf(0x0a);
  const words = bytes.toString("utf8", 0, Math.max(0, Math.min(lineEnd, 200))).split(" ");
  const [brand, fileName, format, checksum, length] = words;
  if (brand !== "millrace" || fileName !== name || !/^\d{1,6}$/.test(format ?? "")) {
    return { kind: "damaged", reason: "its first line is not that of such a file" };
  }
  if (Number(format) > formatMax) throw newerFormat(file, Number(format), formatMax);
  const body = bytes.subarray(lineEnd + 1);
  if (body.length !== Number(length)) return { kind: "damaged", reason: "its length is wrong" };
  if (crc32c(body).toString(16) !== checksum) return { kind: "damaged", reason: "its checksum does not match" };
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    return { kind: "damaged", reason: "its content is not JSON" };
  }
  if (!isRight(value)) return { kind: "damaged", reason: "its content is not that of such a file" };
  return { kind: "read", format: Number(format), value };
}

export function newerFormat(file: string, format: number, formatMax: number): MillraceError {
  return new MillraceError("LOG_FORMAT_NEWER", `${file} has format ${format}; this Millrace reads up to ${formatMax}`, {
    hint: "Start the newer Millrace that wrote it.",
    details: { file, format, formatMax },
  });
}

async function readWhole(disk: Disk, file: string): Promise<Buffer> {
  const handle = await disk.open(file, "read");
  try {
    const bytes = Buffer.alloc(await handle.size());
    return bytes.subarray(0, await handle.read(bytes, 0));
  } finally {
    await handle.close();
  }
}
