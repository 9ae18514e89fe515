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
import type { ChangeRecorder } from "./change-recorder.ts";
import type { LogWriter } from "./log-writer.ts";
import { parseLsn } from "./lsn.ts";
import { rejectedTopic } from "./names.ts";
import { DecodeError, PgOutputDecoder } from "./pgoutput.ts";
import type { RejectedJson, RetriedJson } from "./rejected.ts";
import { planRetry, type RetryPlan } from "./retry-plan.ts";
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
  /** When what is known of each table was begun to be read, in milliseconds by topic: rows from before are superseded. */
  readonly begun: () => Promise<ReadonlyMap<string, number>>;
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
  const scans = new Map<string, number>();
  const newest = new Map<string, number>();
  const look = async () => {
    const found = await readTries(settings);
    const plans = found.tries.map(({ rejected }) => planRetry(rejected, session.tables));
    await findNewest(settings, plans, scans, newest);
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

/** For the keys that are tried, the position of the newest event of each, by topic and key. */
async function findNewest(
  settings: RetrySettings,
  plans: readonly RetryPlan[],
  scans: Map<string, number>,
  newest: Map<string, number>,
): Promise<void> {
  const wanted = new Map<string, Set<string>>();
  for (const plan of plans) {
    if (plan.kind !== "row") continue;
    const { topic } = plan.table.shape;
    const keys = wanted.get(topic) ?? new Set();
    for (const key of plan.keys) keys.add(key);
    wanted.set(topic, keys);
  }
  for (const [topic, keys] of wanted) {
    const end = await eachRecord(settings, topic, scans.get(topic) ?? 0, ({ key, value }) => {
      const text = key?.toString("latin1");
      if (text === undefined || value === null || !keys.has(text)) return true;
      const lsn = parse<{ source?: { lsn?: number } }>(value).source?.lsn ?? 0;
      const place = `${topic}\n${text}`;
      newest.set(place, Math.max(lsn, newest.get(place) ?? 0));
      return true;
    });
    scans.set(topic, end);
  }
}

interface Known {
  /** The position of the newest event, by topic and key. */
  readonly newest: Map<string, number>;
  readonly begun: ReadonlyMap<string, number>;
}

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
): "written" | "superseded" | { readonly refused: string } {
  if (plan.kind === "refused") return { refused: plan.reason };
  const lsn = parseLsn(rejected.lsn ?? "0/0");
  const places = plan.kind === "row" ? plan.keys.map((key) => `${plan.table.shape.topic}\n${key}`) : [];
  if (plan.kind === "row" && recorder.watches.has(plan.table.topic)) {
    const { schema, table } = plan.table.shape;
    return { refused: `table "${schema}.${table}" is being read anew, with this row` };
  }
  // The table was read anew since: it is as it was then, or later, and may have no row of this key.
  if (plan.kind === "row" && (rejected.ts_ms ?? 0) <= (begun.get(plan.table.shape.topic) ?? -1)) return "superseded";
  if (places.some((place) => (newest.get(place) ?? -1) >= lsn)) return "superseded";
  const refused = tryAgain(recorder, plan, lsn);
  if (refused !== null) return { refused };
  for (const place of places) newest.set(place, lsn);
  return "written";
}

/** Null, or the reason why it failed once more. */
function tryAgain(recorder: ChangeRecorder, plan: Exclude<RetryPlan, { kind: "refused" }>, lsn: number): string | null {
  let failed: string | null = null;
  recorder.lsn = lsn;
  recorder.message = plan.message;
  recorder.streamed = false;
  recorder.retrying = (reason) => {
    failed = reason;
  };
  try {
    new PgOutputDecoder(plan.handlerFor(recorder)).decode(plan.message);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
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
