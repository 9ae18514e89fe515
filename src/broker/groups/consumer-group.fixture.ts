/** A consumer group of KIP-848 without a log, with topics in a map and a clock that is moved by hand. */
import assert from "node:assert/strict";
import { ConsumerGroup, type ConsumerGroupSettings, type KeptConsumerGroup } from "./consumer-group.ts";
import type { ConsumerErrorName, ConsumerHeartbeat, HeartbeatAnswer } from "./consumer-heartbeat.ts";
import type { Places, TopicPartitions } from "./consumer-partitions.ts";
import type { GroupTopic } from "./consumer-topics.ts";

export const groupSettings: ConsumerGroupSettings = {
  sessionTimeoutMs: 45_000,
  assignmentIntervalMs: 0,
  patternRefreshMs: 600_000,
  membersMax: 100,
  memberBytesMax: 1_000_000,
};

/** One that changes nothing: a member that is there, with all as before. */
export function quietHeartbeat(memberId: string, memberEpoch: number): ConsumerHeartbeat {
  return {
    memberId,
    memberEpoch,
    instanceId: null,
    rackId: null,
    rebalanceTimeoutMs: -1,
    subscribedTopicNames: null,
    subscribedTopicRegex: null,
    serverAssignor: null,
    topicPartitions: null,
    clientId: "client",
    clientHost: "/127.0.0.1",
  };
}

export function joinHeartbeat(
  memberId: string,
  names: readonly string[] | null,
  more: Partial<ConsumerHeartbeat> = {},
): ConsumerHeartbeat {
  const said = { rebalanceTimeoutMs: 60_000, subscribedTopicNames: names, topicPartitions: [] };
  return { ...quietHeartbeat(memberId, 0), ...said, ...more };
}

/** As `a/0 b/2`, with topic ids as the fixture makes them. */
export function shown(places: Places | null): string | null {
  if (!places) return null;
  const all = [...places].flatMap(([topicId, list]) => list.map((partition) => `${topicId.slice(3)}/${partition}`));
  return all.sort().join(" ");
}

export function owned(text: string): TopicPartitions[] {
  const byTopic = new Map<string, number[]>();
  for (const place of text.split(" ").filter((each) => each !== "")) {
    const [topic, partition] = place.split("/");
    const topicId = `id-${topic}`;
    byTopic.set(topicId, [...(byTopic.get(topicId) ?? []), Number(partition)]);
  }
  return [...byTopic].map(([topicId, partitions]) => ({ topicId, partitions }));
}

export class GroupFixture {
  readonly topics: Map<string, GroupTopic>;
  readonly settings: ConsumerGroupSettings;
  group: ConsumerGroup;
  nowMs = 1_000;

  constructor(counts: Readonly<Record<string, number>>, settings: Partial<ConsumerGroupSettings> = {}) {
    this.topics = new Map();
    for (const [name, partitions] of Object.entries(counts))
      this.topics.set(name, { topicId: `id-${name}`, partitions });
    this.settings = { ...groupSettings, ...settings };
    this.group = this.#make();
  }

  setTopic(name: string, partitions: number): void {
    if (partitions === 0) this.topics.delete(name);
    else this.topics.set(name, { topicId: `id-${name}`, partitions });
    this.group.topics.changed();
  }

  send(heartbeat: ConsumerHeartbeat, resolved?: ReadonlyMap<string, readonly string[]>): HeartbeatAnswer {
    const leaves = heartbeat.memberEpoch < 0;
    const answer = leaves ? this.group.leave(heartbeat) : this.group.heartbeat(heartbeat, this.nowMs, resolved);
    if (answer.outcome === "refused") assert.fail(`${answer.error}: ${answer.message}`);
    return answer;
  }

  join(memberId: string, names: readonly string[], more: Partial<ConsumerHeartbeat> = {}): HeartbeatAnswer {
    return this.send(joinHeartbeat(memberId, names, more));
  }

  /** Epoch and assignment, as `3 a/0 a/1`; the assignment left out when none was given. */
  beat(memberId: string, memberEpoch: number, owns?: string, more: Partial<ConsumerHeartbeat> = {}): string {
    const said = owns === undefined ? {} : { topicPartitions: owned(owns) };
    const answer = this.send({ ...quietHeartbeat(memberId, memberEpoch), ...said, ...more });
    const places = shown(answer.assignment);
    return places === null ? `${answer.memberEpoch}` : `${answer.memberEpoch} ${places}`.trimEnd();
  }

  refused(heartbeat: ConsumerHeartbeat): ConsumerErrorName {
    const leaves = heartbeat.memberEpoch < 0;
    const before = this.group.revision;
    const answer = leaves ? this.group.leave(heartbeat) : this.group.heartbeat(heartbeat, this.nowMs);
    assert.equal(answer.outcome, "refused");
    assert.equal(this.group.revision, before, "something was changed");
    return answer.outcome === "refused" ? answer.error : assert.fail();
  }

  restart(): void {
    this.group = this.#make(this.group.kept);
  }

  #make(kept?: KeptConsumerGroup): ConsumerGroup {
    const topicOf = (name: string) => this.topics.get(name);
    return new ConsumerGroup({ groupId: "g", settings: this.settings, topicOf }, kept, this.nowMs);
  }
}
