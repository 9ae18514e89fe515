/**
 * Reads from one broker. What can be answered at once is asked for on one connection, all of it together; what has to wait
 * for records waits on a few others, so that a long poll holds up nobody.
 *
 * Always true: a partition is in a request once; a reader is told that there is nothing only by an answer that says so.
 */
import { fetch } from "../../kafka/apis/fetch.ts";
import type { RequestInput, ResponseOf } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { splitBatches } from "../../records/batch-validator.ts";
import type { Isolation } from "../engine.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { KafkaError, nameOfError } from "./kafka-error.ts";
import type { FetchedPart, PendingRead } from "./pending-read.ts";

/** What was not answered: it has to be asked again, somewhere, after a pause. */
export type Unanswered = (read: PendingRead, error: unknown) => void;

const requestBytesMax = 32 * 1024 * 1024;
const partitionsMax = 1_000;
/** Less than this is not asked for, since only the first partition of an answer has a batch whatever its size. */
const partitionBytesMin = 128 * 1024;
/** At the longest a poll keeps its connection, so that who comes meanwhile does not wait long when all are kept. */
const pollMs = 500;
const pollsMax = 4;
const answerWaitMs = 30_000;
/** Since this version a reader says which leader epoch it knows, and is told when that is over (KIP-320, KIP-595). */
const fetchVersionMin = 12;

type Part = ResponseOf<typeof fetch>["responses"][number]["partitions"][number];

export class FetchLane {
  readonly #client: ClusterClient;
  readonly #node: number;
  readonly #unanswered: Unanswered;
  readonly #now = new Map<string, PendingRead>();
  readonly #waiting = new Map<string, PendingRead>();
  readonly #polls = new Set<number>();
  #isFetching = false;
  #error: unknown;

  constructor(client: ClusterClient, node: number, unanswered: Unanswered) {
    this.#client = client;
    this.#node = node;
    this.#unanswered = unanswered;
  }

  /** One that waits for the same comes in handy. */
  find(key: string): PendingRead | undefined {
    return this.#now.get(key);
  }

  add(read: PendingRead): void {
    if (this.#error !== undefined) {
      read.reject(this.#error);
      return;
    }
    enqueue(this.#now, read);
    if (!this.#isFetching) void this.#fetchNow();
  }

  /** The topic is gone. What is on its way hears it from the broker. */
  forgetTopic(topicId: string, error: unknown): void {
    for (const reads of [this.#now, this.#waiting]) {
      for (const [key, read] of reads) {
        if (read.place.topicId !== topicId) continue;
        reads.delete(key);
        read.reject(error);
      }
    }
  }

  end(error: unknown): void {
    this.#error = error;
    for (const reads of [this.#now, this.#waiting]) {
      for (const read of reads.values()) read.reject(error);
      reads.clear();
    }
  }

  async #fetchNow(): Promise<void> {
    this.#isFetching = true;
    try {
      // Who asks in the same turn rides along.
      await Promise.resolve();
      while (this.#now.size > 0) await this.#fetch(takeSome(this.#now), "fetch", 0);
    } finally {
      this.#isFetching = false;
    }
  }

  #pollMore(): void {
    if (this.#waiting.size === 0 || this.#polls.size >= pollsMax || this.#error !== undefined) return;
    let number = 0;
    while (this.#polls.has(number)) number++;
    this.#polls.add(number);
    void this.#poll(number);
  }

  async #poll(number: number): Promise<void> {
    while (this.#waiting.size > 0) {
      const reads = takeSome(this.#waiting);
      const nowMs = this.#client.clock.monotonicMs();
      const firstMs = reads.reduce((first, { endMs }) => Math.min(first, endMs), Number.POSITIVE_INFINITY);
      const waitMs = Math.max(1, Math.min(pollMs, Math.ceil(firstMs - nowMs)));
      await this.#fetch(reads, `poll-${number}`, waitMs);
    }
    this.#polls.delete(number);
  }

  async #fetch(reads: readonly PendingRead[], lane: string, waitMs: number): Promise<void> {
    if (reads.length === 0) return;
    let response: ResponseOf<typeof fetch>;
    try {
      const options = { timeoutMs: waitMs + answerWaitMs, versionMin: fetchVersionMin };
      response = await this.#client.ask(this.#node, lane, fetch, this.#requestOf(reads, waitMs), options);
      if (response.errorCode !== kafkaErrors.NONE) throw new KafkaError(response.errorCode, "reading");
    } catch (error) {
      for (const read of reads) this.#unanswered(read, error);
      return;
    }
    const parts = new Map<string, Part>();
    for (const { topic, topicId, partitions } of response.responses) {
      for (const part of partitions) parts.set(`${topic === "" ? topicId : topic}/${part.partitionIndex}`, part);
    }
    for (const read of reads) {
      const { topic, topicId, partition } = read.place;
      const part = parts.get(`${topicId}/${partition}`) ?? parts.get(`${topic}/${partition}`);
      this.#answer(read, part);
    }
  }

  #answer(read: PendingRead, part: Part | undefined): void {
    const { place } = read;
    const { topic, topicId, partition, offset, isolation } = place;
    const errorCode = part ? part.errorCode : kafkaErrors.UNKNOWN_SERVER_ERROR;
    if (!part || errorCode !== kafkaErrors.NONE) {
      const leader = part?.currentLeader;
      if (leader && leader.leaderId >= 0) {
        this.#client.metadata.takeLeader(topicId, partition, leader.leaderId, leader.leaderEpoch);
      }
      const error = new KafkaError(errorCode, `reading ${topic}/${partition} at offset ${offset}`);
      if (nameOfError(errorCode) === "OFFSET_OUT_OF_RANGE") read.reject(error);
      else this.#unanswered(read, error);
      return;
    }
    read.failures = 0;
    const batches = part.records === null ? [] : splitBatches(part.records);
    const known = this.#client.metadata.topicById(topicId)?.partitions[partition];
    const found: FetchedPart = {
      batches,
      aborted: part.abortedTransactions ?? [],
      logStart: part.logStartOffset,
      lastStable: part.lastStableOffset,
      highWatermark: part.highWatermark,
      leaderEpoch: known?.leaderEpoch ?? 0,
    };
    if (batches.length > 0) {
      read.answer(found);
      return;
    }
    const end = isolation === "read_committed" ? found.lastStable : found.highWatermark;
    // There was no room in the answer: it is asked for again, before others.
    if (end > offset) {
      const others = [...this.#now.values()];
      this.#now.clear();
      for (const each of [read, ...others]) enqueue(this.#now, each);
      if (!this.#isFetching) void this.#fetchNow();
      return;
    }
    read.answerOverdue(found, this.#client.clock.monotonicMs());
    if (read.isEmpty) return;
    if (this.#error !== undefined) {
      read.reject(this.#error);
      return;
    }
    enqueue(this.#waiting, read);
    this.#pollMore();
  }

  #requestOf(reads: readonly PendingRead[], maxWaitMs: number): RequestInput<typeof fetch> {
    type Partition = { partition: number; currentLeaderEpoch: number; fetchOffset: number; partitionMaxBytes: number };
    const byTopic = new Map<string, { topic: string; topicId: string; partitions: Partition[] }>();
    for (const { place, bytesMax } of reads) {
      let topic = byTopic.get(place.topicId);
      if (!topic) {
        topic = { topic: place.topic, topicId: place.topicId, partitions: [] };
        byTopic.set(place.topicId, topic);
      }
      const known = this.#client.metadata.topicById(place.topicId)?.partitions[place.partition];
      topic.partitions.push({
        partition: place.partition,
        currentLeaderEpoch: known?.leaderEpoch ?? -1,
        fetchOffset: place.offset,
        partitionMaxBytes: Math.min(Math.max(bytesMax, partitionBytesMin), requestBytesMax),
      });
    }
    const isolation: Isolation = reads[0]?.place.isolation ?? "read_committed";
    const isolationLevel = isolation === "read_committed" ? 1 : 0;
    return { maxWaitMs, minBytes: 1, maxBytes: requestBytesMax, isolationLevel, topics: [...byTopic.values()] };
  }
}

function enqueue(reads: Map<string, PendingRead>, read: PendingRead): void {
  const known = reads.get(read.key);
  if (known && known !== read) known.take(read);
  else reads.set(read.key, read);
}

/** As many as fit into one request: of one isolation, each partition once. */
function takeSome(reads: Map<string, PendingRead>): PendingRead[] {
  const taken: PendingRead[] = [];
  const places = new Set<string>();
  let bytes = 0;
  for (const [key, read] of reads) {
    if (read.isEmpty) {
      reads.delete(key);
      continue;
    }
    const { topicId, partition, isolation } = read.place;
    const place = `${topicId}/${partition}`;
    if (taken[0] && (isolation !== taken[0].place.isolation || places.has(place))) continue;
    reads.delete(key);
    places.add(place);
    taken.push(read);
    bytes += Math.max(read.bytesMax, partitionBytesMin);
    if (bytes >= requestBytesMax || taken.length >= partitionsMax) break;
  }
  return taken;
}
