import assert from "node:assert/strict";
import { test } from "node:test";
import { over } from "../base/over.fixture.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import type { Engine, KeyExpectation, Transaction } from "../engine/engine.ts";
import { becomeOwner, unitOfIdempotency } from "../ownership/become-owner.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { codeOf, openAppendHouse, openAppendLog, recordsOf, turn } from "./append-house.fixture.ts";
import { fingerprintOf, parseIdempotencyKey } from "./idempotency-key.ts";
import { idempotencyTopic } from "./idempotency-records.ts";
import type { IdempotentAppends } from "./idempotent-appends.ts";

const key = (text: string) => ({ "idempotency-key": text });
const hourMs = 3_600_000;

test("a request that comes again with its key is answered the same, and appended once", async () => {
  await using house = await openAppendHouse();
  const events = [
    { key: "a", value: 1 },
    { key: "b", value: 2, partition: 0 },
    { key: "c", value: 3, partition: 1 },
  ];
  const first = await house.post(events, key("one"));
  assert.equal(first.status, 200, first.text);
  assert.equal(first.headers["idempotent-replayed"], undefined);
  for (const written of ["one", '"one"']) {
    const again = await house.post(events, key(written));
    assert.deepEqual([again.status, again.text], [200, first.text]);
    assert.equal(again.headers["idempotent-replayed"], "true");
    assert.equal(again.headers["millrace-token"], first.headers["millrace-token"]);
  }
  assert.equal((await recordsOf(house.engine)).length, 3);
  assert.equal((await house.post(events, key("two"))).headers["idempotent-replayed"], undefined);
  assert.equal((await recordsOf(house.engine)).length, 6);
});

test("a key that comes with another request is refused, whatever of it differs", async () => {
  await using house = await openAppendHouse();
  // No key at all is another one than this.
  const raw = { "content-type": "application/octet-stream", "millrace-key": "null" };
  assert.equal((await house.post("1", { ...raw, ...key("one") }, "?partition=0")).status, 200);
  const others = [
    house.post("2", { ...raw, ...key("one") }, "?partition=0"),
    house.post("1", { ...raw, ...key("one") }, "?partition=1"),
    house.post("1", { ...raw, "millrace-key": "other", ...key("one") }, "?partition=0"),
    house.post("1", { "content-type": raw["content-type"], ...key("one") }, "?partition=0"),
    house.post("1", { ...raw, "if-none-match": "*", ...key("one") }, "?partition=0"),
    house.post('{"value":1}', key("one")),
  ];
  for (const answer of await Promise.all(others)) assert.equal(codeOf(answer), "422 IDEMPOTENCY_KEY_REUSED");
  assert.equal((await recordsOf(house.engine)).length, 1);
});

test("of two copies at the same time one is appended, the other is told that it is under way", async () => {
  await using house = await openAppendHouse();
  await house.post({ value: 0 }, key("before"));
  for (let i = 0; i < 10; i++) {
    const copies = await Promise.all(Array.from({ length: 6 }, () => house.post({ value: i }, key(`${i}`))));
    const done = copies.filter(({ status }) => status === 200);
    assert.ok(done.length >= 1);
    assert.equal(done.filter(({ headers }) => headers["idempotent-replayed"] === undefined).length, 1);
    assert.equal(new Set(done.map(({ text }) => text)).size, 1);
    for (const copy of copies.filter(({ status }) => status !== 200)) {
      assert.equal(codeOf(copy), "409 IDEMPOTENCY_KEY_IN_USE");
    }
  }
  assert.equal((await recordsOf(house.engine)).length, 11);
});

test("a copy of what is being made durable is 409, and another request with its key 422", async () => {
  const { log, held } = await openHeldLog();
  const first = append(log.idempotent, "k", "v");
  await held.reached();
  await assert.rejects(append(log.idempotent, "k", "v"), { code: "IDEMPOTENCY_KEY_IN_USE" });
  await assert.rejects(append(log.idempotent, "k", "other"), { code: "IDEMPOTENCY_KEY_REUSED" });
  held.letGo();
  assert.equal((await first).replayed, false);
  assert.equal((await append(log.idempotent, "k", "v")).replayed, true);
  await log.close();
});

test("what is no key is refused, and a request that is refused leaves its key as it was", async () => {
  await using house = await openAppendHouse();
  for (const bad of ["", '""', "a b", '"a', 'a"b', '"a", "b"', "a,b", "é", "x".repeat(256), '"a\\b"', "\ttab\tin"]) {
    assert.equal(codeOf(await house.post({ value: 1 }, key(bad))), "400 IDEMPOTENCY_KEY_INVALID", bad);
  }
  assert.equal(codeOf(await house.post('{"valu":1}', key("k"))), "400 RECORD_INVALID");
  assert.equal(codeOf(await house.post({ value: 1, partition: 9 }, key("k"))), "404 PARTITION_UNKNOWN");
  assert.equal((await house.post({ value: 1 }, key("k"))).status, 200);
  assert.equal((await recordsOf(house.engine)).length, 1);
});

test("keys are texts of RFC 8941, or the same without quotes", () => {
  assert.equal(parseIdempotencyKey(' "a \\"b\\" \\\\" '), 'a "b" \\');
  assert.equal(parseIdempotencyKey("8e03978e-40d5-43dd-bc93-6894a57f9324"), "8e03978e-40d5-43dd-bc93-6894a57f9324");
  assert.equal(parseIdempotencyKey("x".repeat(255)).length, 255);
  assert.notEqual(fingerprintOf(["a", null], Buffer.from("b")), fingerprintOf(["a", "null"], Buffer.from("b")));
  assert.notEqual(fingerprintOf([], Buffer.from("a")), fingerprintOf([], Buffer.from("b")));
});

test("an event that the log refuses fails its own request and none of those beside it", async () => {
  await using house = await openAppendHouse();
  await house.engine.alterTopic("t", { timestampBeforeMaxMs: hourMs });
  const posts = Array.from({ length: 12 }, (_, i) =>
    house.post({ value: i, ...(i % 4 === 0 && { timestamp: 5 }) }, key(`${i}`)),
  );
  const answers = await Promise.all(posts);
  answers.forEach((answer, i) => {
    if (i % 4 === 0) assert.equal(codeOf(answer), "400 RECORD_TIMESTAMP_INVALID");
    else assert.equal(answer.status, 200, answer.text);
  });
  assert.equal((await recordsOf(house.engine)).length, 9);
});

test("a topic that is made anew knows none of the keys of the one before", async () => {
  await using house = await openAppendHouse();
  await house.post({ value: 1 }, key("k"));
  await house.engine.deleteTopic("t");
  assert.equal(codeOf(await house.post({ value: 1 }, key("k"))), "404 TOPIC_UNKNOWN");
  await house.engine.createTopic("t");
  assert.equal((await house.post({ value: 1 }, key("k"))).headers["idempotent-replayed"], undefined);
  assert.equal((await recordsOf(house.engine)).length, 1);
});

test("a key is remembered over a stop and a kill", async () => {
  let disk = new SimulatedDisk(seededRandom(1));
  const first = await openAppendLog({ disk });
  await first.engine.createTopic("t");
  const places = (await append(first.idempotent, "k", "v")).places;
  await first.close();
  const second = await openAppendLog({ disk });
  assert.deepEqual(await append(second.idempotent, "k", "v"), { places, replayed: true });
  await append(second.idempotent, "later", "v");
  // Nothing is closed.
  disk = disk.afterKill();
  const third = await openAppendLog({ disk });
  for (const one of ["k", "later"]) assert.equal((await append(third.idempotent, one, "v")).replayed, true);
  assert.equal((await recordsOf(third.engine)).length, 2);
  await third.close();
});

test("a key is remembered for its window whatever the wall clock does, and let go with its record after it", async () => {
  const clock = new VirtualClock();
  const log = await openAppendLog({ clock, idempotent: { windowMs: 24 * hourMs, checkpointEvery: 4 } });
  await log.engine.createTopic("t");
  await append(log.idempotent, "k", "v");
  clock.jump(8 * 24 * hourMs);
  await append(log.idempotent, "other", "v");
  assert.equal((await append(log.idempotent, "k", "v")).replayed, true, "the wall clock jumped");
  clock.jump(-8 * 24 * hourMs);
  await clock.advance(25 * hourMs);
  for (let i = 0; i < 8; i++) await append(log.idempotent, `${i}`, "v");
  assert.equal((await append(log.idempotent, "k", "v")).replayed, false, "behind the window");
  for (let i = 0; i < 200; i++) await turn();
  assert.ok((await log.engine.offsets(idempotencyTopic, 0)).logStart >= 2, "records that nobody asks for are let go");
  assert.equal((await append(log.idempotent, "7", "v")).replayed, true);
  await log.close();
});

test("past the largest count of keys the oldest go", async () => {
  const log = await openAppendLog({ idempotent: { idsMax: 3 } });
  await log.engine.createTopic("t");
  for (const one of ["a", "b", "c", "d"]) await append(log.idempotent, one, "v");
  assert.equal((await append(log.idempotent, "d", "v")).replayed, true);
  assert.equal((await append(log.idempotent, "a", "v")).replayed, false);
  await log.close();
});

test("when a commit fails after the log has it, the request is answered as done when it comes again", async () => {
  let fails = false;
  const log = await openAppendLog({
    wrap: (engine) =>
      overCommit(engine, async (commit) => {
        await commit();
        if (fails) throw new Error("the answer was lost");
      }),
  });
  await log.engine.createTopic("t");
  await append(log.idempotent, "before", "v");
  fails = true;
  await assert.rejects(append(log.idempotent, "k", "v"), { code: "UNIT_MOVING" });
  fails = false;
  assert.equal((await append(log.idempotent, "k", "v")).replayed, true);
  assert.equal((await recordsOf(log.engine)).length, 2);
  await log.close();
});

test("who was fenced appends nothing, and knows what its successor has kept when it takes over again", async () => {
  const log = await openAppendLog();
  await log.engine.createTopic("t");
  await append(log.idempotent, "a", "v");
  await becomeOwner(log.engine, unitOfIdempotency, { progress: log.progress });
  await assert.rejects(append(log.idempotent, "b", "v"), { code: "UNIT_MOVING" });
  assert.equal((await append(log.idempotent, "b", "v")).replayed, false);
  assert.equal((await append(log.idempotent, "a", "v")).replayed, true);
  assert.equal((await recordsOf(log.engine)).length, 2);
  await log.close();
});

test("a condition does not wait for what is written in the same group", async () => {
  const { log, held } = await openHeldLog();
  const requests = [append(log.idempotent, "a", "v")];
  await held.reached();
  // Both wait for the first one; the partition's keys are read for the second of them.
  requests.push(append(log.idempotent, "b", "v"));
  requests.push(append(log.idempotent, "c", "v", { key: Buffer.from("c"), offset: null }));
  for (let i = 0; i < 20; i++) await turn();
  held.letGo();
  const offsets = (await Promise.all(requests)).map(({ places }) => places[0]?.baseOffset);
  assert.equal(new Set(offsets).size, 3);
  assert.deepEqual(held.ends, ["commit", "commit"], "the first one, and both others");
  for (const name of "abc") assert.equal((await append(log.idempotent, name, "v")).replayed, true);
  await log.close();
});

test("what waits for the log is bounded in bytes", async () => {
  const { log, held } = await openHeldLog({ pendingBytesMax: 3_000 });
  const first = append(log.idempotent, "a", "x".repeat(2_000));
  await held.reached();
  await assert.rejects(append(log.idempotent, "b", "x".repeat(2_000)), { code: "IDEMPOTENCY_BUSY" });
  held.letGo();
  await first;
  assert.equal((await append(log.idempotent, "b", "x".repeat(2_000))).replayed, false);
  await log.close();
});

function append(idempotent: IdempotentAppends, name: string, value: string, expect?: KeyExpectation) {
  const batch = () => encodeBatch([{ key: Buffer.from(name), value: Buffer.from(value) }], 0);
  return idempotent.append({
    topic: "t",
    topicId: "id",
    key: name,
    fingerprint: fingerprintOf([], Buffer.from(value)),
    plan: () => [{ partition: 0, batch: batch(), ...(expect && { expect }) }],
  });
}

/** A log whose next commit waits. */
async function openHeldLog(limits = {}) {
  let letGo = () => {};
  let isHeld = false;
  let isReached = false;
  /** Of the transactions of requests with keys, from the one on that waits. */
  const ends: string[] = [];
  const log = await openAppendLog({
    idempotent: { limits },
    wrap: (engine) =>
      overTransactions(engine, (transaction) => ({
        async commit() {
          ends.push("commit");
          if (isHeld) {
            isReached = true;
            await new Promise<void>((resolve) => {
              letGo = resolve;
            });
            isHeld = false;
          }
          await transaction.commit();
        },
        abort() {
          ends.push("abort");
          return transaction.abort();
        },
      })),
  });
  await log.engine.createTopic("t");
  await append(log.idempotent, "opens", "v");
  isHeld = true;
  ends.length = 0;
  const held = {
    ends,
    letGo: () => letGo(),
    async reached() {
      while (!isReached) await turn();
    },
  };
  return { log, held };
}

function overCommit(engine: Engine, commit: (commit: () => Promise<void>) => Promise<void>): Engine {
  return overTransactions(engine, (transaction) => ({ commit: () => commit(() => transaction.commit()) }));
}

/** Those that write requests with keys. */
function overTransactions(engine: Engine, methods: (transaction: Transaction) => Partial<Transaction>): Engine {
  return over(engine, {
    async initProducer(...args: Parameters<Engine["initProducer"]>) {
      const producer = await engine.initProducer(...args);
      if (!args[0].endsWith(`/${unitOfIdempotency}`)) return producer;
      return over(producer, {
        begin() {
          const transaction = producer.begin();
          return over(transaction, methods(transaction));
        },
      });
    },
  });
}
