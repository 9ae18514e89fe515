/**
 * An event stream that goes on: it reconnects with growing, jittered pauses, and resumes with the last id that it saw.
 * Pulled: while nobody asks for the next event, nothing is read, and the server's own bounds hold.
 */
import { errorOfAnswer, MillraceClientError } from "./client-error.ts";
import { SseParser } from "./sse-parser.ts";
import type { RequestOptions, Transport } from "./transport.ts";

export interface Pace {
  /** The first pause, the longest one, and how long a stream may be silent (the server sends a comment every 15 s). */
  readonly retryMs: number;
  readonly retryMsMax: number;
  readonly silenceMs: number;
  readonly eventCharactersMax: number;
  readonly random: () => number;
  /** Rejects when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** The JSON of an event. */
export type Frame = Readonly<Record<string, unknown>>;

export type Followed =
  /** A connection stands: what was only begun before it must be dropped, unless it is continued by its id. */
  | { readonly kind: "connected" }
  | { readonly kind: "event"; readonly event: string; readonly id: string; readonly data: Frame }
  /** It is tried again after a pause. */
  | { readonly kind: "waiting"; readonly error: MillraceClientError; readonly pauseMs: number }
  /** The server does not know the place to resume from: the stream begins from its beginning. */
  | { readonly kind: "restarted"; readonly error: MillraceClientError };

export interface FollowOptions {
  readonly transport: Transport;
  readonly path: string;
  /** Asked for each connection. */
  readonly request: () => RequestOptions;
  readonly lastEventId: string | null;
  /** An id that the server refuses is dropped; else it ends the stream. */
  readonly restarts: boolean;
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

export const defaultPace: Pace = {
  retryMs: 500,
  retryMsMax: 15_000,
  silenceMs: 45_000,
  eventCharactersMax: 256 * 1024 * 1024,
  random: Math.random,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal.addEventListener("abort", onAbort, { once: true });
    }),
};

/** Ends with the signal, by its reason; throws what the server refuses for good. */
export async function* follow(options: FollowOptions): AsyncGenerator<Followed, never> {
  const { pace, signal } = options;
  let lastEventId = options.lastEventId;
  let failures = 0;
  let retryMs = pace.retryMs;
  for (;;) {
    let error: MillraceClientError;
    try {
      for await (const one of connection(options, lastEventId)) {
        if ("retryMs" in one) {
          retryMs = one.retryMs;
          continue;
        }
        if (one.kind === "event") {
          failures = 0;
          if (one.id !== "") lastEventId = one.id;
        }
        yield one;
      }
      error = new MillraceClientError("UNREACHABLE", "the stream ended", { action: "retry" });
    } catch (cause) {
      signal.throwIfAborted();
      error = cause instanceof MillraceClientError ? cause : cut(cause);
    }
    if (!passes(error)) {
      if (!options.restarts || lastEventId === null || error.code !== "TOKEN_INVALID") throw error;
      lastEventId = null;
      yield { kind: "restarted", error };
      continue;
    }
    // Half of the pause is left to chance, so that the clients of a server that restarts come back one by one.
    const pause = Math.min(pace.retryMsMax, retryMs * 2 ** Math.min(failures++, 20));
    const pauseMs = Math.max(error.retryAfterMs ?? 0, pause / 2 + (pause / 2) * pace.random());
    yield { kind: "waiting", error, pauseMs };
    await pace.sleep(pauseMs, signal);
  }
}

type Received = Extract<Followed, { kind: "connected" | "event" }> | { readonly retryMs: number };

async function* connection(options: FollowOptions, lastEventId: string | null): AsyncGenerator<Received, void> {
  const { transport, path, pace } = options;
  const request = options.request();
  const stop = new AbortController();
  const onAbort = () => stop.abort(options.signal.reason);
  if (options.signal.aborted) onAbort();
  options.signal.addEventListener("abort", onAbort, { once: true });
  try {
    const answer = await silent(pace, stop, () =>
      transport.open(path, {
        ...request,
        signal: stop.signal,
        headers: {
          accept: "text/event-stream",
          ...request.headers,
          ...(lastEventId === null ? {} : { "last-event-id": lastEventId }),
        },
      }),
    );
    if (!answer.ok) throw await errorOfAnswer(answer);
    const type = answer.headers.get("content-type") ?? "";
    if (!answer.body || !/^text\/event-stream\b/i.test(type)) {
      throw new MillraceClientError("ANSWER_INVALID", `the answer is ${JSON.stringify(type)}, not an event stream`, {
        status: answer.status,
        action: "retry",
      });
    }
    yield { kind: "connected" };
    yield* eventsOf(answer.body, pace, stop);
  } finally {
    options.signal.removeEventListener("abort", onAbort);
    // Frees the connection when the reader leaves in the middle.
    stop.abort();
  }
}

async function* eventsOf(
  body: ReadableStream<Uint8Array>,
  pace: Pace,
  stop: AbortController,
): AsyncGenerator<Received, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser(pace.eventCharactersMax);
  let toldRetryMs: number | null = null;
  for (;;) {
    const { done, value } = await silent(pace, stop, () => reader.read());
    // What was not ended by an empty line is not an event.
    if (done) return;
    for (const { event, id, data } of parser.push(decoder.decode(value, { stream: true }))) {
      yield { kind: "event", event, id, data: frameOf(data) };
    }
    if (parser.retryMs !== null && parser.retryMs !== toldRetryMs) {
      toldRetryMs = parser.retryMs;
      yield { retryMs: parser.retryMs };
    }
  }
}

/** Stops what takes longer than a living server would be silent: a connection can be dead without being closed. */
async function silent<T>(pace: Pace, stop: AbortController, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => {
    stop.abort(
      new MillraceClientError("UNREACHABLE", `the server was silent for ${pace.silenceMs} ms`, { action: "retry" }),
    );
  }, pace.silenceMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}

/** What is no frame was made by something in between: the connection is given up, and the next one resumes before it. */
function frameOf(data: string): Frame {
  try {
    const frame: unknown = JSON.parse(data);
    if (typeof frame === "object" && frame !== null) return frame as Frame;
  } catch {}
  throw new MillraceClientError("ANSWER_INVALID", `the stream has an event that is no frame: ${data.slice(0, 100)}`, {
    action: "retry",
  });
}

function cut(cause: unknown): MillraceClientError {
  return new MillraceClientError(
    "UNREACHABLE",
    `the stream was cut: ${cause instanceof Error ? cause.message : cause}`,
    {
      cause,
      action: "retry",
    },
  );
}

/** Whether the same request may be answered later. */
function passes(error: MillraceClientError): boolean {
  const { status } = error;
  return status === null || status < 300 || status >= 500 || [408, 425, 429].includes(status);
}
