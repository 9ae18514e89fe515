/** Reads: each goes to the leader of its partition, and again when that is another one, as long as there is patience for it. */
import { MillraceError } from "../../base/errors.ts";
import type { ReadRequest, ReadResult } from "../engine.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { topicUnknown } from "./cluster-metadata.ts";
import { FetchLane } from "./fetch-lane.ts";
import { KafkaError, logClosed, remedyOf } from "./kafka-error.ts";
import { keyOf, PendingRead, type PlaceOfRead } from "./pending-read.ts";

const patienceMs = 60_000;

export class Fetcher {
  readonly #client: ClusterClient;
  readonly #lanes = new Map<number, FetchLane>();
  /** Waiting for a pause to be over. */
  readonly #paused = new Set<PendingRead>();

  constructor(client: ClusterClient) {
    this.#client = client;
  }

  /** The partition is known. Rejects with what the broker says, the signal's reason, `CLUSTER_UNREACHABLE`, `LOG_CLOSED`. */
  read(
    topicId: string,
    { topic, partition, offset, isolation, bytesMax, waitMs = 0, signal }: ReadRequest,
  ): Promise<ReadResult> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#client.isClosed) return Promise.reject(logClosed());
    const place: PlaceOfRead = { topic, topicId, partition, offset, isolation };
    const nowMs = this.#client.clock.monotonicMs();
    const leader = this.#leaderOf(place);
    const known = leader < 0 ? undefined : this.#lane(leader).find(keyOf(place));
    const read = known ?? new PendingRead(place, nowMs);
    const result = read.join(bytesMax, nowMs + waitMs, signal);
    if (!known) this.#send(read);
    return result;
  }

  forgetTopic(topicId: string, error: unknown): void {
    for (const lane of this.#lanes.values()) lane.forgetTopic(topicId, error);
    for (const read of this.#paused) if (read.place.topicId === topicId) read.reject(error);
  }

  close(): void {
    for (const lane of this.#lanes.values()) lane.end(logClosed());
    for (const read of this.#paused) read.reject(logClosed());
  }

  #leaderOf({ topicId, partition }: PlaceOfRead): number {
    return this.#client.metadata.topicById(topicId)?.partitions[partition]?.leaderId ?? -1;
  }

  #lane(node: number): FetchLane {
    let lane = this.#lanes.get(node);
    if (!lane) {
      lane = new FetchLane(this.#client, node, (read, error) => void this.#again(read, error));
      this.#lanes.set(node, lane);
    }
    return lane;
  }

  #send(read: PendingRead): void {
    const { topic, topicId, partition } = read.place;
    if (this.#client.isClosed) {
      read.reject(logClosed());
      return;
    }
    if (!this.#client.metadata.topicById(topicId)) {
      read.reject(topicUnknown(topic));
      return;
    }
    const leader = this.#leaderOf(read.place);
    if (leader >= 0) this.#lane(leader).add(read);
    else void this.#again(read, new MillraceError("CLUSTER_UNREACHABLE", `${topic}/${partition} has no leader now`));
  }

  async #again(read: PendingRead, error: unknown): Promise<void> {
    if (read.isEmpty) return;
    if (this.#client.isClosed) return read.reject(logClosed());
    const nowMs = this.#client.clock.monotonicMs();
    if (remedyOf(error) === "none") return read.reject(error);
    if (nowMs >= Math.max(read.endMs, read.sinceMs + patienceMs)) return read.reject(gaveUp(read, error));
    this.#paused.add(read);
    try {
      await this.#client.pause(this.#client.pauseMs(read.failures++));
      await this.#client.refresh().catch(() => undefined);
    } catch {
      // It is being closed.
    } finally {
      this.#paused.delete(read);
    }
    if (!read.isEmpty) this.#send(read);
  }
}

function gaveUp({ place }: PendingRead, error: unknown): MillraceError {
  const reason =
    error instanceof KafkaError ? `Kafka answers ${error.label}` : error instanceof Error ? error.message : "";
  return new MillraceError(
    "CLUSTER_UNREACHABLE",
    `reading ${place.topic}/${place.partition} did not succeed in time: ${reason}`,
    { cause: error, details: { topic: place.topic, partition: place.partition } },
  );
}
