import type { Engine } from "../engine/engine.ts";
import type { TableShape } from "../schema/table-shape.ts";

/** Of a group that is open. */
interface Reading {
  /** The next offset that it reads; null where it does not read the partition. */
  nextOffset(topic: string, partition: number): number | null;
}

/**
 * While a group's store is away, the log goes on: what the group has not read is held there (`Engine.holdRetention`). Answers
 * how to end it.
 */
export function holdUnread(
  engine: Engine,
  group: string,
  reading: () => Reading | null,
  topics: () => readonly TableShape[],
): () => void {
  return engine.holdRetention({
    name: `views of group "${group}"`,
    nextOffset(topic, partition) {
      const open = reading();
      if (open) return open.nextOffset(topic, partition);
      // Where it has come to is in its store, which was not there yet.
      return topics().some((shape) => shape.topic === topic) ? 0 : null;
    },
  });
}
