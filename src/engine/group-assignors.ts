/**
 * Who gets which partitions: pure functions of the members' subscriptions, the topics' partition counts and, for `sticky`,
 * who had what. The same input gives the same answer, in whatever order members are listed.
 */
import type { Assignor } from "./groups.ts";

export interface Subscriber {
  readonly memberId: string;
  /** What members are ordered by: it stays when a static member joins again. */
  readonly rank: string;
  readonly topics: readonly string[];
}

/** Partitions are `<topic>/<partition>`. */
export type Assignment = ReadonlyMap<string, readonly string[]>;

export function placeName(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

/**
 * By member id, also of those who get nothing. `counts` has topics that exist; `holder` says who had a partition, or has
 * it still.
 */
export function assignPartitions(
  assignor: Assignor,
  subscribers: readonly Subscriber[],
  counts: ReadonlyMap<string, number>,
  holder: (place: string) => string | undefined,
): Assignment {
  const ordered = [...subscribers].sort((a, b) => compare(a.rank, b.rank) || compare(a.memberId, b.memberId));
  const byTopic = subscribersByTopic(ordered, counts);
  const members = ordered.map(({ memberId }) => memberId);
  if (assignor === "sticky") return new Sticky(members, byTopic, counts).assign(holder);
  const places = new Map<string, string[]>(members.map((member) => [member, []]));
  if (assignor === "range") assignRanges(places, byTopic, counts);
  else dealOut(places, byTopic, counts, ordered);
  return places;
}

type ByTopic = ReadonlyMap<string, readonly string[]>;

/** Topics in order, each with its subscribers in order; topics with the same subscribers share the list. */
function subscribersByTopic(ordered: readonly Subscriber[], counts: ReadonlyMap<string, number>): ByTopic {
  const byTopic = new Map<string, string[]>();
  for (const topic of [...counts.keys()].sort(compare)) byTopic.set(topic, []);
  for (const { memberId, topics } of ordered) {
    for (const topic of new Set(topics)) byTopic.get(topic)?.push(memberId);
  }
  const lists = new Map<string, string[]>();
  for (const [topic, members] of byTopic) {
    const key = JSON.stringify(members);
    const shared = lists.get(key);
    if (shared) byTopic.set(topic, shared);
    else lists.set(key, members);
  }
  return byTopic;
}

function assignRanges(places: Map<string, string[]>, byTopic: ByTopic, counts: ReadonlyMap<string, number>): void {
  for (const [topic, members] of byTopic) {
    const count = counts.get(topic) ?? 0;
    let next = 0;
    members.forEach((member, i) => {
      const share = Math.floor(count / members.length) + (i < count % members.length ? 1 : 0);
      for (let end = next + share; next < end; next++) places.get(member)?.push(placeName(topic, next));
    });
  }
}

function dealOut(
  places: Map<string, string[]>,
  byTopic: ByTopic,
  counts: ReadonlyMap<string, number>,
  ordered: readonly Subscriber[],
): void {
  let turn = 0;
  for (const [topic, members] of byTopic) {
    if (members.length === 0) continue;
    const subscribed = new Set(members);
    for (let partition = 0; partition < (counts.get(topic) ?? 0); partition++) {
      while (!subscribed.has(ordered[turn % ordered.length]?.memberId as string)) turn++;
      places.get(ordered[turn % ordered.length]?.memberId as string)?.push(placeName(topic, partition));
      turn++;
    }
  }
}

/** What a member has, by the list of those who could have it. */
interface Load {
  count: number;
  readonly places: Map<readonly string[], string[]>;
}

/**
 * Everybody keeps what it had; what nobody had goes to whoever has least; then partitions move from who has more to who has
 * at least two less, one by one, until none can. Where all subscribe to the same topics loads differ by one at most, and no
 * assignment that is as even moves less.
 */
class Sticky {
  readonly #loads: ReadonlyMap<string, Load>;
  readonly #byTopic: ByTopic;
  readonly #counts: ReadonlyMap<string, number>;

  constructor(members: Iterable<string>, byTopic: ByTopic, counts: ReadonlyMap<string, number>) {
    this.#loads = new Map([...members].map((member) => [member, { count: 0, places: new Map() }]));
    this.#byTopic = byTopic;
    this.#counts = counts;
  }

  assign(holder: (place: string) => string | undefined): Assignment {
    const free: [place: string, members: readonly string[]][] = [];
    for (const [topic, members] of this.#byTopic) {
      if (members.length === 0) continue;
      const subscribed = new Set(members);
      for (let partition = 0; partition < (this.#counts.get(topic) ?? 0); partition++) {
        const place = placeName(topic, partition);
        const held = holder(place);
        if (held !== undefined && subscribed.has(held)) this.#put(held, place, members);
        else free.push([place, members]);
      }
    }
    // Those whom few can take first, so that they do not end with whoever has much.
    free.sort((a, b) => a[1].length - b[1].length);
    for (const [place, members] of free) this.#put(this.#least(members), place, members);
    this.#balance();
    return new Map([...this.#loads].map(([member, { places }]) => [member, [...places.values()].flat()]));
  }

  /**
   * Whoever has most gives first, since one that gave more than it must would have to get something back. Each move
   * makes the sum of the squares of the loads smaller, so it ends.
   */
  #balance(): void {
    for (let moved = true; moved; ) {
      moved = false;
      const givers = new Set(this.#loads.keys());
      while (givers.size > 0) {
        const giver = this.#most(givers);
        if (this.#give(giver)) moved = true;
        else givers.delete(giver);
      }
    }
  }

  /** One partition, to whoever has least of those who can take one. */
  #give(giver: string): boolean {
    const mine = this.#of(giver);
    let list: readonly string[] | undefined;
    let to: string | undefined;
    for (const [members, places] of mine.places) {
      if (places.length === 0) continue;
      const least = this.#least(members);
      if (to !== undefined && this.#of(to).count <= this.#of(least).count) continue;
      to = least;
      list = members;
    }
    if (to === undefined || list === undefined || this.#of(to).count > mine.count - 2) return false;
    const place = mine.places.get(list)?.pop() as string;
    mine.count--;
    this.#put(to, place, list);
    return true;
  }

  #put(member: string, place: string, list: readonly string[]): void {
    const load = this.#of(member);
    load.count++;
    const places = load.places.get(list);
    if (places) places.push(place);
    else load.places.set(list, [place]);
  }

  #most(members: Iterable<string>): string {
    let most: string | undefined;
    for (const member of members) {
      if (most === undefined || this.#of(member).count > this.#of(most).count) most = member;
    }
    return most as string;
  }

  #least(members: readonly string[]): string {
    let least = members[0] as string;
    for (const member of members) if (this.#of(member).count < this.#of(least).count) least = member;
    return least;
  }

  #of(member: string): Load {
    return this.#loads.get(member) as Load;
  }
}

/** By code unit: the same on every machine. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
