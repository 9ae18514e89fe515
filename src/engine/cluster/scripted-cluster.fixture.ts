/**
 * A Kafka cluster in this process that does the least: sockets on loopback, our own codec, one partition of one topic per name,
 * and what a test says in place of an answer.
 */
import { createServer, type Server, type Socket } from "node:net";
import { apiVersions } from "../../kafka/apis/api-versions.ts";
import { describeConfigs } from "../../kafka/apis/describe-configs.ts";
import { fetch } from "../../kafka/apis/fetch.ts";
import { initProducerId } from "../../kafka/apis/init-producer-id.ts";
import { listOffsets } from "../../kafka/apis/list-offsets.ts";
import { metadata } from "../../kafka/apis/metadata.ts";
import { produce } from "../../kafka/apis/produce.ts";
import { apiByKey } from "../../kafka/apis.ts";
import type { Api, RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { decodeRequest, encodeResponseFrame, readRequestHeader } from "../../kafka/frames.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { placeBatch, readBatchHeader } from "../../records/batch-header.ts";
import type { BrokerAddress } from "./broker-address.ts";
import { ResponseFrames } from "./response-frames.ts";

/** In place of an answer: the connection is closed, there is none, or these bytes are it. */
export type Mischief = "close" | "silence" | Buffer;

export interface Asked {
  readonly node: number;
  readonly api: Api;
  readonly version: number;
  readonly clientId: string | null;
  readonly request: unknown;
}

type Script = (asked: Asked, answer: () => unknown) => unknown | Mischief;

interface Producer {
  readonly epoch: number;
  next: number;
  /** The last five. */
  readonly offsets: Map<number, number>;
}

interface Partition {
  readonly topicId: string;
  leader: number;
  leaderEpoch: number;
  readonly batches: Buffer[];
  endOffset: number;
  readonly producers: Map<number, Producer>;
}

const served: readonly Api[] = [apiVersions, metadata, describeConfigs, initProducerId, produce, fetch, listOffsets];

export class ScriptedCluster {
  readonly asked: Asked[] = [];
  readonly partitions = new Map<string, Partition>();
  readonly features = new Map([["transaction.version", 2]]);
  /** Highest versions that are told, by API key. */
  readonly versionsMax = new Map<number, number>();
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  #script: Script = (_asked, answer) => answer();
  #producerIds = 100;

  static async open(nodes = 1, topics: readonly string[] = ["t"]): Promise<ScriptedCluster> {
    const cluster = new ScriptedCluster();
    for (let node = 0; node < nodes; node++) await cluster.#listen(node);
    topics.forEach((name, i) => {
      const topicId = `00000000-0000-4000-8000-${String(i + 1).padStart(12, "0")}`;
      const partition = { topicId, leader: 0, leaderEpoch: 0, batches: [], endOffset: 0, producers: new Map() };
      cluster.partitions.set(name, partition);
    });
    return cluster;
  }

  get brokers(): BrokerAddress[] {
    return this.#servers.map((server) => ({ host: "127.0.0.1", port: (server.address() as { port: number }).port }));
  }

  /** What is done with requests from now on. */
  script(script: Script): void {
    this.#script = script;
  }

  countOf(api: Api): number {
    return this.asked.filter((one) => one.api === api).length;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  async #listen(node: number): Promise<void> {
    const server = createServer((socket) => this.#serve(node, socket));
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  }

  #serve(node: number, socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    const frames = new ResponseFrames((frame) => this.#take(node, socket, frame));
    socket.on("data", (chunk: Buffer) => frames.add(chunk));
  }

  #take(node: number, socket: Socket, frame: Buffer): void {
    const { apiKey, apiVersion, correlationId, clientId, bodyPosition } = readRequestHeader(frame);
    const api = apiByKey(apiKey);
    if (!api) {
      socket.destroy();
      return;
    }
    const request = decodeRequest(api, apiVersion, frame, bodyPosition);
    const asked: Asked = { node, api, version: apiVersion, clientId, request };
    this.asked.push(asked);
    const answer = this.#script(asked, () => this.#answer(asked));
    if (answer === "silence") return;
    if (answer === "close") socket.destroy();
    else if (Buffer.isBuffer(answer)) socket.write(answer);
    else {
      const chunks = encodeResponseFrame(api, apiVersion, correlationId, answer as ResponseInput<typeof api>);
      socket.write(Buffer.concat(chunks));
    }
  }

  #answer({ node, api, request }: Asked): unknown {
    switch (api) {
      case apiVersions:
        return this.#versions();
      case metadata:
        return this.#metadata();
      case describeConfigs:
        return this.#configs(request as RequestOf<typeof describeConfigs>);
      case initProducerId:
        return { errorCode: 0, producerId: this.#producerIds++, producerEpoch: 0 };
      case produce:
        return this.#produce(node, request as RequestOf<typeof produce>);
      case fetch:
        return this.#fetch(node, request as RequestOf<typeof fetch>);
      case listOffsets:
        return this.#offsets(node, request as RequestOf<typeof listOffsets>);
      default:
        throw new Error(`the cluster has no ${api.name}`);
    }
  }

  #versions(): ResponseInput<typeof apiVersions> {
    const finalizedFeatures = [...this.features].map(([name, level]) => {
      return { name, maxVersionLevel: level, minVersionLevel: level };
    });
    const apiKeys = served.map(({ key, versions: [min, max] }) => {
      return { apiKey: key, minVersion: min, maxVersion: this.versionsMax.get(key) ?? max };
    });
    return { errorCode: 0, apiKeys, finalizedFeaturesEpoch: 1, finalizedFeatures };
  }

  #metadata(): ResponseInput<typeof metadata> {
    return {
      clusterId: "scripted",
      controllerId: 0,
      brokers: this.brokers.map((address, nodeId) => ({ nodeId, ...address, rack: null })),
      topics: [...this.partitions].map(([name, { topicId, leader, leaderEpoch }]) => ({
        errorCode: 0,
        name,
        topicId,
        partitions: [
          {
            errorCode: 0,
            partitionIndex: 0,
            leaderId: leader,
            leaderEpoch,
            replicaNodes: [leader],
            isrNodes: [leader],
          },
        ],
      })),
    };
  }

  #configs({ resources }: RequestOf<typeof describeConfigs>): ResponseInput<typeof describeConfigs> {
    return {
      results: resources.map(({ resourceType, resourceName }) => {
        return { errorCode: 0, errorMessage: null, resourceType, resourceName, configs: [] };
      }),
    };
  }

  #produce(node: number, { topicData }: RequestOf<typeof produce>): ResponseInput<typeof produce> {
    return {
      responses: topicData.map(({ topicId, partitionData }) => ({
        name: "",
        topicId,
        partitionResponses: partitionData.map(({ index, records }) => {
          const partition = [...this.partitions.values()].find((one) => one.topicId === topicId);
          if (!partition) return { index, errorCode: kafkaErrors.UNKNOWN_TOPIC_ID, baseOffset: -1 };
          if (partition.leader !== node)
            return { index, errorCode: kafkaErrors.NOT_LEADER_OR_FOLLOWER, baseOffset: -1 };
          const baseOffset = append(partition, Buffer.from(records ?? []));
          return { index, errorCode: baseOffset < 0 ? kafkaErrors.OUT_OF_ORDER_SEQUENCE_NUMBER : 0, baseOffset };
        }),
      })),
    };
  }

  #fetch(node: number, { topics }: RequestOf<typeof fetch>): ResponseInput<typeof fetch> {
    return {
      responses: topics.map(({ topicId, partitions }) => ({
        topicId,
        partitions: partitions.map(({ partition: partitionIndex, fetchOffset }) => {
          const known = [...this.partitions.values()].find((one) => one.topicId === topicId);
          const ends = { highWatermark: known?.endOffset ?? -1, lastStableOffset: known?.endOffset ?? -1 };
          const nothing = { partitionIndex, ...ends, logStartOffset: 0, abortedTransactions: null, records: null };
          if (!known) return { ...nothing, errorCode: kafkaErrors.UNKNOWN_TOPIC_ID };
          if (known.leader !== node) return { ...nothing, errorCode: kafkaErrors.NOT_LEADER_OR_FOLLOWER };
          if (fetchOffset > known.endOffset) return { ...nothing, errorCode: kafkaErrors.OFFSET_OUT_OF_RANGE };
          const found = known.batches.filter((batch) => readBatchHeader(batch).lastOffset >= fetchOffset);
          return { ...nothing, errorCode: 0, records: Buffer.concat(found) };
        }),
      })),
    };
  }

  #offsets(node: number, { topics }: RequestOf<typeof listOffsets>): ResponseInput<typeof listOffsets> {
    return {
      topics: topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex, timestamp }) => {
          const known = this.partitions.get(name);
          if (known?.leader !== node) return { partitionIndex, errorCode: kafkaErrors.NOT_LEADER_OR_FOLLOWER };
          return { partitionIndex, errorCode: 0, offset: timestamp === -2 ? 0 : known.endOffset, leaderEpoch: 0 };
        }),
      })),
    };
  }
}

/** The offset that it has, also when it comes again; -1 when one before it is missing. */
function append(partition: Partition, batch: Buffer): number {
  const { producerId, producerEpoch, baseSequence, recordCount } = readBatchHeader(batch);
  let producer = partition.producers.get(producerId);
  if (!producer || producer.epoch < producerEpoch) {
    producer = { epoch: producerEpoch, next: baseSequence, offsets: new Map() };
    partition.producers.set(producerId, producer);
  }
  const known = producer.offsets.get(baseSequence);
  if (known !== undefined) return known;
  if (baseSequence !== producer.next) return -1;
  const offset = partition.endOffset;
  placeBatch(batch, offset, partition.leaderEpoch);
  partition.batches.push(batch);
  partition.endOffset += recordCount;
  producer.next += recordCount;
  producer.offsets.set(baseSequence, offset);
  const [oldest] = producer.offsets.keys();
  if (producer.offsets.size > 5) producer.offsets.delete(oldest as number);
  return offset;
}
