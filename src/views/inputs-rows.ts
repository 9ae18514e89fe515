/**
 * Rows of mirrored topics, staged: a whole step at once where it is small, else in parts.
 *
 * Always true: a part never ends between the delete and the create of a row whose key changed, since the create may
 * carry values of the row that the delete takes away.
 */
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import type { BatchRecords } from "../records/batch-records.ts";
import { type Change, newKeyHeader, readChange } from "../schema/envelope.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Mark } from "./idle-marks.ts";
import { type RangeRequest, readRange } from "./inputs-read.ts";
import type { Mirror } from "./mirror.ts";
import { type RowChange, StagedTable } from "./staging.ts";
import { recordCells, storedValue } from "./topic-rows.ts";
import { type EventTimes, passRecord } from "./watermark.ts";

/** What is staged of each mirror, by its id. */
export type Staged = Map<number, StagedTable>;

export interface TopicRange {
  readonly mirror: Mirror;
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  /** Of a topic with watermarks; moved on by the rows that are read. */
  readonly times: EventTimes;
  /** Of the partition, as the log has them. */
  readonly marks: readonly Mark[];
}

/** Where rows are read, and what reads those that are no JSON. */
export interface RowsLog {
  readonly engine: Engine;
  readonly wire: WireReader;
  readonly diagnostics: Diagnostics;
}

export interface RowsBound {
  readonly changesMax: number;
  readonly bytesMax: number;
}

/** What a mirror is to follow cannot be read on: it cannot be right any more. */
export class MirrorUnreadable extends Error {
  readonly mirrorId: number;
  readonly code: "VIEW_FAILED" | "POSITION_RETIRED";

  constructor(mirror: Mirror, code: MirrorUnreadable["code"], message: string, cause: unknown) {
    super(message, { cause });
    this.name = new.target.name;
    this.mirrorId = mirror.id;
    this.code = code;
  }
}

/** A record of a mirrored topic that is no change event of its table. */
export class RowUnreadable extends MirrorUnreadable {
  constructor(mirror: Mirror, offset: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(
      mirror,
      "VIEW_FAILED",
      `the record at offset ${offset} of topic ${mirror.shape.topic} cannot be read: ${reason}`,
      cause,
    );
  }
}

/** The log has let records go that were not read yet. */
export class PositionRetired extends MirrorUnreadable {
  constructor(mirror: Mirror, partition: number, offset: number, cause: unknown) {
    const place = `partition ${partition} of topic ${mirror.shape.topic}`;
    super(
      mirror,
      "POSITION_RETIRED",
      `${place} was read up to offset ${offset}, and the log does not have the records behind it any more`,
      cause,
    );
  }
}

interface ReadRow {
  readonly mirror: Mirror;
  readonly offset: number;
  readonly change: RowChange;
}

export interface StepRows {
  readonly rows: readonly ReadRow[];
  readonly bytes: number;
  /** The time of the latest record of a topic that is no captured table's; null without one. */
  readonly changedMs: number | null;
}

/** All rows of the ranges, not yet staged; null when there are more than the bound. Throws `MirrorUnreadable`. */
export async function readStep(
  log: RowsLog,
  ranges: readonly TopicRange[],
  bound: RowsBound,
  signal: AbortSignal,
): Promise<StepRows | null> {
  const rows: ReadRow[] = [];
  let bytes = 0;
  let changedMs: number | null = null;
  let over = false;
  const before = beforeRecord(log);
  for (const range of ranges) {
    const { mirror } = range;
    const onRecord = (record: BatchRecords) => {
      const change = changeOf(record, range, log.wire);
      if (change === null) return true;
      rows.push({ mirror, offset: record.offset, change });
      if (mirror.shape.records !== undefined) changedMs = Math.max(changedMs ?? 0, Number(record.timestamp));
      bytes += record.value?.length ?? 0;
      over = rows.length > bound.changesMax || bytes > bound.bytesMax;
      return !over;
    };
    await readRows(log, range, { signal, before, onRecord });
    if (over) return null;
  }
  return { rows, bytes, changedMs };
}

export function stageRows(staged: Staged, { rows }: StepRows): void {
  for (const { mirror, offset, change } of rows) stageRow(staged, mirror, offset, change);
}

/** The ranges in parts of at most the bound, each to be applied before the next is asked for. Throws `MirrorUnreadable`. */
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
  for (const range of ranges) {
    const { mirror, from, to } = range;
    let moving = false;
    const onRecord = (record: BatchRecords) => {
      const change = changeOf(record, range, log.wire);
      if (change !== null) {
        stageRow(staged, mirror, record.offset, change);
        changes++;
        bytes += record.value?.length ?? 0;
        moving = change.op === "delete" && record.headers.some((header) => header.key === newKeyHeader);
      }
      return moving || (changes < bound.changesMax && bytes < bound.bytesMax);
    };
    for (let offset = from; offset < to; ) {
      offset = await readRows(log, { ...range, from: offset }, { signal, before, onRecord });
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

async function readRows(
  { engine, diagnostics }: RowsLog,
  { mirror, partition, from, to }: TopicRange,
  reading: Pick<RangeRequest, "signal" | "before" | "onRecord">,
): Promise<number> {
  const { topic, records } = mirror.shape;
  const passOver = (baseOffset: number, error: unknown) =>
    diagnostics.error("a batch of a topic cannot be read; its records are not in the views", {
      topic,
      partition,
      baseOffset,
      error,
    });
  const onBroken = records === undefined ? {} : { onBroken: passOver };
  try {
    return await readRange(engine, { topic, partition, from, to, ...reading, ...onBroken });
  } catch (cause) {
    if (!MillraceError.is(cause, "OFFSET_OUT_OF_RANGE")) throw cause;
    throw new PositionRetired(mirror, partition, from, cause);
  }
}

function beforeRecord({ wire }: RowsLog): (record: BatchRecords) => Promise<void> | null {
  return (record) => wire.unread(record.value);
}

function changeOf(record: BatchRecords, range: TopicRange, wire: WireReader): RowChange | null {
  const { mirror } = range;
  const { value } = record;
  const { records } = mirror.shape;
  if (records !== undefined) return recordChange(record, records, range, wire);
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

/** A record of a topic that is no captured table's: a row as it is. */
function recordChange(
  record: BatchRecords,
  records: NonNullable<TableShape["records"]>,
  { mirror, partition, times, marks }: TopicRange,
  wire: WireReader,
): RowChange | null {
  if (records === "latest" && record.key === null) return null;
  const op = records === "latest" && record.value === null ? "delete" : "upsert";
  // Nothing of a stream was there before, as of a snapshot.
  const debeziumOp = records === "stream" ? "r" : "u";
  const row = recordCells(record, partition, wire);
  const { watermark } = mirror.shape;
  if (watermark !== undefined) {
    const { offset, timestamp, headers } = record;
    row.push(passRecord(times, watermark, { offset, timestamp, headers, json: storedValue(row) }, marks));
  }
  return { op, debeziumOp, row, before: null, oldKey: null };
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

function stageRow(staged: Staged, mirror: Mirror, offset: number, change: RowChange): void {
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
