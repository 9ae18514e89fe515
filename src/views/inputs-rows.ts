/**
 * Rows of mirrored topics, staged: a whole step at once where it is small, else in parts.
 *
 * Always true: a part never ends between the delete and the create of a row whose key changed, since the create may
 * carry values of the row that the delete takes away.
 */
import type { Engine } from "../engine/engine.ts";
import type { BatchRecords } from "../records/batch-records.ts";
import { type Change, newKeyHeader, readChange } from "../schema/envelope.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { readRange } from "./inputs-read.ts";
import type { Mirror } from "./mirror.ts";
import { StagedTable } from "./staging.ts";

/** What is staged of each mirror, by its id. */
export type Staged = Map<number, StagedTable>;

export interface TopicRange {
  readonly mirror: Mirror;
  readonly from: number;
  readonly to: number;
}

/** Where rows are read, and what reads those that are no JSON. */
export interface RowsLog {
  readonly engine: Engine;
  readonly wire: WireReader;
}

export interface RowsBound {
  readonly changesMax: number;
  readonly bytesMax: number;
}

/** A record of a mirrored topic that is no change event of its table: the mirror cannot be right any more. */
export class RowUnreadable extends Error {
  readonly mirrorId: number;
  readonly offset: number;

  constructor(mirror: Mirror, offset: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`the record at offset ${offset} of topic ${mirror.shape.topic} cannot be read: ${reason}`, { cause });
    this.name = "RowUnreadable";
    this.mirrorId = mirror.id;
    this.offset = offset;
  }
}

interface ReadRow {
  readonly mirror: Mirror;
  readonly offset: number;
  readonly change: Change;
}

export interface StepRows {
  readonly rows: readonly ReadRow[];
  readonly bytes: number;
}

/** All rows of the ranges, not yet staged; null when there are more than the bound. Throws `RowUnreadable`. */
export async function readStep(
  log: RowsLog,
  ranges: readonly TopicRange[],
  bound: RowsBound,
  signal: AbortSignal,
): Promise<StepRows | null> {
  const rows: ReadRow[] = [];
  let bytes = 0;
  let over = false;
  const before = beforeRecord(log);
  for (const { mirror, from, to } of ranges) {
    const onRecord = (record: BatchRecords) => {
      const change = changeOf(record, mirror, log.wire);
      if (change === null) return true;
      rows.push({ mirror, offset: record.offset, change });
      bytes += record.value?.length ?? 0;
      over = rows.length > bound.changesMax || bytes > bound.bytesMax;
      return !over;
    };
    await readRange(log.engine, { topic: mirror.shape.topic, from, to, signal, before, onRecord });
    if (over) return null;
  }
  return { rows, bytes };
}

export function stageRows(staged: Staged, { rows }: StepRows): void {
  for (const { mirror, offset, change } of rows) stageRow(staged, mirror, offset, change);
}

/** The ranges in parts of at most the bound, each to be applied before the next is asked for. Throws `RowUnreadable`. */
export async function* readParts(
  log: RowsLog,
  ranges: readonly TopicRange[],
  bound: RowsBound,
  signal: AbortSignal,
): AsyncGenerator<Staged> {
  let staged: Staged = new Map();
  const before = beforeRecord(log);
  let changes = 0;
  let bytes = 0;
  for (const { mirror, from, to } of ranges) {
    let moving = false;
    const onRecord = (record: BatchRecords) => {
      const change = changeOf(record, mirror, log.wire);
      if (change !== null) {
        stageRow(staged, mirror, record.offset, change);
        changes++;
        bytes += record.value?.length ?? 0;
        moving = change.op === "delete" && record.headers.some((header) => header.key === newKeyHeader);
      }
      return moving || (changes < bound.changesMax && bytes < bound.bytesMax);
    };
    for (let offset = from; offset < to; ) {
      offset = await readRange(log.engine, { topic: mirror.shape.topic, from: offset, to, signal, before, onRecord });
      if (changes >= bound.changesMax || bytes >= bound.bytesMax) {
        yield staged;
        staged = new Map();
        changes = 0;
        bytes = 0;
      }
    }
  }
  if (changes > 0) yield staged;
}

function beforeRecord({ wire }: RowsLog): (record: BatchRecords) => Promise<void> | null {
  return (record) => wire.unread(record.value);
}

function changeOf(record: BatchRecords, mirror: Mirror, wire: WireReader): Change | null {
  const { value } = record;
  if (value === null) return null;
  try {
    const json = inJson(value, wire);
    if (json === value) return readChange(value, record.key, record.headers, mirror.shape);
    const key = record.key && inJson(record.key, wire);
    return withoutUntold(readChange(json, key, record.headers, mirror.shape), mirror.shape);
  } catch (cause) {
    throw new RowUnreadable(mirror, record.offset, cause);
  }
}

/**
 * A schema has no way to leave a column out: in a delete that tells the key alone all others are null, and they are taken
 * as not known. Under replica identity full the mirror has them.
 */
function withoutUntold(change: Change, { key, columns }: TableShape): Change {
  if (change.op === "delete" && key !== null) {
    const { row } = change;
    for (const [i, { name }] of columns.entries()) if (row[i] === null && !key.includes(name)) row[i] = undefined;
  }
  return change;
}

/** An event of a source whose encoding is another one, or was. Throws `SyntaxError` for bytes that its schema does not read. */
function inJson(bytes: Buffer, wire: WireReader): Buffer {
  const reading = wire.read(bytes);
  if (reading === null) return bytes;
  if (reading.ok) return Buffer.from(reading.json);
  throw new SyntaxError(reading.reason);
}

function stageRow(staged: Staged, mirror: Mirror, offset: number, change: Change): void {
  let table = staged.get(mirror.id);
  if (table === undefined) {
    table = new StagedTable(mirror.shape);
    staged.set(mirror.id, table);
  }
  try {
    table.apply(offset, change);
  } catch (cause) {
    throw new RowUnreadable(mirror, offset, cause);
  }
}
