/**
 * What this process knows of the cluster: its brokers, its topics with their ids, and who leads which partition.
 *
 * Always true: a partition's leader of an earlier epoch does not take the place of a later one of the same topic id, and a topic
 * is gone when two answers in succession say so.
 * Not here: settings of topics (cluster-topics.ts), and when to look again.
 */
import { MillraceError } from "../../base/errors.ts";
import type { metadata } from "../../kafka/apis/metadata.ts";
import type { ResponseOf } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { BrokerAddress } from "./broker-address.ts";

export interface KnownPartition {
  /** -1 while there is none. */
  readonly leaderId: number;
  readonly leaderEpoch: number;
  readonly replicaCount: number;
}

export interface KnownTopic {
  readonly name: string;
  readonly id: string;
  /** Kafka's own. */
  readonly isInternal: boolean;
  readonly partitions: readonly KnownPartition[];
}

export class ClusterMetadata {
  #clusterId: string | null = null;
  #controllerId = -1;
  #brokers: ReadonlyMap<number, BrokerAddress> = new Map();
  #topics: ReadonlyMap<string, KnownTopic> = new Map();
  #byId: ReadonlyMap<string, KnownTopic> = new Map();
  /** Ids that the last answer left out. */
  #missing: ReadonlySet<string> = new Set();

  get clusterId(): string | null {
    return this.#clusterId;
  }

  get controllerId(): number {
    return this.#controllerId;
  }

  get brokers(): ReadonlyMap<number, BrokerAddress> {
    return this.#brokers;
  }

  get topics(): ReadonlyMap<string, KnownTopic> {
    return this.#topics;
  }

  topicById(id: string): KnownTopic | undefined {
    return this.#byId.get(id);
  }

  /** An answer that is about all topics. Throws `CLUSTER_UNSUITABLE` when it is of another cluster. */
  take(answer: ResponseOf<typeof metadata>): void {
    if (this.#clusterId !== null && answer.clusterId !== null && answer.clusterId !== this.#clusterId) {
      throw new MillraceError(
        "CLUSTER_UNSUITABLE",
        `the brokers' address leads to another cluster: ${answer.clusterId}, not ${this.#clusterId}`,
      );
    }
    this.#clusterId ??= answer.clusterId;
    this.#controllerId = answer.controllerId;
    this.#brokers = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]));
    const topics = new Map<string, KnownTopic>();
    for (const { errorCode, name, topicId, isInternal, partitions } of answer.topics) {
      // A topic that is there and cannot be told of now is as it was.
      const before = name === null ? undefined : this.#topics.get(name);
      if (name === null) continue;
      if (errorCode !== kafkaErrors.NONE) {
        if (before && errorCode === kafkaErrors.LEADER_NOT_AVAILABLE) topics.set(name, before);
        continue;
      }
      const known: KnownPartition[] = [];
      for (const one of partitions) {
        const older = before?.id === topicId ? before.partitions[one.partitionIndex] : undefined;
        const told = { leaderId: one.leaderId, leaderEpoch: one.leaderEpoch, replicaCount: one.replicaNodes.length };
        known[one.partitionIndex] = older && older.leaderEpoch > told.leaderEpoch ? older : told;
      }
      if (known.length !== partitions.length) continue;
      topics.set(name, { name, id: topicId, isInternal, partitions: known });
    }
    this.#keepDoubtful(topics);
    this.#topics = topics;
    this.#byId = new Map([...topics.values()].map((topic) => [topic.id, topic]));
  }

  /** A broker that has just started may not know yet what others have told: what is missing is gone when it is missing again. */
  #keepDoubtful(topics: Map<string, KnownTopic>): void {
    const missing = new Set<string>();
    for (const [name, topic] of this.#topics) {
      if (topics.has(name) || this.#missing.has(topic.id)) continue;
      missing.add(topic.id);
      topics.set(name, topic);
    }
    this.#missing = missing;
  }

  /** A broker has said who leads, in passing (KIP-951). */
  takeLeader(topicId: string, partition: number, leaderId: number, leaderEpoch: number): void {
    const topic = this.#byId.get(topicId);
    const known = topic?.partitions[partition];
    if (!topic || !known || leaderEpoch <= known.leaderEpoch || !this.#brokers.has(leaderId)) return;
    const partitions = topic.partitions.with(partition, { ...known, leaderId, leaderEpoch });
    const changed = { ...topic, partitions };
    this.#topics = new Map(this.#topics).set(topic.name, changed);
    this.#byId = new Map(this.#byId).set(topicId, changed);
  }

  /** Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`. */
  partition(topic: string, partition: number): KnownPartition {
    const known = this.#topics.get(topic);
    if (!known) throw topicUnknown(topic);
    const found = known.partitions[partition];
    if (!found) throw partitionUnknown(topic, partition);
    return found;
  }
}

export function topicUnknown(topic: string): MillraceError {
  return new MillraceError("TOPIC_UNKNOWN", `there is no topic ${topic}`, { details: { topic } });
}

export function partitionUnknown(topic: string, partition: number): MillraceError {
  return new MillraceError("PARTITION_UNKNOWN", `topic ${topic} has no partition ${partition}`, {
    details: { topic, partition },
  });
}
