/**
 * The topics of a consumer group of KIP-848: those that exist of all that members subscribe to, by name or by pattern, as they
 * were when the group last looked. When that is out of date the group gets another epoch.
 */
import type { ConsumerMember } from "./consumer-member.ts";

export interface GroupTopic {
  readonly topicId: string;
  readonly partitions: number;
}

/** Kafka resolves patterns together, and not more often than this. */
const patternsEveryMs = 10_000;

export interface ConsumerTopicsOptions {
  /** Undefined when there is no topic of this name. */
  readonly topicOf: (name: string) => GroupTopic | undefined;
  /** Patterns are resolved anew after so long, since what members may see can have changed. */
  readonly patternRefreshMs: number;
}

export interface KeptTopics {
  readonly topics: ReadonlyMap<string, GroupTopic>;
  /** What patterns resolved to. */
  readonly patterns: ReadonlyMap<string, readonly string[]>;
}

export class ConsumerTopics {
  readonly #options: ConsumerTopicsOptions;
  readonly #patterns: Map<string, readonly string[]>;
  #topics: ReadonlyMap<string, GroupTopic>;
  #isOld = true;
  #resolvedMs = Number.NEGATIVE_INFINITY;
  #arePatternsOld = false;

  constructor(options: ConsumerTopicsOptions, kept?: KeptTopics) {
    this.#options = options;
    this.#topics = kept?.topics ?? new Map();
    this.#patterns = new Map(kept?.patterns);
  }

  get kept(): KeptTopics {
    return { topics: this.#topics, patterns: this.#patterns };
  }

  /** There may be other topics than when the group last looked. */
  get isOld(): boolean {
    return this.#isOld;
  }

  changed(): void {
    this.#isOld = true;
    this.#arePatternsOld = true;
  }

  /** Patterns that are to be resolved before the next heartbeat, which subscribes to `wanted`, is taken. */
  patternsDue(wanted: string | null, nowMs: number): string[] {
    const due = new Set<string>();
    const ageMs = nowMs - this.#resolvedMs;
    if ((this.#arePatternsOld && ageMs > patternsEveryMs) || ageMs > this.#options.patternRefreshMs) {
      for (const pattern of this.#patterns.keys()) due.add(pattern);
    }
    if (wanted && !this.#patterns.has(wanted)) due.add(wanted);
    return [...due];
  }

  /** True when a pattern that the group had resolves to something else. */
  resolve(resolved: ReadonlyMap<string, readonly string[]>, nowMs: number): boolean {
    let hasChanged = false;
    let isWhole = true;
    for (const [pattern, before] of this.#patterns) {
      const names = resolved.get(pattern);
      if (!names) isWhole = false;
      else if (!isSameList(names, before)) hasChanged = true;
    }
    for (const [pattern, names] of resolved) this.#patterns.set(pattern, names);
    if (isWhole && resolved.size > 0) {
      this.#resolvedMs = nowMs;
      this.#arePatternsOld = false;
    }
    return hasChanged;
  }

  /** Looks again, for these members; true when something is not as it was. */
  refresh(members: Iterable<ConsumerMember>): boolean {
    const names = new Set<string>();
    const patterns = new Set<string>();
    for (const { topicNames, topicRegex } of members) {
      for (const name of topicNames) names.add(name);
      if (topicRegex) patterns.add(topicRegex);
    }
    for (const pattern of [...this.#patterns.keys()]) if (!patterns.has(pattern)) this.#patterns.delete(pattern);
    for (const found of this.#patterns.values()) for (const name of found) names.add(name);
    const topics = new Map<string, GroupTopic>();
    for (const name of names) {
      const topic = this.#options.topicOf(name);
      if (topic) topics.set(name, topic);
    }
    const before = this.#topics;
    this.#topics = topics;
    this.#isOld = false;
    return !isSameTopics(before, topics);
  }

  /** Names of all that the member subscribes to, also of topics that do not exist. */
  namesOf({ topicNames, topicRegex }: ConsumerMember): readonly string[] {
    const found = topicRegex ? this.#patterns.get(topicRegex) : undefined;
    if (!found || found.length === 0) return topicNames;
    return topicNames.length === 0 ? found : [...new Set([...topicNames, ...found])];
  }

  /** Of those that the group knows to exist. */
  idsOf(member: ConsumerMember): string[] {
    const ids: string[] = [];
    for (const name of this.namesOf(member)) {
      const topic = this.#topics.get(name);
      if (topic) ids.push(topic.topicId);
    }
    return ids;
  }

  counts(): ReadonlyMap<string, number> {
    return new Map([...this.#topics.values()].map(({ topicId, partitions }) => [topicId, partitions]));
  }
}

export function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, i) => text === b[i]));
}

function isSameTopics(a: ReadonlyMap<string, GroupTopic>, b: ReadonlyMap<string, GroupTopic>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, { topicId, partitions }] of a) {
    const other = b.get(name);
    if (other?.topicId !== topicId || other.partitions !== partitions) return false;
  }
  return true;
}
