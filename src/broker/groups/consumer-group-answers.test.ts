import assert from "node:assert/strict";
import { test } from "node:test";
import { consumerGroupDescribe } from "../../kafka/apis/consumer-group-describe.ts";
import { consumerGroupHeartbeat } from "../../kafka/apis/consumer-group-heartbeat.ts";
import type { Api, RequestInput, ResponseOf } from "../../kafka/fields.ts";
import {
  decodeRequest,
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  readRequestHeader,
} from "../../kafka/frames.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { RequestContext } from "../handler.ts";
import { openSession } from "../session.ts";
import { consumerGroupAnswers } from "./consumer-group-answers.ts";
import { CoordinatorFixture } from "./consumer-group-coordinator.fixture.ts";

type Heartbeat = RequestInput<typeof consumerGroupHeartbeat>;

class Wire {
  readonly fixture: CoordinatorFixture;
  /** `read group g`: what is not allowed. */
  readonly forbidden = new Set<string>();

  constructor(fixture: CoordinatorFixture) {
    this.fixture = fixture;
  }

  static async open(topics: Readonly<Record<string, number>>): Promise<Wire> {
    return new Wire(await CoordinatorFixture.open(topics));
  }

  /** Request and response go through their bytes. */
  async ask<A extends Api>(api: A, version: number, request: RequestInput<A>): Promise<ResponseOf<A>> {
    const { engine, coordinator: consumerGroups } = this.fixture;
    const frame = Buffer.concat(encodeRequestFrame(api, version, 7, "client", request)).subarray(4);
    const header = readRequestHeader(frame);
    const answer = consumerGroupAnswers({ engine, consumerGroups }).find((one) => one.api.key === api.key);
    const decoded = decodeRequest(api, version, frame, header.bodyPosition);
    const response = await answer?.handle(decoded, this.#contextOf(version));
    // What is kept of a request must not be a view of its frame.
    frame.fill(0xee);
    const answered = Buffer.concat(encodeResponseFrame(api, version, 7, response as never)).subarray(4);
    return decodeResponseFrame(api, version, answered).response;
  }

  async beat(heartbeat: Partial<Heartbeat>, version = 1): Promise<ResponseOf<typeof consumerGroupHeartbeat>> {
    const quiet: Heartbeat = {
      groupId: "g",
      memberId: "m1",
      memberEpoch: 0,
      instanceId: null,
      rackId: null,
      rebalanceTimeoutMs: -1,
      subscribedTopicNames: null,
      subscribedTopicRegex: null,
      serverAssignor: null,
      topicPartitions: null,
    };
    return await this.ask(consumerGroupHeartbeat, version, { ...quiet, ...heartbeat });
  }

  async join(heartbeat: Partial<Heartbeat> = {}, version = 1): Promise<ResponseOf<typeof consumerGroupHeartbeat>> {
    const said = { rebalanceTimeoutMs: 60_000, subscribedTopicNames: ["orders"], topicPartitions: [] };
    return await this.beat({ ...said, ...heartbeat }, version);
  }

  async describe(groupIds: readonly string[], version = 1, includeAuthorizedOperations = false) {
    const request = { groupIds: [...groupIds], includeAuthorizedOperations };
    return (await this.ask(consumerGroupDescribe, version, request)).groups;
  }

  #contextOf(apiVersion: number): RequestContext {
    return {
      apiVersion,
      correlationId: 7,
      clientId: "client",
      principal: "User:ANONYMOUS",
      address: "10.0.0.1",
      listener: "PLAINTEXT",
      localAddress: "127.0.0.1",
      signal: new AbortController().signal,
      session: openSession("User:ANONYMOUS"),
      allows: (verb: string, kind: string, name: string) => !this.forbidden.has(`${verb} ${kind} ${name}`),
      afterSent: () => undefined,
      throttle: () => undefined,
      closeAfter: () => undefined,
    } as RequestContext;
  }
}

test("a member joins, stays and leaves, in every version", async () => {
  for (const version of [0, 1]) {
    const wire = await Wire.open({ orders: 3 });
    const topicId = wire.fixture.engine.topic("orders")?.id ?? "";
    const joined = await wire.join({ memberId: version === 0 ? "" : "m1" }, version);
    assert.deepEqual(joined, {
      throttleTimeMs: 0,
      errorCode: 0,
      errorMessage: null,
      memberId: joined.memberId,
      memberEpoch: 2,
      heartbeatIntervalMs: 5_000,
      assignment: { topicPartitions: [{ topicId, partitions: [0, 1, 2] }] },
    });
    const memberId = joined.memberId ?? "";
    assert.ok(memberId.length > 0);
    const stays = await wire.beat({ memberId, memberEpoch: 2 }, version);
    assert.deepEqual([stays.errorCode, stays.memberEpoch, stays.assignment], [0, 2, null]);
    const left = await wire.beat({ memberId, memberEpoch: -1 }, version);
    assert.deepEqual(
      [left.errorCode, left.memberId, left.memberEpoch, left.heartbeatIntervalMs, left.assignment],
      [0, memberId, -1, 0, null],
    );
  }
});

test("what is refused is answered with Kafka's error and its words", async () => {
  const wire = await Wire.open({ orders: 1 });
  await wire.join();
  const fenced = await wire.beat({ memberEpoch: 9 });
  assert.equal(fenced.errorCode, kafkaErrors.FENCED_MEMBER_EPOCH);
  assert.match(fenced.errorMessage ?? "", /must abandon all its partitions and rejoin/);
  assert.equal((await wire.beat({ memberId: "m2", memberEpoch: 2 })).errorCode, kafkaErrors.UNKNOWN_MEMBER_ID);
  assert.equal((await wire.join({ serverAssignor: "x" })).errorCode, kafkaErrors.UNSUPPORTED_ASSIGNOR);
  const pattern = await wire.join({ memberId: "m2", subscribedTopicRegex: "(" });
  assert.deepEqual(
    [pattern.errorCode, pattern.errorMessage],
    [
      kafkaErrors.INVALID_REGULAR_EXPRESSION,
      "SubscribedTopicRegex `(` is not a valid regular expression: missing closing ).",
    ],
  );
});

test("who may not read the group, or describe a topic by its name, is refused", async () => {
  const wire = await Wire.open({ orders: 1 });
  wire.forbidden.add("describe topic orders");
  assert.equal((await wire.join()).errorCode, kafkaErrors.TOPIC_AUTHORIZATION_FAILED);
  wire.forbidden.clear();
  wire.forbidden.add("read group g");
  assert.equal((await wire.join()).errorCode, kafkaErrors.GROUP_AUTHORIZATION_FAILED);
});

test("a pattern shows a member only topics that it may describe", async () => {
  const wire = await Wire.open({ orders: 1, "orders-secret": 1 });
  wire.forbidden.add("describe topic orders-secret");
  const { errorCode, assignment } = await wire.join({ subscribedTopicNames: null, subscribedTopicRegex: "orders.*" });
  assert.equal(errorCode, 0);
  assert.equal(assignment?.topicPartitions.length, 1);
});

test("a group is described with what its members have and are to have", async () => {
  const wire = await Wire.open({ orders: 2 });
  const topicId = wire.fixture.engine.topic("orders")?.id ?? "";
  await wire.join({ rackId: "r", instanceId: "i1" });
  await wire.join({ memberId: "m2", subscribedTopicNames: ["orders", "none"] });
  await wire.beat({ memberEpoch: 2 });
  const [described] = await wire.describe(["g"]);
  const places = (...partitions: number[]) => ({
    topicPartitions: partitions.length === 0 ? [] : [{ topicId, topicName: "orders", partitions }],
  });
  const client = { clientId: "client", clientHost: "/10.0.0.1", subscribedTopicRegex: "", memberType: 1 };
  assert.deepEqual(described, {
    errorCode: 0,
    errorMessage: null,
    groupId: "g",
    groupState: "Reconciling",
    groupEpoch: 3,
    assignmentEpoch: 3,
    assignorName: "uniform",
    members: [
      {
        ...client,
        memberId: "m1",
        instanceId: "i1",
        rackId: "r",
        memberEpoch: 2,
        subscribedTopicNames: ["orders"],
        // What it still has to let go of is its own.
        assignment: places(0, 1),
        targetAssignment: places(0),
      },
      {
        ...client,
        memberId: "m2",
        instanceId: null,
        rackId: null,
        memberEpoch: 3,
        subscribedTopicNames: ["none", "orders"],
        assignment: places(),
        targetAssignment: places(1),
      },
    ],
    authorizedOperations: -0x80000000,
  });
  const [older] = await wire.describe(["g"], 0);
  assert.equal(older?.members[0]?.memberType, -1);
});

test("each group is described or refused by itself", async () => {
  const wire = await Wire.open({ orders: 1 });
  await wire.join();
  await wire.fixture.engine.groups.offsets.commit("offsets-only", [{ topic: "orders", partition: 0, offset: 1 }]);
  wire.forbidden.add("describe group secret");
  const groups = await wire.describe(["g", "nothing", "offsets-only", "secret", ""], 1, true);
  const message = (id: string) => `Group ${id}`;
  assert.deepEqual(
    groups.map(({ errorCode, errorMessage }) => [errorCode, errorMessage]),
    [
      [0, null],
      [kafkaErrors.GROUP_ID_NOT_FOUND, `${message("nothing")} not found.`],
      [kafkaErrors.GROUP_ID_NOT_FOUND, `${message("offsets-only")} is not a consumer group.`],
      [kafkaErrors.GROUP_AUTHORIZATION_FAILED, null],
      [kafkaErrors.INVALID_GROUP_ID, null],
    ],
  );
  // Read, delete, describe, describe and alter configs.
  assert.equal(groups[0]?.authorizedOperations, (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11));
});

test("a group with topics that may not be described is not described", async () => {
  const wire = await Wire.open({ orders: 1 });
  await wire.join();
  wire.forbidden.add("describe topic orders");
  const [group] = await wire.describe(["g"]);
  assert.equal(group?.errorCode, kafkaErrors.TOPIC_AUTHORIZATION_FAILED);
  assert.deepEqual(group?.members, []);
});
