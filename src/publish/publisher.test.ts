import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import type { TransactionalProducer } from "../engine/engine.ts";
import { becomeOwner, unitOfPublisher } from "../ownership/become-owner.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { partitionOfKey } from "../records/murmur2.ts";
import { column, GroupFixture } from "../views/reader-fixture.ts";
import {
  batchOf,
  card,
  cardColumns,
  type HouseOptions,
  PublishHouse,
  proxied,
  publication,
} from "./publish.fixture.ts";

let fixture: GroupFixture;
let views = 0;
before(async () => {
  fixture = await GroupFixture.open({ poolSize: 8 });
});
after(() => fixture[Symbol.asyncDispose]());

/** A view of its own in a house of its own, published to `<view>-topic` once `start` is called. */
async function openCards(options: HouseOptions = {}) {
  const view = `cards${++views}`;
  const topic = `${view}-topic`;
  await fixture.createView(view, { columns: cardColumns, key: ["id"] });
  const house = await PublishHouse.open(fixture, options);
  const start = (settings = {}) => house.publishers.apply([publication(view, topic, settings)]);
  return { house, view, topic, start, [Symbol.asyncDispose]: () => house[Symbol.asyncDispose]() };
}

function keyed(key: string, value: string | null): Buffer {
  return encodeBatch([{ key: Buffer.from(key), value: value === null ? null : Buffer.from(value) }], 0);
}

test("a view's rows are in its topic, then each batch's changes, with their batch and a tombstone for what is gone", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  const { generation, batch } = await fixture.commit(view, { upsert: [card(1), card(2)] });
  await start({ partitions: 3 });
  assert.equal((await house.settled(view)).state.kind, "publishing");
  assert.deepEqual(await house.folded(topic), await house.rows(view));
  await fixture.commit(view, { upsert: [card(2, "again"), card(3, null)] });
  await fixture.commit(view, { remove: [{ id: 1 }] });
  const { position, behind, batches } = await house.settled(view);
  assert.deepEqual([position, behind, batches], [{ generation, batch: batch + 2 }, 0, 2]);
  const records = await house.records(topic);
  const told = records.flat().map((one) => [batchOf(one), String(one.key), one.value && String(one.value)].join(" "));
  assert.deepEqual(told.sort(), [
    `${generation}.${batch} 1 {"id":1,"text":"card 1"}`,
    `${generation}.${batch} 2 {"id":2,"text":"card 2"}`,
    `${generation}.${batch + 1} 2 {"id":2,"text":"again"}`,
    `${generation}.${batch + 1} 3 {"id":3,"text":null}`,
    `${generation}.${batch + 2} 1 `,
  ]);
  records.forEach((list, partition) => {
    for (const { key } of list) assert.equal(partitionOfKey(key ?? Buffer.alloc(0), 3), partition);
  });
});

test("the topic is compacted, and doors let nobody else write to it", async () => {
  await using cards = await openCards();
  await cards.start();
  await cards.house.settled(cards.view);
  const { readOnly, settings } = cards.house.engine.topic(cards.topic) ?? assert.fail();
  assert.deepEqual([readOnly, settings.cleanup], [true, "compact"]);
});

test("a restart goes on behind its progress: nothing is compared, nothing is written twice", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await fixture.commit(view, { upsert: [card(1), card(2)] });
  await start();
  await house.settled(view);
  house.disk.cut();
  await house.restart();
  await fixture.commit(view, { upsert: [card(2, "again")] });
  await start();
  const { records, batches } = await house.settled(view);
  assert.deepEqual([records, batches], [1, 1]);
  assert.equal((await house.records(topic)).flat().length, 3);
});

test("batches without changes of the view move its progress on, in time and at the end", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  const other = `${view}_other`;
  await fixture.createView(other, { columns: cardColumns, key: ["id"] });
  await fixture.commit(view, { upsert: [card(1)] });
  await start();
  await house.settled(view);
  const first = await fixture.commit(other, { upsert: [card(1)] });
  await house.settled(view);
  assert.equal((await house.positionOf(topic))?.batch, first.batch - 1);
  await house.clock.advance(30_000);
  while ((await house.positionOf(topic))?.batch !== first.batch) await new Promise((resolve) => setImmediate(resolve));
  const second = await fixture.commit(other, { upsert: [card(2)] });
  await house.settled(view);
  await house.restart();
  assert.equal((await house.positionOf(topic))?.batch, second.batch);
  await fixture.forget(second.batch + 1);
  await start();
  assert.equal((await house.settled(view)).records, 0);
});

test("a batch too large for one read is published whole, in one transaction, by bounded memory", async () => {
  let commits = 0;
  const counted = (producer: TransactionalProducer) =>
    proxied(producer, {
      begin() {
        const transaction = producer.begin();
        const commit = () => {
          commits++;
          return transaction.commit();
        };
        return proxied(transaction, { commit });
      },
    });
  await using cards = await openCards({
    limits: { changesMax: 10, pageRowsMax: 7 },
    wraps: {
      engine: (engine) =>
        proxied(engine, { initProducer: async (id: string) => counted(await engine.initProducer(id)) }),
    },
  });
  const { house, view, topic, start } = cards;
  await start();
  await house.settled(view);
  commits = 0;
  const upsert = Array.from({ length: 200 }, (_, i) => card(i, "x".repeat(8_000)));
  const { generation, batch } = await fixture.commit(view, { upsert });
  const { batches, records } = await house.settled(view);
  assert.deepEqual([batches, records, commits], [1, 200, 1]);
  const found = (await house.records(topic)).flat();
  assert.equal(new Set(found.map(({ key }) => String(key))).size, 200);
  assert.ok(found.every((record) => batchOf(record) === `${generation}.${batch}`));
});

test("a topic that others wrote to is made equal to the view: what differs is written, what is not the view's is taken away where it is", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await fixture.commit(view, { upsert: [card(1), card(2), card(3)] });
  await house.engine.createTopic(topic, { cleanup: "compact", partitions: 2 });
  const append = (key: string, value: string | null, partition = partitionOfKey(Buffer.from(key), 2)) =>
    house.engine.append({ topic, partition, batch: keyed(key, value) });
  await append("1", '{"id":1,"text":"card 1"}');
  await append("2", '{"id":2,"text":"another"}');
  await append("strange", "x", 1 - partitionOfKey(Buffer.from("strange"), 2));
  await append("gone", "x");
  await append("gone", null);
  const before = (await house.records(topic)).map(({ length }) => length);
  await start();
  const { records } = await house.settled(view);
  assert.equal(records, 3);
  const written = (await house.records(topic)).flatMap((list, partition) =>
    list.slice(before[partition]).map((one) => [partition, String(one.key)]),
  );
  const places = (key: string) => partitionOfKey(Buffer.from(key), 2);
  assert.deepEqual(
    written.sort(),
    [
      [places("2"), "2"],
      [places("3"), "3"],
      [1 - places("strange"), "strange"],
    ].sort(),
  );
  assert.deepEqual(await house.folded(topic), await house.rows(view));
  assert.equal(house.engine.topic(topic)?.readOnly, true);
});

test("whatever a topic has that the view has not is taken away, page by page", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await fixture.commit(view, { upsert: [card(1)] });
  await house.engine.createTopic(topic, { cleanup: "compact" });
  const strange = Array.from({ length: 2_500 }, (_, i) => ({
    key: Buffer.from(`strange ${i}`),
    value: Buffer.from("x"),
  }));
  await house.engine.append({ topic, partition: 0, batch: encodeBatch(strange, 0) });
  await start();
  assert.equal((await house.settled(view)).records, 2_501);
  assert.deepEqual(await house.folded(topic), await house.rows(view));
});

test("taking a topic over that is interrupted begins again with a comparison", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await fixture.commit(view, { upsert: [card(1)] });
  await start();
  await house.settled(view);
  await house.publishers.apply([]);
  await house.engine.alterTopic(topic, {}, { readOnly: false });
  await house.engine.append({ topic, partition: 0, batch: keyed("1", "somebody else's") });
  // The view cannot be read yet: the topic is ours, and not compared.
  fixture.setState(view, { kind: "building", reason: "waits", rowsDone: 0, rowsEstimated: null });
  await start();
  await house.refused(view);
  assert.equal(house.engine.topic(topic)?.readOnly, true);
  house.disk.cut();
  await house.restart();
  fixture.setState(view, { kind: "live" });
  await start();
  await house.settled(view);
  assert.deepEqual(await house.folded(topic), await house.rows(view));
});

test("while the view cannot be read its publisher waits, says why, and goes on by itself", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await fixture.commit(view, { upsert: [card(1)] });
  fixture.setState(view, { kind: "building", reason: "waits for its turn", rowsDone: 0, rowsEstimated: null });
  await start();
  const { state, position, behind } = await house.refused(view);
  assert.ok(state.kind === "waiting" && state.error.code === "VIEW_BUILDING");
  assert.deepEqual([position, behind], [null, null]);
  fixture.setState(view, { kind: "live" });
  await house.settled(view);
  assert.equal((await house.folded(topic)).size, 1);
  const error = new MillraceError("VIEW_FAILED", "division by zero");
  await fixture.commit(view, { upsert: [card(2)] });
  await house.settled(view);
  fixture.setState(view, { kind: "failed", error });
  await fixture.beginGeneration();
  const failed = await house.refused(view);
  assert.ok(failed.state.kind === "waiting" && failed.state.error.code === "VIEW_FAILED");
  fixture.setState(view, { kind: "live" });
  await house.settled(view);
  assert.deepEqual(await house.folded(topic), await house.rows(view));
});

test("a row that the topic does not take stops its publisher alone, before the row; with the row mended it goes on", async () => {
  await using cards = await openCards();
  const { house, view, topic } = cards;
  const other = `${view}_other`;
  await fixture.createView(other, { columns: cardColumns, key: ["id"] });
  await house.publishers.apply([
    publication(view, topic, { batchBytesMax: 1_000 }),
    publication(other, `${other}-topic`),
  ]);
  await fixture.commit(view, { upsert: [card(1)] });
  await house.settled(view);
  const before = house.infoOf(view).position;
  await fixture.commit(view, { upsert: [card(2), card(3, "x".repeat(2_000))] });
  await fixture.commit(other, { upsert: [card(1)] });
  const { state, position } = await house.refused(view);
  assert.ok(state.kind === "waiting" && state.error.code === "RECORD_TOO_LARGE");
  assert.match(state.error.message, /the row with the key "3" takes \d+ bytes, and a batch of topic .* at most 1000/);
  assert.deepEqual(position, before);
  assert.deepEqual([...(await house.folded(topic)).keys()], ["1"]);
  assert.equal((await house.settled(other)).state.kind, "publishing");
  await fixture.commit(view, { upsert: [card(3, "shorter")] });
  await house.settled(view);
  assert.deepEqual(await house.folded(topic), await house.rows(view));
});

test("a row that does not fit the schema of the topic is told with its key", async () => {
  await using cards = await openCards({
    misfitOf: (_, { value }) => (value?.includes("bad") ? "text: it is bad" : null),
  });
  const { house, view, start } = cards;
  await start();
  await fixture.commit(view, { upsert: [card(1), card(2, "bad")] });
  const { state } = await house.refused(view);
  assert.ok(state.kind === "waiting" && state.error.code === "SCHEMA_MISMATCH");
  assert.deepEqual(state.error.details, { topic: cards.topic, key: "2" });
});

test("a full disk is waited for, and the group does not notice", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await start();
  await house.settled(view);
  house.disk.failNext("ENOSPC");
  house.disk.setFreeBytes(0);
  await fixture.commit(view, { upsert: [card(1)] });
  const { state } = await house.refused(view);
  assert.equal(state.kind, "waiting");
  house.disk.setFreeBytes(Number.MAX_SAFE_INTEGER);
  house.disk.cut();
  await house.restart();
  await start();
  await house.settled(view);
  assert.deepEqual(await house.folded(topic), await house.rows(view));
});

const refusals = [
  ["is not compacted", { cleanup: "delete" }, {}, {}, "PUBLISH_TOPIC_NOT_COMPACTED"],
  ["is compacted, and forgets by time as well", { cleanup: "compact,delete" }, {}, {}, "PUBLISH_TOPIC_NOT_COMPACTED"],
  ["is a source's", { cleanup: "compact" }, { readOnly: true }, {}, "PUBLISH_TOPIC_TAKEN"],
  [
    "has another count of partitions",
    { cleanup: "compact", partitions: 2 },
    {},
    { partitions: 3 },
    "TOPIC_CHANGE_REFUSED",
  ],
] as const;

for (const [what, settings, options, wanted, code] of refusals) {
  test(`a topic that ${what} is refused, and left as it is`, async () => {
    await using cards = await openCards();
    const { house, view, topic, start } = cards;
    const there = await house.engine.createTopic(topic, settings, options);
    await start(wanted);
    const { state } = await house.refused(view);
    assert.ok(state.kind === "stopped" && state.error.code === code, JSON.stringify(state));
    assert.deepEqual(house.engine.topic(topic), there);
    assert.deepEqual((await house.records(topic)).flat(), []);
  });
}

test("a view without a key is not published, and it is said what would help", async () => {
  await using cards = await openCards();
  const view = `${cards.view}_keyless`;
  await fixture.createView(view, { columns: [column("text", "text")], key: [] });
  await using house = await PublishHouse.open(fixture, {
    wraps: {
      reader: (reader) =>
        new Proxy(reader, {
          get: (of, name) => (name === "info" ? () => ({ ...of.info(view), key: null }) : Reflect.get(of, name)),
        }),
    },
  });
  await house.publishers.apply([publication(view, "keyless-topic")]);
  const { state } = await house.refused(view);
  assert.ok(state.kind === "waiting" && state.error.code === "PUBLISH_KEY_MISSING");
  assert.match(state.error.hint ?? "", /primary keys/);
});

test("who has been fenced publishes nothing more, and says so", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await start();
  await house.settled(view);
  await becomeOwner(house.engine, unitOfPublisher(topic));
  await fixture.commit(view, { upsert: [card(1)] });
  const { state } = await house.refused(view);
  assert.ok(state.kind === "stopped" && state.error.code === "PRODUCER_FENCED");
  assert.deepEqual((await house.records(topic)).flat(), []);
});

test("a topic that was deleted under its publisher is made again, whole", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await fixture.commit(view, { upsert: [card(1), card(2)] });
  await start();
  await house.settled(view);
  await house.engine.deleteTopic(topic);
  await fixture.commit(view, { upsert: [card(3)] });
  await house.settled(view);
  assert.deepEqual(await house.folded(topic), await house.rows(view));
  assert.equal(house.engine.topic(topic)?.readOnly, true);
});

test("partitions that somebody adds do not move a key: its records keep their order", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  await fixture.commit(view, { upsert: Array.from({ length: 20 }, (_, id) => card(id)) });
  await start({});
  await house.settled(view);
  await house.engine.alterTopic(topic, { partitions: 4 });
  await house.restart();
  await fixture.beginGeneration();
  await start({});
  await fixture.commit(view, { upsert: Array.from({ length: 20 }, (_, id) => card(id, "again")) });
  await house.settled(view);
  assert.deepEqual(
    (await house.records(topic)).map(({ length }) => length),
    [40, 0, 0, 0],
  );
});

test("a reload leaves alone what is defined as before, begins again what is not or had stopped, and ends what is gone", async () => {
  await using cards = await openCards();
  const { house, view, topic, start } = cards;
  const other = `${view}-other`;
  await house.engine.createTopic(other, { cleanup: "delete" });
  await fixture.commit(view, { upsert: [card(1)] });
  const alike = publication(view, topic);
  await house.publishers.apply([alike, publication(`${view}_other`, other)]);
  await house.settled(view);
  assert.equal((await house.refused(`${view}_other`)).state.kind, "stopped");
  await house.engine.alterTopic(other, { cleanup: "compact" });
  await house.publishers.apply([publication(view, topic), publication(view, other)]);
  const figures = () => house.publishers.list().map((one) => [one.topic, one.state.kind, one.records]);
  while (figures().some(([, kind]) => kind !== "publishing")) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(figures(), [
    [topic, "publishing", 1],
    [other, "publishing", 1],
  ]);
  await start({ batchBytesMax: 2_000 });
  await house.settled(view);
  assert.deepEqual(figures(), [[topic, "publishing", 0]]);
  assert.equal(house.engine.topic(topic)?.settings.batchBytesMax, 2_000);
  await house.publishers.apply([]);
  assert.deepEqual(figures(), []);
});

test("few topics are compared at the same time, and all of them in the end", async () => {
  let [open, most] = [0, 0];
  await using cards = await openCards({
    wraps: {
      reader: (reader) =>
        proxied(reader, {
          async snapshot(...given: Parameters<typeof reader.snapshot>) {
            most = Math.max(most, ++open);
            await new Promise((resolve) => setImmediate(resolve));
            const { position, pages } = await reader.snapshot(...given);
            const counted = async function* () {
              yield* pages;
              open--;
            };
            return { position, pages: counted() };
          },
        }),
    },
  });
  const { house, view } = cards;
  await fixture.commit(view, { upsert: [card(1)] });
  await house.publishers.apply(Array.from({ length: 6 }, (_, i) => publication(view, `${view}-${i}`)));
  while (house.publishers.list().some(({ state }) => state.kind !== "publishing")) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(most, 2);
});
