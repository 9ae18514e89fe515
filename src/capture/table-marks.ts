/**
 * What the catalogue says of a table beyond its shape, kept while its rows in the log are right. The stream tells of rows
 * that are changed one by one; it is silent when a change of the table writes all of them anew, when a type prints them
 * otherwise, and while a publication leaves them out. Such a change leaves its mark in the catalogue. Pure.
 */
import { createHash } from "node:crypto";

export interface TableMarks {
  /** Of the files of its rows: a new one where they were packed, emptied, or written anew. */
  readonly files: string;
  /** Of the versions of its columns' entries. */
  readonly columns: string;
  /** The captured columns' numbers, in their order. A number is given once, whatever becomes of its column. */
  readonly numbers: readonly number[];
  /** The last number that was given. */
  readonly lastNumber: number;
  /** The largest number of a column that is gone; 0 for none. */
  readonly lastDropped: number;
  /** Of what the parts of its composite types are. */
  readonly composites: string;
  /** Labels of its enums: a digest, and the last label's number. */
  readonly labels: { readonly digest: string; readonly last: number };
  /** Of the versions of its entries in the publications; null when it is in none. */
  readonly published: string | null;
  /** Of a partitioned table: what is known of each partition that holds rows, by its number. */
  readonly partitions?: Readonly<Record<string, PartitionMark>>;
}

/** A digest of the partition's file and of the entries that make it one: others when it went away and came back. */
export type PartitionMark = readonly [file: number, place: string];

/** An enum's label, by the server's number. */
export type Label = readonly [number: number, label: string];

/** As the catalogue is read: labels are there one by one, so that those that were known can be compared. */
export interface MarksNow extends TableMarks {
  readonly labelsNow: readonly Label[];
  /** Partitions that were not known, were tables before they became partitions, and hold rows now: nobody was told of those. */
  readonly partitionsFilled: readonly string[];
}

export type MarksChange =
  | { readonly kind: "none" }
  /** Nothing that concerns rows: it counts from here on. */
  | { readonly kind: "moved" }
  | { readonly kind: "again"; readonly reason: string };

/** What has become of a table's rows, beside what the stream tells of them. */
export function compareMarks(before: TableMarks, now: MarksNow): MarksChange {
  const reason = reasonToRead(before, now);
  if (reason !== null) return { kind: "again", reason };
  return { kind: JSON.stringify(keptMarks(before)) === JSON.stringify(keptMarks(now)) ? "none" : "moved" };
}

function reasonToRead(before: TableMarks, now: MarksNow): string | null {
  if (before.published !== now.published) return "its publication was changed";
  for (const [i, number] of now.numbers.entries()) {
    const known = before.numbers[i];
    if (known === undefined ? number <= before.lastNumber : number !== known) {
      return "a column stands where another one stood";
    }
  }
  if (now.lastDropped > before.lastNumber) return "a column was added and dropped again";
  // Packing a table makes a new file, and a comment on a column's values a new entry. Both at once: its rows were changed.
  if (before.files !== now.files && before.columns !== now.columns) return "its rows were written anew";
  const partition = partitionReason(before.partitions, now);
  if (partition !== null) return partition;
  if (before.composites !== now.composites) return "a composite type has other attributes";
  const known = now.labelsNow.filter(([number]) => number <= before.labels.last);
  return labelDigest(known) === before.labels.digest ? null : "a label of an enum was renamed";
}

/**
 * Rows come with a partition that is attached, and go with one that is detached or dropped, or emptied alone, without a word
 * in the stream. One that was made as a partition was empty then.
 */
function partitionReason(before: TableMarks["partitions"], { partitions, partitionsFilled }: MarksNow): string | null {
  if (before === undefined || partitions === undefined) return null;
  for (const [number, [file, place]] of Object.entries(before)) {
    const now = partitions[number];
    if (now === undefined) return "a partition was detached or dropped";
    if (now[1] !== place) return "a partition was detached and attached again";
    if (now[0] !== file) return "a partition was emptied, or written anew";
  }
  return partitionsFilled.some((number) => !(number in before)) ? "a partition was attached" : null;
}

export function labelsMark(labels: readonly Label[]): TableMarks["labels"] {
  return { digest: labelDigest(labels), last: labels.reduce((last, [number]) => Math.max(last, number), 0) };
}

function labelDigest(labels: readonly Label[]): string {
  const inOrder = labels.toSorted(([a], [b]) => a - b);
  return createHash("sha256").update(JSON.stringify(inOrder)).digest("hex").slice(0, 32);
}

/** Without what is only for comparing. */
export function keptMarks(marks: TableMarks): TableMarks {
  const { files, columns, numbers, lastNumber, lastDropped, composites, labels, published, partitions } = marks;
  const { digest, last } = labels;
  return {
    ...{ files, columns, numbers, lastNumber, lastDropped, composites, labels: { digest, last }, published },
    ...(partitions !== undefined && { partitions }),
  };
}

/** Empty for anything that this version did not write: then marks count from the next look on. */
export function readKeptMarks(value: unknown): Readonly<Record<string, TableMarks>> {
  if (typeof value !== "object" || value === null) return {};
  const kept = value as { readonly version?: unknown; readonly marks?: Readonly<Record<string, TableMarks>> };
  return kept.version === 1 && typeof kept.marks === "object" && kept.marks !== null ? kept.marks : {};
}
