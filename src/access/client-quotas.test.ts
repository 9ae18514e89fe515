import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { MemoryCatalogue } from "./catalogue.fixture.ts";
import { ClientQuotas } from "./client-quotas.ts";
import type { QuotaEntity, QuotaValues } from "./quota-entities.ts";
import { entityKey, entityOfKey, readQuotaValues } from "./quota-entities.ts";
import { QuotaTable } from "./quota-table.ts";

async function quotasOf(...entries: [QuotaEntity, QuotaValues][]) {
  const clock = new VirtualClock();
  const table = new QuotaTable(new MemoryCatalogue());
  await table.change(entries.map(([entity, values]) => ({ entity, values })));
  const set = (entity: QuotaEntity, values: QuotaValues) => table.change([{ entity, values }]);
  return { clock, table, set, quotas: new ClientQuotas(table, clock) };
}

test("of Kafka's eight levels the first that has a quota holds", async () => {
  const levels: QuotaEntity[] = [
    { user: "alice", clientId: "app" },
    { user: "alice", clientId: null },
    { user: "alice" },
    { user: null, clientId: "app" },
    { user: null, clientId: null },
    { user: null },
    { clientId: "app" },
    { clientId: null },
  ];
  const { quotas, set } = await quotasOf(
    ...levels.map((entity, i): [QuotaEntity, QuotaValues] => [entity, { producer_byte_rate: i + 1 }]),
  );
  for (const [i, entity] of levels.entries()) {
    assert.equal(quotas.quotaFor("produce", "User:alice", "app"), i + 1);
    // A level that has a quota of another kind has none of this one.
    await set(entity, { consumer_byte_rate: 1000 });
  }
  assert.equal(quotas.quotaFor("produce", "User:alice", "app"), undefined);
  assert.equal(quotas.quotaFor("fetch", "User:alice", "app"), 1000);
});

test("nobody waits without a quota, and who goes beyond waits until the average is within it", async () => {
  const { clock, quotas, set } = await quotasOf();
  assert.equal(quotas.record("produce", "User:alice", "app", 1e12), 0);
  await set({ user: "alice" }, { producer_byte_rate: 1000 });
  assert.equal(quotas.record("produce", "User:alice", "app", 10_000), 0);
  assert.equal(quotas.record("produce", "User:alice", "app", 2_000), 2_000);
  assert.equal(quotas.throttleMs("produce", "User:alice", "app"), 2_000);
  await clock.advance(1_500);
  assert.equal(quotas.throttleMs("produce", "User:alice", "app"), 500);
  assert.equal(quotas.record("fetch", "User:alice", "app", 1e9), 0);
  await set({ user: "alice" }, {});
  assert.equal(quotas.record("produce", "User:alice", "app", 1e9), 0);
});

test("a user's clients share the user's quota, and clients of one name share that of the name", async () => {
  const { quotas } = await quotasOf(
    [{ user: "alice" }, { producer_byte_rate: 1000 }],
    [{ clientId: "app" }, { producer_byte_rate: 1000 }],
  );
  quotas.record("produce", "User:alice", "one", 12_000);
  assert.equal(quotas.throttleMs("produce", "User:alice", "two"), 2_000);
  quotas.record("produce", "User:bob", "app", 12_000);
  assert.equal(quotas.throttleMs("produce", "User:carol", "app"), 2_000);
  assert.equal(quotas.throttleMs("produce", "User:carol", null), 0);
});

test("by a default every one has a quota for itself", async () => {
  const { quotas } = await quotasOf([{ user: null }, { consumer_byte_rate: 1000 }]);
  quotas.record("fetch", "User:alice", "a", 12_000);
  assert.equal(quotas.throttleMs("fetch", "User:alice", "b"), 2_000);
  assert.equal(quotas.throttleMs("fetch", "User:bob", "a"), 0);
  assert.equal(quotas.fetchBytesMax("User:bob", "a"), 10_000);
});

test("a quota that changes leaves the debt as it was, to be paid off at the new rate", async () => {
  const { quotas, set } = await quotasOf([{ user: "alice" }, { producer_byte_rate: 1000 }]);
  quotas.record("produce", "User:alice", "a", 14_000);
  await set({ user: "alice" }, { producer_byte_rate: 2000 });
  assert.equal(quotas.throttleMs("produce", "User:alice", "a"), 2_000);
});

test("requests are counted in the time that they take, and waited for a second at most", async () => {
  const { quotas } = await quotasOf([{ user: "alice" }, { request_percentage: 50 }]);
  assert.equal(quotas.record("request", "User:alice", "a", 500), 0);
  assert.equal(quotas.record("request", "User:alice", "a", 100), 200);
  assert.equal(quotas.record("request", "User:alice", "a", 100_000), 1_000);
});

test("connections of an address are counted by the quota of the address, else by the default's", async () => {
  const { quotas, set } = await quotasOf([{ address: null }, { connection_creation_rate: 1 }]);
  for (let i = 0; i < 10; i++) assert.equal(quotas.recordConnection("10.0.0.1"), 0);
  assert.equal(quotas.recordConnection("10.0.0.1"), 1_000);
  await set({ address: "10.0.0.1" }, { connection_creation_rate: 10 });
  assert.ok(quotas.recordConnection("10.0.0.1") < 1_000);
});

test("clients that are remembered are bounded; long names and quotas beyond all numbers do no harm", async () => {
  const clock = new VirtualClock();
  const table = new QuotaTable(new MemoryCatalogue());
  await table.change([{ entity: { user: null }, values: { producer_byte_rate: 1, consumer_byte_rate: 1e18 } }]);
  const quotas = new ClientQuotas(table, clock, { clientsMax: 3 });
  for (let i = 0; i < 10; i++) quotas.record("produce", `User:${i}`, null, 100);
  assert.ok(quotas.throttleMs("produce", "User:9", null) > 0);
  assert.equal(quotas.throttleMs("produce", "User:0", null), 0);
  const long = "x".repeat(10_000);
  quotas.record("produce", `User:${long}1`, null, 100);
  assert.ok(quotas.throttleMs("produce", `User:${long}1`, null) > 0);
  assert.equal(quotas.throttleMs("produce", `User:${long}2`, null), 0);
  assert.equal(quotas.record("fetch", "User:a", null, 1e15), 0);
  assert.equal(quotas.fetchBytesMax("User:a", null), Number.POSITIVE_INFINITY);
});

test("there are no more entities with quotas than the bound", async () => {
  const table = new QuotaTable(new MemoryCatalogue(), { entitiesMax: 1 });
  await table.change([{ entity: { user: "a" }, values: { producer_byte_rate: 1 } }]);
  await table.change([{ entity: { user: "a" }, values: { producer_byte_rate: 2 } }]);
  const more = table.change([{ entity: { user: "b" }, values: { producer_byte_rate: 1 } }]);
  await assert.rejects(more, (error) => MillraceError.is(error, "REQUEST_INVALID"));
  await table.change([{ entity: { user: "a" }, values: {} }]);
  assert.equal(table.size, 0);
});

test("an entity's key says the entity, and foreign entries are none", () => {
  for (const entity of [{ user: "a" }, { user: null, clientId: "b" }, { address: null }] as QuotaEntity[]) {
    assert.deepEqual(entityOfKey(entityKey(entity)), entity);
  }
  for (const text of ["", "[]", "{}", '[["user",1]]', '[["host","x"]]', "[1]"])
    assert.equal(entityOfKey(text), undefined);
  for (const value of [null, 1, [], { producer_byte_rate: -1 }, { producer_byte_rate: "1" }]) {
    assert.equal(readQuotaValues(value), undefined);
  }
});
