import assert from "node:assert/strict";
import { test } from "node:test";
import { joinHeartbeat, quietHeartbeat } from "./consumer-group.fixture.ts";
import { type ConsumerHeartbeat, heartbeatFault } from "./consumer-heartbeat.ts";

const join = joinHeartbeat("m1", ["a"]);
const stay = quietHeartbeat("m1", 2);

function faultOf(heartbeat: ConsumerHeartbeat, apiVersion = 1, groupId = "g"): string | undefined {
  const fault = heartbeatFault(groupId, heartbeat, apiVersion);
  return fault && `${fault.error}: ${fault.message}`;
}

test("heartbeats that join, stay and leave are well formed", () => {
  for (const heartbeat of [
    join,
    stay,
    { ...join, subscribedTopicNames: null, subscribedTopicRegex: "a.*" },
    { ...join, subscribedTopicNames: [] },
    { ...join, serverAssignor: "range", instanceId: "i", rackId: "r" },
    quietHeartbeat("m1", -1),
    { ...quietHeartbeat("m1", -2), instanceId: "i" },
  ]) {
    assert.equal(faultOf(heartbeat), undefined);
  }
});

test("the client names the member from version 1 on, and in version 0 when it is one already", () => {
  const missing = "INVALID_REQUEST: MemberId can't be empty.";
  const nameless = (heartbeat: ConsumerHeartbeat) => ({ ...heartbeat, memberId: "" });
  assert.equal(faultOf(nameless(join), 0), undefined);
  assert.equal(faultOf(nameless(join), 1), missing);
  for (const version of [0, 1]) {
    assert.equal(faultOf(nameless(stay), version), missing);
    assert.equal(faultOf(nameless(quietHeartbeat("", -1)), version), missing);
  }
});

test("what Kafka refuses is refused in its words", () => {
  const cases: readonly (readonly [ConsumerHeartbeat, string])[] = [
    [{ ...stay, memberId: "  " }, "INVALID_REQUEST: MemberId can't be empty."],
    [{ ...stay, instanceId: "" }, "INVALID_REQUEST: InstanceId can't be empty."],
    [{ ...stay, rackId: " " }, "INVALID_REQUEST: RackId can't be empty."],
    [{ ...join, rebalanceTimeoutMs: -1 }, "INVALID_REQUEST: RebalanceTimeoutMs must be provided in first request."],
    [{ ...join, topicPartitions: null }, "INVALID_REQUEST: TopicPartitions must be empty when (re-)joining."],
    [
      { ...join, topicPartitions: [{ topicId: "id-a", partitions: [0] }] },
      "INVALID_REQUEST: TopicPartitions must be empty when (re-)joining.",
    ],
    [
      { ...join, subscribedTopicNames: null },
      "INVALID_REQUEST: Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
    ],
    [quietHeartbeat("m1", -2), "INVALID_REQUEST: InstanceId can't be null."],
    [quietHeartbeat("m1", -3), "INVALID_REQUEST: MemberEpoch is invalid."],
    [
      { ...join, serverAssignor: "sticky" },
      "UNSUPPORTED_ASSIGNOR: ServerAssignor sticky is not supported. Supported assignors: uniform, range.",
    ],
  ];
  for (const [heartbeat, fault] of cases) assert.equal(faultOf(heartbeat), fault);
  assert.equal(faultOf(stay, 1, ""), "INVALID_REQUEST: GroupId can't be empty.");
});

test("ids and names that are too long or no text, and too many names, are refused", () => {
  const long = "x".repeat(256);
  for (const heartbeat of [
    { ...join, memberId: long },
    { ...join, instanceId: long },
    { ...join, rackId: "\ud800" },
    { ...join, subscribedTopicNames: [long] },
    { ...join, subscribedTopicNames: Array.from({ length: 10_001 }, (_, i) => `t${i}`) },
  ]) {
    assert.match(faultOf(heartbeat) ?? "", /^INVALID_REQUEST/);
  }
});
