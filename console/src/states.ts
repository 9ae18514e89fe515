/** How the states of things are shown: one tone and one word each. */
import type { ViewInfo } from "./api.ts";
import { bytes, count, milliseconds } from "./format.ts";
import type { Tone } from "./pieces.ts";
import type { SourceStatus } from "./source-status.ts";

export function sourceState({ state }: SourceStatus): { tone: Tone; word: string } {
  switch (state.kind) {
    case "streaming":
      return { tone: "good", word: "streaming" };
    case "snapshotting":
      return { tone: "busy", word: `snapshot, ${count(state.rows ?? 0)} rows` };
    case "connecting":
      return { tone: "busy", word: "connecting" };
    case "waiting":
      return { tone: "busy", word: "waiting to retry" };
    case "failed":
      return { tone: "bad", word: "failed" };
    case "paused":
      return { tone: state.error ? "bad" : "quiet", word: `paused, slot ${state.slot ?? "kept"}` };
    case "removed":
      return { tone: "quiet", word: "removed" };
    case "left":
      return { tone: "bad", word: "not in app.ts, slot kept" };
    case "stopped":
      return { tone: "quiet", word: "stopped" };
  }
}

export function viewState({ state }: ViewInfo): { tone: Tone; word: string } {
  switch (state.kind) {
    case "live":
      return { tone: "good", word: "live" };
    case "building":
      return { tone: "busy", word: "building" };
    case "failed":
      return { tone: "bad", word: "failed" };
    case "removed":
      return { tone: "quiet", word: "removed" };
  }
}

/** Age of the oldest change that is not in the log, and how much lies behind it. */
export function lagOf({ lagMs, lagBytes }: Pick<SourceStatus, "lagMs" | "lagBytes">): string {
  const parts = [lagMs === null ? null : milliseconds(lagMs), lagBytes === null ? null : bytes(lagBytes)];
  return parts.filter((part) => part !== null).join(", ") || "–";
}

/** What bounds the log that the server holds, and what happens there. */
export function walBound({ wal, walAllowance }: Pick<SourceStatus, "wal" | "walAllowance">): string {
  const bounds: string[] = [];
  if (walAllowance) {
    const then = walAllowance.whenFull === "pause" ? "the source pauses" : "the slot is dropped";
    bounds.push(`at ${bytes(walAllowance.heldBytesMax)} ${then}`);
  }
  if (wal?.safeBytes != null) bounds.push(`lost after another ${bytes(Math.max(0, wal.safeBytes))}`);
  return bounds.length > 0 || wal === null ? bounds.join("; ") : "nothing bounds it";
}
