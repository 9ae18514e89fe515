/**
 * What members of a group on a cluster tell each other through its coordinator, which does not look inside: what each says of
 * itself when it joins, and what the one that leads assigns. JSON, so that members of other versions can read it.
 *
 * Always true: bytes that are no such message are read as those of a member that says nothing.
 */
import type { TopicPartition } from "../groups.ts";

/** Said when joining. Partitions are `<topic>/<partition>`. */
export interface Subscription {
  readonly memberId: string;
  readonly joinedMs: number;
  readonly topics: readonly string[];
  readonly metadata: Buffer;
  /** What it has, and may keep. */
  readonly kept: readonly string[];
  /** What was taken from it, and it has not let go of. */
  readonly releasing: readonly string[];
}

export interface MemberAssignment {
  readonly generation: number;
  readonly places: readonly string[];
  /** What it gets when others have let go of it. */
  readonly awaited: readonly string[];
  /** What it has to let go of. */
  readonly revoked: readonly string[];
}

const nothing: MemberAssignment = { generation: 0, places: [], awaited: [], revoked: [] };

export function encodeSubscription({ memberId, joinedMs, topics, metadata, kept, releasing }: Subscription): Buffer {
  const said = { memberId, joinedMs, topics, metadata: metadata.toString("base64") };
  return Buffer.from(JSON.stringify({ ...said, kept: byTopic(kept), releasing: byTopic(releasing) }));
}

export function decodeSubscription(bytes: Buffer): Subscription {
  const said = parse(bytes);
  return {
    memberId: typeof said.memberId === "string" ? said.memberId : "",
    joinedMs: typeof said.joinedMs === "number" ? said.joinedMs : 0,
    topics: Array.isArray(said.topics) ? said.topics.filter((topic) => typeof topic === "string") : [],
    metadata: Buffer.from(typeof said.metadata === "string" ? said.metadata : "", "base64"),
    kept: placesOf(said.kept),
    releasing: placesOf(said.releasing),
  };
}

export function encodeAssignment({ generation, places, awaited, revoked }: MemberAssignment): Buffer {
  const parts = { places: byTopic(places), awaited: byTopic(awaited), revoked: byTopic(revoked) };
  return Buffer.from(JSON.stringify({ generation, ...parts }));
}

export function decodeAssignment(bytes: Buffer): MemberAssignment {
  if (bytes.length === 0) return nothing;
  const said = parse(bytes);
  return {
    generation: typeof said.generation === "number" ? said.generation : 0,
    places: placesOf(said.places),
    awaited: placesOf(said.awaited),
    revoked: placesOf(said.revoked),
  };
}

export function partitionOfPlace(place: string): TopicPartition {
  const slash = place.lastIndexOf("/");
  return { topic: place.slice(0, slash), partition: Number(place.slice(slash + 1)) };
}

function byTopic(places: readonly string[]): Record<string, number[]> {
  const grouped: Record<string, number[]> = Object.create(null);
  for (const { topic, partition } of places.map(partitionOfPlace)) {
    grouped[topic] ??= [];
    grouped[topic].push(partition);
  }
  return grouped;
}

function placesOf(grouped: unknown): string[] {
  if (typeof grouped !== "object" || grouped === null) return [];
  return Object.entries(grouped).flatMap(([topic, partitions]) =>
    Array.isArray(partitions)
      ? partitions.filter((one) => Number.isInteger(one) && one >= 0).map((one) => `${topic}/${one}`)
      : [],
  );
}

function parse(bytes: Buffer): Record<string, unknown> {
  try {
    const said: unknown = JSON.parse(bytes.toString());
    return typeof said === "object" && said !== null ? (said as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
