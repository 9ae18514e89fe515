/**
 * A page of a topic's committed records as JSON, from positions per partition, with a long poll.
 *
 * Always true: the cursor of a page is behind every record of it, and reading on from it neither skips nor repeats.
 * A busy partition does not starve another one: each gets its share of a page before any gets more.
 */

import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { assertNoSecrets } from "../catalog/catalogue-records.ts";
import type { Engine, TopicInfo } from "../engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../engine/records.ts";
import { type EventForm, eventJson, knowSchemas } from "../feeds/event-json.ts";
import type { TopicFeedRequest } from "../feeds/feed.ts";
import { decodeToken, encodeToken, type TopicToken } from "../feeds/token.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import { parseTimeMs } from "./event-input.ts";

export type From = TopicFeedRequest["from"];

/** Offset to read next, by partition. */
export type Positions = Map<number, number>;

export interface PageForm {
  readonly wire: WireReader;
  readonly form: EventForm;
}

export interface PageLimits {
  readonly recordsMax: number;
  /** Of the JSON; the first record is answered however large it is. */
  readonly bytesMax: number;
  readonly waitMs: number;
}

export interface Page {
  readonly events: readonly string[];
  readonly next: string;
}

/** Small enough that little is decoded that a page does not take. */
const readBytes = 256 * 1024;

/** `earliest`, `latest`, an offset, a time (RFC 3339), or a cursor. Throws `REQUEST_INVALID`, naming the parameter. */
export function parseFrom(text: string, partition: number | undefined, parameter = "from"): From {
  if (text === "earliest" || text === "latest") return { kind: text };
  if (/^-?\d+$/.test(text)) {
    if (partition !== undefined) return { kind: "offset", offset: checkedOffset(text) };
    throw new MillraceError(
      "REQUEST_INVALID",
      `${parameter}=${text.slice(0, 30)} is an offset, which needs partition=`,
      {
        hint: "Each partition counts its own offsets; a time is written as 2026-11-21T10:00:00Z.",
      },
    );
  }
  const timestampMs = parseTimeMs(text);
  return timestampMs === undefined ? { kind: "cursor", cursor: text } : { kind: "time", timestampMs };
}

/** Throws `PARTITION_UNKNOWN`, `TOKEN_INVALID`, `TOKEN_FOREIGN`. */
export async function resolveFrom(
  engine: Engine,
  topic: TopicInfo,
  from: From,
  partition: number | undefined,
): Promise<Positions> {
  const token = from.kind === "cursor" ? topicToken(topic, from.cursor) : null;
  const positions: Positions = new Map();
  const partitions = partition === undefined ? [...Array(topic.settings.partitions).keys()] : [partition];
  for (const one of partitions) positions.set(one, await start(engine, topic.name, one, from, token));
  return positions;
}

/** Moves `positions` behind what it answers. Throws `OFFSET_OUT_OF_RANGE`, or the signal's reason. */
export async function readPage(
  engine: Engine,
  topic: TopicInfo,
  positions: Positions,
  limits: PageLimits,
  form: PageForm,
  clock: Clock,
  signal: AbortSignal,
): Promise<Page> {
  assertNoSecrets(topic.name);
  const endMs = clock.monotonicMs() + limits.waitMs;
  const page = { events: [] as string[], bytesLeft: limits.bytesMax };
  for (;;) {
    for (const share of [Math.ceil(limits.recordsMax / positions.size), limits.recordsMax]) {
      for (const partition of positions.keys()) {
        const left = Math.min(share, limits.recordsMax - page.events.length);
        await take(engine, topic.name, partition, positions, left, form, page);
      }
    }
    const waitMs = endMs - clock.monotonicMs();
    if (page.events.length > 0 || waitMs <= 0) break;
    await awaitAny(engine, topic.name, positions, waitMs, signal);
  }
  return { events: page.events, next: cursorOf(topic, positions) };
}

export function cursorOf(topic: TopicInfo, positions: Positions): string {
  const sorted = [...positions].map(([partition, offset]) => ({ partition, offset }));
  sorted.sort((a, b) => a.partition - b.partition);
  return encodeToken({ kind: "topic", topic: topic.name, topicId: topic.id, positions: sorted });
}

/** Waits until committed reads reach what an append answered. Throws `TOKEN_FOREIGN`, `TOKEN_TIMEOUT`. */
export async function waitForTopic(
  engine: Engine,
  topic: TopicInfo,
  token: TopicToken,
  waitMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  checkOwn(topic, token);
  const endMs = clock.monotonicMs() + waitMs;
  for (const { partition, offset } of token.positions) {
    for (;;) {
      const { lastStable } = await engine.offsets(topic.name, partition);
      if (lastStable >= offset) break;
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= 0) {
        throw new MillraceError("TOKEN_TIMEOUT", `topic "${topic.name}" has not reached the token within its wait`, {
          details: { partition, offset, lastStable },
        });
      }
      await awaitAny(engine, topic.name, new Map([[partition, lastStable]]), leftMs, signal);
    }
  }
}

async function start(
  engine: Engine,
  topic: string,
  partition: number,
  from: From,
  token: TopicToken | null,
): Promise<number> {
  const { logStart, lastStable } = await engine.offsets(topic, partition);
  switch (from.kind) {
    case "earliest":
      return logStart;
    case "latest":
      return lastStable;
    case "offset":
      return from.offset;
    case "time":
      return Math.min(lastStable, await engine.offsetForTime(topic, partition, from.timestampMs));
    case "cursor":
      // An append's token names the partitions that it wrote to; the others are read from their beginning.
      return token?.positions.find((one) => one.partition === partition)?.offset ?? logStart;
  }
}

function topicToken(topic: TopicInfo, cursor: string): TopicToken {
  const token = decodeToken(cursor);
  if (token.kind === "topic") {
    checkOwn(topic, token);
    return token;
  }
  throw new MillraceError("TOKEN_FOREIGN", `the cursor is of a ${token.kind === "group" ? "view" : "source"}`, {
    hint: "Use next of an earlier answer of this topic.",
  });
}

function checkOwn(topic: TopicInfo, token: TopicToken): void {
  if (token.topicId === topic.id) return;
  throw new MillraceError(
    "TOKEN_FOREIGN",
    token.topic === topic.name
      ? `topic "${topic.name}" was deleted and made again since`
      : `the token is of topic "${token.topic}", not of "${topic.name}"`,
    { hint: "Begin again with from=earliest." },
  );
}

async function take(
  engine: Engine,
  topic: string,
  partition: number,
  positions: Positions,
  recordsMax: number,
  { wire, form }: PageForm,
  page: { events: string[]; bytesLeft: number },
): Promise<void> {
  let left = recordsMax;
  while (left > 0 && page.bytesLeft > 0) {
    const offset = positions.get(partition) ?? 0;
    const result = await engine.read({ topic, partition, offset, isolation: "read_committed", bytesMax: readBytes });
    if (result.batches.length === 0) return;
    let next = nextOffsetOf(result, offset);
    const records = decodeCommitted(result, offset);
    if (form === "json") await knowSchemas(records, wire);
    for (const record of records) {
      if (left <= 0 || page.bytesLeft <= 0) {
        next = record.offset;
        break;
      }
      const text = eventJson(partition, record, wire, form);
      page.events.push(text);
      page.bytesLeft -= text.length;
      left--;
    }
    positions.set(partition, next);
  }
}

/** Until one of the partitions has something behind its position, or the time is up. */
async function awaitAny(
  engine: Engine,
  topic: string,
  positions: Positions,
  waitMs: number,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const enough = new AbortController();
  const onAbort = () => enough.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const reads = [...positions].map(async ([partition, offset]) => {
      try {
        await engine.read({
          topic,
          partition,
          offset,
          isolation: "read_committed",
          bytesMax: 1,
          waitMs,
          signal: enough.signal,
        });
      } catch (error) {
        if (!enough.signal.aborted) throw error;
      } finally {
        enough.abort();
      }
    });
    await Promise.all(reads);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  signal.throwIfAborted();
}

function checkedOffset(text: string): number {
  const offset = Number(text);
  if (Number.isSafeInteger(offset) && offset >= 0) return offset;
  throw new MillraceError("OFFSET_OUT_OF_RANGE", `there is no offset ${text.slice(0, 30)}`, {
    hint: "Offsets begin at 0; from=earliest and from=latest are always right.",
  });
}
