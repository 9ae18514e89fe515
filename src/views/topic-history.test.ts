import assert from "node:assert/strict";
import { test } from "node:test";
import { topic } from "../catalog/definitions.ts";
import { ViewsFixture, viewOf } from "./group-fixture.ts";
import { publish, settled, tableOf } from "./topics-fixture.ts";

const schema = { properties: { amount: { type: "number" } } };
const payments = tableOf(topic("payments", { schema }));
const right = viewOf("paid", "select _partition, _offset, amount from topics.payments");
const amounts = "select amount from views.paid";

test("rows that only the store has stay through definitions that cannot be kept", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments");
  const group = await fixture.group([right], { topics: [payments], mode: "dev" });
  await publish(fixture, "payments", { value: { amount: 1 } }, { value: { amount: 2 } });
  await settled(fixture, group, "payments");
  await fixture.engine.deleteRecords("payments", 0, 2);
  for (const wrong of ["select amuont from topics.payments", "selekt amount from topics.payments"]) {
    await group.reload([viewOf("paid", wrong)]);
    assert.equal(group.info("paid").state.kind, "failed");
    assert.deepEqual(await fixture.rows("select count(*) as n from topics.payments"), ['{"n":2}']);
    await group.reload([right]);
    await settled(fixture, group, "payments");
    assert.deepEqual(await fixture.rows(amounts), ['{"amount":1}', '{"amount":2}']);
  }
});

test("rows of a topic go with the last view that names it, and begin again with what the log has", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("payments");
  const group = await fixture.group([right], { topics: [payments], mode: "dev" });
  await publish(fixture, "payments", { value: { amount: 1 } }, { value: { amount: 2 } });
  await settled(fixture, group, "payments");
  await fixture.engine.deleteRecords("payments", 0, 1);
  await group.reload([]);
  assert.deepEqual(await fixture.rows("select to_regclass('topics.payments') as mirror"), ['{"mirror":null}']);
  await group.reload([right]);
  await settled(fixture, group, "payments");
  assert.deepEqual(await fixture.rows(amounts), ['{"amount":2}']);
});
