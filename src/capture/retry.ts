/**
 * Trying again what was set aside in `<source>.rejected`: rows that a newer Millrace can read, records of the outbox whose
 * topic is there by now.
 *
 * Always true: a row is written only while it is the newest of its key, so that the events of one key keep their order;
 * what was written or superseded is noted in the same log transaction, and never tried again. While the tries are
 * written the stream is held back.
 */
import type { Engine } from "../engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../engine/records.ts";
import type { StoredRecord } from "../records/record.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import type { Begun } from "./capture-log.ts";
import type { ChangeRecorder } from "./change-recorder.ts";
import type { LogWriter } from "./log-writer.ts";
import { parseLsn } from "./lsn.ts";
import { rejectedTopic } from "./names.ts";
import { type NewestEvent, NewestEvents } from "./newest-events.ts";
import { DecodeError } from "./pgoutput.ts";
import type { RejectedJson, RetriedJson } from "./rejected.ts";
import { planRetry, type RetryPlan, readAnew } from "./retry-plan.ts";
import type { StreamSession } from "./stream-session.ts";

export interface RetryResult {
  readonly tried: number;
  readonly written: number;
  /** There is a newer event of the row's key by now. */
  readonly superseded: number;
  /** Still set aside; the reasons of some of them. */
  readonly refused: number;
  readonly reasons: readonly string[];
  /** There are more than one call tries. */
  readonly more: boolean;
}

export interface RetrySettings {
  readonly source: string;
  readonly engine: Pick<Engine, "offsets" | "read">;
  readonly session: StreamSession;
  readonly log: LogWriter;
  readonly recorder: ChangeRecorder;
  /** Where what is known of each table begins, by topic: rows from before are superseded. */
  readonly begun: () => Promise<ReadonlyMap<string, Begun>>;
  /** Of events that are no JSON. */
  readonly wire: WireReader;
}

/** Tried in one call. */
const triesMax = 1_000;
const triesBytesMax = 32 * 1024 * 1024;
const reasonsMax = 10;
const readBytes = 1024 * 1024;

interface Try {
  readonly offset: number;
  readonly rejected: Partial<RejectedJson>;
}

/** Throws `SOURCE_UNREACHABLE` when the stream ends meanwhile, and what the log throws. */
export async function retryRejected(settings: RetrySettings): Promise<RetryResult> {
  const { session, log } = settings;
  const newest = new NewestEvents(settings.wire);
  const look = async () => {
    const found = await readTries(settings);
    const plans = found.tries.map(({ rejected }) => planRetry(rejected, session.tables));
    newest.want(plans);
    for (const shape of newest.shapes) {
      const take = (record: StoredRecord) => {
        newest.take(shape, record);
        return true;
      };
      newest.scanned(shape, await eachRecord(settings, shape.topic, newest.from(shape), take));
    }
    return { ...found, plans };
  };
  // Most of what is to be read is read while the stream goes on; the rest is little.
  await look();
  return await session.between(async () => {
    await log.flushed();
    const { tries, plans, more } = await look();
    const result = writeTries(settings, tries, plans, { newest, begun: await settings.begun() });
    await log.flushed();
    return { ...result, more };
  });
}

/** The oldest that are neither written nor superseded. */
async function readTries(settings: RetrySettings): Promise<{ readonly tries: Try[]; readonly more: boolean }> {
  const topic = rejectedTopic(settings.source);
  const settled = new Set<number>();
  await eachRecord(settings, topic, 0, ({ value }) => {
    const { retried } = parse<RetriedJson>(value);
    if (typeof retried === "number") settled.add(retried);
    return true;
  });
  const tries: Try[] = [];
  let bytes = 0;
  let more = false;
  await eachRecord(settings, topic, 0, ({ offset, value }) => {
    const rejected = parse<RejectedJson & RetriedJson>(value);
    if (typeof rejected.retried === "number" || typeof rejected.reason !== "string" || settled.has(offset)) return true;
    more = tries.length >= triesMax || bytes > triesBytesMax;
    if (more) return false;
    bytes += value?.length ?? 0;
    tries.push({ offset, rejected });
    return true;
  });
  return { tries, more };
}

interface Known {
  readonly newest: NewestEvents;
  readonly begun: ReadonlyMap<string, Begun>;
}

type Outcome = "written" | "superseded" | { readonly refused: string };

function writeTries(
  { session, recorder }: RetrySettings,
  tries: readonly Try[],
  plans: readonly RetryPlan[],
  known: Known,
): Omit<RetryResult, "more"> {
  const count = { written: 0, superseded: 0, refused: 0 };
  const reasons = new Set<string>();
  const [first] = tries;
  if (first === undefined) return { tried: 0, ...count, reasons: [] };
  recorder.beginRetry(`retry:${first.offset}`);
  for (const [i, { offset, rejected }] of tries.entries()) {
    const outcome = writeTry(recorder, plans[i] as RetryPlan, rejected, known);
    if (outcome === "written" || outcome === "superseded") {
      count[outcome]++;
      recorder.retried({ retried: offset, outcome, ts_ms: recorder.nowMs });
    } else {
      count.refused++;
      if (reasons.size < reasonsMax) reasons.add(outcome.refused);
    }
  }
  recorder.end(session.position);
  return { tried: tries.length, ...count, reasons: [...reasons] };
}

function writeTry(
  recorder: ChangeRecorder,
  plan: RetryPlan,
  rejected: Partial<RejectedJson>,
  { newest, begun }: Known,
): Outcome {
  if (plan.kind === "refused") return { refused: plan.reason };
  const lsn = parseLsn(rejected.lsn ?? "0/0");
  if (plan.kind === "row") {
    const { topic } = plan.table.shape;
    if (recorder.watches.has(plan.table.topic)) {
      return { refused: `table "${rejected.table}" is being read anew, with this row` };
    }
    const outcome = decideRow(plan, rejected, lsn, newest.of(topic, plan.keys), begun.get(topic));
    if (outcome !== "written") return outcome;
  }
  const refused = tryAgain(recorder, plan, lsn);
  if (refused !== null) return { refused };
  if (plan.kind === "row") newest.written(plan.table.shape.topic, plan.keys, lsn);
  return "written";
}

/** What a try of a row comes to by what else is known of its key. Pure. */
function decideRow(
  { snapshot }: Extract<RetryPlan, { kind: "row" }>,
  rejected: Partial<RejectedJson>,
  lsn: number,
  newest: NewestEvent | null,
  begun: Begun | undefined,
): Outcome {
  if (snapshot === null) {
    // The table was read anew since: it is as it was then, or later, and may have no row of this key.
    if ((rejected.ts_ms ?? 0) <= (begun?.ms ?? -1)) return "superseded";
    return (newest?.lsn ?? -1) >= lsn ? "superseded" : "written";
  }
  // Another reading has begun since, with all rows that there were.
  if (snapshot !== begun?.id) return "superseded";
  // Its chunk may be older than what the stream has told since the reading began, wherever that stands.
  if (newest === null || newest.offset < begun.offset) return "written";
  if (!newest.hasGaps) return "superseded";
  const reason = `a newer event of the row leaves out what is set aside here; ${readAnew}`;
  return { refused: reason };
}

/** Null, or the reason why it failed once more. */
function tryAgain(recorder: ChangeRecorder, plan: Exclude<RetryPlan, { kind: "refused" }>, lsn: number): string | null {
  let failed: string | null = null;
  recorder.lsn = lsn;
  recorder.messageAt(plan.message);
  recorder.streamed = false;
  recorder.retrying = (reason) => {
    failed = reason;
  };
  try {
    plan.write(recorder);
  } catch (error) {
    if (!(error instanceof DecodeError || error instanceof RangeError)) throw error;
    failed = error.message;
  } finally {
    recorder.retrying = null;
  }
  return failed;
}

/** Up to the end of now, or until `take` answers false. Answers where to go on. */
async function eachRecord(
  { engine }: RetrySettings,
  topic: string,
  from: number,
  take: (record: StoredRecord) => boolean,
): Promise<number> {
  const { logStart } = await engine.offsets(topic, 0);
  for (let offset = Math.max(from, logStart); ; ) {
    const read = { topic, partition: 0, offset, isolation: "read_committed", bytesMax: readBytes } as const;
    const result = await engine.read(read);
    if (result.batches.length === 0) return offset;
    for (const record of decodeCommitted(result, offset)) if (!take(record)) return record.offset;
    offset = nextOffsetOf(result, offset);
  }
}

function parse<T>(value: Buffer | null): Partial<T> {
  try {
    const parsed: unknown = value === null ? null : JSON.parse(value.toString("utf8"));
    return typeof parsed === "object" && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}
