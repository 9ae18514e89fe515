/**
 * PostgreSQL's timelines: each promotion of a standby and each recovery to an earlier time begins a new one, which shares
 * the log of its parent up to the place where it left it.
 */
import { parseLsn } from "./lsn.ts";

export interface TimelineSwitch {
  /** The timeline that was left … */
  readonly timeline: number;
  /** … and the first place that it does not share with the next one. */
  readonly leftAt: number;
}

/** A timeline's history as the server keeps it: lines of number, place and reason. What is no such line is passed over. */
export function parseTimelineHistory(text: string): TimelineSwitch[] {
  const switches: TimelineSwitch[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*(\d{1,10})\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(\s|$)/.exec(line);
    if (match) switches.push({ timeline: Number(match[1]), leftAt: parseLsn(match[2] as string) });
  }
  return switches;
}

export type TimelineWay =
  | { readonly kind: "same" }
  /** The server's timeline came out of ours, behind our position. */
  | { readonly kind: "followed" }
  | { readonly kind: "older" }
  /** It came out of ours before our position, or (null) not out of ours at all. */
  | { readonly kind: "other"; readonly leftAt: number | null };

/** Whether `position` of timeline `ours` lies in the past of timeline `theirs`. */
export function followTimeline(
  ours: number,
  position: number,
  theirs: number,
  history: readonly TimelineSwitch[],
): TimelineWay {
  if (theirs === ours) return { kind: "same" };
  if (theirs < ours) return { kind: "older" };
  const left = history.find(({ timeline }) => timeline === ours);
  if (left === undefined) return { kind: "other", leftAt: null };
  return position <= left.leftAt ? { kind: "followed" } : { kind: "other", leftAt: left.leftAt };
}
