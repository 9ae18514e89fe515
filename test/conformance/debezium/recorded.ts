/** What Debezium told about the workload when `record-events.ts` was last run: a line of JSON for each event. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { EventText } from "./engine.ts";

export const recordedEvents = join(import.meta.dirname, "recorded-events.jsonl");

export function readRecordedEvents(): EventText[] {
  return readFileSync(recordedEvents, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as EventText);
}
