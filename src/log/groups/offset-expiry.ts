/**
 * Which committed offsets, and which groups, nobody needs any more (Kafka's rules, KIP-211).
 *
 * - A group without members: `retentionMs` after it became empty, or after the partition's last commit when that is later.
 * - A group that never had members (a consumer that chooses its partitions itself): after the partition's last commit.
 * - A group with members: only partitions of topics that none of them subscribes to, after their last commit.
 * - An offset of a topic that is gone: at once. One that an open transaction may commit: not now.
 * - A group without members and without offsets goes too.
 */
import type { TopicPartition } from "./group-records.ts";
import { type GroupEntry, type OffsetEntry, placeKey } from "./offset-fold.ts";

export interface ExpiryRules {
  readonly nowMs: number;
  readonly retentionMs: number;
  /** Undefined when there is no topic of this name. */
  readonly topicId: (topic: string) => string | undefined;
  /** What a group's living members subscribe to; undefined when it has none, or when that is not known. */
  readonly subscribed: (group: string) => ReadonlySet<string> | undefined;
}

export interface GroupExpiry {
  readonly offsets: readonly TopicPartition[];
  /** Nothing is left of it. */
  readonly isGroupGone: boolean;
}

/** Null when everything stays. */
export function planExpiry(group: string, entry: GroupEntry, rules: ExpiryRules): GroupExpiry | null {
  // Something is on its way into the log; the next time will see it.
  if (entry.expected.size > 0) return null;
  const subscribed = rules.subscribed(group);
  const hasMembers = subscribed !== undefined || (entry.metadata?.memberCount ?? 0) > 0;
  const offsets: TopicPartition[] = [];
  for (const value of entry.offsets.values()) {
    const { topic, partition } = value;
    if (entry.pending.has(placeKey(topic, partition))) continue;
    if (isOver(value, entry, rules, hasMembers, subscribed)) offsets.push({ topic, partition });
  }
  const isGroupGone = !hasMembers && entry.pending.size === 0 && offsets.length === entry.offsets.size;
  return offsets.length > 0 || isGroupGone ? { offsets, isGroupGone } : null;
}

function isOver(
  { topic, topicId, committedMs }: OffsetEntry,
  { metadata }: GroupEntry,
  { nowMs, retentionMs, topicId: idOf }: ExpiryRules,
  hasMembers: boolean,
  subscribed: ReadonlySet<string> | undefined,
): boolean {
  if (idOf(topic) !== topicId) return true;
  if (hasMembers && (!subscribed || subscribed.has(topic))) return false;
  const sinceMs = hasMembers ? committedMs : Math.max(metadata?.emptySinceMs ?? committedMs, committedMs);
  return nowMs - sinceMs >= retentionMs;
}
