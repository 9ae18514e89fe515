/**
 * What consumers put into the bytes of JoinGroup and SyncGroup: a version of two bytes, then a message. No broker needs
 * it to run a group; whoever shows a group, or expires offsets of topics that nobody reads any more, does.
 *
 * Always true: a version above those known is read as the highest one, and bytes behind the message are ignored, because
 * later versions only add to the end.
 */

import { type Decoder, structDecoder } from "./decode.ts";
import { structEncoder } from "./encode.ts";
import { array, bytes, type Decoded, type Input, int32, type StructField, string, struct } from "./fields.ts";
import { WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

const highestVersion = 3;

const topicPartitions = struct({ topic: string(), partitions: array(int32()) });

export const consumerSubscription = struct({
  topics: array(string()),
  userData: bytes({ nullable: 0 }),
  ownedPartitions: array(topicPartitions, { from: 1 }),
  generationId: int32({ from: 2, default: -1 }),
  rackId: string({ from: 3, nullable: 3 }),
});

export const consumerAssignment = struct({
  assignedPartitions: array(topicPartitions),
  userData: bytes({ nullable: 0 }),
});

export type ConsumerSubscription = Decoded<typeof consumerSubscription>;
export type ConsumerAssignment = Decoded<typeof consumerAssignment>;

const subscriptionDecoders = decodersOf(consumerSubscription);
const assignmentDecoders = decodersOf(consumerAssignment);

/** Throws REQUEST_MALFORMED; another protocol's bytes may also be read as nonsense. */
export function decodeSubscription(metadata: Buffer): ConsumerSubscription {
  return decode(subscriptionDecoders, metadata, "a consumer's subscription") as ConsumerSubscription;
}

/** Throws REQUEST_MALFORMED; another protocol's bytes may also be read as nonsense. */
export function decodeAssignment(assignment: Buffer): ConsumerAssignment {
  return decode(assignmentDecoders, assignment, "a consumer's assignment") as ConsumerAssignment;
}

export function encodeSubscription(subscription: Input<typeof consumerSubscription>, version = highestVersion): Buffer {
  return encode(consumerSubscription, subscription, version);
}

export function encodeAssignment(assignment: Input<typeof consumerAssignment>, version = highestVersion): Buffer {
  return encode(consumerAssignment, assignment, version);
}

function decodersOf(message: StructField): readonly Decoder[] {
  return Array.from({ length: highestVersion + 1 }, (_, version) => structDecoder(message, version, false));
}

function decode(decoders: readonly Decoder[], message: Buffer, what: string): unknown {
  const reader = new WireReader(message, 0, what);
  const version = reader.int16();
  if (version < 0) throw reader.malformed(`version ${version}`);
  return (decoders[Math.min(version, highestVersion)] as Decoder)(reader);
}

/** Rare: clients of ours and tests. */
function encode(message: StructField, value: unknown, version: number): Buffer {
  const writer = new WireWriter();
  writer.int16(version);
  structEncoder(message, version, false)(writer, value);
  return Buffer.concat(writer.finish());
}
