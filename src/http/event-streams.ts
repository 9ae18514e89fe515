/**
 * Feeds written to sockets as `text/event-stream` (WHATWG HTML, 9.2), with heartbeats as comments.
 *
 * Always true: a frame is pulled only when the peer has taken the one before, so a subscriber holds one frame at most;
 * one that takes nothing for `stallMs` is closed and resumes from the last id that it got whole. Feeds over the limit
 * are refused with `CONNECTIONS_EXHAUSTED` before anything is read for them.
 */
import type { ServerResponse } from "node:http";
import type { Clock, Timer } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { Counter, Metrics } from "../base/metrics.ts";
import type { Random } from "../base/random.ts";
import { encodeSse, type Feed } from "../feeds/feed.ts";
import type { HttpLimits } from "./door-settings.ts";
import type { FeedKind } from "./route.ts";

interface Subscriber {
  readonly response: ServerResponse;
  readonly of: FeedKind;
  lastWriteMs: number;
  blocked: boolean;
}

export interface EventStreamsDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly limits: Pick<HttpLimits, "subscribersMax" | "heartbeatMs" | "stallMs">;
}

const heartbeat = Buffer.from(":\n\n");

export class EventStreams {
  readonly #deps: EventStreamsDependencies;
  readonly #subscribers = new Set<Subscriber>();
  readonly #frames: Counter;
  readonly #ended: Counter;
  #reserved = 0;
  #sweep: Timer;

  constructor(deps: EventStreamsDependencies) {
    this.#deps = deps;
    this.#frames = deps.metrics.counter("millrace_sse_frames_total", "Frames written to subscribers.");
    this.#ended = deps.metrics.counter("millrace_sse_ended_total", "Subscriptions that ended, by reason.");
    deps.metrics.collect("gauge", "millrace_sse_subscribers", "Open subscriptions.", () =>
      (["topic", "view"] as const).map((of) => ({ labels: { of }, value: this.open(of) })),
    );
    this.#sweep = this.#deps.clock.after(this.#sweepMs(), () => this.#beat());
  }

  open(of?: FeedKind): number {
    if (of === undefined) return this.#subscribers.size;
    let count = 0;
    for (const subscriber of this.#subscribers) if (subscriber.of === of) count++;
    return count;
  }

  /** Takes a place, or throws `CONNECTIONS_EXHAUSTED`. Answers the function that gives it back. */
  reserve(): () => void {
    const { subscribersMax } = this.#deps.limits;
    if (this.#reserved >= subscribersMax) {
      throw new MillraceError("CONNECTIONS_EXHAUSTED", `all ${subscribersMax} places for live feeds are taken`, {
        hint: "Try again later; millrace doctor reports the limit of open files that it follows from.",
        details: { subscribersMax },
      });
    }
    this.#reserved++;
    let held = true;
    return () => {
      if (held) this.#reserved--;
      held = false;
    };
  }

  /** Writes the feed until it ends (a peer that goes away ends it by its signal) or the peer stalls. The head is written already. Never throws. */
  async serve(response: ServerResponse, feed: Feed, of: FeedKind): Promise<void> {
    const { clock, random } = this.#deps;
    const subscriber: Subscriber = { response, of, lastWriteMs: clock.monotonicMs(), blocked: false };
    this.#subscribers.add(subscriber);
    let reason = "ended";
    try {
      // Spread, so that a restart does not bring everybody back in the same moment.
      response.write(`retry: ${1_000 + random.below(2_000)}\n\n`);
      for await (const frame of feed) {
        if (response.destroyed) break;
        this.#frames.add(1, { of });
        subscriber.lastWriteMs = clock.monotonicMs();
        if (response.write(encodeSse(frame))) continue;
        subscriber.blocked = true;
        const drained = await drain(response, clock, this.#deps.limits.stallMs);
        subscriber.blocked = false;
        if (!drained) {
          reason = "stalled";
          break;
        }
      }
      if (reason === "ended" && response.destroyed) reason = "gone";
    } catch {
      // The feed has no frame for it: the subscriber comes back and is told the reason as a status.
      reason = "failed";
    } finally {
      this.#subscribers.delete(subscriber);
      await feed.return?.()?.catch(() => {});
      this.#ended.add(1, { of, reason });
      if (reason === "ended") response.end();
      else response.destroy();
    }
  }

  close(): void {
    this.#sweep.cancel();
  }

  /** One timer for all: those that were silent for long get a comment, which also finds peers that are gone. */
  #beat(): void {
    const { clock, limits } = this.#deps;
    const nowMs = clock.monotonicMs();
    for (const subscriber of this.#subscribers) {
      if (subscriber.blocked || nowMs - subscriber.lastWriteMs < limits.heartbeatMs) continue;
      subscriber.lastWriteMs = nowMs;
      subscriber.response.write(heartbeat);
    }
    this.#sweep = clock.after(this.#sweepMs(), () => this.#beat());
  }

  #sweepMs(): number {
    return Math.max(10, this.#deps.limits.heartbeatMs / 10);
  }
}

/** False when the peer took nothing in time; true when it did, or is gone. */
function drain(response: ServerResponse, clock: Clock, stallMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (drained: boolean) => {
      timer.cancel();
      response.off("drain", onDrain).off("close", onDrain);
      resolve(drained);
    };
    const onDrain = () => done(true);
    const timer = clock.after(stallMs, () => done(false));
    response.on("drain", onDrain).on("close", onDrain);
    if (response.destroyed) done(true);
  });
}
