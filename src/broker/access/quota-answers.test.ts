import assert from "node:assert/strict";
import { test } from "node:test";
import { alterClientQuotas } from "../../kafka/apis/alter-client-quotas.ts";
import { describeClientQuotas } from "../../kafka/apis/describe-client-quotas.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { AccessDoor } from "./access-answers.fixture.ts";

const part = (entityType: string, entityName: string | null) => ({ entityType, entityName });
const set = (key: string, value: number) => ({ key, value, remove: false });
const unset = (key: string) => ({ key, value: 0, remove: true });
const component = (entityType: string, matchType: number, match: string | null = null) => ({
  entityType,
  matchType,
  match,
});

async function filled(): Promise<AccessDoor> {
  const door = await AccessDoor.open();
  const entries = [
    { entity: [part("user", "alice")], ops: [set("producer_byte_rate", 1000), set("request_percentage", 12.5)] },
    { entity: [part("client-id", "app"), part("user", "alice")], ops: [set("consumer_byte_rate", 10)] },
    { entity: [part("user", null)], ops: [set("controller_mutation_rate", 0.5)] },
    { entity: [part("ip", null)], ops: [set("connection_creation_rate", 5)] },
    { entity: [part("ip", "::1")], ops: [set("connection_creation_rate", 50)] },
  ];
  const { entries: answered } = await door.ask(alterClientQuotas, { entries, validateOnly: false });
  assert.deepEqual(
    answered.map(({ errorCode }) => errorCode),
    [0, 0, 0, 0, 0],
  );
  return door;
}

for (const version of [0, 1]) {
  test(`quotas that were set hold, and are described by filter (v${version})`, async () => {
    const door = await filled();
    const find = async (components: ReturnType<typeof component>[], strict = false) => {
      const { entries, errorCode } = await door.ask(describeClientQuotas, { components, strict }, { version });
      assert.equal(errorCode, 0);
      return entries?.map(({ entity }) =>
        entity.map(({ entityType, entityName }) => `${entityType}=${entityName}`).join(),
      );
    };
    assert.equal((await find([]))?.length, 5);
    assert.deepEqual(await find([component("user", 0, "alice")]), ["user=alice", "user=alice,client-id=app"]);
    assert.deepEqual(await find([component("user", 0, "alice")], true), ["user=alice"]);
    assert.deepEqual(await find([component("user", 1)]), ["user=null"]);
    assert.deepEqual(await find([component("user", 2)], true), ["user=alice", "user=null"]);
    assert.deepEqual(await find([component("user", 2), component("client-id", 2)]), ["user=alice,client-id=app"]);
    assert.deepEqual(await find([component("ip", 2)]), ["ip=null", "ip=::1"]);
    const { entries } = await door.ask(describeClientQuotas, {
      components: [component("user", 0, "alice")],
      strict: true,
    });
    assert.deepEqual(entries?.[0]?.values, [
      { key: "producer_byte_rate", value: 1000 },
      { key: "request_percentage", value: 12.5 },
    ]);
    assert.equal(door.quotas.quotaFor("consumer_byte_rate", "alice", "app")?.value, 10);
  });
}

test("an operation changes its key alone, and an entity without quotas is gone", async () => {
  const door = await filled();
  const alter = (entityName: string, ...ops: ReturnType<typeof set>[]) =>
    door.ask(alterClientQuotas, { entries: [{ entity: [part("user", entityName)], ops }], validateOnly: false });
  await alter("alice", unset("producer_byte_rate"), set("consumer_byte_rate", 7), unset("nonsense"));
  assert.deepEqual(door.quotas.valuesOf({ user: "alice" }), { request_percentage: 12.5, consumer_byte_rate: 7 });
  await alter("alice", unset("request_percentage"), unset("consumer_byte_rate"));
  assert.equal(door.quotas.valuesOf({ user: "alice" }), undefined);
});

test("a request that is to be validated only changes nothing", async () => {
  const door = await AccessDoor.open();
  const entries = [{ entity: [part("user", "alice")], ops: [set("producer_byte_rate", 1)] }];
  const answered = await door.ask(alterClientQuotas, { entries, validateOnly: true });
  assert.equal(answered.entries[0]?.errorCode, 0);
  assert.equal(door.quotas.size, 0);
});

test("what is wrong is answered in Kafka's words, and keeps no other entity from being changed", async () => {
  const door = await AccessDoor.open();
  const rate = set("producer_byte_rate", 1);
  const wrong: [ReturnType<typeof part>[], ReturnType<typeof set>[], string | RegExp][] = [
    [[], [rate], "Invalid empty client quota entity"],
    [[part("group", "x")], [rate], "Unhandled client quota entity type: group"],
    [[part("__proto__", "x")], [rate], "Unhandled client quota entity type: __proto__"],
    [[part("user", "")], [rate], "Empty user not supported"],
    [[part("ip", "1.2.3.4"), part("user", "x")], [rate], /^Invalid quota entity combination/],
    [
      [part("ip", "not an address")],
      [set("connection_creation_rate", 1)],
      "not an address is not a valid IP or resolvable host.",
    ],
    [[part("ip", "1.2.3.4")], [rate], "Invalid configuration key producer_byte_rate"],
    [[part("user", "a")], [set("connection_creation_rate", 1)], "Invalid configuration key connection_creation_rate"],
    [[part("user", "b")], [set("toString", 1)], "Invalid configuration key toString"],
    [[part("user", "c")], [set("producer_byte_rate", 0)], "Quota producer_byte_rate must be greater than 0"],
    [[part("user", "d")], [set("producer_byte_rate", Number.NaN)], "Quota producer_byte_rate must be greater than 0"],
    [[part("user", "e")], [set("producer_byte_rate", 1.5)], "producer_byte_rate cannot be a fractional value."],
    [
      [part("user", "f")],
      [set("producer_byte_rate", 1e30)],
      "Proposed value for producer_byte_rate is too large for a LONG.",
    ],
    [[part("user", "g")], [set("request_percentage", Number.POSITIVE_INFINITY)], /too large/],
    [
      [part("ip", "::2")],
      [set("connection_creation_rate", 2 ** 31)],
      "Proposed value for connection_creation_rate is too large for an INT.",
    ],
    [[part("user", "h")], [rate, rate], /^Duplicate quota key producer_byte_rate/],
  ];
  const good = { entity: [part("user", "good")], ops: [rate] };
  const entries = [good, ...wrong.map(([entity, ops]) => ({ entity, ops }))];
  const { entries: answered } = await door.ask(alterClientQuotas, { entries, validateOnly: false });
  assert.equal(answered[0]?.errorCode, 0);
  for (const [i, [, , expected]] of wrong.entries()) {
    const { errorCode, errorMessage } = answered[i + 1] ?? {};
    assert.equal(errorCode, kafkaErrors.INVALID_REQUEST, `${expected}`);
    if (typeof expected === "string") assert.equal(errorMessage, expected);
    else assert.match(errorMessage ?? "", expected);
  }
  assert.equal(door.quotas.size, 1);
});

test("of an entity that comes twice the first counts, and the answer says so once", async () => {
  const door = await AccessDoor.open();
  const entries = [1, 2].map((value) => ({ entity: [part("user", "a")], ops: [set("producer_byte_rate", value)] }));
  const { entries: answered } = await door.ask(alterClientQuotas, { entries, validateOnly: false });
  assert.equal(answered.length, 1);
  assert.match(answered[0]?.errorMessage ?? "", /^Ignoring duplicate entity/);
  assert.deepEqual(door.quotas.valuesOf({ user: "a" }), { producer_byte_rate: 1 });
});

test("a filter that is wrong is refused in Kafka's words", async () => {
  const door = await AccessDoor.open();
  const { INVALID_REQUEST, UNSUPPORTED_VERSION } = kafkaErrors;
  const wrong: [ReturnType<typeof component>[], number, RegExp][] = [
    [[component("", 0, "x")], INVALID_REQUEST, /Invalid empty entity type/],
    [[component("group", 0, "x")], UNSUPPORTED_VERSION, /Unsupported entity type group/],
    [[component("user", 0)], INVALID_REQUEST, /MATCH_TYPE_EXACT/],
    [[component("user", 1, "x")], INVALID_REQUEST, /MATCH_TYPE_DEFAULT/],
    [[component("user", 2, "x")], INVALID_REQUEST, /MATCH_TYPE_SPECIFIED/],
    [[component("user", 3)], INVALID_REQUEST, /Unknown match type 3/],
    [[component("user", 1), component("user", 2)], INVALID_REQUEST, /more than once/],
    [[component("ip", 1), component("user", 2)], INVALID_REQUEST, /Invalid entity filter component combination/],
  ];
  for (const [components, code, message] of wrong) {
    const { errorCode, errorMessage, entries } = await door.ask(describeClientQuotas, { components, strict: false });
    assert.deepEqual([errorCode, entries], [code, null]);
    assert.match(errorMessage ?? "", message);
  }
});

test("who may not alter or describe the cluster's configs sees and changes nothing", async () => {
  const door = await AccessDoor.open();
  const options = { principal: "User:alice" };
  const entries = [{ entity: [part("user", "a")], ops: [set("producer_byte_rate", 1)] }];
  const altered = await door.ask(alterClientQuotas, { entries, validateOnly: false }, options);
  assert.equal(altered.entries[0]?.errorCode, kafkaErrors.CLUSTER_AUTHORIZATION_FAILED);
  assert.equal(door.quotas.size, 0);
  const described = await door.ask(describeClientQuotas, { components: [], strict: false }, options);
  assert.equal(described.errorCode, kafkaErrors.CLUSTER_AUTHORIZATION_FAILED);
});
