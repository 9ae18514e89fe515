/**
 * Takes kept events of a span once more, into their own topic or another one, a piece at a time. Each stands there with the
 * place that it is from; ids are not looked at, and a copy that a vendor sends later is still one of the first.
 */
import type { Clock } from "../../base/clock.ts";
import { MillraceError } from "../../base/errors.ts";
import type { Engine } from "../../engine/engine.ts";
import { appendRecords, forEachCommittedRecord, nextOffsetOf, type PlacedRecord } from "../../engine/records.ts";
import type { BatchRecords } from "../../records/batch-records.ts";
import type { Header } from "../../records/record.ts";
import { idHeader, typeHeader } from "./hook-event.ts";

/** `<topic>/<partition>/<offset>` of the event that this one is of. */
export const replayHeader = "millrace.replay";

export interface ReplayFilter {
  readonly id?: string;
  readonly type?: string;
  readonly key?: string;
}

export interface ReplayRequest {
  readonly source: string;
  /** The source's own topic, or one that is there and is not read-only. */
  readonly into: string;
  readonly filter: ReplayFilter;
  /** Throws what refuses records of that topic; asked of a topic of somebody's own. */
  readonly check: (topic: string, records: readonly PlacedRecord[]) => void;
  /** Where to begin, or `next` of the answer before. */
  readonly span: ReplaySpan;
}

export interface ReplaySpan {
  /** Times of arrival. */
  readonly fromMs: number;
  /** Not included. */
  readonly toMs: number;
  /** By partition; undefined at the beginning. */
  readonly places?: readonly ReplayPlace[];
}

/** `endOffset` is not included, so that what is replayed into its own topic is not met again. */
export interface ReplayPlace {
  readonly offset: number;
  readonly endOffset: number;
}

export interface ReplayAnswer {
  readonly read: number;
  readonly replayed: number;
  /** Null when the span was read. */
  readonly next: ReplaySpan | null;
}

const readBytesMax = 1024 * 1024;
/** Records that one call reads, at least: a batch is read whole. */
const recordsMax = 1_000;

/**
 * Resolves when what it answers is durable; asked again with the same cursor it replays the same once more. Throws
 * `TOPIC_UNKNOWN`, `TOPIC_READ_ONLY`, `REQUEST_INVALID` for a cursor of another topic, and what `check` and the log throw.
 */
export async function replayEvents(engine: Engine, clock: Clock, request: ReplayRequest): Promise<ReplayAnswer> {
  const { source, into, filter, span } = request;
  const { fromMs, toMs } = span;
  checkInto(engine, source, into);
  const partitions = engine.topic(source)?.settings.partitions ?? 0;
  const places = [...(span.places ?? (await placesOf(engine, source, partitions, fromMs, toMs)))];
  if (places.length !== partitions) throw foreignCursor(source);
  let read = 0;
  let replayed = 0;
  for (const [partition, { endOffset, ...from }] of places.entries()) {
    let { offset } = from;
    const { logStart, lastStable } = await engine.offsets(source, partition);
    if (endOffset > lastStable) throw foreignCursor(source);
    // What retention took meanwhile is gone.
    offset = Math.max(offset, logStart);
    while (offset < endOffset && read < recordsMax) {
      const place = { topic: source, partition, offset } as const;
      const result = await engine.read({ ...place, isolation: "read_committed", bytesMax: readBytesMax });
      const chosen: PlacedRecord[] = [];
      forEachCommittedRecord(result, offset, (record) => {
        if (record.offset >= endOffset) return;
        read++;
        if (record.timestamp < fromMs || record.timestamp >= toMs || !matches(record, filter)) return;
        chosen.push(copyOf(record, source, partition, into));
      });
      if (into !== source) request.check(into, chosen);
      if (chosen.length > 0) await appendRecords(engine, into, chosen, { clock });
      replayed += chosen.length;
      const nextOffset = nextOffsetOf(result, offset);
      if (nextOffset === offset) break;
      offset = nextOffset;
    }
    places[partition] = { offset: Math.min(offset, endOffset), endOffset };
  }
  const isDone = places.every(({ offset, endOffset }) => offset >= endOffset);
  return { read, replayed, next: isDone ? null : { fromMs, toMs, places } };
}

function checkInto(engine: Engine, source: string, into: string): void {
  if (into === source) return;
  const topic = engine.topic(into);
  if (!topic) {
    throw new MillraceError("TOPIC_UNKNOWN", `there is no topic "${into.slice(0, 100)}"`, {
      hint: "millrace topics create makes it.",
    });
  }
  if (!topic.readOnly) return;
  throw new MillraceError("TOPIC_READ_ONLY", `topic "${into}" belongs to another writer`, {
    hint: "Replay into the source's own topic, or into one of your own.",
  });
}

/** Where arrival times begin and end; times are nearly in order, so that what is between is looked at once more. */
async function placesOf(
  engine: Engine,
  topic: string,
  partitions: number,
  fromMs: number,
  toMs: number,
): Promise<ReplayPlace[]> {
  const all: ReplayPlace[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    const { lastStable } = await engine.offsets(topic, partition);
    const offset = await engine.offsetForTime(topic, partition, fromMs);
    const endOffset =
      toMs === Number.MAX_SAFE_INTEGER ? lastStable : await engine.offsetForTime(topic, partition, toMs);
    all.push({ offset, endOffset: Math.min(lastStable, Math.max(offset, endOffset)) });
  }
  return all;
}

function matches(record: BatchRecords, { id, type, key }: ReplayFilter): boolean {
  if (key !== undefined && record.key?.toString() !== key) return false;
  if (id === undefined && type === undefined) return true;
  const headers = record.headers;
  return (
    (id === undefined || textOf(headers, idHeader) === id) &&
    (type === undefined || textOf(headers, typeHeader) === type)
  );
}

function textOf(headers: readonly Header[], name: string): string | undefined {
  return headers.find(({ key }) => key === name)?.value?.toString();
}

/** Into its own topic it goes where its first one is, so that the order of its key holds. */
function copyOf(record: BatchRecords, source: string, partition: number, into: string): PlacedRecord {
  const origin = { key: replayHeader, value: Buffer.from(`${source}/${partition}/${record.offset}`) };
  return {
    key: record.key,
    value: record.value,
    headers: [...record.headers.filter(({ key }) => key !== replayHeader), origin],
    ...(into === source ? { partition } : {}),
  };
}

function foreignCursor(source: string): MillraceError {
  return new MillraceError("REQUEST_INVALID", `the cursor is not of topic "${source}"`, {
    hint: "Hand in next of the answer before, with the same source.",
  });
}
