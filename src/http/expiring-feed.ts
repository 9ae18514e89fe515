/** A feed that ends when the token of who follows it holds no longer. */
import type { Clock, Timer } from "../base/clock.ts";
import type { Feed, Frame } from "../feeds/feed.ts";

/** What a timer counts to: 2³¹ − 1. */
const spanMsMax = 2_147_483_647;

const done = { done: true, value: undefined } as const;

/** The last frame, after which a client comes back with another token and the id of the frame before. */
const expired: Frame = Object.freeze({
  event: "end",
  id: null,
  data: JSON.stringify({
    code: "CALLER_TOKEN_EXPIRED",
    message: "the caller's token holds no longer",
    hint: "Follow again with a new token and Last-Event-ID: nothing is missed.",
  }),
});

export function expiringFeed(feed: Feed, untilMs: number, clock: Clock): Feed {
  let timer: Timer | undefined;
  let state: "open" | "expired" | "over" = "open";
  let expire = () => {};
  const wait = () => {
    const leftMs = untilMs - clock.now();
    if (leftMs > 0) {
      timer = clock.after(Math.min(leftMs, spanMsMax), wait);
      return;
    }
    if (state === "open") state = "expired";
    expire();
  };
  wait();
  const close = async () => {
    state = "over";
    timer?.cancel();
    await feed.return?.();
  };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (state === "open") {
        const late = new Promise<null>((resolve) => {
          expire = () => resolve(null);
        });
        const next = await Promise.race([feed.next(), late]);
        // What was there in time is told: the timer may be later than the clock.
        if (next !== null && state === "open" && clock.now() < untilMs) {
          if (next.done) await close();
          return next;
        }
        if (state === "open") state = "expired";
      }
      if (state === "over") return done;
      await close();
      return { done: false, value: expired };
    },
    async return() {
      await close();
      return done;
    },
  };
}
