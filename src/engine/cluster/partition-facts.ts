/**
 * What the leader of a partition is asked about it: offsets, epochs, producers; and what it is told to retire.
 *
 * Always true: an answer was made after the call. Questions of one turn to one broker are one request.
 */
import { nextTurn } from "../../base/turn.ts";
import { deleteRecords } from "../../kafka/apis/delete-records.ts";
import { describeProducers } from "../../kafka/apis/describe-producers.ts";
import { listOffsets } from "../../kafka/apis/list-offsets.ts";
import { offsetForLeaderEpoch } from "../../kafka/apis/offset-for-leader-epoch.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { EpochEnd, FoundRecord, PartitionOffsets, ProducerInfo } from "../engine.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { assertNone, KafkaError } from "./kafka-error.ts";

/** In place of a time. */
const latest = -1;
const earliest = -2;
const latestTime = -3;

const deleteWaitMs = 30_000;

interface Question {
  readonly topic: string;
  readonly partition: number;
  readonly timestamp: number;
  readonly isCommitted: boolean;
  readonly resolve: (found: FoundRecord) => void;
  readonly reject: (error: unknown) => void;
}

export class PartitionFacts {
  readonly #client: ClusterClient;
  #questions: Question[] = [];

  constructor(client: ClusterClient) {
    this.#client = client;
  }

  /** Each is asked for after the one before it, so that none lies behind the next. */
  async offsets(topic: string, partition: number): Promise<PartitionOffsets> {
    const [start, stable, end] = await Promise.all([
      this.#find(topic, partition, earliest),
      this.#find(topic, partition, latest, true),
      this.#find(topic, partition, latest),
    ]);
    const { leaderEpoch } = this.#client.metadata.partition(topic, partition);
    const logStart = start.offset;
    const highWatermark = Math.max(end.offset, logStart);
    const lastStable = Math.min(Math.max(stable.offset, logStart), highWatermark);
    return { logStart, lastStable, highWatermark, leaderEpoch };
  }

  async highWatermark(topic: string, partition: number): Promise<number> {
    return (await this.#find(topic, partition, latest)).offset;
  }

  async recordForTime(topic: string, partition: number, timestampMs: number): Promise<FoundRecord | null> {
    // Kafka's numbers below 0 are no times.
    const found = await this.#find(topic, partition, Math.max(0, Math.ceil(timestampMs)));
    return found.offset < 0 ? null : found;
  }

  async latestRecord(topic: string, partition: number): Promise<FoundRecord | null> {
    const found = await this.#find(topic, partition, latestTime);
    return found.offset < 0 ? null : found;
  }

  async endOfEpoch(topic: string, partition: number, epoch: number): Promise<EpochEnd | undefined> {
    const what = `asking where epoch ${epoch} of ${topic}/${partition} ends`;
    return await this.#client.persist(what, async () => {
      const { leaderId, leaderEpoch } = this.#client.metadata.partition(topic, partition);
      const place = { partition, currentLeaderEpoch: leaderEpoch, leaderEpoch: epoch };
      const request = { replicaId: -1, topics: [{ topic, partitions: [place] }] };
      const answer = await this.#client.ask(leaderId, "lookup", offsetForLeaderEpoch, request);
      const found = answer.topics[0]?.partitions[0];
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what);
      if (!found || found.leaderEpoch < 0 || found.endOffset < 0) return undefined;
      return { epoch: found.leaderEpoch, endOffset: found.endOffset };
    });
  }

  async producers(topic: string, partition: number): Promise<ProducerInfo[]> {
    const what = `asking for the producers of ${topic}/${partition}`;
    return await this.#client.persist(what, async () => {
      const { leaderId } = this.#client.metadata.partition(topic, partition);
      const request = { topics: [{ name: topic, partitionIndexes: [partition] }] };
      const answer = await this.#client.ask(leaderId, "lookup", describeProducers, request);
      const found = answer.topics[0]?.partitions[0];
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what, found?.errorMessage ?? null);
      return (found?.activeProducers ?? []).map((one) => ({
        producerId: one.producerId,
        epoch: one.producerEpoch,
        lastSequence: one.lastSequence,
        lastTimestamp: one.lastTimestamp,
        coordinatorEpoch: one.coordinatorEpoch,
        currentTransactionStartOffset: one.currentTxnStartOffset,
      }));
    });
  }

  /** Answers the new log start. */
  async deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    const what = `deleting the records of ${topic}/${partition} below ${offset}`;
    return await this.#client.persist(what, async () => {
      const { leaderId } = this.#client.metadata.partition(topic, partition);
      const request = {
        topics: [{ name: topic, partitions: [{ partitionIndex: partition, offset }] }],
        timeoutMs: deleteWaitMs,
      };
      const answer = await this.#client.ask(leaderId, "admin", deleteRecords, request, { timeoutMs: 2 * deleteWaitMs });
      const found = answer.topics[0]?.partitions[0];
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what);
      return found?.lowWatermark ?? offset;
    });
  }

  async #find(topic: string, partition: number, timestamp: number, isCommitted = false): Promise<FoundRecord> {
    const what = `asking for offsets of ${topic}/${partition}`;
    return await this.#client.persist(what, () => {
      this.#client.metadata.partition(topic, partition);
      return new Promise<FoundRecord>((resolve, reject) => {
        this.#questions.push({ topic, partition, timestamp, isCommitted, resolve, reject });
        if (this.#questions.length === 1) void nextTurn().then(() => this.#ask());
      });
    });
  }

  /** Questions about one partition, and of different isolations, are in requests of their own, one after the other. */
  async #ask(): Promise<void> {
    const requests = new Map<string, Map<string, Question>>();
    for (const question of this.#questions.splice(0)) {
      let leaderId: number;
      try {
        leaderId = this.#client.metadata.partition(question.topic, question.partition).leaderId;
      } catch (error) {
        question.reject(error);
        continue;
      }
      const { topic, partition, isCommitted } = question;
      const place = `${topic}/${partition}`;
      for (let turn = 0; ; turn++) {
        const key = `${leaderId}/${isCommitted}/${question.timestamp < 0 ? question.timestamp : "time"}/${turn}`;
        const questions = requests.get(key);
        if (questions?.has(place)) continue;
        if (questions) questions.set(place, question);
        else requests.set(key, new Map([[place, question]]));
        break;
      }
    }
    for (const [key, questions] of requests) {
      void this.#askLeader(Number(key.slice(0, key.indexOf("/"))), [...questions.values()]);
    }
  }

  async #askLeader(leaderId: number, questions: readonly Question[]): Promise<void> {
    const byTopic = new Map<string, { partitionIndex: number; timestamp: number }[]>();
    for (const { topic, partition, timestamp } of questions) {
      const partitions = byTopic.get(topic);
      const one = { partitionIndex: partition, timestamp };
      if (partitions) partitions.push(one);
      else byTopic.set(topic, [one]);
    }
    const topics = [...byTopic].map(([name, partitions]) => ({ name, partitions }));
    const isolationLevel = questions[0]?.isCommitted ? 1 : 0;
    try {
      const request = { replicaId: -1, isolationLevel, topics, timeoutMs: 30_000 };
      const answer = await this.#client.ask(leaderId, "lookup", listOffsets, request, { versionMin: 7 });
      const found = new Map<string, (typeof answer)["topics"][number]["partitions"][number]>();
      for (const { name, partitions } of answer.topics) {
        for (const one of partitions) found.set(`${name}/${one.partitionIndex}`, one);
      }
      for (const { topic, partition, resolve, reject } of questions) {
        const one = found.get(`${topic}/${partition}`);
        const errorCode = one?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR;
        if (!one || errorCode !== kafkaErrors.NONE) {
          reject(new KafkaError(errorCode, `asking for offsets of ${topic}/${partition}`));
        } else resolve({ offset: one.offset, timestampMs: one.timestamp, leaderEpoch: one.leaderEpoch });
      }
    } catch (error) {
      for (const { reject } of questions) reject(error);
    }
  }
}
