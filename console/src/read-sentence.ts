/** How far a reading is, in words. */
import { count, milliseconds } from "./format.ts";
import type { ReadProgress } from "./source-status.ts";

export function readSentence({ rows, rowsEstimated, rowsPerSecond, remainingMs }: Partial<ReadProgress>): string {
  const amount = `${count(rows ?? 0)} of about ${count(Math.max(rows ?? 0, rowsEstimated ?? 0))} rows`;
  const rate = rowsPerSecond == null ? "" : `, ${count(rowsPerSecond)}/s`;
  return `${amount}${rate}${remainingMs == null ? "" : `, about ${milliseconds(remainingMs)} left`}`;
}
