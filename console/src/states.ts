/** How the states of things are shown: one tone and one word each. */
import type { SourceStatus, ViewInfo } from "./api.ts";
import { count } from "./format.ts";
import type { Tone } from "./pieces.ts";

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
