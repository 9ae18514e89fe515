/** What does it cost to read and write messages by their specification, beside code that was written for one of them? */
import { systemClock } from "../../src/base/clock.ts";
import { fetch } from "../../src/kafka/apis/fetch.ts";
import { produce } from "../../src/kafka/apis/produce.ts";
import { apis } from "../../src/kafka/apis.ts";
import type { Api, Field, RequestInput, ResponseInput } from "../../src/kafka/fields.ts";
import {
  decodeRequest,
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  frameLengthBytes,
  readRequestHeader,
} from "../../src/kafka/frames.ts";
import { type Benchmark, type BenchmarkSize, type Measurement, type Progress, percentile } from "../harness.ts";

const batchBytes = 16 * 1024;
const partitionCount = 4;
const sizes = {
  full: { rounds: 15, frames: 200_000, meetings: 200 },
  tiny: { rounds: 1, frames: 10, meetings: 1 },
} as const;
const records = Buffer.alloc(batchBytes, 1);

/** One partition of one topic. */
const produceFrame = Buffer.concat(
  encodeRequestFrame(produce, 9, 7, "producer-1", {
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: "shop.orders", partitionData: [{ index: 3, records }] }],
  }),
).subarray(frameLengthBytes);

function fetchResponse() {
  const partitions = Array.from({ length: partitionCount }, (_, partitionIndex) => {
    return { partitionIndex, errorCode: 0, highWatermark: 5_000_000_000, lastStableOffset: 5_000_000_000, records };
  });
  return { errorCode: 0, responses: [{ topic: "shop.orders", partitions }] };
}

let sink = 0;

function decodeOurs(): void {
  const { apiVersion, bodyPosition } = readRequestHeader(produceFrame);
  const request = decodeRequest(produce, apiVersion, produceFrame, bodyPosition);
  sink += request.topicData[0]?.partitionData[0]?.records?.length ?? 0;
}

function encodeOurs(): void {
  sink += encodeResponseFrame(fetch, 12, 7, fetchResponse()).length;
}

function decodeByHand(): void {
  const bytes = produceFrame;
  const correlationId = bytes.readInt32BE(4);
  let at = 10 + bytes.readInt16BE(8);
  const clientId = bytes.toString("utf8", 10, at);
  // No tagged fields, and no transactional id.
  at += 2;
  const acks = bytes.readInt16BE(at);
  const timeoutMs = bytes.readInt32BE(at + 2);
  at += 7;
  const nameBytes = (bytes[at++] ?? 0) - 1;
  const name = bytes.toString("utf8", at, at + nameBytes);
  at += nameBytes + 1;
  const index = bytes.readInt32BE(at);
  at += 4;
  let length = 0;
  for (let shift = 0, byte = 0x80; byte >= 0x80; shift += 7) {
    byte = bytes[at++] ?? 0;
    length |= (byte & 0x7f) << shift;
  }
  const partitionData = [{ index, records: bytes.subarray(at, at + length - 1) }];
  const request = { transactionalId: null, acks, timeoutMs, topicData: [{ name, topicId: null, partitionData }] };
  sink += correlationId + clientId.length + (request.topicData[0]?.partitionData[0]?.records.length ?? 0);
}

function encodeByHand(): void {
  const { errorCode, responses } = fetchResponse();
  const chunks: Buffer[] = [];
  let head = Buffer.allocUnsafe(256);
  let at = head.writeInt32BE(7, 4);
  head[at++] = 0;
  at = head.writeInt32BE(0, at);
  at = head.writeInt16BE(errorCode, at);
  at = head.writeInt32BE(0, at);
  head[at++] = responses.length + 1;
  let frameBytes = 0;
  for (const { topic, partitions } of responses) {
    head[at++] = topic.length + 1;
    at += head.write(topic, at);
    head[at++] = partitions.length + 1;
    for (const partition of partitions) {
      at = head.writeInt32BE(partition.partitionIndex, at);
      at = head.writeInt16BE(partition.errorCode, at);
      at = writeLong(head, partition.highWatermark, at);
      at = writeLong(head, partition.lastStableOffset, at);
      at = writeLong(head, -1, at);
      head[at++] = 0;
      at = head.writeInt32BE(-1, at);
      let length = partition.records.length + 1;
      for (; length >= 0x80; length >>>= 7) head[at++] = (length & 0x7f) | 0x80;
      head[at++] = length;
      chunks.push(head.subarray(0, at), partition.records);
      frameBytes += at + partition.records.length;
      head = Buffer.allocUnsafe(256);
      at = 0;
      head[at++] = 0;
    }
    head[at++] = 0;
  }
  head[at++] = 0;
  chunks.push(head.subarray(0, at));
  chunks[0]?.writeInt32BE(frameBytes + at - 4, 0);
  sink += chunks.length;
}

function writeLong(bytes: Buffer, value: number, at: number): number {
  bytes.writeInt32BE(Math.floor(value / 0x100000000), at);
  return bytes.writeUInt32BE(value >>> 0, at + 4);
}

const cases = [
  { name: "decode Produce v9", act: decodeOurs, bounds: ["decode by hand"] },
  { name: "encode Fetch v12", act: encodeOurs, bounds: ["encode by hand"] },
  { name: "decode by hand", act: decodeByHand },
  { name: "encode by hand", act: encodeByHand },
] as const;

/** A message with one element in every array. */
function exampleOf(field: Field): unknown {
  if (field.kind === "array") return [exampleOf(field.element)];
  if (field.kind !== "struct") return field.kind === "string" ? "example" : field.default;
  return Object.fromEntries(Object.entries(field.fields).map(([name, part]) => [name, exampleOf(part)]));
}

/** Shows the compiler every struct that there is, as a broker's day does: code that has met one shape only is faster. */
function meetEveryApi(times: number): void {
  for (const api of apis) {
    for (let version = api.versions[0]; version <= api.versions[1]; version++) {
      const request = exampleOf(api.request) as RequestInput<Api>;
      const response = exampleOf(api.response) as ResponseInput<Api>;
      for (let time = 0; time < times; time++) {
        const asked = Buffer.concat(encodeRequestFrame(api, version, 1, "c", request)).subarray(frameLengthBytes);
        decodeRequest(api, version, asked, readRequestHeader(asked).bodyPosition);
        const answered = Buffer.concat(encodeResponseFrame(api, version, 1, response)).subarray(frameLengthBytes);
        decodeResponseFrame(api, version, answered);
      }
    }
  }
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, frames, meetings } = sizes[size];
  meetEveryApi(meetings);
  const microseconds = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
  // The first round is warm-up.
  for (let round = 0; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`);
    for (const { name, act } of cases) {
      const beganMs = systemClock.monotonicMs();
      for (let frame = 0; frame < frames; frame++) act();
      if (round > 0) microseconds.get(name)?.push(((systemClock.monotonicMs() - beganMs) / frames) * 1000);
    }
  }
  const results = cases.map(({ name, ...more }): Measurement => {
    const value = percentile(microseconds.get(name) ?? [], 0.5);
    const bounds = "bounds" in more ? { bounds: more.bounds } : {};
    return { name, value, unit: "µs a frame", details: { framesPerSecond: 1e6 / value }, ...bounds };
  });
  if (sink === 0) throw new Error("nothing was done");
  return { results: results as [Measurement, ...Measurement[]], bound: "decode by hand" };
}

export const benchmark: Benchmark = {
  question: "kafka/codec: what does a message cost that is read and written by its specification?",
  method:
    `A Produce v9 request of one topic and partition with ${batchBytes} bytes of records is decoded, header included; a Fetch v12 response of ` +
    `${partitionCount} partitions with as many bytes each is encoded to chunks. The bound is code written for exactly these two frames, without bounds checks; ` +
    "medians of the rounds",
  notMeasured: "the socket, the records themselves, which are neither read nor copied",
  run,
};
