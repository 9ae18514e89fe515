/**
 * Sets of partitions by topic id, as a consumer group of KIP-848 keeps them: what a member has, is to let go of, or is to get.
 * They are never changed once made.
 */

/** In ascending order; topics without partitions are left out. */
export type Places = ReadonlyMap<string, readonly number[]>;

/** Each with the epoch in which the member got it (KIP-1251). */
export type DatedPlaces = ReadonlyMap<string, ReadonlyMap<number, number>>;

/** As clients name what they own. */
export interface TopicPartitions {
  readonly topicId: string;
  readonly partitions: readonly number[];
}

export const noPlaces: Places = new Map();
export const noDatedPlaces: DatedPlaces = new Map();

export function placesOf(dated: DatedPlaces): Places {
  const places = new Map<string, number[]>();
  for (const [topicId, partitions] of dated) places.set(topicId, [...partitions.keys()].sort(ascending));
  return places;
}

export function topicPartitionsOf(places: Places): { topicId: string; partitions: number[] }[] {
  return [...places].map(([topicId, partitions]) => ({ topicId, partitions: [...partitions] }));
}

/** The same partitions from the same epochs. */
export function isSame(a: DatedPlaces, b: DatedPlaces): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId);
    if (!others || others.size !== partitions.size) return false;
    for (const [partition, epoch] of partitions) if (others.get(partition) !== epoch) return false;
  }
  return true;
}

/** Null is what the client did not say, and so it may own anything. */
export function ownsAnyOf(owned: readonly TopicPartitions[] | null, places: DatedPlaces): boolean {
  if (owned === null) return true;
  return owned.some(({ topicId, partitions }) => {
    const among = places.get(topicId);
    return among !== undefined && partitions.some((partition) => among.has(partition));
  });
}

/** False for what the client did not say. */
export function ownsOnlyOf(owned: readonly TopicPartitions[] | null, places: DatedPlaces): boolean {
  if (owned === null) return false;
  return owned.every(({ topicId, partitions }) => {
    const among = places.get(topicId);
    return among !== undefined && partitions.every((partition) => among.has(partition));
  });
}

/** All of both; where both have a partition, the later epoch. */
export function union(a: DatedPlaces, b: DatedPlaces): DatedPlaces {
  if (a.size === 0) return b;
  if (b.size === 0) return a;
  const all = new Map(a);
  for (const [topicId, partitions] of b) {
    const known = all.get(topicId);
    all.set(topicId, known ? new Map([...known, ...partitions]) : partitions);
  }
  return all;
}

export function ascending(a: number, b: number): number {
  return a - b;
}
