/**
 * One subscriber of a topic: committed records of all its partitions, or of one, as they come. It holds one position per
 * partition, and at most one read's records.
 *
 * Always true: the cursor of a frame is behind every record of it and before every other, partition by partition;
 * records that were retired before they were read are told as a gap.
 */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { assertNoSecrets } from "../catalog/catalogue-records.ts";
import type { Engine, TopicInfo } from "../engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../engine/records.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import { eventJson, knowSchemas } from "./event-json.ts";
import type { Feed, Frame, TopicFeedRequest } from "./feed.ts";
import { decodeToken, encodeToken } from "./token.ts";

export interface TopicFeedOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly wire: WireReader;
  readonly request: TopicFeedRequest;
  readonly limits: TopicFeedLimits;
  readonly onClose: () => void;
}

export interface TopicFeedLimits {
  readonly eventsMax: number;
  /** Of the JSON of one frame; the first event comes however large it is. */
  readonly frameCharactersMax: number;
  readonly readBytes: number;
  readonly waitMs: number;
  /** A position that moved without a record is told this often at most. */
  readonly progressMs: number;
}

/** Events that were read, and where their partition stands after each. */
interface ReadEvent {
  readonly partition: number;
  readonly next: number;
  readonly text: string;
}

const done = { done: true, value: undefined } as const;

export class TopicFeed implements Feed {
  readonly #options: TopicFeedOptions;
  readonly #topic: TopicInfo;
  /** Of what was handed out. */
  readonly #positions: Map<number, number>;
  readonly #closing = new AbortController();
  readonly #onAbort = () => this.#close();
  #pending: ReadEvent[] = [];
  /** Where the partitions stand when the pending events are handed out. */
  #readTo: Map<number, number>;
  #gap: Frame | undefined;
  #toldMs: number | undefined;
  #turn = 0;
  #closed = false;

  private constructor(options: TopicFeedOptions, topic: TopicInfo, positions: Map<number, number>) {
    this.#options = options;
    this.#topic = topic;
    this.#positions = positions;
    this.#readTo = new Map(positions);
    options.request.signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (options.request.signal?.aborted) this.#close();
  }

  static async open(options: TopicFeedOptions): Promise<TopicFeed> {
    const { engine, request } = options;
    const topic = engine.topic(request.topic);
    if (!topic) {
      throw new MillraceError("TOPIC_UNKNOWN", `there is no topic "${request.topic}"`, {
        details: { topic: request.topic },
      });
    }
    assertNoSecrets(topic.name);
    const feed = new TopicFeed(options, topic, await startPositions(engine, topic, request));
    try {
      await feed.#read();
    } catch (error) {
      feed.#close();
      throw error;
    }
    return feed;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Frame, undefined>> {
    try {
      while (!this.#closed) {
        const frame = this.#takeFrame();
        if (frame) return { done: false, value: frame };
        await this.#read();
        if (this.#pending.length === 0 && !this.#gap && !this.#mustTellProgress()) await this.#awaitAny();
      }
    } catch (error) {
      const wasClosed = this.#closed;
      this.#close();
      if (!wasClosed) throw error;
    }
    return done;
  }

  return(): Promise<IteratorResult<Frame, undefined>> {
    this.#close();
    return Promise.resolve(done);
  }

  #takeFrame(): Frame | undefined {
    const gap = this.#gap;
    if (this.#pending.length > 0) return this.#eventsFrame();
    if (gap) {
      this.#gap = undefined;
      this.#settle();
      return this.#told(gap);
    }
    if (!this.#mustTellProgress()) return undefined;
    this.#settle();
    const next = this.#cursor();
    return this.#told(Object.freeze({ event: "progress", id: next, data: `{"next":"${next}"}` }));
  }

  #eventsFrame(): Frame {
    const { eventsMax, frameCharactersMax } = this.#options.limits;
    const texts: string[] = [];
    let characters = 0;
    for (const event of this.#pending) {
      if (texts.length === eventsMax || (texts.length > 0 && characters + event.text.length > frameCharactersMax))
        break;
      texts.push(event.text);
      characters += event.text.length;
      this.#positions.set(event.partition, event.next);
    }
    this.#pending = this.#pending.slice(texts.length);
    if (this.#pending.length === 0 && !this.#gap) this.#settle();
    const next = this.#cursor();
    return this.#told(
      Object.freeze({ event: "events", id: next, data: `{"events":[${texts.join(",")}],"next":"${next}"}` }),
    );
  }

  #told(frame: Frame): Frame {
    this.#toldMs = this.#options.clock.monotonicMs();
    return frame;
  }

  /** Everything that was read has been handed out: also past markers and aborted records. */
  #settle(): void {
    for (const [partition, offset] of this.#readTo) this.#positions.set(partition, offset);
  }

  /** The first frame always comes, so that the client has a cursor. */
  #mustTellProgress(): boolean {
    if (this.#toldMs === undefined) return true;
    const moved = [...this.#readTo].some(([partition, offset]) => this.#positions.get(partition) !== offset);
    return moved && this.#options.clock.monotonicMs() - this.#toldMs >= this.#options.limits.progressMs;
  }

  /** One share from each partition, beginning with another one each time; answers at once. */
  async #read(): Promise<void> {
    const { engine, limits, wire } = this.#options;
    const partitions = [...this.#positions.keys()];
    const first = this.#turn++;
    const bytesMax = Math.max(4_096, Math.floor(limits.readBytes / Math.max(1, partitions.length)));
    let characters = 0;
    for (let i = 0; i < partitions.length && characters < limits.readBytes && !this.#closed; i++) {
      const partition = partitions[(first + i) % partitions.length] ?? 0;
      const offset = this.#readTo.get(partition) ?? 0;
      const { name: topic } = this.#topic;
      let result: Awaited<ReturnType<Engine["read"]>>;
      try {
        result = await engine.read({ topic, partition, offset, isolation: "read_committed", bytesMax });
      } catch (error) {
        if (!MillraceError.is(error, "OFFSET_OUT_OF_RANGE")) throw error;
        await this.#leap(partition, offset);
        return;
      }
      const records = decodeCommitted(result, offset);
      await knowSchemas(records, wire);
      for (const record of records) {
        const text = eventJson(partition, record, wire);
        characters += text.length;
        this.#pending.push({ partition, next: record.offset + 1, text });
      }
      this.#readTo.set(partition, nextOffsetOf(result, offset));
    }
  }

  /** The position is outside of what the log has: the rest of the partition is told as a gap. */
  async #leap(partition: number, offset: number): Promise<void> {
    const { logStart, highWatermark } = await this.#options.engine.offsets(this.#topic.name, partition);
    const before = offset < logStart;
    const from = this.#cursorOf(this.#readTo);
    this.#readTo.set(partition, before ? logStart : highWatermark);
    const to = this.#cursorOf(this.#readTo);
    const reason = before
      ? `records of partition ${partition} before offset ${logStart} are no longer kept`
      : `partition ${partition} ends at offset ${highWatermark}, before the position`;
    this.#gap = Object.freeze({ event: "gap", id: to, data: JSON.stringify({ from, to, reason }) });
  }

  /** Until one of the partitions has something behind its position, or a while has passed. */
  async #awaitAny(): Promise<void> {
    const { engine, limits } = this.#options;
    const enough = new AbortController();
    const onClose = () => enough.abort();
    this.#closing.signal.addEventListener("abort", onClose, { once: true });
    if (this.#closed) enough.abort();
    const reads = [...this.#readTo].map(async ([partition, offset]) => {
      try {
        await engine.read({
          topic: this.#topic.name,
          partition,
          offset,
          isolation: "read_committed",
          bytesMax: 1,
          waitMs: limits.waitMs,
          signal: enough.signal,
        });
      } catch (error) {
        // What is wrong with the position is told by the next read.
        if (!enough.signal.aborted && !MillraceError.is(error, "OFFSET_OUT_OF_RANGE")) throw error;
      } finally {
        enough.abort();
      }
    });
    try {
      await Promise.all(reads);
    } finally {
      this.#closing.signal.removeEventListener("abort", onClose);
    }
  }

  #cursor(): string {
    return this.#cursorOf(this.#positions);
  }

  #cursorOf(offsets: ReadonlyMap<number, number>): string {
    const positions = [...offsets].map(([partition, offset]) => ({ partition, offset }));
    positions.sort((a, b) => a.partition - b.partition);
    return encodeToken({ kind: "topic", topic: this.#topic.name, topicId: this.#topic.id, positions });
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.request.signal?.removeEventListener("abort", this.#onAbort);
    this.#pending = [];
    this.#closing.abort();
    this.#options.onClose();
  }
}

async function startPositions(
  engine: Engine,
  topic: TopicInfo,
  { from, partition }: TopicFeedRequest,
): Promise<Map<number, number>> {
  if (from.kind === "offset" && partition === undefined) {
    throw new MillraceError("REQUEST_INVALID", "an offset needs its partition", {
      hint: "Name the partition, or begin with earliest, latest, a time or a cursor.",
    });
  }
  const cursor = from.kind === "cursor" ? ownCursor(topic, from.cursor) : undefined;
  const positions = new Map<number, number>();
  const partitions =
    partition === undefined ? Array.from({ length: topic.settings.partitions }, (_, i) => i) : [partition];
  for (const one of partitions) {
    const { logStart, lastStable, highWatermark } = await engine.offsets(topic.name, one);
    switch (from.kind) {
      case "earliest":
        positions.set(one, logStart);
        break;
      case "latest":
        positions.set(one, lastStable);
        break;
      case "time":
        positions.set(one, Math.min(lastStable, await engine.offsetForTime(topic.name, one, from.timestampMs)));
        break;
      case "offset":
        if (from.offset < logStart || from.offset > highWatermark) {
          throw new MillraceError(
            "OFFSET_OUT_OF_RANGE",
            `partition ${one} has offsets ${logStart} to ${highWatermark}`,
            {
              details: { partition: one, offset: from.offset, logStart, highWatermark },
            },
          );
        }
        positions.set(one, from.offset);
        break;
      case "cursor":
        // An append's token names the partitions that it wrote to; the others are read from their beginning.
        positions.set(one, cursor?.get(one) ?? logStart);
        break;
    }
  }
  return positions;
}

function ownCursor(topic: TopicInfo, cursor: string): Map<number, number> {
  const token = decodeToken(cursor);
  if (token.kind !== "topic" || token.topicId !== topic.id) {
    throw new MillraceError("TOKEN_FOREIGN", `the cursor is not of topic "${topic.name}" as it is now`, {
      hint: "Resume with the id of this topic's last event, or begin with earliest or latest.",
    });
  }
  return new Map(token.positions.map(({ partition, offset }) => [partition, offset]));
}
