/** How V8 decides when to collect, for a process that passes much through large buffers. */
import { setFlagsFromString } from "node:v8";

/** The first version of Node.js whose V8 was measured with the flag. */
const nodeMajorMin = 26;

/**
 * Counts the bytes of buffers with the heap when the next collection is planned. By itself V8 collects the whole heap after every ten
 * megabytes or so of new buffers, which cost half of the processor's time while records streamed in (docs/decisions/0009-kafka-door.md).
 * Before the first large buffer is made.
 */
export function countBuffersWithHeap(): void {
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= nodeMajorMin) setFlagsFromString("--external-memory-accounted-in-global-limit");
}
