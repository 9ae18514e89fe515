import assert from "node:assert/strict";
import { test } from "node:test";
import { json, problem, ScriptedServer, type Sent, stream } from "../test/scripted-server.ts";
import { connect, type TopicUpdate } from "./index.ts";

const events = (cursor: string, ...values: number[]): Sent => ({
  event: "events",
  id: cursor,
  data: {
    events: values.map((value) => ({ partition: 0, offset: value, timestamp: 1, key: null, value, headers: {} })),
    next: cursor,
  },
});

const pace = { silenceMs: 5_000, sleep: async () => {} };

test("events go on over a cut by their cursor, and a gap is told in its place", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    stream([{ event: "progress", id: "c0", data: { next: "c0" } }], "cut"),
    stream([events("c2", 1, 2)], "end"),
    stream([{ event: "gap", id: "c7", data: { from: "c2", to: "c7", reason: "no longer kept" } }, events("c8", 7)]),
  );
  const seen: TopicUpdate<number>[] = [];
  const topic = connect<{ topics: { clicks: number } }>(server.url, { pace }).topic("clicks");
  for await (const update of topic.live({ from: "earliest", partition: 0 })) {
    seen.push(update);
    if (seen.length === 3) break;
  }
  assert.deepEqual(
    seen.map(({ events, gap, cursor }) => [events.map(({ value }) => value), gap?.reason ?? null, cursor]),
    [
      [[1, 2], null, "c2"],
      [[], "no longer kept", "c7"],
      [[7], null, "c8"],
    ],
  );
  assert.deepEqual(
    server.asked.map(({ headers }) => headers["last-event-id"]),
    [undefined, "c0", "c2"],
  );
  assert.equal(server.asked[0]?.url, "/v1/topics/clicks/live?from=earliest&partition=0");
});

test("a refusal and a signal end the events", async () => {
  await using server = await ScriptedServer.open();
  server.answers(problem(404, "TOPIC_UNKNOWN"), stream([]));
  const topic = connect(server.url, { pace }).topic("nope");
  await assert.rejects(topic.live().next(), { code: "TOPIC_UNKNOWN" });
  const closing = new AbortController();
  const next = topic.live({ signal: closing.signal }).next();
  const reason = new Error("enough");
  closing.abort(reason);
  await assert.rejects(next, reason);
});

test("a key and an expected offset go with what is published, and nothing where none was given", async () => {
  await using server = await ScriptedServer.open();
  server.answers(...Array.from({ length: 4 }, () => json({ offsets: [], token: "w" })));
  const topic = connect(server.url, { pace }).topic("clicks");
  await topic.publish({ value: 1 }, { idempotencyKey: 'a "b" \\', expectedOffset: 7 });
  await topic.publish({ value: 1 }, { expectedOffset: null });
  await topic.publish({ value: 1 }, { expectedOffset: 0 });
  await topic.publish({ value: 1 });
  const sent = server.asked.map(({ headers }) => [
    headers["idempotency-key"],
    headers["if-match"],
    headers["if-none-match"],
  ]);
  assert.deepEqual(sent, [
    ['"a \\"b\\" \\\\"', '"7"', undefined],
    [undefined, undefined, "*"],
    [undefined, '"0"', undefined],
    [undefined, undefined, undefined],
  ]);
});
