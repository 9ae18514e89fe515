/** Whether this process should be sent work: decided from the states of its parts. And what voids a promise of it. */
import type { SourceStatus } from "../capture/source.ts";
import { mainGroup } from "../catalog/definitions.ts";
import type { TopicInfo } from "../engine/engine.ts";
import type { ViewInfo } from "../views/view-info.ts";
import type { GroupInfo } from "./node-info.ts";

export interface ReadinessReason {
  /** `store`, `source shop`, `view order_cards`. */
  readonly part: string;
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** No reason to send the work elsewhere. */
export interface ReadinessWarning {
  readonly part: string;
  readonly message: string;
  readonly hint?: string;
}

export interface ReadinessInput {
  readonly store: "up" | "down";
  readonly groups: readonly GroupInfo[];
  readonly sources: readonly SourceStatus[];
  readonly views: readonly ViewInfo[];
  readonly closing: boolean;
}

/**
 * Reasons why not; none means ready. The store is up, no source has failed, every defined view is live. A source that
 * waits to be reached again is no reason: what it has sent is served, and taking this process away would not help. Nor is
 * a group of views beside `main` that is down: it is to take nothing from the others, and a warning tells of it.
 */
export function decideReadiness({ store, groups, sources, views, closing }: ReadinessInput): ReadinessReason[] {
  const reasons: ReadinessReason[] = [];
  if (closing) reasons.push({ part: "process", code: "SHUTTING_DOWN", message: "Millrace is stopping" });
  if (store === "down") {
    reasons.push({ part: "store", code: "STORE_UNAVAILABLE", message: "PostgreSQL, where the views live, is down" });
  }
  for (const { name, state } of sources) {
    if (state.kind === "failed") reasons.push(reason(`source ${name}`, state.error));
    if (state.kind === "paused" && state.error !== undefined) reasons.push(reason(`source ${name}`, state.error));
  }
  const down = new Set(groups.filter(isDown).map(({ name }) => name));
  for (const { name, state, group } of views) {
    if (group !== undefined && down.has(group)) continue;
    if (state.kind === "failed") reasons.push(reason(`view ${name}`, state.error));
    if (state.kind === "building") {
      reasons.push({ part: `view ${name}`, code: "VIEW_BUILDING", message: `being built: ${state.reason}` });
    }
  }
  return reasons;
}

/** Groups beside `main` that are not kept, or cannot be read, and why. */
export function groupWarnings(groups: readonly GroupInfo[]): ReadinessWarning[] {
  return groups
    .filter((group) => group.name !== mainGroup && isDown(group))
    .map(({ name, error }) => ({
      part: `group ${name}`,
      message: error?.message ?? "its store is down",
      ...(error?.hint === undefined ? {} : { hint: error.hint }),
    }));
}

function isDown({ state, store }: GroupInfo): boolean {
  return state !== "running" || store?.state !== "up";
}

/** Topics whose appends are answered before they are durable: what a power cut takes from them, nothing here notices. */
export function durabilityWarnings(topics: readonly TopicInfo[]): ReadinessWarning[] {
  return topics
    .filter(({ settings }) => settings.durability === "os")
    .map(({ name }) => ({
      part: `topic ${name}`,
      message: "its durability is os: an append is answered when it is written, and a power cut can lose it",
      hint: `millrace topics alter ${name} --durability fsync`,
    }));
}

function reason(part: string, error: { code: string; message: string; hint: string | undefined }): ReadinessReason {
  const { code, message, hint } = error;
  return hint === undefined ? { part, code, message } : { part, code, message, hint };
}
