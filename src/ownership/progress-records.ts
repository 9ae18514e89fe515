/**
 * Records of `_millrace.progress` (docs/internals/formats/progress.md). Two keys per unit: `owner/<unit>`, whose
 * offset is the owner's epoch, and `progress/<unit>`, whose value is what the unit needs to go on.
 */
import { encodeBatch } from "../records/batch-builder.ts";

export const progressTopic = "_millrace.progress";

export type ProgressRecord =
  | { readonly kind: "owner"; readonly unit: string }
  /** `epoch` is that of the owner who wrote it. */
  | { readonly kind: "progress"; readonly unit: string; readonly epoch: number; readonly value: unknown };

export function encodeProgressRecord(record: ProgressRecord, nowMs: number): Buffer {
  return encodeProgressRecords([record], nowMs);
}

/** In one batch. */
export function encodeProgressRecords(records: readonly ProgressRecord[], nowMs: number): Buffer {
  return encodeBatch(
    records.map((record) => {
      const { kind, unit } = record;
      const content = kind === "owner" ? { version: 1 } : { version: 1, epoch: record.epoch, value: record.value };
      return { key: Buffer.from(`${kind}/${unit}`), value: Buffer.from(JSON.stringify(content)) };
    }),
    nowMs,
  );
}

/** Undefined for what is neither. */
export function decodeProgressRecord(key: Buffer | null, value: Buffer | null): ProgressRecord | undefined {
  const match = /^(owner|progress)\/(.+)$/s.exec(key?.toString("utf8") ?? "");
  if (!match || !value) return undefined;
  const unit = match[2] as string;
  if (match[1] === "owner") return { kind: "owner", unit };
  const content = JSON.parse(value.toString("utf8")) as { readonly epoch: number; readonly value: unknown };
  return { kind: "progress", unit, epoch: content.epoch, value: content.value };
}
