/**
 * What is kept of a consumer group of KIP-848 beside its offsets: the `detail` of its metadata in `_millrace.groups`
 * (docs/internals/formats/group-offsets.md). The group's epoch is the metadata's generation.
 *
 * kind 2 (u8), version 1 (u8), then JSON. Topic ids stand once, in `topicIds`, and are numbered elsewhere. Partitions are lists
 * `[topic, epoch, partition, …]`, one for each topic and epoch; of targets without the epoch.
 */
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import type { KeptConsumerGroup } from "./consumer-group.ts";
import type { ConsumerMember, MemberState } from "./consumer-member.ts";
import { ascending, type DatedPlaces, type Places } from "./consumer-partitions.ts";
import type { GroupTopic } from "./consumer-topics.ts";
import { detailKind } from "./group-directory.ts";

/** Of groups whose members are this protocol's: Kafka's name for both of its protocols. */
export const consumerProtocolType = "consumer";

const version = 1;
const states: readonly MemberState[] = ["stable", "unrevoked", "unreleased"];

export function encodeConsumerGroup(kept: KeptConsumerGroup, nowMs: number): GroupMetadata {
  const memberCount = kept.members.length;
  const ids = new Numbers();
  const members = kept.members.map((member) => {
    const { assigned, revoking, ...rest } = member;
    const target = kept.targets.get(member.memberId);
    return {
      ...rest,
      assigned: datedLists(assigned, ids),
      revoking: datedLists(revoking, ids),
      target: [...(target ?? [])].map(([topicId, partitions]) => [ids.of(topicId), ...partitions]),
    };
  });
  const topics = [...kept.topics].map(([name, { topicId, partitions }]) => [name, ids.of(topicId), partitions]);
  const patterns = [...kept.patterns];
  const content = JSON.stringify({ targetEpoch: kept.targetEpoch, members, topics, patterns, topicIds: ids.all });
  return {
    protocolType: consumerProtocolType,
    generation: kept.epoch,
    memberCount,
    emptySinceMs: memberCount === 0 ? nowMs : null,
    detail: Buffer.concat([Buffer.from([detailKind.consumer, version]), Buffer.from(content)]),
  };
}

/** Undefined for what is damaged, or written by a newer version. */
export function decodeConsumerGroup({ generation, detail }: GroupMetadata): KeptConsumerGroup | undefined {
  if (!detail || detail[0] !== detailKind.consumer || detail[1] !== version) return undefined;
  try {
    return new Decoder(JSON.parse(detail.toString("utf8", 2))).group(generation);
  } catch {
    return undefined;
  }
}

class Numbers {
  readonly #numbers = new Map<string, number>();

  get all(): string[] {
    return [...this.#numbers.keys()];
  }

  of(text: string): number {
    const number = this.#numbers.get(text) ?? this.#numbers.size;
    this.#numbers.set(text, number);
    return number;
  }
}

function datedLists(places: DatedPlaces, ids: Numbers): number[][] {
  const lists: number[][] = [];
  for (const [topicId, partitions] of places) {
    const byEpoch = new Map<number, number[]>();
    for (const [partition, epoch] of partitions) {
      const list = byEpoch.get(epoch);
      if (list) list.push(partition);
      else byEpoch.set(epoch, [partition]);
    }
    for (const [epoch, list] of byEpoch) lists.push([ids.of(topicId), epoch, ...list.sort(ascending)]);
  }
  return lists;
}

type Content = Readonly<Record<string, unknown>>;

/** Throws on what is not as it was written. */
class Decoder {
  readonly #content: Content;
  readonly #topicIds: readonly string[];
  /** As topic id and partition: of no two members. */
  readonly #owned = new Set<string>();

  constructor(content: unknown) {
    this.#content = record(content);
    this.#topicIds = list(this.#content.topicIds).map(text);
  }

  group(generation: number): KeptConsumerGroup {
    const targets = new Map<string, Places>();
    const members = list(this.#content.members).map((entry) => {
      const member = this.#member(record(entry));
      if (targets.has(member.memberId)) throw new RangeError("a member twice");
      targets.set(member.memberId, this.#target(record(entry).target));
      return member;
    });
    const topics = new Map<string, GroupTopic>();
    for (const entry of list(this.#content.topics)) {
      const [name, topic, partitions] = list(entry);
      topics.set(text(name), { topicId: this.#topicId(topic), partitions: whole(partitions) });
    }
    const patterns = new Map<string, readonly string[]>();
    for (const entry of list(this.#content.patterns)) {
      const [pattern, names] = list(entry);
      patterns.set(text(pattern), list(names).map(text));
    }
    const targetEpoch = whole(this.#content.targetEpoch);
    if (generation < 1 || targetEpoch > generation) throw new RangeError("an epoch");
    return { epoch: generation, targetEpoch, members, targets, topics, patterns };
  }

  #member(entry: Content): ConsumerMember {
    const state = states.find((each) => each === entry.state);
    if (!state) throw new TypeError("a state");
    return {
      memberId: text(entry.memberId),
      instanceId: textOrNull(entry.instanceId),
      rackId: textOrNull(entry.rackId),
      clientId: text(entry.clientId),
      clientHost: text(entry.clientHost),
      rebalanceTimeoutMs: whole(entry.rebalanceTimeoutMs, -0x80000000),
      topicNames: list(entry.topicNames).map(text),
      topicRegex: textOrNull(entry.topicRegex),
      assignor: textOrNull(entry.assignor),
      epoch: whole(entry.epoch, -2),
      previousEpoch: whole(entry.previousEpoch, -2),
      state,
      assigned: this.#dated(entry.assigned),
      revoking: this.#dated(entry.revoking),
    };
  }

  #dated(entry: unknown): DatedPlaces {
    const places = new Map<string, Map<number, number>>();
    for (const each of list(entry)) {
      const [topic, epoch, ...partitions] = list(each);
      const topicId = this.#topicId(topic);
      const known = places.get(topicId) ?? new Map<number, number>();
      for (const partition of partitions) {
        const place = `${topicId}/${whole(partition)}`;
        if (this.#owned.has(place)) throw new RangeError("a partition twice");
        this.#owned.add(place);
        known.set(whole(partition), whole(epoch));
      }
      places.set(topicId, known);
    }
    return places;
  }

  #target(entry: unknown): Places {
    const places = new Map<string, number[]>();
    for (const each of list(entry)) {
      const [topic, ...partitions] = list(each);
      places.set(
        this.#topicId(topic),
        partitions.map((partition) => whole(partition)),
      );
    }
    return places;
  }

  #topicId(number: unknown): string {
    return text(this.#topicIds[whole(number)]);
  }
}

function record(value: unknown): Content {
  if (typeof value !== "object" || value === null) throw new TypeError("a record");
  return value as Content;
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new TypeError("a list");
  return value;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw new TypeError("a text");
  return value;
}

function textOrNull(value: unknown): string | null {
  return value === null ? null : text(value);
}

function whole(value: unknown, min = 0): number {
  if (!Number.isSafeInteger(value) || (value as number) < min) throw new RangeError("a number");
  return value as number;
}
