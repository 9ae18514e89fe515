/**
 * Where a group stands in the log, and whether the log still is the one that it stood in. In the way of KIP-320,
 * a position is (log id, topic id, partition, offset, leader epoch).
 */
import { MillraceError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";

export interface StoredPosition {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  /** Everything below is applied. */
  readonly nextOffset: number;
  readonly leaderEpoch: number;
  /** Where the rows of the topic's latest snapshot begin: a mirror is filled from here. */
  readonly baseOffset: number;
  /** The latest time of an event below it, of a topic with watermarks; null where there is none. */
  readonly latestEventMs: number | null;
}

/** A partition as the key of a map; no topic's name has a slash. */
export function placeOf(topic: string, partition = 0): string {
  return `${topic}/${partition}`;
}

export function partitionOf(place: string): { readonly topic: string; readonly partition: number } {
  const slash = place.lastIndexOf("/");
  return { topic: place.slice(0, slash), partition: Number(place.slice(slash + 1)) };
}

type LogFacts = Pick<Engine, "topic" | "offsets">;

/** Throws `STORE_AHEAD_OF_LOG`, `STORE_OF_ANOTHER_LOG`. */
export async function checkPositions(positions: readonly StoredPosition[], log: LogFacts): Promise<void> {
  for (const position of positions) {
    const topic = log.topic(position.topic);
    if (topic && topic.id !== position.topicId) {
      throw new MillraceError(
        "STORE_OF_ANOTHER_LOG",
        `topic ${position.topic} is not the one that the store was built from: it was deleted and made again`,
        { hint: repair, details: { topic: position.topic, storeTopicId: position.topicId, topicId: topic.id } },
      );
    }
    if (!topic && position.nextOffset === 0) continue;
    const end = topic ? await log.offsets(position.topic, position.partition) : null;
    if (end === null || position.nextOffset > end.highWatermark || position.leaderEpoch > end.leaderEpoch) {
      throw new MillraceError(
        "STORE_AHEAD_OF_LOG",
        `the store has topic ${position.topic} up to offset ${position.nextOffset} (leader epoch ${position.leaderEpoch}), ` +
          (end === null
            ? "and the log has no such topic"
            : `and the log ends at ${end.highWatermark} (leader epoch ${end.leaderEpoch})`),
        {
          hint: repair,
          details: { topic: position.topic, storeOffset: position.nextOffset, logEnd: end?.highWatermark ?? null },
        },
      );
    }
  }
}

const repair =
  "The log lost records, or the store belongs elsewhere. Restore the data directory that belongs to the store, or point MILLRACE_STORE at an empty database: views are rebuilt from the log.";
