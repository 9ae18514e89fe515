/** The segment files of a log's directory, as the format's page names them (docs/internals/formats/segment.md). */
import { globSync } from "node:fs";
import { dirname, join } from "node:path";

/** Of one topic, each partition's in the order of their offsets. */
export function segmentFiles(directory: string, topicId: string): readonly string[] {
  const folder = join(directory, "topics", topicId);
  return globSync("*/*.log", { cwd: folder })
    .sort()
    .map((file) => join(folder, file));
}

/** The last one of each partition. */
export function lastSegmentFiles(directory: string, topicId: string): readonly string[] {
  const last = new Map<string, string>();
  for (const file of segmentFiles(directory, topicId)) last.set(dirname(file), file);
  return [...last.values()];
}
