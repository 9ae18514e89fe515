/**
 * What goes to one broker for one transactional id, or for none: requests that carry a batch of as many partitions as have
 * one, at most five on their way.
 */
import { produce } from "../../kafka/apis/produce.ts";
import type { RequestInput, ResponseOf } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type AppendAnswer, type AppendQueue, type BatchTransaction, inFlightMax } from "./append-queue.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { KafkaError } from "./kafka-error.ts";

const requestBytesMax = 8 * 1024 * 1024;
const brokerWaitMs = 30_000;
const answerWaitMs = 40_000;
/** Since this version partitions join a transaction with their first batch, and its epochs tell transactions apart (KIP-890). */
const implicitFrom = 12;

interface Taken {
  readonly queue: AppendQueue;
  readonly entry: object;
}

export class ProduceLane {
  readonly #client: ClusterClient;
  readonly #node: number;
  readonly #transaction: BatchTransaction | null;
  /** Told of queues whose batches were answered. */
  readonly #answered: (queue: AppendQueue) => void;
  readonly #ready = new Set<AppendQueue>();
  #requests = 0;

  constructor(
    client: ClusterClient,
    node: number,
    transaction: BatchTransaction | null,
    answered: (queue: AppendQueue) => void,
  ) {
    this.#client = client;
    this.#node = node;
    this.#transaction = transaction;
    this.#answered = answered;
  }

  get isIdle(): boolean {
    return this.#requests === 0 && this.#ready.size === 0;
  }

  /** It has something to send, perhaps. */
  add(queue: AppendQueue): void {
    this.#ready.add(queue);
    this.#pump();
  }

  #pump(): void {
    while (this.#requests < inFlightMax) {
      const taken = this.#take();
      if (taken.length === 0) return;
      this.#requests++;
      void this.#send(taken);
    }
  }

  #take(): Taken[] {
    const taken: Taken[] = [];
    const places = new Set<string>();
    let bytes = 0;
    for (const queue of [...this.#ready]) {
      const place = `${queue.topicId}/${queue.partition}`;
      if (places.has(place)) continue;
      const entry = queue.take(this.#node);
      // The others have their turn first.
      this.#ready.delete(queue);
      if (!entry) continue;
      this.#ready.add(queue);
      places.add(place);
      taken.push({ queue, entry });
      bytes += queue.bytesOf(entry).length;
      if (bytes >= requestBytesMax) break;
    }
    return taken;
  }

  async #send(taken: readonly Taken[]): Promise<void> {
    let answerOf: (queue: AppendQueue) => AppendAnswer;
    try {
      const request = requestOf(taken, this.#transaction?.id ?? null);
      const isOld = this.#transaction?.version === 1;
      const version = isOld ? { versionMax: implicitFrom - 1 } : { versionMin: implicitFrom };
      const options = { timeoutMs: answerWaitMs, ...version };
      const response = await this.#client.ask(this.#node, "produce", produce, request, options);
      const answers = this.#answersOf(response);
      const missing = new KafkaError(
        kafkaErrors.UNKNOWN_SERVER_ERROR,
        "appending",
        "its answer leaves the partition out",
      );
      answerOf = ({ topic, topicId, partition }) =>
        answers.get(`${topicId}/${partition}`) ??
        answers.get(`${topic}/${partition}`) ?? { kind: "refused", error: missing };
    } catch (error) {
      answerOf = () => ({ kind: "lost", error });
    }
    this.#requests--;
    for (const { queue, entry } of taken) queue.settle(entry, answerOf(queue));
    for (const { queue } of taken) this.#answered(queue);
    this.#pump();
  }

  #answersOf({ responses }: ResponseOf<typeof produce>): Map<string, AppendAnswer> {
    const answers = new Map<string, AppendAnswer>();
    for (const { name, topicId, partitionResponses } of responses) {
      const topic = name === "" ? topicId : name;
      const printed = this.#client.metadata.topicById(topicId)?.name ?? topic;
      for (const one of partitionResponses) {
        const { index, errorCode, baseOffset, logAppendTimeMs, currentLeader } = one;
        if (currentLeader.leaderId >= 0) {
          this.#client.metadata.takeLeader(topicId, index, currentLeader.leaderId, currentLeader.leaderEpoch);
        }
        const place = `${topic}/${index}`;
        if (errorCode === kafkaErrors.NONE) {
          answers.set(place, { kind: "placed", placed: { baseOffset, appendTimeMs: logAppendTimeMs } });
        } else {
          const records = one.recordErrors.map((each) => ({
            batchIndex: each.batchIndex,
            message: each.batchIndexErrorMessage ?? "",
          }));
          const error = new KafkaError(errorCode, `appending to ${printed}/${index}`, one.errorMessage, records);
          answers.set(place, { kind: "refused", error });
        }
      }
    }
    return answers;
  }
}

function requestOf(taken: readonly Taken[], transactionalId: string | null): RequestInput<typeof produce> {
  const byTopic = new Map<
    string,
    { name: string; topicId: string; partitionData: { index: number; records: Buffer }[] }
  >();
  for (const { queue, entry } of taken) {
    let topic = byTopic.get(queue.topicId);
    if (!topic) {
      topic = { name: queue.topic, topicId: queue.topicId, partitionData: [] };
      byTopic.set(queue.topicId, topic);
    }
    topic.partitionData.push({ index: queue.partition, records: queue.bytesOf(entry) });
  }
  return { transactionalId, acks: -1, timeoutMs: brokerWaitMs, topicData: [...byTopic.values()] };
}
