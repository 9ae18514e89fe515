/**
 * The names of a segment's files: `<first offset, 20 digits>.log`, and `<first offset>.<generation>.log` once it was
 * cleaned. A generation counts from 1 and grows with each cleaning, so that no name is ever used for other bytes.
 * Beside it stand `.index` and `.aborted` of the same stem; a new file is called `<its name>.draft` until it counts.
 */
import * as path from "node:path";

export interface SegmentName {
  readonly baseOffset: number;
  /** 0 as it was appended. */
  readonly generation: number;
}

export const draftSuffix = ".draft";

const form = /^(\d{20})(?:\.([1-9]\d{0,14}))?\.log$/;

export function makeSegmentName({ baseOffset, generation }: SegmentName): string {
  const digits = String(baseOffset).padStart(20, "0");
  return generation === 0 ? `${digits}.log` : `${digits}.${generation}.log`;
}

/** Undefined for any other file. */
export function parseSegmentName(name: string): SegmentName | undefined {
  const match = form.exec(name);
  if (!match) return undefined;
  const baseOffset = Number(match[1]);
  return Number.isSafeInteger(baseOffset) ? { baseOffset, generation: Number(match[2] ?? 0) } : undefined;
}

/** Offsets are missing in a segment where compaction has taken records away. */
export function isCleanedSegment(segment: { readonly path: string }): boolean {
  return (parseSegmentName(path.basename(segment.path))?.generation ?? 0) > 0;
}

/** What stands beside a segment and goes with it. */
export function companionNames(segmentName: string): readonly string[] {
  const stem = segmentName.slice(0, -".log".length);
  return [`${stem}.index`, `${stem}.aborted`];
}

/** That of the segment which takes the place of these: the first one's offset, and a generation after all of theirs. */
export function nextSegmentName(replaced: readonly SegmentName[]): SegmentName {
  const generation = 1 + replaced.reduce((largest, name) => Math.max(largest, name.generation), 0);
  return { baseOffset: (replaced[0] as SegmentName).baseOffset, generation };
}
