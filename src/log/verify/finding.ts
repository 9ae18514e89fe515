/** What an examination of the log's files finds, each with the place and with what to do about it. */

export type FindingSeverity =
  /** Bytes are not what was written; a start does not put it right. */
  | "damage"
  /** What a crash leaves behind; the next start puts it right by itself. */
  | "torn"
  /** Harms nothing. */
  | "note";

const byRepair = "Restore the file from a backup, or run millrace log repair: it keeps all that can be read.";
const byStart = "Nothing to do: the next start does it by itself.";
const byIndex = "Nothing to do: it is made anew by itself when it is needed.";

export const findingCodes = {
  CATALOGUE_DAMAGED:
    "Restore the file from a backup of this data directory: names and settings of topics stand nowhere else. No repair invents them.",
  CHECKPOINT_DAMAGED: "Run millrace log repair, which puts it aside; the next start then reads everything.",
  CHECKPOINT_MISSING: byStart,
  JOURNAL_DAMAGED: byRepair,
  JOURNAL_PENDING: byStart,
  JOURNAL_UNMADE: byStart,
  PARTITION_MISSING: byRepair,
  PARTITION_REFUSED: byRepair,
  STATE_DAMAGED: byRepair,
  SWAP_DAMAGED: byRepair,
  SWAP_PENDING: byStart,
  DRAFT_LEFT: byStart,
  SEGMENT_MISSING: byRepair,
  SEGMENT_TRUNCATED: byRepair,
  SEGMENT_HEADER_DAMAGED: byRepair,
  SEGMENT_MISPLACED: byRepair,
  SEGMENT_DUPLICATE: byRepair,
  BATCH_DAMAGED: byRepair,
  BATCH_MISPLACED: byRepair,
  SEGMENT_HOLE: byRepair,
  SEGMENT_UNREADABLE: byRepair,
  OFFSETS_MISSING: byRepair,
  END_TORN: byStart,
  LEADER_EPOCH_BACK: "Nothing to do: clients may notice a change of leader that was none.",
  RECORDS_UNREADABLE: "Its bytes are as its producer sent them: look for the producer.",
  INDEX_MISSING: byIndex,
  INDEX_DAMAGED: byIndex,
  FOLDER_DELETED: byStart,
  FOLDER_UNKNOWN:
    "If the topic is wanted, restore the catalogue that names it from a backup; else move the folder away.",
  FILE_UNKNOWN: "Nothing to do: Millrace neither reads it nor removes it.",
} as const satisfies Readonly<Record<string, string>>;

export type FindingCode = keyof typeof findingCodes;

export interface Finding {
  readonly severity: FindingSeverity;
  readonly code: FindingCode;
  /** Null when no topic is concerned, or its name is not known. */
  readonly topic: string | null;
  readonly partition: number | null;
  readonly path: string;
  /** In the file; null when all of it is meant. */
  readonly bytePosition: number | null;
  /** Of the log; null when no offset is concerned. */
  readonly offset: number | null;
  readonly message: string;
  /** Offsets that a repair, or the next start, leaves without a record; as many records at most. */
  readonly lostRecords: number;
  /** Bytes that a repair, or the next start, takes out of the log. */
  readonly lostBytes: number;
  readonly wayOut: string;
}

export interface FindingPlace {
  readonly topic?: string;
  readonly partition?: number;
  readonly path: string;
  readonly bytePosition?: number;
  readonly offset?: number;
}

export function findingOf(
  severity: FindingSeverity,
  code: FindingCode,
  place: FindingPlace,
  message: string,
  lost: { readonly records?: number; readonly bytes?: number } = {},
): Finding {
  return {
    severity,
    code,
    topic: place.topic ?? null,
    partition: place.partition ?? null,
    path: place.path,
    bytePosition: place.bytePosition ?? null,
    offset: place.offset ?? null,
    message,
    lostRecords: lost.records ?? 0,
    lostBytes: lost.bytes ?? 0,
    wayOut: findingCodes[code],
  };
}
