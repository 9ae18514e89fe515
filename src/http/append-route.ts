/** `POST /v1/topics/{topic}`: one append, whole or not at all, once for an idempotency key; or line by line. */
import { MillraceError } from "../base/errors.ts";
import type { Engine, KeyExpectation, TopicInfo } from "../engine/engine.ts";
import { type AppendHead, appendHeadOf, eventsOf, isLines } from "./append-body.ts";
import { expectedOffsetOf, oneKeyOf, whenDecided } from "./append-conditions.ts";
import { LineAppends } from "./append-lines.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpLimits } from "./door-settings.ts";
import { type EventInput, parseEventLine } from "./event-input.ts";
import { fingerprintOf, parseIdempotencyKey } from "./idempotency-key.ts";
import type { AnsweredPlace } from "./idempotency-records.ts";
import { LineSplitter } from "./line-splitter.ts";
import { queryBoolean } from "./parameters.ts";
import { textOf } from "./request-body.ts";
import { type Call, json, type Reply, type Route } from "./route.ts";
import { array, boolean, integer, ref, string } from "./schemas.ts";
import { appendAnswer, type PlannedBatch, planAppend, TopicAppender } from "./topic-append.ts";

/** Of the rest of a body that is not taken: read, so that its sender reads the answer. */
const discardedBytesMax = 8 * 1024 * 1024;

export function appendRoute(
  deps: HttpDoorDependencies,
  limits: HttpLimits,
  writableTopicOf: (engine: Engine, call: Call) => TopicInfo,
): Route {
  const door = new AppendDoor(deps, limits);
  return {
    method: "POST",
    path: "/v1/topics/{topic}",
    operation: "appendEvents",
    about: "Appends events, whole or not at all; answers when they are durable. Never creates a topic.",
    access: "key",
    parameters: [
      { name: "partition", in: "query", about: "For octet streams: where the value goes.", schema: integer },
      {
        name: "atomic",
        in: "query",
        about: "For lines: false appends them piece by piece as they arrive, and takes a body of any size.",
        schema: boolean,
      },
      { name: "Millrace-Key", in: "header", about: "For octet streams: the key.", schema: string },
      {
        name: "Idempotency-Key",
        in: "header",
        about: "The request is done once, and answered the same when it comes again with this key.",
        schema: { type: "string", maxLength: 255 },
      },
      {
        name: "If-Match",
        in: "header",
        about: 'Nothing is appended unless the last event of the key is at this offset: "17"; or * for any.',
        schema: string,
      },
      {
        name: "If-None-Match",
        in: "header",
        about: "*: nothing is appended unless the key has no event.",
        schema: { const: "*" },
      },
    ],
    body: {
      "application/json": { anyOf: [ref("NewEvent"), array(ref("NewEvent"))] },
      "application/x-ndjson": { description: "One event per line.", type: "string" },
      "application/octet-stream": { description: "One raw value.", type: "string", format: "binary" },
    },
    answers: {
      200: {
        about:
          "Where they are; Millrace-Token is the token. With Idempotent-Replayed: true it is the answer of before; with a condition ETag is the offset of the last event.",
        schema: { anyOf: [ref("Appended"), ref("AppendedLines")] },
      },
    },
    errors: [
      "TOPIC_UNKNOWN",
      "TOPIC_READ_ONLY",
      "PARTITION_FAILED",
      "DISK_LOW",
      "LOG_CLOSED",
      "REQUEST_TOO_LARGE",
      "MEDIA_TYPE_UNSUPPORTED",
      "RECORD_INVALID",
      "RECORD_TIMESTAMP_INVALID",
      "RECORD_TOO_LARGE",
      "SCHEMA_MISMATCH",
      "PARTITION_UNKNOWN",
      "IDEMPOTENCY_KEY_INVALID",
      "IDEMPOTENCY_KEY_REUSED",
      "IDEMPOTENCY_KEY_IN_USE",
      "IDEMPOTENCY_BUSY",
      "UNIT_MOVING",
      "KEY_OFFSET_MISMATCH",
      "KEY_OFFSET_UNDECIDED",
      "KEY_OFFSETS_FULL",
      "KEY_OFFSETS_UNSUPPORTED",
    ],
    handle: (call) => {
      const topic = writableTopicOf(deps.engine, call);
      return queryBoolean(call.query, "atomic") === false ? door.appendLines(topic, call) : door.append(topic, call);
    },
  };
}

class AppendDoor {
  readonly #deps: HttpDoorDependencies;
  readonly #limits: HttpLimits;
  readonly #appender: TopicAppender;
  readonly #appended: { add(count: number): void };

  constructor(deps: HttpDoorDependencies, limits: HttpLimits) {
    this.#deps = deps;
    this.#limits = limits;
    this.#appender = new TopicAppender(deps.engine);
    this.#appended = deps.metrics.counter(
      "millrace_http_appended_events_total",
      "Events that were appended over HTTP.",
    );
  }

  async append(topic: TopicInfo, call: Call): Promise<Reply> {
    const head = appendHeadOf(call);
    const expected = expectedOffsetOf(call.headers);
    const header = call.headers["idempotency-key"];
    const key = header === undefined ? undefined : parseIdempotencyKey(String(header));
    const body = await call.body();
    let events: EventInput[] = [];
    const plan = () => {
      events = eventsOf(head, body);
      return this.#plan(topic, events, expected);
    };
    const attempt = async () => {
      if (key !== undefined) return await this.#appendOnce(topic, { head, body, key, expected }, plan);
      return { places: await this.#appender.append(topic.name, plan()), replayed: false };
    };
    const wait = { waitMs: this.#limits.undecidedMs, signal: call.signal };
    const { places, replayed } = await (expected === undefined ? attempt() : whenDecided(this.#deps, attempt, wait));
    if (!replayed) this.#appended.add(events.length);
    const answer = appendAnswer(topic, places);
    return json(answer, 200, {
      "millrace-token": answer.token,
      ...(replayed && { "idempotent-replayed": "true" }),
      ...(expected !== undefined && { etag: `"${places.at(-1)?.lastOffset}"` }),
    });
  }

  async appendLines(topic: TopicInfo, call: Call): Promise<Reply> {
    assertPlainLines(call);
    const splitter = new LineSplitter(this.#limits.bodyBytesMax);
    const lines = new LineAppends({
      append: async (events) => {
        const placed = await this.#appender.append(topic.name, this.#plan(topic, events, undefined));
        this.#appended.add(events.length);
        return placed;
      },
      parse: (line, number) => parseEventLine(textOfLine(line, number), number),
    });
    const pieces = call.pieces();
    try {
      for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
        for (const line of splitter.push(next.value)) await lines.add(line, splitter.number);
      }
      for (const line of splitter.end()) await lines.add(line, splitter.number);
      await lines.end();
    } catch (error) {
      // What came whole before it is appended, and told.
      await lines.end().catch(() => {});
      await discard(pieces);
      throw withAppended(error, linesAnswer(topic, lines));
    }
    const answer = linesAnswer(topic, lines);
    return json(answer, 200, { "millrace-token": answer.token });
  }

  #appendOnce(
    topic: TopicInfo,
    sent: {
      readonly head: AppendHead;
      readonly body: Buffer;
      readonly key: string;
      readonly expected: KeyExpectation["offset"] | undefined;
    },
    plan: () => PlannedBatch[],
  ): Promise<{ readonly places: readonly AnsweredPlace[]; readonly replayed: boolean }> {
    const { head, body, key, expected } = sent;
    const condition = expected === null ? "none" : (expected ?? null);
    const fingerprint = fingerprintOf([head.type, head.key, head.partition ?? null, condition], body);
    const request = { topic: topic.name, topicId: topic.id, key, fingerprint, plan };
    return this.#deps.idempotent.append(request);
  }

  #plan(topic: TopicInfo, events: readonly EventInput[], expected: KeyExpectation["offset"] | undefined) {
    const { schemas, random, clock } = this.#deps;
    schemas.check(topic.name, events);
    const expect = expected === undefined ? undefined : { key: oneKeyOf(events), offset: expected };
    const keylessPartition = random.below(topic.settings.partitions);
    return planAppend(topic, events, { nowMs: clock.now(), keylessPartition, ...(expect && { expect }) });
  }
}

/** Throws `REQUEST_INVALID`, `IDEMPOTENCY_KEY_INVALID`. */
function assertPlainLines(call: Call): void {
  const hint = "Leave atomic=false out, and send at most what one request may have.";
  if (!isLines(appendHeadOf(call))) {
    throw new MillraceError("REQUEST_INVALID", "atomic=false is for lines (application/x-ndjson)", { hint });
  }
  if (expectedOffsetOf(call.headers) !== undefined) {
    throw new MillraceError("REQUEST_INVALID", "If-Match and If-None-Match are for appends that are atomic", { hint });
  }
  if (call.headers["idempotency-key"] === undefined) return;
  throw new MillraceError("IDEMPOTENCY_KEY_INVALID", "Idempotency-Key is for appends that are atomic", { hint });
}

function textOfLine(line: Buffer, number: number): string {
  try {
    return textOf(line);
  } catch (cause) {
    throw new MillraceError("REQUEST_INVALID", `line ${number} is not UTF-8`, { cause, details: { line: number } });
  }
}

function linesAnswer(topic: TopicInfo, lines: LineAppends) {
  const { events, lines: count, places } = lines.appended;
  return { events, lines: count, ...appendAnswer(topic, places) };
}

function withAppended(thrown: unknown, appended: ReturnType<typeof linesAnswer>): MillraceError {
  const error = MillraceError.from(thrown);
  return new MillraceError(error.code, error.message, {
    hint: `${error.hint === undefined ? "" : `${error.hint} `}${afterwards(appended)}`,
    details: { ...error.details, appended },
    cause: error,
  });
}

function afterwards({ events, lines }: { readonly events: number; readonly lines: number }): string {
  if (events === 0) return "Nothing was appended.";
  return `${events === 1 ? "The event" : `All ${events} events`} up to line ${lines} ${events === 1 ? "is" : "are"} there; go on behind it.`;
}

/** Who is still sending reads no answer; who sends on and on is cut off. Never rejects. */
async function discard(pieces: AsyncIterable<Buffer>): Promise<void> {
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      bytes += piece.length;
      if (bytes > discardedBytesMax) return;
    }
  } catch {
    // It has gone, or sends nothing more.
  }
}
