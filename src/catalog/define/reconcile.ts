/**
 * `reconcile` of a webhook: how the vendor is asked for the events that its calls did not bring. Only what is said of it
 * stands here; who asks, and when, is `capture/webhooks/reconcile/`.
 */
import { MillraceError } from "../../base/errors.ts";
import { parseDurationMs } from "../../base/units.ts";
import { refuseUnknown } from "./names.ts";
import type { WebhookFunction } from "./webhook.ts";

/** What the vendor's list is asked for: events of `since` or later and before `until`. More than that does no harm. */
export interface ListRequest {
  readonly since: Date;
  readonly until: Date;
  /** `next` of the page before; undefined for the first one of a window. */
  readonly cursor: string | undefined;
  /** Aborted when the page takes too long, or Millrace stops. */
  readonly signal: AbortSignal;
  /**
   * As `fetch`, within `ratePerSecond` and with the signal. An answer that is no success is thrown, and the page is asked
   * for again after its Retry-After.
   */
  readonly fetch: (url: string | URL, init?: RequestInit) => Promise<Response>;
}

export interface ListedEvent {
  /** What the webhook's call would have had as its body: a value that becomes JSON, or the body itself. */
  readonly body: unknown;
  /** What the call would have had and the functions of the definition look at; `content-type` is JSON unless said. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ListPage {
  readonly events: readonly ListedEvent[];
  /** Handed in again for the next page; none ends the window. It may be kept through a restart. */
  readonly next?: string | null | undefined;
}

export interface ReconcileOptions {
  /** One page of the vendor's list, in any order. What it throws is shown in the status and tried again. */
  readonly list: (request: ListRequest) => Promise<ListPage> | ListPage;
  /** From the beginning of one pass to the next; `5m`. */
  readonly every?: string;
  /** How far a pass goes back behind the end of the one before; `15m`. */
  readonly overlap?: string;
  /** Younger events are left to the webhooks, which may be on their way; `1m`. */
  readonly grace?: string;
  /** How far back the first pass of all looks; as far as `overlap`. */
  readonly lookBack?: string;
  /** The span that is asked for at once, and known to be complete when its last page is kept; `1h`. */
  readonly window?: string;
  /** Calls of the vendor a second; 1. */
  readonly ratePerSecond?: number;
  /** How long the vendor may be silent; `30s`. */
  readonly timeout?: string;
  /** What of an event has to be the same in the list as in the call; all of it. Null compares nothing. */
  readonly compare?: WebhookFunction<unknown> | null;
  /** `append` also keeps the list's event where the call's was another one, under an id of its own; `report`. */
  readonly altered?: "report" | "append";
}

export interface ReconcileDefinition {
  readonly list: (request: ListRequest) => Promise<ListPage> | ListPage;
  readonly everyMs: number;
  readonly overlapMs: number;
  readonly graceMs: number;
  readonly lookBackMs: number;
  readonly windowMs: number;
  readonly ratePerSecond: number;
  readonly timeoutMs: number;
  /** Undefined compares the whole value. */
  readonly compare: WebhookFunction<unknown> | null | undefined;
  readonly altered: "report" | "append";
}

const options = [
  "list",
  "every",
  "overlap",
  "grace",
  "lookBack",
  "window",
  "ratePerSecond",
  "timeout",
  "compare",
  "altered",
] as const;

const secondMs = 1_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Undefined where nothing is said. Throws `DEFINITION_INVALID`. `dedupeMs`: what ids are remembered for. */
export function reconcileOf(
  named: string,
  given: ReconcileOptions | undefined,
  { dedupeMs, id }: { readonly dedupeMs: number; readonly id: unknown },
): ReconcileDefinition | undefined {
  if (given === undefined) return undefined;
  const whose = `reconcile of ${named}`;
  if (typeof given !== "object" || given === null || typeof given.list !== "function") {
    throw invalid(
      whose,
      "there is no list",
      "Write list: async ({ since, until, cursor, fetch }) => ({ events, next }).",
    );
  }
  refuseUnknown(whose, given, options);
  if (id === "body") {
    throw invalid(
      whose,
      `id is "body"`,
      "A list has other bytes than the calls: say id: (event) => … , so that both have one id.",
    );
  }
  // Behind that an id may be forgotten while a pass goes on, and its event would be kept again.
  const reachMs = dedupeMs - dayMs;
  const span = (option: SpanOption, otherwise: string, minMs: number, maxMs: number) =>
    duration(whose, option, given[option] ?? otherwise, minMs, maxMs);
  const overlapMs = span("overlap", "15m", secondMs, reachMs);
  return Object.freeze({
    list: given.list,
    everyMs: span("every", "5m", secondMs, 7 * dayMs),
    overlapMs,
    graceMs: span("grace", "1m", 0, dayMs),
    lookBackMs: given.lookBack === undefined ? overlapMs : span("lookBack", "", secondMs, reachMs),
    windowMs: span("window", "1h", secondMs, reachMs),
    ratePerSecond: rate(whose, given.ratePerSecond ?? 1),
    timeoutMs: span("timeout", "30s", 100, hourMs),
    compare: compareOf(whose, given.compare),
    altered: alteredOf(whose, given.altered ?? "report"),
  });
}

type SpanOption = "every" | "overlap" | "grace" | "lookBack" | "window" | "timeout";

function duration(whose: string, option: string, text: unknown, minMs: number, maxMs: number): number {
  let spanMs: number;
  try {
    spanMs = parseDurationMs(text, option);
  } catch (cause) {
    throw invalid(whose, (cause as Error).message, "Write it as 30s, 15m or 6h.");
  }
  if (spanMs >= minMs && spanMs <= maxMs) return spanMs;
  throw invalid(whose, `${option} is ${JSON.stringify(text)}`, `It is from ${printed(minMs)} to ${printed(maxMs)}.`);
}

function printed(ms: number): string {
  if (ms >= hourMs) return `${Math.floor(ms / hourMs)}h`;
  return ms % secondMs === 0 ? `${ms / secondMs}s` : `${ms}ms`;
}

function rate(whose: string, given: unknown): number {
  if (typeof given === "number" && given > 0 && given <= 1_000) return given;
  throw invalid(whose, `ratePerSecond is ${JSON.stringify(given)}`, "It is a number up to 1,000; 0.1 is one in 10s.");
}

function compareOf(whose: string, given: unknown): WebhookFunction<unknown> | null | undefined {
  if (given === undefined || given === null || typeof given === "function") return given as WebhookFunction<unknown>;
  throw invalid(whose, "compare is no function", "Write compare: (event) => event.data, or null to compare nothing.");
}

function alteredOf(whose: string, given: unknown): "report" | "append" {
  if (given === "report" || given === "append") return given;
  throw invalid(whose, `altered is ${JSON.stringify(given)}`, `It is "report" or "append".`);
}

function invalid(whose: string, what: string, hint: string): MillraceError {
  return new MillraceError("DEFINITION_INVALID", `${whose}: ${what}`, { hint });
}
