/** Whether this process should be sent work: decided from the states of its parts. */
import type { SourceStatus } from "../capture/source.ts";
import type { ViewInfo } from "../views/view-info.ts";

export interface ReadinessReason {
  /** `store`, `source shop`, `view order_cards`. */
  readonly part: string;
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export interface ReadinessInput {
  readonly store: "up" | "down";
  readonly sources: readonly SourceStatus[];
  readonly views: readonly ViewInfo[];
  readonly closing: boolean;
}

/**
 * Reasons why not; none means ready. The store is up, no source has failed, every defined view is live. A source that
 * waits to be reached again is no reason: what it has sent is served, and taking this process away would not help.
 */
export function decideReadiness({ store, sources, views, closing }: ReadinessInput): ReadinessReason[] {
  const reasons: ReadinessReason[] = [];
  if (closing) reasons.push({ part: "process", code: "SHUTTING_DOWN", message: "Millrace is stopping" });
  if (store === "down") {
    reasons.push({ part: "store", code: "STORE_UNAVAILABLE", message: "PostgreSQL, where the views live, is down" });
  }
  for (const { name, state } of sources) {
    if (state.kind === "failed") reasons.push(reason(`source ${name}`, state.error));
  }
  for (const { name, state } of views) {
    if (state.kind === "failed") reasons.push(reason(`view ${name}`, state.error));
    if (state.kind === "building") {
      reasons.push({ part: `view ${name}`, code: "VIEW_BUILDING", message: `being built: ${state.reason}` });
    }
  }
  return reasons;
}

function reason(part: string, error: { code: string; message: string; hint: string | undefined }): ReadinessReason {
  const { code, message, hint } = error;
  return hint === undefined ? { part, code, message } : { part, code, message, hint };
}
