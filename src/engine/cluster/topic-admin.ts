/**
 * What is asked of the cluster about its topics, and what is changed of them there: each call resolves when the brokers know of
 * the change.
 */
import { MillraceError } from "../../base/errors.ts";
import { createPartitions } from "../../kafka/apis/create-partitions.ts";
import { createTopics } from "../../kafka/apis/create-topics.ts";
import { deleteTopics } from "../../kafka/apis/delete-topics.ts";
import { describeConfigs } from "../../kafka/apis/describe-configs.ts";
import { describeLogDirs } from "../../kafka/apis/describe-log-dirs.ts";
import { incrementalAlterConfigs } from "../../kafka/apis/incremental-alter-configs.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { ClusterClient, NodeId } from "./cluster-client.ts";
import { type KnownTopic, topicUnknown } from "./cluster-metadata.ts";
import { assertNone, KafkaError } from "./kafka-error.ts";
import { allConfigsOf, sameConfig, type TopicNote } from "./topic-configs.ts";

const topicResource = 2;
const brokerWaitMs = 30_000;
const answerWaitMs = 60_000;
const patienceMs = 60_000;
const replicationOfCluster = -1;
const setOperation = 0;
const deleteOperation = 1;
/** It is set only where more than one is wanted. */
const inSyncConfig = "min.insync.replicas";

export class TopicAdmin {
  readonly #client: ClusterClient;

  constructor(client: ClusterClient) {
    this.#client = client;
  }

  /** True when it was made by this call; after a lost answer it cannot tell, and answers false. */
  async create(note: TopicNote): Promise<boolean> {
    const { name, settings } = note;
    const what = `creating topic ${name}`;
    const topic = {
      name,
      numPartitions: settings.partitions,
      replicationFactor: replicationOfCluster,
      assignments: [],
      configs: Object.entries(allConfigsOf(note)).map(([key, value]) => ({ name: key, value })),
    };
    return await this.#client.persist(what, async () => {
      const request = { topics: [topic], timeoutMs: brokerWaitMs };
      const options = { versionMin: 7, timeoutMs: answerWaitMs };
      const answer = await this.#client.ask(null, "admin", createTopics, request, options);
      const found = answer.topics[0];
      if (found?.errorCode === kafkaErrors.TOPIC_ALREADY_EXISTS) return false;
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what, found?.errorMessage ?? null);
      return true;
    });
  }

  async delete(name: string, id: string): Promise<void> {
    const what = `deleting topic ${name}`;
    await this.#client.persist(what, async () => {
      const request = { topics: [{ name: null, topicId: id }], topicNames: [], timeoutMs: brokerWaitMs };
      const options = { versionMin: 6, timeoutMs: answerWaitMs };
      const answer = await this.#client.ask(null, "admin", deleteTopics, request, options);
      const found = answer.responses[0];
      // A second time after a lost answer.
      if (found?.errorCode === kafkaErrors.UNKNOWN_TOPIC_ID) return;
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what, found?.errorMessage ?? null);
    });
    await this.untilSeen(what, () => this.#client.metadata.topicById(id) === undefined);
  }

  async addPartitions(name: string, count: number): Promise<void> {
    const what = `adding partitions to topic ${name}`;
    await this.#client.persist(what, async () => {
      this.#assertKnown(name);
      const request = { topics: [{ name, count, assignments: null }], timeoutMs: brokerWaitMs, validateOnly: false };
      const answer = await this.#client.ask(null, "admin", createPartitions, request, { timeoutMs: answerWaitMs });
      const found = answer.results[0];
      const isThere = (this.#client.metadata.topics.get(name)?.partitions.length ?? 0) >= count;
      if (found?.errorCode === kafkaErrors.INVALID_PARTITIONS && isThere) return;
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what, found?.errorMessage ?? null);
    });
    await this.untilSeen(what, () => {
      const partitions = this.#client.metadata.topics.get(name)?.partitions ?? [];
      return partitions.length >= count && partitions.every(({ leaderId }) => leaderId >= 0);
    });
  }

  /** What was set by name `before`, and is not any more, is the cluster's to say again. */
  async alterConfigs(note: TopicNote, before: readonly string[]): Promise<void> {
    const { name } = note;
    const wanted = allConfigsOf(note);
    const keys = [...new Set([...Object.keys(wanted), ...before, inSyncConfig])];
    const what = `changing the settings of topic ${name}`;
    const known = (await this.#client.persist(what, () => this.configs(null, [name], keys))).get(name) ?? {};
    const changed = Object.entries(wanted).filter(([key, value]) => !sameConfig(value, known[key]));
    const lifted = [...before, inSyncConfig].filter((key) => wanted[key] === undefined);
    await this.#client.persist(what, async () => {
      this.#assertKnown(name);
      const configs = [
        ...changed.map(([key, value]) => ({ name: key, configOperation: setOperation, value })),
        ...lifted.map((key) => ({ name: key, configOperation: deleteOperation, value: null })),
      ];
      const resources = [{ resourceType: topicResource, resourceName: name, configs }];
      const answer = await this.#client.ask(null, "admin", incrementalAlterConfigs, { resources, validateOnly: false });
      const found = answer.responses[0];
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what, found?.errorMessage ?? null);
    });
    // Each broker hears of it in its own time.
    for (const node of this.#client.metadata.brokers.keys()) {
      await this.#client.persist(what, async () => {
        const now = (await this.configs(node, [name], keys)).get(name) ?? {};
        if (changed.every(([key, value]) => sameConfig(value, now[key]))) return;
        throw new KafkaError(kafkaErrors.BROKER_NOT_AVAILABLE, what, "a broker does not know of it yet");
      });
    }
  }

  /** Of those that are there. */
  async configs(
    node: NodeId,
    names: readonly string[],
    configurationKeys: readonly string[],
  ): Promise<Map<string, Record<string, string>>> {
    const resources = names.map((resourceName) => ({
      resourceType: topicResource,
      resourceName,
      configurationKeys,
    }));
    const { results } = await this.#client.ask(node, "lookup", describeConfigs, { resources });
    const found = new Map<string, Record<string, string>>();
    for (const { errorCode, errorMessage, resourceName, configs } of results) {
      if (errorCode === kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION) continue;
      assertNone(errorCode, `asking for the settings of topic ${resourceName}`, errorMessage);
      const entries = configs.flatMap(({ name, value }) => (value === null ? [] : [[name, value] as const]));
      found.set(resourceName, Object.fromEntries(entries));
    }
    return found;
  }

  /** Bytes on the disks of its leaders. */
  async sizeBytes({ name, partitions }: KnownTopic): Promise<number> {
    const what = `asking for the size of topic ${name}`;
    const byLeader = Map.groupBy(partitions.keys(), (partition) => partitions[partition]?.leaderId ?? -1);
    const sizes = [...byLeader].map(([leader, places]) =>
      this.#client.persist(what, async () => {
        const request = { topics: [{ topic: name, partitions: places }] };
        const { errorCode, results } = await this.#client.ask(leader, "admin", describeLogDirs, request);
        assertNone(errorCode, what);
        const found = results.flatMap(({ topics }) => topics.flatMap((topic) => topic.partitions));
        return found.reduce((sum, { partitionSize }) => sum + partitionSize, 0);
      }),
    );
    return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
  }

  /** It may have been deleted meanwhile. */
  #assertKnown(name: string): void {
    if (!this.#client.metadata.topics.has(name)) throw topicUnknown(name);
  }

  /** The broker that is asked for topics knows of it. */
  async untilSeen(what: string, isSo: () => boolean): Promise<void> {
    const endMs = this.#client.clock.monotonicMs() + patienceMs;
    for (let attempts = 0; ; attempts++) {
      await this.#client.persist(what, () => this.#client.refresh());
      if (isSo()) return;
      if (this.#client.clock.monotonicMs() >= endMs) {
        throw new MillraceError("CLUSTER_UNREACHABLE", `${what}: the brokers did not get to know of it in time`);
      }
      await this.#client.pause(this.#client.pauseMs(attempts));
    }
  }
}
