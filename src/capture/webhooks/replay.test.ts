import assert from "node:assert/strict";
import { test } from "node:test";
import { hasErrorCode } from "./error-code.fixture.ts";
import { type ReplayRequest, type ReplaySpan, replayEvents } from "./replay.ts";
import { type House, headersOf, openHouse, recordsOf, send, signed } from "./webhooks.fixture.ts";

const minute = 60_000;

/** Six events, a minute apart, of two types and two keys. */
async function openFilled(partitions = 1): Promise<House & { readonly beganMs: number }> {
  const definition = signed("vendor", { partitions, key: (e) => e.k, type: (e) => e.t });
  const house = await openHouse({ definitions: [definition] });
  const hook = await house.serving("vendor");
  const beganMs = house.clock.now();
  for (let i = 0; i < 6; i++) {
    await send(hook, { id: `evt_${i}`, body: JSON.stringify({ k: `k${i % 2}`, t: i < 3 ? "old" : "new" }) });
    await house.clock.advance(minute);
  }
  return { ...house, beganMs };
}

function request(span: ReplaySpan, more: Partial<ReplayRequest> = {}): ReplayRequest {
  return { source: "vendor", into: "vendor", filter: {}, check: () => {}, span, ...more };
}

async function idsOf(house: House, topic: string): Promise<(string | undefined)[]> {
  return (await recordsOf(house.engine, topic)).map((record) => headersOf(record)["millrace.id"]);
}

const everything = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER };

test("a span of arrival is replayed into another topic with all that was kept, and the place that it is from", async () => {
  const house = await openFilled();
  await house.engine.createTopic("again");
  const span = { fromMs: house.beganMs + minute, toMs: house.beganMs + 4 * minute };
  const answer = await replayEvents(house.engine, house.clock, request(span, { into: "again" }));
  assert.deepEqual({ replayed: answer.replayed, next: answer.next }, { replayed: 3, next: null });
  assert.deepEqual(await idsOf(house, "again"), ["evt_1", "evt_2", "evt_3"]);
  const [first] = await recordsOf(house.engine, "again");
  const [, kept] = await recordsOf(house.engine, "vendor");
  assert.ok(first && kept);
  const { "millrace.replay": place, ...headers } = headersOf(first);
  assert.equal(place, `vendor/0/${kept.offset}`);
  assert.deepEqual(headers, headersOf(kept));
  assert.deepEqual([first.key, first.value], [kept.key, kept.value]);
  await house.close();
});

test("filters choose by id, type and key", async () => {
  const house = await openFilled();
  const cases = [
    [{ id: "evt_4" }, ["evt_4"]],
    [{ type: "old" }, ["evt_0", "evt_1", "evt_2"]],
    [{ key: "k1" }, ["evt_1", "evt_3", "evt_5"]],
    [{ type: "new", key: "k0" }, ["evt_4"]],
    [{ id: "none" }, []],
  ] as const;
  for (const [i, [filter, ids]] of cases.entries()) {
    await house.engine.createTopic(`again-${i}`);
    await replayEvents(house.engine, house.clock, request(everything, { into: `again-${i}`, filter }));
    assert.deepEqual(await idsOf(house, `again-${i}`), ids);
  }
  await house.close();
});

test("what is replayed into its own topic is met once, keeps its partition, and leaves copies known", async () => {
  const house = await openFilled(3);
  const before = await recordsOf(house.engine, "vendor");
  const { replayed, next } = await replayEvents(house.engine, house.clock, request(everything));
  assert.deepEqual({ replayed, next }, { replayed: 6, next: null });
  const after = await recordsOf(house.engine, "vendor");
  assert.equal(after.length, 12);
  for (const record of after) {
    const place = headersOf(record)["millrace.replay"];
    if (place === undefined) continue;
    const first = before.find(({ partition, offset }) => `vendor/${partition}/${offset}` === place);
    assert.equal(first?.partition, record.partition);
    assert.deepEqual(first?.value, record.value);
  }
  const hook = await house.serving("vendor");
  assert.equal((await send(hook, { id: "evt_2" })).duplicate, true);
  await house.close();
});

test("a long span goes on by its cursor, and replays each event once", async () => {
  const house = await openHouse({ definitions: [signed("vendor", { partitions: 2, ratePerSecond: null })] });
  const hook = await house.serving("vendor");
  // A call each, so that a batch is not the whole span.
  for (let round = 0; round < 40; round++) {
    await Promise.all(Array.from({ length: 60 }, (_, i) => send(hook, { id: `${round}-${i}` })));
  }
  await house.engine.createTopic("again");
  let span: ReplaySpan | null = everything;
  let calls = 0;
  for (; span !== null; calls++) {
    const answer = await replayEvents(house.engine, house.clock, request(span, { into: "again" }));
    span = answer.next;
  }
  assert.ok(calls > 1);
  const ids = await idsOf(house, "again");
  assert.equal(ids.length, 2_400);
  assert.equal(new Set(ids).size, 2_400);
  await house.close();
});

test("a topic that is not there, belongs to another writer, or refuses the events takes none", async () => {
  const house = await openFilled();
  const into = (topic: string, more: Partial<ReplayRequest> = {}) =>
    replayEvents(house.engine, house.clock, request(everything, { into: topic, ...more }));
  await assert.rejects(into("missing"), hasErrorCode("TOPIC_UNKNOWN"));
  await assert.rejects(into("_millrace.progress"), hasErrorCode("TOPIC_READ_ONLY"));
  await house.engine.createTopic("strict");
  const check = () => {
    throw new Error("no");
  };
  await assert.rejects(into("strict", { check }), /no/);
  assert.deepEqual(await idsOf(house, "strict"), []);
  const places = [{ offset: 0, endOffset: 1_000 }];
  await assert.rejects(
    replayEvents(house.engine, house.clock, request({ ...everything, places })),
    hasErrorCode("REQUEST_INVALID"),
  );
  await house.close();
});
