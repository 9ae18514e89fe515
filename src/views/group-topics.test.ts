import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, topic, view } from "../catalog/definitions.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { LawWatch } from "./builds-fixture.ts";
import { live, until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { tableShape } from "./source-fixture.ts";
import { type Message, publish, settled, tableOf } from "./topics-fixture.ts";

const at = { at: { type: "string", format: "date-time" } } as const;
const paymentSchema = {
  type: "object",
  properties: { customer: { type: "integer" }, amount: { type: "number" }, ...at },
} as const;
const watermark = { time: "at", lateness: "1s" };
const payments = tableOf(topic("payments", { schema: paymentSchema, partitions: 2, watermark }));
const profiles = tableOf(topic("profiles", { cleanup: "compact" }));
const customers = tableShape("shop", "customers", ["id integer", "name text"]);

const byCustomer =
  "select c.name, count(*) as n, sum(p.amount) as amount from topics.payments p join shop.customers c on c.id = p.customer group by c.name";
const all = "select _partition, _offset, _key, customer, amount from topics.payments";
const byCustomerView = viewOf("by_customer", byCustomer, "name");
const allView = viewOf("all_payments", all, ["_partition", "_offset"]);
const profilesView = viewOf("people", "select _key as id, _value ->> 'name' as name from topics.profiles", "id");

const payment = (customer: number, amount: number): Message => ({ value: { customer, amount } });

async function assertRight(fixture: ViewsFixture, views: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, query] of Object.entries(views)) {
    assert.deepEqual(await fixture.rows(`select * from views.${name}`), await fixture.rows(query), name);
  }
}

test("records of a topic are rows of a view, joined with a captured table, before and after it is built", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", { partitions: 2 });
  await publish(fixture, "payments", payment(1, 5), payment(2, 7), payment(1, 1.25));
  const shop = await fixture.source("shop", [customers]);
  const group = await fixture.group([byCustomerView, allView], { topics: [payments] });
  await shop.snapshot([
    { table: customers, insert: ["1", "Ada"] },
    { table: customers, insert: ["2", "Bob"] },
  ]);
  await settled(fixture, group, "payments");
  await using watch = await LawWatch.open(fixture);
  assert.deepEqual(await fixture.rows("select * from views.by_customer"), [
    '{"name":"Ada","n":2,"amount":6.25}',
    '{"name":"Bob","n":1,"amount":7}',
  ]);
  await publish(fixture, "payments", payment(2, 1), payment(3, 9), payment(2, 2));
  await shop.commit({ table: customers, insert: ["3", "Cleo"] }, { table: customers, update: ["1", "Ada L."] });
  await fixture.settled(group);
  await settled(fixture, group, "payments");
  await assertRight(fixture, { by_customer: byCustomer, all_payments: all });
  assert.equal((await fixture.rows(all)).length, 6);
  await watch.end();
});

test("a compacted topic is the last record of each key; one without a value takes the row away", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("profiles", { cleanup: "compact" });
  await publish(fixture, "profiles", { key: "a", value: { name: "Ada" } }, { key: "b", value: { name: "Bob" } });
  await publish(fixture, "profiles", { key: "a", value: { name: "Ada L." } }, { key: "b", value: null });
  const group = await fixture.group([profilesView], { topics: [profiles] });
  await settled(fixture, group, "profiles");
  const rows = () => fixture.rows("select * from views.people");
  assert.deepEqual(await rows(), ['{"id":"a","name":"Ada L."}']);
  await publish(fixture, "profiles", { key: "b", value: { name: "Bo" } }, { key: "a", value: null });
  await settled(fixture, group, "profiles");
  assert.deepEqual(await rows(), ['{"id":"b","name":"Bo"}']);
});

test("a record is a row whatever is in it, and no batch stops what comes behind it", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", {});
  const group = await fixture.group([allView], { topics: [payments] });
  await live(group);
  const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
  const values = ["{", '"\\u0000"', '{"amount":1e999999}', deep, '{"customer":"seven","amount":[1]}', "\u0000", ""];
  await publish(fixture, "payments", ...values.map((value) => ({ value })), { key: "\u0000", value: 1 }, payment(1, 1));
  await publish(fixture, "payments", payment(2, 2));
  await settled(fixture, group, "payments");
  assert.deepEqual(await fixture.rows("select customer, amount from views.all_payments where customer is not null"), [
    '{"customer":1,"amount":1}',
    '{"customer":2,"amount":2}',
  ]);
  const [problems] = await fixture.rows("select count(_problem) as n, count(*) as rows from topics.payments");
  assert.match(problems ?? "", /"n":6,/);
  await assertRight(fixture, { all_payments: all });
});

test("what a topic's transaction has aborted is no row", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", {});
  const group = await fixture.group([allView], { topics: [payments] });
  const producer = await fixture.engine.initProducer("test/payments");
  for (const ending of ["abort", "commit"] as const) {
    const transaction = producer.begin();
    const batch = encodeBatch([{ key: null, value: Buffer.from(`{"customer":1,"amount":${ending.length}}`) }], 0);
    await transaction.append({ topic: "payments", partition: 0, batch });
    await transaction[ending]();
  }
  await settled(fixture, group, "payments");
  assert.deepEqual(await fixture.rows("select amount from views.all_payments"), ['{"amount":6}']);
});

test("a topic that is not there yet, and one that gets more partitions, are followed", async () => {
  await using fixture = await ViewsFixture.open();
  const group = await fixture.group([allView], { topics: [payments] });
  await live(group);
  await fixture.engine.createTopic("payments", {});
  await publish(fixture, "payments", payment(1, 1));
  await settled(fixture, group, "payments");
  await fixture.engine.alterTopic("payments", { partitions: 3 });
  await publish(fixture, "payments", payment(2, 2), payment(3, 3), payment(4, 4));
  await settled(fixture, group, "payments");
  assert.equal((await fixture.rows("select * from views.all_payments")).length, 4);
  await assertRight(fixture, { all_payments: all });
});

test("a topic that is deleted fails its views, and one that is made again is read from its beginning", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", {});
  const group = await fixture.group([allView], { topics: [payments] });
  await publish(fixture, "payments", payment(1, 1), payment(2, 2));
  await settled(fixture, group, "payments");
  await fixture.engine.deleteTopic("payments");
  await until(group, () => group.info("all_payments").state.kind === "failed");
  assert.throws(() => group.readable("all_payments"), { code: "VIEW_FAILED", message: /topic payments was deleted/ });
  await fixture.engine.createTopic("payments", {});
  await publish(fixture, "payments", payment(3, 3));
  await group.reload([allView]);
  await settled(fixture, group, "payments");
  assert.deepEqual(await fixture.rows("select amount from views.all_payments"), ['{"amount":3}']);
});

test("another topic of that name while nobody looked is another topic, and no log that lost records", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", {});
  const before = await fixture.group([allView], { topics: [payments] });
  await publish(fixture, "payments", payment(1, 1), payment(2, 2));
  await settled(fixture, before, "payments");
  await before.close();
  await fixture.engine.deleteTopic("payments");
  await fixture.engine.createTopic("payments", {});
  await publish(fixture, "payments", payment(3, 3));
  const group = await fixture.group([allView], { topics: [payments] });
  await settled(fixture, group, "payments");
  assert.deepEqual(await fixture.rows("select amount from views.all_payments"), ['{"amount":3}']);
});

test("a killed group goes on behind what it has; an empty store is filled again from the log", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", { partitions: 2 });
  const before = await fixture.group([allView], { topics: [payments] });
  await publish(fixture, "payments", payment(1, 1), payment(2, 2), payment(3, 3));
  await settled(fixture, before, "payments");
  const { generation } = before.position();
  await fixture.kill(before);
  await publish(fixture, "payments", payment(4, 4), payment(5, 5));
  const again = await fixture.group([allView], { topics: [payments] });
  await settled(fixture, again, "payments");
  // Nothing was made anew, neither the mirror nor the view.
  assert.deepEqual(again.position().generation, generation);
  assert.equal(again.readable("all_payments").version, 1);
  assert.equal((await fixture.rows("select * from views.all_payments")).length, 5);
  await assertRight(fixture, { all_payments: all });
  await fixture.kill(again);
  await fixture.pool.query("drop schema millrace, views, topics cascade");
  const anew = await fixture.group([allView], { topics: [payments] });
  await settled(fixture, anew, "payments");
  assert.equal((await fixture.rows("select * from views.all_payments")).length, 5);
});

test("a schema with more members gives more columns, and views of others go on; what the log let go stays", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", {});
  const group = await fixture.group([allView], { topics: [payments] });
  await publish(fixture, "payments", { value: { customer: 1, amount: 1, currency: "EUR" } });
  await settled(fixture, group, "payments");
  await fixture.engine.deleteRecords("payments", 0, 1);
  const withProperties = (properties: object) =>
    tableOf(topic("payments", { schema: { type: "object", properties: { ...at, ...properties } }, watermark }));
  const more = withProperties({ ...paymentSchema.properties, currency: { type: "string" } });
  const { generation } = group.position();
  await group.reload([allView], undefined, [more]);
  assert.deepEqual(await fixture.rows("select currency from topics.payments"), ['{"currency":"EUR"}']);
  await publish(fixture, "payments", { value: { customer: 2, amount: 2, currency: "USD" } });
  await settled(fixture, group, "payments");
  assert.equal(group.position().generation, generation);
  assert.equal((await fixture.rows("select * from views.all_payments")).length, 2);
  const other = withProperties({ customer: { type: "string" }, amount: {} });
  await group.reload([allView], undefined, [other]);
  await settled(fixture, group, "payments");
  assert.deepEqual(await fixture.rows("select _offset, customer, amount from views.all_payments"), [
    '{"_offset":0,"customer":null,"amount":1}',
    '{"_offset":1,"customer":null,"amount":2}',
  ]);
});

test("another cleanup policy makes another table of a topic", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("profiles", { cleanup: "compact" });
  const stream = tableOf(topic("profiles"));
  const names = viewOf("names", "select _value ->> 'name' as name, count(*) as n from topics.profiles group by 1");
  const group = await fixture.group([names], { topics: [stream] });
  await publish(fixture, "profiles", { key: "a", value: { name: "Ada" } }, { key: "a", value: { name: "Ada" } });
  await settled(fixture, group, "profiles");
  assert.deepEqual(await fixture.rows("select * from views.names"), ['{"name":"Ada","n":2}']);
  await group.reload([names], undefined, [profiles]);
  await settled(fixture, group, "profiles");
  assert.deepEqual(await fixture.rows("select * from views.names"), ['{"name":"Ada","n":1}']);
});

test("records that the log let go before they were read fail the views, which a rebuild lets go on without them", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", {});
  const before = await fixture.group([allView], { topics: [payments] });
  await publish(fixture, "payments", payment(1, 1));
  await settled(fixture, before, "payments");
  await before.close();
  await publish(fixture, "payments", payment(2, 2), payment(3, 3));
  await fixture.engine.deleteRecords("payments", 0, 2);
  const group = await fixture.group([allView], { topics: [payments] });
  await until(group, () => group.info("all_payments").state.kind === "failed");
  assert.throws(() => group.readable("all_payments"), {
    message: /partition 0 of topic payments was read up to offset 1/,
  });
  await group.rebuild("all_payments");
  await settled(fixture, group, "payments");
  assert.deepEqual(await fixture.rows("select amount from views.all_payments"), ['{"amount":1}', '{"amount":3}']);
});

test("a topic begins with what the log has, also where that goes while it is read", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments", {});
  await publish(fixture, "payments", payment(1, 1), payment(2, 2), payment(3, 3));
  await fixture.engine.deleteRecords("payments", 0, 1);
  const group = await fixture.group([allView], { topics: [payments] });
  await settled(fixture, group, "payments");
  assert.deepEqual(await fixture.rows("select amount from views.all_payments"), ['{"amount":2}', '{"amount":3}']);
});

test("a token of a topic is waited for, and one of another topic of that name is refused", async () => {
  await using fixture = await ViewsFixture.open();
  const { id: topicId } = await fixture.engine.createTopic("payments", {});
  const group = await fixture.group([allView], { topics: [payments] });
  const target = (offset: number, id = topicId) =>
    ({ kind: "topic", topic: "payments", topicId: id, positions: [{ partition: 0, offset }] }) as const;
  await live(group);
  await assert.rejects(group.waitFor(target(1), 1), {
    code: "TOKEN_TIMEOUT",
    message: /did not reach offset 1 of payments\/0/,
  });
  await publish(fixture, "payments", payment(1, 1));
  await group.waitFor(target(1), 20_000);
  assert.equal((await fixture.rows("select * from views.all_payments")).length, 1);
  await assert.rejects(group.waitFor(target(1, "another"), 20_000), { code: "TOKEN_FOREIGN" });
  await fixture.engine.createTopic("unread", {});
  const unread = fixture.engine.topic("unread")?.id ?? "";
  await group.waitFor({ kind: "topic", topic: "unread", topicId: unread, positions: [{ partition: 0, offset: 9 }] }, 1);
  const [end] = await group.endsOfTopics(["all_payments"]);
  assert.deepEqual(end, target(1));
});

test("a view that is recomputed whole waits for a topic's token too", async () => {
  await using fixture = await ViewsFixture.open();
  const { id: topicId } = await fixture.engine.createTopic("payments", {});
  const ranks = view("ranks", sql`select customer, rank() over (order by amount) as place from topics.payments`, {
    refresh: "1d",
  });
  const group = await fixture.group([ranks], { topics: [payments] });
  await live(group);
  await publish(fixture, "payments", payment(1, 1));
  const target = { kind: "topic", topic: "payments", topicId, positions: [{ partition: 0, offset: 1 }] } as const;
  await group.waitFor(target, 20_000, undefined, ["ranks"]);
  assert.deepEqual(await fixture.rows("select * from views.ranks"), ['{"customer":1,"place":1}']);
});
