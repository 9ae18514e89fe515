import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { systemClock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { catalogueTopicName } from "../catalog/catalogue-records.ts";
import type { Engine } from "../engine/engine.ts";
import { appendRecords } from "../engine/records.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import type { ViewsReader } from "../views/view-info.ts";
import type { Feed, Feeds, Frame, TopicFeedRequest } from "./feed.ts";
import { type FeedLimits, openFeeds } from "./feeds.ts";
import { openTestEngine, pull, retired } from "./feeds-fixture.ts";
import { encodeToken } from "./token.ts";

type From = TopicFeedRequest["from"];

function feedsOf(engine: Engine, limits: Partial<FeedLimits> = {}): Feeds {
  return openFeeds({ views: undefined as unknown as ViewsReader, engine, clock: systemClock, limits });
}

function publish(engine: Engine, partition: number, ...values: unknown[]) {
  const records = values.map((value) => ({ key: null, value: Buffer.from(JSON.stringify(value)), partition }));
  return appendRecords(engine, "clicks", records);
}

async function refused(work: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(work, (error) => MillraceError.is(error) && error.code === code);
}

async function until(feed: Feed, event: Frame["event"]): Promise<Frame> {
  for (;;) {
    const frame = await pull(feed);
    if (frame.event === event) return frame;
  }
}

const earliest: From = { kind: "earliest" };
const cursorFrom = (cursor: string | null): From => ({ kind: "cursor", cursor: cursor ?? assert.fail() });

test("a topic's events come from all partitions, and go on as they are committed", async () => {
  const engine = await openTestEngine();
  await engine.createTopic("clicks", { partitions: 3 });
  await publish(engine, 0, "a", "b");
  await publish(engine, 2, "c");
  const feeds = feedsOf(engine);
  const feed = await feeds.openTopicFeed({ topic: "clicks", from: earliest });
  const first = await pull(feed);
  assert.equal(first.event, "events");
  const { events, next } = JSON.parse(first.data);
  assert.deepEqual(events.map(({ value }: { value: string }) => value).sort(), ["a", "b", "c"]);
  assert.equal(first.id, next);
  const coming = pull(feed);
  await publish(engine, 1, "d");
  const [event] = JSON.parse((await coming).data).events;
  assert.deepEqual([event.partition, event.offset, event.value], [1, 0, "d"]);
  assert.deepEqual(feeds.open(), { views: 0, topics: 1 });
  const waiting = feed.next();
  await feeds.close();
  assert.equal((await waiting).done, true);
  assert.deepEqual(feeds.open(), { views: 0, topics: 0 });
  await engine.close();
});

test("from latest, the first frame is a cursor at once, so that nothing after it is missed", async () => {
  const engine = await openTestEngine();
  await engine.createTopic("clicks", { partitions: 2 });
  await publish(engine, 0, "old");
  const feeds = feedsOf(engine);
  const feed = await feeds.openTopicFeed({ topic: "clicks", from: { kind: "latest" } });
  const { event, id } = await pull(feed);
  assert.equal(event, "progress");
  await feed.return?.();
  await publish(engine, 0, "new");
  const resumed = await feeds.openTopicFeed({ topic: "clicks", from: cursorFrom(id) });
  assert.match((await pull(resumed)).data, /"value":"new"/);
  await feeds.close();
  await engine.close();
});

test("one partition alone, an offset and a time are places to begin", async () => {
  const engine = await openTestEngine();
  await engine.createTopic("clicks", { partitions: 2 });
  await publish(engine, 0, 0, 1, 2);
  await publish(engine, 1, 9);
  const feeds = feedsOf(engine);
  const values = async (from: From, partition?: number) => {
    const feed = await feeds.openTopicFeed({
      topic: "clicks",
      from,
      ...(partition === undefined ? {} : { partition }),
    });
    return JSON.parse((await pull(feed)).data).events.map(({ value }: { value: unknown }) => value);
  };
  assert.deepEqual(await values({ kind: "offset", offset: 1 }, 0), [1, 2]);
  assert.deepEqual(await values(earliest, 1), [9]);
  assert.deepEqual((await values({ kind: "time", timestampMs: 0 })).sort(), [0, 1, 2, 9]);
  await feeds.close();
  await engine.close();
});

test("records of an open or aborted transaction are not handed out, and the cursor passes them", async () => {
  const engine = await openTestEngine();
  await engine.createTopic("clicks");
  const producer = await engine.initProducer("unit");
  const append = async (value: string, end: "commit" | "abort") => {
    const transaction = producer.begin();
    const record = { key: null, value: Buffer.from(JSON.stringify(value)) };
    await transaction.append({ topic: "clicks", partition: 0, batch: encodeBatch([record], 0) });
    await transaction[end]();
  };
  const feeds = feedsOf(engine, { progressMs: 0 });
  const feed = await feeds.openTopicFeed({ topic: "clicks", from: earliest });
  await pull(feed);
  await append("dropped", "abort");
  await append("kept", "commit");
  const kept = await until(feed, "events");
  assert.deepEqual(
    JSON.parse(kept.data).events.map(({ value }: { value: string }) => value),
    ["kept"],
  );
  // The next transaction begins behind the marker of this one.
  await append("also kept", "commit");
  assert.match((await until(feed, "events")).data, /also kept/);
  const resumed = await feeds.openTopicFeed({ topic: "clicks", from: cursorFrom(kept.id) });
  assert.match((await until(resumed, "events")).data, /also kept/);
  await feeds.close();
  await engine.close();
});

test("records that were retired before they were read are told as a gap, and the feed goes on", async () => {
  const engine = await openTestEngine();
  await engine.createTopic("clicks");
  await publish(engine, 0, "a", "b");
  const before = feedsOf(engine);
  const feed = await before.openTopicFeed({ topic: "clicks", from: earliest });
  await before.close();
  assert.equal((await feed.next()).done, true);
  const { id } = engine.topic("clicks") ?? assert.fail();
  const cursor = encodeToken({ kind: "topic", topic: "clicks", topicId: id, positions: [{ partition: 0, offset: 0 }] });
  await publish(engine, 0, "c");
  const feeds = feedsOf(retired(engine, 2));
  const resumed = await feeds.openTopicFeed({ topic: "clicks", from: cursorFrom(cursor) });
  const gap = await pull(resumed);
  assert.equal(gap.event, "gap");
  assert.equal(JSON.parse(gap.data).to, gap.id);
  assert.match((await pull(resumed)).data, /"value":"c"/);
  await refused(
    feeds.openTopicFeed({ topic: "clicks", from: { kind: "offset", offset: 0 }, partition: 0 }),
    "OFFSET_OUT_OF_RANGE",
  );
  await feeds.close();
  await engine.close();
});

test("what cannot be followed is refused before the first frame", async () => {
  const engine = await openTestEngine();
  await engine.createTopic("clicks");
  await engine.createTopic("other");
  const feeds = feedsOf(engine);
  const { id } = engine.topic("other") ?? assert.fail();
  const foreign = encodeToken({ kind: "topic", topic: "other", topicId: id, positions: [] });
  await refused(feeds.openTopicFeed({ topic: "nope", from: earliest }), "TOPIC_UNKNOWN");
  await engine.createTopic(catalogueTopicName, {}, { readOnly: true });
  await refused(feeds.openTopicFeed({ topic: catalogueTopicName, from: earliest }), "TOPIC_SECRET");
  await refused(feeds.openTopicFeed({ topic: "clicks", from: earliest, partition: 5 }), "PARTITION_UNKNOWN");
  await refused(feeds.openTopicFeed({ topic: "clicks", from: cursorFrom("x") }), "TOKEN_INVALID");
  await refused(feeds.openTopicFeed({ topic: "clicks", from: cursorFrom(foreign) }), "TOKEN_FOREIGN");
  await refused(feeds.openTopicFeed({ topic: "clicks", from: { kind: "offset", offset: 0 } }), "REQUEST_INVALID");
  await refused(
    feeds.openTopicFeed({ topic: "clicks", from: { kind: "offset", offset: 9 }, partition: 0 }),
    "OFFSET_OUT_OF_RANGE",
  );
  assert.deepEqual(feeds.open(), { views: 0, topics: 0 });
  await engine.close();
});

test("wherever a follower is cut and resumed, it gets each record once, in the order of its partition", async () => {
  const engine = await openTestEngine();
  await engine.createTopic("clicks", { partitions: 3 });
  const written: string[][] = [[], [], []];
  const step = fc.oneof(
    fc.record({
      partition: fc.nat({ max: 2 }),
      values: fc.array(fc.constantFrom("v", "w".repeat(300)), { minLength: 1, maxLength: 6 }),
    }),
    fc.constantFrom("pull" as const, "cut" as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.integer({ min: 1, max: 4 }), async (steps, eventsMax) => {
      const feeds = feedsOf(engine, { eventsMax, frameCharactersMax: 500, readBytes: 1_000 });
      const begun = written.map((partition) => partition.length);
      const seen: string[][] = [[], [], []];
      let feed = await feeds.openTopicFeed({ topic: "clicks", from: { kind: "latest" } });
      let cursor = (await pull(feed)).id;
      const isBehind = () => seen.some((one, i) => one.length < (written[i]?.length ?? 0) - (begun[i] ?? 0));
      const take = async () => {
        const { id, data } = await pull(feed);
        cursor = id;
        const { events = [] } = JSON.parse(data);
        assert.ok(events.length <= eventsMax);
        for (const { partition, offset, value } of events) seen[partition]?.push(`${offset} ${value}`);
      };
      for (const one of steps) {
        if (one === "cut") {
          await feed.return?.();
          feed = await feeds.openTopicFeed({ topic: "clicks", from: cursorFrom(cursor) });
        } else if (one === "pull") {
          if (isBehind()) await take();
        } else {
          const placed = await publish(engine, one.partition, ...one.values);
          for (const [i, { offset }] of placed.entries()) written[one.partition]?.push(`${offset} ${one.values[i]}`);
        }
      }
      while (isBehind()) await take();
      assert.deepEqual(
        seen,
        written.map((all, i) => all.slice(begun[i])),
      );
      await feeds.close();
    }),
    { numRuns: 60 },
  );
  await engine.close();
});
