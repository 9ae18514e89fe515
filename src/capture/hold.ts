/** How a source is made to stand still, and to go on: what the log is told, in the order that a crash may cut. */
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { CaptureLog } from "./capture-log.ts";
import { blankProgress, type SourceHold } from "./progress.ts";
import type { SlotMinder } from "./slot-minder.ts";
import { walFullError } from "./slot-minder.ts";
import type { SourceState } from "./source.ts";

export interface HoldTools {
  readonly source: string;
  readonly slot: string;
  readonly minder: SlotMinder;
  readonly diagnostics: Diagnostics;
}

/** First the log says so: who has lost the source to another owner throws here, and drops nothing. */
export async function beginHold(log: CaptureLog, hold: SourceHold, tools: HoldTools): Promise<void> {
  const { source, minder, diagnostics } = tools;
  const progress = log.progress ?? blankProgress(tools.slot);
  const state = hold.slot === "dropped" ? "released" : progress.state;
  await log.writeProgress({ ...progress, state, hold });
  const { kind, slot, because } = hold;
  diagnostics.warn("a source stands still until it is resumed", { source, kind, slot, ...(because && { because }) });
  if (slot === "dropped") await minder.drop(kind === "removed");
}

export async function endHold(log: CaptureLog, { source, minder, diagnostics }: HoldTools): Promise<void> {
  if (log.progress?.hold === undefined) return;
  const { hold: _, ...progress } = log.progress;
  await log.writeProgress(progress);
  minder.letFlow();
  diagnostics.info("a source is resumed", { source });
}

export function holdState(source: string, { kind, slot, atMs, because }: SourceHold): SourceState {
  return { kind, slot, sinceMs: atMs, ...(because !== null && { error: walFullError(source, because) }) };
}

/** The server's disk comes before the log: where that cannot be written, the slot is dropped all the same. */
export async function giveUp(log: CaptureLog, because: string, tools: HoldTools): Promise<void> {
  const { source, minder, diagnostics } = tools;
  diagnostics.warn("the slot is given up, and the source read anew", { source, because });
  try {
    if (log.progress !== null) await log.writeProgress({ ...log.progress, state: "released" });
  } catch (cause) {
    if (MillraceError.is(cause, "PRODUCER_FENCED")) throw cause;
    diagnostics.warn("the log cannot be told that a slot is given up", { source, cause: String(cause) });
  }
  await minder.drop(false);
}
