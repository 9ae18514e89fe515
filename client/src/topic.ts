/** One topic: publish, read, follow. */
import { follow, type Pace } from "./follow.ts";
import { jsonOf, type Transport } from "./transport.ts";

export interface NewEvent<Value = unknown> {
  readonly value: Value;
  readonly key?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timestamp?: number | string;
  readonly partition?: number;
}

export interface TopicEvent<Value = unknown> {
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  readonly key: unknown;
  /** Null is a tombstone. Bytes that are no UTF-8 JSON are `{ base64 }`. */
  readonly value: Value | null;
  readonly headers: Readonly<Record<string, unknown>>;
}

export interface EventsPage<Value> {
  readonly events: readonly TopicEvent<Value>[];
  /** `from` of the page after this one. */
  readonly next: string;
}

export interface EventsQuery {
  /** `earliest` unless said; `latest`, a time (RFC 3339), a cursor, or an offset together with `partition`. */
  readonly from?: string | number;
  readonly partition?: number;
  readonly limit?: number;
  /** A duration such as `30s`: the answer waits for the first event. */
  readonly wait?: string;
  readonly after?: string;
  readonly signal?: AbortSignal;
}

export interface TopicLiveOptions {
  /** `latest` unless said. */
  readonly from?: string | number;
  readonly partition?: number;
  readonly signal?: AbortSignal;
}

export interface PublishOptions {
  /**
   * Of this publishing, new for each and the same when it is repeated: the events are appended once, however often it is called
   * with it. 1 to 255 visible characters.
   */
  readonly idempotencyKey?: string;
  /**
   * Nothing is appended unless the last event of the key, which all events have, is at this offset; null for a key without
   * events. Else `KEY_OFFSET_MISMATCH` is thrown, whose `details.offset` says where it is.
   */
  readonly expectedOffset?: number | null;
  readonly signal?: AbortSignal;
}

export interface Published {
  readonly offsets: readonly {
    readonly partition: number;
    readonly baseOffset: number;
    readonly lastOffset: number;
  }[];
  readonly token: string;
}

/** What came, and the cursor that a later `live` or `events` goes on from. */
export interface TopicUpdate<Value> {
  readonly events: readonly TopicEvent<Value>[];
  readonly cursor: string;
  /** Set when records were retired before they could be read; `events` is empty then. */
  readonly gap: { readonly from: string; readonly to: string; readonly reason: string } | null;
}

export class TopicClient<Value> {
  readonly name: string;
  readonly #transport: Transport;
  readonly #pace: Pace;

  constructor(name: string, transport: Transport, pace: Pace) {
    this.name = name;
    this.#transport = transport;
    this.#pace = pace;
  }

  /**
   * Resolves with the server's answer when all events are durable. It is not repeated by itself: after `UNREACHABLE` they
   * may be there or not; with an `idempotencyKey` the same call may be made again.
   */
  async publish(
    events: NewEvent<Value> | readonly NewEvent<Value>[],
    options: PublishOptions = {},
  ): Promise<Published> {
    const { idempotencyKey, expectedOffset, signal } = options;
    const headers: Record<string, string> = {};
    if (idempotencyKey !== undefined) headers["idempotency-key"] = stringItem(idempotencyKey);
    if (expectedOffset === null) headers["if-none-match"] = "*";
    else if (expectedOffset !== undefined) headers["if-match"] = `"${expectedOffset}"`;
    const answer = await this.#transport.write(this.#path(), this.#scope(), events, {
      headers,
      ...(signal ? { signal } : {}),
    });
    return answer as Published;
  }

  /** A page of committed events. */
  async events(query: EventsQuery = {}): Promise<EventsPage<Value>> {
    const parameters: [string, string][] = [];
    for (const name of ["from", "partition", "limit", "wait"] as const) {
      const value = query[name];
      if (value !== undefined) parameters.push([name, String(value)]);
    }
    const answer = await this.#transport.read(`${this.#path()}/events`, this.#scope(), {
      query: parameters,
      after: query.after,
      ...(query.signal ? { signal: query.signal } : {}),
    });
    return (await jsonOf(answer)) as EventsPage<Value>;
  }

  /**
   * Events as they are committed, without a gap or a repetition over reconnects. Pulled: what is not asked for is not
   * read. Ends with the signal, by its reason; throws what the server refuses for good.
   */
  async *live(options: TopicLiveOptions = {}): AsyncGenerator<TopicUpdate<Value>, void> {
    const query: [string, string][] = [["from", String(options.from ?? "latest")]];
    if (options.partition !== undefined) query.push(["partition", String(options.partition)]);
    const closing = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, closing.signal]) : closing.signal;
    try {
      const followed = follow({
        transport: this.#transport,
        path: `${this.#path()}/live`,
        pace: this.#pace,
        lastEventId: null,
        restarts: false,
        signal,
        request: () => ({ query }),
      });
      for await (const one of followed) {
        if (one.kind !== "event") continue;
        const frame = one.data;
        if (one.event === "events") {
          yield { events: frame.events as TopicEvent<Value>[], cursor: String(frame.next), gap: null };
        } else if (one.event === "gap") {
          const [from, to, reason] = [frame.from, frame.to, frame.reason].map(String) as [string, string, string];
          yield { events: [], cursor: to, gap: { from, to, reason } };
        }
      }
    } finally {
      closing.abort();
    }
  }

  #path(): string {
    return `/v1/topics/${encodeURIComponent(this.name)}`;
  }

  #scope(): `topic ${string}` {
    return `topic ${this.name}`;
  }
}

/** A string of RFC 8941. */
function stringItem(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}
