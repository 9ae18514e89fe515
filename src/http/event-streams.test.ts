import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import { appendRecords } from "../engine/records.ts";
import type { Feed, Feeds, Frame, ViewFeedRequest } from "../feeds/feed.ts";
import { openFeeds } from "../feeds/feeds.ts";
import { encodeToken } from "../feeds/token.ts";
import { MetricsRegistry } from "../observe/metrics.ts";
import type { Views, ViewsReader } from "../views/view-info.ts";
import { ask, openTestDoor, partial, type Subscription, subscribe } from "./door-fixture.ts";

const changes: Frame = { event: "changes", id: "1.2", data: '{"token":"t","changes":[]}' };

/** A feed that the test writes into, and that ends as the contract says. */
function fakeFeeds() {
  const requests: ViewFeedRequest[] = [];
  const open: {
    push(frame: Frame): void;
    fail(error: Error): void;
    end(): void;
    readonly pulled: number;
    ended: Promise<void>;
  }[] = [];
  const feeds = partial<Feeds>("feeds", {
    async openViewFeed(request) {
      requests.push(request);
      const frames: Frame[] = [];
      let [ended, failure, pulled]: [boolean, Error | undefined, number] = [false, undefined, 0];
      let wake: () => void = () => {};
      let tell: () => void = () => {};
      const over = new Promise<void>((resolve) => {
        tell = resolve;
      });
      const end = () => {
        ended = true;
        wake();
        tell();
      };
      request.signal?.addEventListener("abort", end);
      const feed: Feed = {
        [Symbol.asyncIterator]() {
          return this;
        },
        async next() {
          for (;;) {
            const frame = frames.shift();
            if (failure) throw failure;
            if (ended) return { done: true, value: undefined };
            if (frame) {
              pulled++;
              return { done: false, value: frame };
            }
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        },
        async return() {
          end();
          return { done: true, value: undefined };
        },
      };
      open.push({
        push(frame) {
          frames.push(frame);
          wake();
        },
        fail(error) {
          failure = error;
          wake();
        },
        end,
        ended: over,
        get pulled() {
          return pulled;
        },
      });
      return feed;
    },
  });
  const feed = (i: number) => open[i] ?? assert.fail(`there is no feed ${i}`);
  return { feeds, requests, feed };
}

async function frame(subscription: Subscription) {
  for (;;) {
    const event = await subscription.next();
    if (event === null || (event.event !== "" && event.event !== "retry")) return event;
  }
}

test("a feed's head is what EventSource needs, with a hint when to come back, and frames with their ids", async () => {
  const { feeds, requests, feed } = fakeFeeds();
  await using door = await openTestDoor({ feeds });
  const subscription = await subscribe(door, "/v1/views/cards/live?status=eq.paid", { "last-event-id": "1.1" });
  assert.equal(subscription.headers["content-type"], "text/event-stream");
  assert.equal(subscription.headers["cache-control"], "no-store");
  assert.equal(subscription.headers["content-encoding"], undefined);
  const hint = await subscription.next();
  assert.equal(hint?.event, "retry");
  assert.ok(Number(hint?.data) >= 1_000 && Number(hint?.data) < 3_000);
  feed(0).push(changes);
  assert.deepEqual(await frame(subscription), { event: "changes", id: "1.2", data: changes.data });
  const [request] = requests;
  assert.equal(request?.view, "cards");
  assert.equal(request?.lastEventId, "1.1");
  assert.deepEqual(request?.filter, {
    kind: "compare",
    column: "status",
    operator: "eq",
    values: ["paid"],
    negated: false,
  });
  subscription.vanish();
});

test("what a feed refuses is answered with its status, before anything is streamed", async () => {
  const feeds = partial<Feeds>("feeds", {
    openViewFeed: async () => {
      throw new MillraceError("VIEW_BUILDING", "view cards is being built", { details: { rowsDone: 5 } });
    },
  });
  await using door = await openTestDoor({ feeds });
  const answer = await ask(door, "/v1/views/cards/live");
  assert.equal(answer.status, 503);
  assert.equal((answer.json() as { rowsDone: number }).rowsDone, 5);
  assert.equal((await ask(door, "/v1/views/cards/live?limit=5")).status, 400);
  assert.equal((await ask(door, "/v1/views/cards/live?a=b")).status, 400);
});

test("a live view waits for the token of what was written before", async () => {
  const { feeds } = fakeFeeds();
  const waits: unknown[] = [];
  const views = partial<Views>("views", { waitFor: async (target) => void waits.push(target) });
  await using door = await openTestDoor({ feeds, views });
  const token = encodeToken({ kind: "group", generation: 1, batch: 7 });
  const subscription = await subscribe(door, `/v1/views/cards/live?after=${token}`);
  assert.deepEqual(waits, [{ kind: "group", position: { generation: 1, batch: 7 } }]);
  subscription.vanish();
});

test("HEAD tells the head of a feed and keeps no place", async () => {
  const { feeds, feed } = fakeFeeds();
  await using door = await openTestDoor({ feeds, settings: { limits: { subscribersMax: 1 } } });
  for (let i = 0; i < 3; i++) {
    const head = await ask(door, "/v1/views/cards/live", { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(head.headers["content-type"], "text/event-stream");
    await feed(i).ended;
  }
});

test("a silent feed gets comments, a busy one none", async () => {
  const { feeds, feed } = fakeFeeds();
  const clock = new VirtualClock();
  await using door = await openTestDoor({ feeds, clock });
  const subscription = await subscribe(door, "/v1/views/cards/live");
  await subscription.next();
  for (let i = 0; i < 4; i++) {
    await clock.advance(10_000);
    feed(0).push(changes);
    assert.equal((await subscription.next())?.event, "changes");
  }
  await clock.advance(17_000);
  assert.deepEqual(await subscription.next(), { event: "", id: null, data: "" });
  subscription.vanish();
});

test("over the limit of subscribers a new one is told 503, and a place that is left is given again", async () => {
  const { feeds, feed } = fakeFeeds();
  await using door = await openTestDoor({ feeds, settings: { limits: { subscribersMax: 2 } } });
  const first = await subscribe(door, "/v1/views/cards/live");
  const second = await subscribe(door, "/v1/views/cards/live");
  const refused = await ask(door, "/v1/views/cards/live");
  assert.equal(refused.status, 503);
  assert.ok(refused.headers["retry-after"]);
  const problem = refused.json() as { code: string; hint: string };
  assert.equal(problem.code, "CONNECTIONS_EXHAUSTED");
  assert.match(problem.hint, /millrace doctor/);
  assert.equal((await ask(door, "/healthz")).status, 200);
  first.vanish();
  await feed(0).ended;
  await placeAgain();
  second.vanish();

  // The place is given back by the door's own pass after the feed's end.
  async function placeAgain(): Promise<void> {
    for (;;) {
      const answer = await ask(door, "/v1/views/cards/live", { method: "HEAD" });
      if (answer.status === 200) return;
      assert.equal(answer.status, 503);
    }
  }
});

test("a subscriber that goes away ends its feed, also one that waits for the next change", async () => {
  const { feeds, feed } = fakeFeeds();
  const metrics = new MetricsRegistry();
  await using door = await openTestDoor({ feeds, metrics });
  const subscription = await subscribe(door, "/v1/views/cards/live");
  await subscription.next();
  assert.match(metrics.render(), /millrace_sse_subscribers\{of="view"\} 1\n/);
  subscription.vanish();
  await feed(0).ended;
  await ask(door, "/healthz");
  assert.match(metrics.render(), /millrace_sse_subscribers\{of="view"\} 0\n/);
  assert.match(metrics.render(), /millrace_sse_ended_total\{of="view",reason="gone"\} 1\n/);
});

test("a subscriber that does not read holds a bounded number of frames, is closed, and disturbs no other", async () => {
  const { feeds, feed } = fakeFeeds();
  const clock = new VirtualClock();
  const metrics = new MetricsRegistry();
  await using door = await openTestDoor({ feeds, clock, metrics });
  const slow = await subscribe(door, "/v1/views/cards/live");
  const quick = await subscribe(door, "/v1/views/cards/live");
  slow.pause();
  const large: Frame = { event: "changes", id: "1.3", data: JSON.stringify("x".repeat(1024 * 1024)) };
  const count = 60;
  for (let i = 0; i < count; i++) feed(0).push(large);
  for (let i = 0; i < count; i++) feed(1).push({ ...large, id: `1.${i}` });
  for (let i = 0; i < count; i++) assert.equal((await frame(quick))?.id, `1.${i}`);
  const held = feed(0).pulled;
  // What the two kernels buffer between them, and one frame more.
  assert.ok(held < count, `${held} frames of 1 MB were pulled for a subscriber that takes none`);
  await clock.advance(20_000);
  assert.equal(feed(0).pulled, held);
  await clock.advance(20_000);
  await feed(0).ended;
  assert.match(metrics.render(), /millrace_sse_ended_total\{of="view",reason="stalled"\} 1\n/);
  feed(1).push(changes);
  assert.equal((await frame(quick))?.id, "1.2");
  slow.resume();
  await slow.closed;
  quick.vanish();
});

test("a feed that fails in the middle closes its connection, so that the client comes back and is told", async () => {
  const { feeds, feed } = fakeFeeds();
  await using door = await openTestDoor({ feeds });
  const subscription = await subscribe(door, "/v1/views/cards/live");
  await subscription.next();
  feed(0).fail(new MillraceError("VIEW_FAILED", "division by zero"));
  assert.equal(await frame(subscription), null);
  await subscription.closed;
  assert.equal((await ask(door, "/healthz")).status, 200);
});

test("closing the door ends every feed at once", async () => {
  const { feeds, feed } = fakeFeeds();
  const door = await openTestDoor({ feeds, settings: { limits: { drainMs: 60_000 } } });
  const all = await Promise.all(Array.from({ length: 20 }, () => subscribe(door, "/v1/views/cards/live")));
  await door.close();
  for (const [i, subscription] of all.entries()) {
    await feed(i).ended;
    assert.equal(await frame(subscription), null);
  }
});

test("a topic is followed live, and resumed from the last id without a gap and without a repetition", async () => {
  const clock = systemClock;
  const random = seededRandom(4);
  const disk = new SimulatedDisk(random);
  const engine = await openEmbeddedEngine({ disk, directory: "/log", clock, random, diagnostics: silentDiagnostics });
  const views = partial<ViewsReader>("views", {});
  const feeds = openFeeds({ views, engine, clock });
  const door = await openTestDoor({ engine, feeds, settings: { limits: { drainMs: 1_000 } } });
  await engine.createTopic("clicks", { partitions: 2 });
  const publish = (value: string) =>
    appendRecords(engine, "clicks", [{ key: Buffer.from(value), value: Buffer.from(JSON.stringify(value)) }]);
  await publish("before");
  const seen: string[] = [];
  let lastId: string | null = null;
  const readUntil = async (subscription: Subscription, count: number) => {
    while (seen.length < count) {
      const event = await frame(subscription);
      assert.ok(event, "the feed ended");
      lastId = event.id ?? lastId;
      if (event.event === "events") {
        seen.push(...(JSON.parse(event.data) as { events: { value: string }[] }).events.map(({ value }) => value));
      }
    }
  };
  const first = await subscribe(door, "/v1/topics/clicks/live?from=earliest");
  await readUntil(first, 1);
  await publish("live");
  await readUntil(first, 2);
  first.vanish();
  await first.closed;
  await publish("missed 1");
  await publish("missed 2");
  const second = await subscribe(door, "/v1/topics/clicks/live", { "last-event-id": String(lastId) });
  await readUntil(second, 4);
  await publish("after");
  await readUntil(second, 5);
  assert.deepEqual(seen.slice(0, 2), ["before", "live"]);
  assert.deepEqual([...seen.slice(2, 4)].sort(), ["missed 1", "missed 2"]);
  assert.equal(seen[4], "after");
  const latest = await subscribe(door, "/v1/topics/clicks/live?partition=0");
  assert.equal((await frame(latest))?.event, "progress");
  for (const [path, status] of [
    ["/v1/topics/clicks/live?from=7", 400],
    ["/v1/topics/clicks/live?from=7&partition=0", 416],
    ["/v1/topics/clicks/live?partition=7", 404],
    ["/v1/topics/clicks/live?from=nonsense", 400],
  ] as const) {
    assert.equal((await ask(door, path)).status, status, path);
  }
  await door.close();
  await feeds.close();
  await engine.close();
});
