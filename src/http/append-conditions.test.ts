import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBatch } from "../records/batch-builder.ts";
import { codeOf, openAppendHouse, recordsOf } from "./append-house.fixture.ts";

const onlyIf = (offset: number | "*") => ({ "if-match": offset === "*" ? "*" : `"${offset}"` });
const onlyNew = { "if-none-match": "*" };
const event = (key: unknown, value: unknown = 1) => ({ key, value, partition: 0 });

test("an append is done when the last event of its key is where it expects it, and is told where it is when not", async () => {
  await using house = await openAppendHouse();
  const first = await house.post(event("a"), onlyNew);
  assert.deepEqual([first.status, first.headers.etag], [200, '"0"'], first.text);
  const taken = await house.post(event("a"), onlyNew);
  assert.equal(codeOf(taken), "412 KEY_OFFSET_MISMATCH");
  const { topic, partition, offset } = taken.json() as { topic: string; partition: number; offset: number };
  assert.deepEqual({ topic, partition, offset }, { topic: "t", partition: 0, offset: 0 });
  await house.post(event("b"));
  const second = await house.post([event("a", 2), event("a", 3)], onlyIf(0));
  assert.deepEqual([second.status, second.headers.etag], [200, '"3"']);
  const stale = await house.post(event("a"), onlyIf(0));
  assert.deepEqual([stale.status, (stale.json() as { offset: number }).offset], [412, 3]);
  assert.equal((await house.post(event("a"), onlyIf("*"))).status, 200);
  const none = await house.post(event("new"), onlyIf("*"));
  assert.deepEqual([none.status, (none.json() as { offset: null }).offset], [412, null]);
  const raw = { "content-type": "application/octet-stream", "millrace-key": "a", ...onlyIf(4) };
  assert.equal((await house.post("bytes", raw, "?partition=0")).headers.etag, '"5"');
  assert.equal((await recordsOf(house.engine)).length, 6);
});

test("of many who expect the same offset one is done, whatever else is written", async () => {
  await using house = await openAppendHouse();
  await house.post(event("a", 0), onlyNew);
  let last = 0;
  for (let round = 0; round < 5; round++) {
    const posts = Array.from({ length: 12 }, (_, i) =>
      i % 3 === 0 ? house.post(event(`other ${i}`)) : house.post(event("a", i), onlyIf(last)),
    );
    const answers = await Promise.all(posts);
    const done = answers.filter(({ status }, i) => i % 3 !== 0 && status === 200);
    assert.equal(done.length, 1);
    for (const { status } of answers) assert.ok(status === 200 || status === 412);
    last = Number(JSON.parse(String(done[0]?.headers.etag)));
  }
});

test("an append waits for a transaction that may have the last event of its key", async () => {
  await using house = await openAppendHouse();
  await house.post(event("a"), onlyNew);
  const transaction = (await house.engine.initProducer("tx")).begin();
  const batch = encodeBatch([{ key: Buffer.from("a"), value: Buffer.from("1") }], 0);
  const { baseOffset } = await transaction.append({ topic: "t", partition: 0, batch });
  const waiting = house.post(event("a"), onlyIf(0));
  const right = house.post(event("a"), onlyIf(baseOffset));
  // Both have found it undecided when another append is answered.
  await house.post(event("b"), onlyNew);
  await transaction.commit();
  assert.equal((await waiting).status, 412);
  assert.equal((await right).status, 200);
});

test("a transaction that stays open is told of in the end", async () => {
  await using house = await openAppendHouse({}, { settings: { limits: { undecidedMs: 20 } } });
  await house.post(event("a"), onlyNew);
  const transaction = (await house.engine.initProducer("tx")).begin();
  const batch = encodeBatch([{ key: Buffer.from("a"), value: Buffer.from("1") }], 0);
  await transaction.append({ topic: "t", partition: 0, batch });
  assert.equal(codeOf(await house.post(event("a"), onlyIf(0))), "409 KEY_OFFSET_UNDECIDED");
  await transaction.abort();
  assert.equal((await house.post(event("a"), onlyIf(0))).status, 200);
});

test("with an idempotency key the condition is looked at once: the copy is answered as the first one", async () => {
  await using house = await openAppendHouse();
  const headers = { ...onlyNew, "idempotency-key": "k" };
  const first = await house.post(event("a"), headers);
  const again = await house.post(event("a"), headers);
  assert.deepEqual([again.status, again.text, again.headers.etag], [200, first.text, '"0"']);
  assert.equal(again.headers["idempotent-replayed"], "true");
  assert.equal(codeOf(await house.post(event("a"), { ...onlyNew, "idempotency-key": "l" })), "412 KEY_OFFSET_MISMATCH");
  // Of two keys at the same time one is first, in one group or in two.
  const both = ["m", "n"].map((name) => house.post(event("b"), { ...onlyNew, "idempotency-key": name }));
  const statuses = (await Promise.all(both)).map(({ status }) => status);
  assert.deepEqual(statuses.sort(), [200, 412]);
  assert.equal((await recordsOf(house.engine)).length, 2);
});

test("conditions that cannot be read, or are of no one key, are refused", async () => {
  await using house = await openAppendHouse();
  const bad: Record<string, string>[] = [
    { "if-match": "0" },
    { "if-match": '"a"' },
    { "if-match": 'W/"0"' },
    { "if-match": '"0", "1"' },
    { "if-match": "" },
    { "if-match": '"99999999999999999"' },
    { "if-none-match": '"0"' },
    { "if-match": '"0"', "if-none-match": "*" },
  ];
  for (const headers of bad) {
    assert.equal(codeOf(await house.post(event("a"), headers)), "400 REQUEST_INVALID", JSON.stringify(headers));
  }
  const ofMany = [[event("a"), event("b")], { value: 1 }, [event("a"), { ...event("a"), partition: 1 }]];
  for (const events of ofMany) assert.equal(codeOf(await house.post(events, onlyNew)), "400 REQUEST_INVALID");
  assert.deepEqual(await recordsOf(house.engine), []);
});

test("events of one key that take several batches stand behind one condition", async () => {
  await using house = await openAppendHouse();
  await house.engine.alterTopic("t", { batchBytesMax: 2_048 });
  const events = Array.from({ length: 8 }, (_, i) => event("a", `${i}`.repeat(1_000)));
  assert.equal((await house.post(events, onlyNew)).status, 200);
  assert.equal((await house.post(events, onlyNew)).status, 412);
  assert.equal((await recordsOf(house.engine)).length, 8);
});
