/**
 * A server that does nothing but the protocol: Produce is acknowledged unread, Fetch answers the same batch again and again, a
 * group has whoever joins as its one member. What a client reaches against it is the client's own ceiling. Every topic is there, with as
 * many records as its name says behind its last dot: `null-server-child.ts <record bytes> <records of a batch>`.
 */
import { createServer, type Socket } from "node:net";
import { systemClock } from "../../../src/base/clock.ts";
import { FrameReader } from "../../../src/broker/frame-reader.ts";
import { apiVersions } from "../../../src/kafka/apis/api-versions.ts";
import { fetch } from "../../../src/kafka/apis/fetch.ts";
import { findCoordinator } from "../../../src/kafka/apis/find-coordinator.ts";
import { heartbeat } from "../../../src/kafka/apis/heartbeat.ts";
import { initProducerId } from "../../../src/kafka/apis/init-producer-id.ts";
import { joinGroup } from "../../../src/kafka/apis/join-group.ts";
import { leaveGroup } from "../../../src/kafka/apis/leave-group.ts";
import { listOffsets } from "../../../src/kafka/apis/list-offsets.ts";
import { metadata } from "../../../src/kafka/apis/metadata.ts";
import { offsetCommit } from "../../../src/kafka/apis/offset-commit.ts";
import { offsetFetch } from "../../../src/kafka/apis/offset-fetch.ts";
import { produce } from "../../../src/kafka/apis/produce.ts";
import { syncGroup } from "../../../src/kafka/apis/sync-group.ts";
import type { Api, RequestOf, ResponseInput } from "../../../src/kafka/fields.ts";
import { decodeRequest, encodeResponseFrame, readRequestHeader } from "../../../src/kafka/frames.ts";
import { writeInt64 } from "../../../src/records/int64.ts";
import { randomBatch } from "../../log/support/batches.ts";

const [recordBytes = "1024", batchRecords = "500"] = process.argv.slice(2);
const recordsPerBatch = Number(batchRecords);
const batch = randomBatch(recordsPerBatch, Number(recordBytes));
const headerBytes = 61;
const frameBytesMax = 200 * 1024 * 1024;
const earliest = -2;
const idPrefix = "00000000-0000-4000-8000-";
const member = "the-one-member";

interface Answered {
  readonly api: Api;
  readonly answer: (request: never) => unknown;
}

function answered<A extends Api>(api: A, answer: (request: RequestOf<A>) => ResponseInput<A> | null): Answered {
  return { api, answer: answer as (request: never) => unknown };
}

const table: ReadonlyMap<number, Answered> = new Map(
  [
    answered(apiVersions, () => ({
      errorCode: 0,
      apiKeys: [...table.values()].map(({ api }) => ({
        apiKey: api.key,
        minVersion: api.advertisedFrom ?? api.versions[0],
        maxVersion: api.versions[1],
      })),
      finalizedFeaturesEpoch: 1,
    })),
    answered(metadata, ({ topics }) => ({
      brokers: [{ nodeId: 1, host: "127.0.0.1", port }],
      controllerId: 1,
      clusterId: "null-server",
      topics: (topics ?? []).map(({ name }) => ({
        errorCode: 0,
        name,
        topicId: idOf(name),
        partitions: [
          {
            errorCode: 0,
            partitionIndex: 0,
            leaderId: 1,
            leaderEpoch: 0,
            replicaNodes: [1],
            isrNodes: [1],
            offlineReplicas: [],
          },
        ],
      })),
    })),
    answered(findCoordinator, ({ coordinatorKeys, key }) => ({
      errorCode: 0,
      nodeId: 1,
      host: "127.0.0.1",
      port,
      coordinators: (coordinatorKeys.length === 0 ? [key] : coordinatorKeys).map((one) => ({
        key: one,
        nodeId: 1,
        host: "127.0.0.1",
        port,
        errorCode: 0,
      })),
    })),
    answered(initProducerId, () => ({ errorCode: 0, producerId: 1, producerEpoch: 0 })),
    answered(produce, ({ topicData, acks }) =>
      acks === 0
        ? null
        : {
            responses: topicData.map(({ name, topicId: id, partitionData }) => ({
              name,
              topicId: id,
              partitionResponses: partitionData.map(({ index }) => ({ index, errorCode: 0, baseOffset: 0 })),
            })),
          },
    ),
    answered(listOffsets, ({ topics }) => ({
      topics: topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex, timestamp }) => ({
          partitionIndex,
          errorCode: 0,
          offset: timestamp === earliest ? 0 : endOf(name),
        })),
      })),
    })),
    answered(fetch, ({ topics }) => ({
      errorCode: 0,
      responses: topics.map(({ topic, topicId, partitions }) => ({
        topic,
        topicId,
        partitions: partitions.map(({ partition, fetchOffset, partitionMaxBytes }) => {
          const end = topic === "" ? endOfId(topicId) : endOf(topic);
          return {
            partitionIndex: partition,
            errorCode: 0,
            highWatermark: end,
            lastStableOffset: end,
            logStartOffset: 0,
            abortedTransactions: null,
            records: batchesFrom(fetchOffset, end, partitionMaxBytes),
          };
        }),
      })),
    })),
    answered(joinGroup, ({ protocolType, protocols }) => ({
      errorCode: 0,
      generationId: 1,
      protocolType,
      protocolName: protocols[0]?.name ?? "",
      leader: member,
      memberId: member,
      members: [{ memberId: member, metadata: protocols[0]?.metadata ?? Buffer.alloc(0) }],
    })),
    answered(syncGroup, ({ protocolType, protocolName, assignments }) => ({
      errorCode: 0,
      protocolType,
      protocolName,
      assignment: assignments[0]?.assignment ?? Buffer.alloc(0),
    })),
    answered(heartbeat, () => ({ errorCode: 0 })),
    answered(leaveGroup, ({ members }) => ({
      errorCode: 0,
      members: members.map(({ memberId, groupInstanceId }) => ({ memberId, groupInstanceId, errorCode: 0 })),
    })),
    answered(offsetFetch, ({ topics, groups }) => ({
      topics: (topics ?? []).map(({ name, partitionIndexes }) => ({
        name,
        partitions: partitionIndexes.map(uncommitted),
      })),
      groups: groups.map(({ groupId, topics: wanted }) => ({
        groupId,
        topics: (wanted ?? []).map(({ name, topicId: id, partitionIndexes }) => ({
          name,
          topicId: id,
          partitions: partitionIndexes.map(uncommitted),
        })),
      })),
    })),
    answered(offsetCommit, ({ topics }) => ({
      topics: topics.map(({ name, topicId: id, partitions }) => ({
        name,
        topicId: id,
        partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode: 0 })),
      })),
    })),
  ].map((one) => [one.api.key, one]),
);

function uncommitted(partitionIndex: number) {
  return { partitionIndex, committedOffset: -1, committedLeaderEpoch: -1, metadata: "", errorCode: 0 };
}

function endOf(topic: string | null): number {
  return Number(/\.(\d+)$/.exec(topic ?? "")?.[1] ?? 0);
}

/** So that whoever names a topic by its id says as much. */
function idOf(topic: string | null): string {
  return idPrefix + (endOf(topic) + 1).toString(16).padStart(12, "0");
}

function endOfId(topicId: string): number {
  return Number.parseInt(topicId.slice(idPrefix.length), 16) - 1;
}

function batchesFrom(offset: number, end: number, bytesMax: number): Buffer[] {
  const batches: Buffer[] = [];
  for (
    let at = offset, bytes = 0;
    at < end && (bytes === 0 || bytes + batch.length <= bytesMax);
    at += recordsPerBatch
  ) {
    // The base offset is outside of the checksum; the rest is shared.
    const head = Buffer.from(batch.subarray(0, headerBytes));
    writeInt64(head, 0, at);
    batches.push(head, batch.subarray(headerBytes));
    bytes += batch.length;
  }
  return batches;
}

/** Who fetches what is not there waits as long as it said; a connection's answers stay in order. */
function waitMsOf(api: Api, request: unknown): number {
  if (api !== fetch) return 0;
  const { topics, maxWaitMs } = request as RequestOf<typeof fetch>;
  const hasRecords = topics.some(({ topic, topicId, partitions }) => {
    const end = topic === "" ? endOfId(topicId) : endOf(topic);
    return partitions.some(({ fetchOffset }) => fetchOffset < end);
  });
  return hasRecords ? 0 : maxWaitMs;
}

function serve(socket: Socket): void {
  const reader = new FrameReader(frameBytesMax);
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    reader.feed(chunk);
    answerAll(socket, reader);
  });
}

function answerAll(socket: Socket, reader: FrameReader): void {
  socket.cork();
  for (let step = reader.next(); step.kind === "frame"; step = reader.next()) {
    const { apiKey, apiVersion, correlationId, bodyPosition } = readRequestHeader(step.frame);
    const entry = table.get(apiKey);
    if (!entry) {
      socket.destroy();
      return;
    }
    const request = decodeRequest(entry.api, apiVersion, step.frame, bodyPosition);
    const response = entry.answer(request as never);
    if (response === null) continue;
    const parts = encodeResponseFrame(entry.api, apiVersion, correlationId, response as never);
    const waitMs = waitMsOf(entry.api, request);
    if (waitMs > 0) {
      socket.pause();
      systemClock.after(waitMs, () => {
        for (const part of parts) socket.write(part);
        answerAll(socket, reader);
        socket.resume();
      });
      break;
    }
    for (const part of parts) socket.write(part);
  }
  socket.uncork();
}

let port = 0;
const server = createServer({ noDelay: true }, serve);
server.listen(0, "127.0.0.1", () => {
  port = (server.address() as { readonly port: number }).port;
  process.send?.({ port });
});
// A parent that is gone kills nobody.
process.on("disconnect", () => process.exit(1));
