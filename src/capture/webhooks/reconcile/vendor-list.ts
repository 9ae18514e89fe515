/**
 * One vendor's list: a page at a time, within its rate, given up when the vendor is silent. The function that asks is
 * somebody's code: whatever it throws or answers becomes a page that was checked, or `RECONCILE_FAILED`.
 */
import type { Clock } from "../../../base/clock.ts";
import { MillraceError } from "../../../base/errors.ts";
import type { ListedEvent, ReconcileDefinition } from "../../../catalog/define/reconcile.ts";
import type { ListWindow, PageEnd } from "./windows.ts";

export interface VendorListOptions {
  readonly source: string;
  readonly clock: Clock;
  /** In place of Node's. */
  readonly fetch?: typeof fetch;
}

export interface CheckedPage extends PageEnd {
  readonly events: readonly ListedEvent[];
}

export const eventsPerPageMax = 10_000;
const cursorBytesMax = 4_096;
const retryAfterMsMax = 60 * 60_000;

export class VendorList {
  readonly #options: VendorListOptions;
  /** When the next call may go out, in monotonic time. */
  #freeAtMs = 0;
  /** Of the last answer. */
  #vendorMs: number | undefined;

  constructor(options: VendorListOptions) {
    this.#options = options;
  }

  /**
   * Throws `RECONCILE_FAILED`, whose details have `retryAfterMs` where the vendor said when to come again; the signal's
   * reason when it is aborted.
   */
  async page(definition: ReconcileDefinition, window: ListWindow, signal: AbortSignal): Promise<CheckedPage> {
    const { ratePerSecond, timeoutMs } = definition;
    await this.#pace(ratePerSecond, signal);
    const patience = new Patience(this.#options, timeoutMs, signal);
    // The first call of a page is the page's own.
    let isPaced = true;
    this.#vendorMs = undefined;
    const paced = async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
      if (!isPaced) {
        patience.pause();
        await this.#pace(ratePerSecond, patience.signal);
      }
      isPaced = false;
      patience.restart();
      return await this.#fetch(url, { ...init, signal: patience.signal });
    };
    try {
      const asked = this.#ask(definition, window, patience.signal, paced);
      return this.#checked(await Promise.race([asked, patience.ended]), window);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = MillraceError.is(thrown, "RECONCILE_FAILED") ? thrown : this.#failedWith(thrown);
      const { retryAfterMs } = error.details;
      if (typeof retryAfterMs === "number") this.#freeAtMs = this.#options.clock.monotonicMs() + retryAfterMs;
      throw error;
    } finally {
      patience.close();
    }
  }

  async #ask(
    { list }: ReconcileDefinition,
    { sinceMs, untilMs, cursor }: ListWindow,
    signal: AbortSignal,
    fetch: (url: string | URL, init?: RequestInit) => Promise<Response>,
  ): Promise<unknown> {
    const since = new Date(sinceMs);
    const until = new Date(untilMs);
    return await list({ since, until, cursor: cursor ?? undefined, signal, fetch });
  }

  async #pace(ratePerSecond: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const atMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = atMs + 1_000 / ratePerSecond;
    if (atMs > nowMs) await clock.sleep(atMs - nowMs, signal);
  }

  async #fetch(url: string | URL, init: RequestInit): Promise<Response> {
    const { source, clock, fetch: fetcher = fetch } = this.#options;
    const response = await fetcher(url, init);
    const toldMs = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(toldMs)) this.#vendorMs = toldMs;
    if (response.ok) return response;
    await response.body?.cancel();
    const { origin, pathname } = new URL(response.url === "" ? url : response.url);
    // Without the query, where keys may stand.
    throw failed(source, `${origin}${pathname} answered ${response.status}`, {
      retryAfterMs: retryAfterOf(response.headers, clock.now()),
    });
  }

  #checked(page: unknown, { cursor, pages }: ListWindow): CheckedPage {
    const { source } = this.#options;
    const { events, next } = (typeof page === "object" && page !== null ? page : {}) as Record<string, unknown>;
    if (!Array.isArray(events)) throw failed(source, "list answered no { events: […], next }");
    if (events.length > eventsPerPageMax) {
      throw failed(source, `a page has ${events.length} events, and ${eventsPerPageMax} are the most`);
    }
    if (next === undefined || next === null) return { events, next: null, vendorMs: this.#vendorMs };
    if (typeof next !== "string" || next === "" || Buffer.byteLength(next) > cursorBytesMax) {
      throw failed(source, `next is no text of up to ${cursorBytesMax} bytes`);
    }
    if (next === cursor)
      throw failed(source, `next of page ${pages + 1} is that of the page before: the list does not end`);
    return { events, next, vendorMs: this.#vendorMs };
  }

  /** Clients of vendors throw the answer's headers, each in its own way. */
  #failedWith(thrown: unknown): MillraceError {
    const { source, clock } = this.#options;
    const { message, headers, response } = (typeof thrown === "object" && thrown !== null ? thrown : {}) as Record<
      string,
      unknown
    >;
    const from = headers ?? (response as { headers?: unknown } | null | undefined)?.headers;
    const what = `list failed: ${String(message ?? thrown).slice(0, 300)}`;
    return failed(source, what, { cause: thrown, retryAfterMs: retryAfterOf(from, clock.now()) });
  }
}

/** Ends when nothing was heard for a while. */
class Patience {
  /** Rejects when it ends, or is aborted from outside. */
  readonly ended: Promise<never>;
  readonly #options: VendorListOptions;
  readonly #ms: number;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #onAbort: () => void;
  #timer: { cancel(): void } | undefined;

  constructor(options: VendorListOptions, ms: number, outer: AbortSignal) {
    this.#options = options;
    this.#ms = ms;
    this.#outer = outer;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.ended = promise;
    this.signal.addEventListener("abort", () => reject(this.signal.reason), { once: true });
    this.#onAbort = () => this.#controller.abort(outer.reason);
    outer.addEventListener("abort", this.#onAbort, { once: true });
    if (outer.aborted) this.#onAbort();
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  pause(): void {
    this.#timer?.cancel();
  }

  restart(): void {
    const { clock, source } = this.#options;
    this.pause();
    this.#timer = clock.after(this.#ms, () => {
      this.#controller.abort(failed(source, `the vendor was silent for ${this.#ms} ms`));
    });
  }

  close(): void {
    this.pause();
    this.#outer.removeEventListener("abort", this.#onAbort);
  }
}

/**
 * Retry-After (RFC 9110: seconds or a date), else the end of GitHub's limit when nothing is left of it; undefined when the
 * vendor says neither. `headers` is a `Headers`, or an object with names in small letters.
 */
export function retryAfterOf(headers: unknown, nowMs: number): number | undefined {
  const get = (name: string): string | undefined => {
    if (typeof headers !== "object" || headers === null) return undefined;
    const value = headers instanceof Headers ? headers.get(name) : (headers as Record<string, unknown>)[name];
    return typeof value === "string" || typeof value === "number" ? String(value).trim() : undefined;
  };
  const text = get("retry-after");
  const atMs = text === undefined ? Number.NaN : /^\d+$/.test(text) ? nowMs + Number(text) * 1_000 : Date.parse(text);
  const resetMs = get("x-ratelimit-remaining") === "0" ? Number(get("x-ratelimit-reset")) * 1_000 : Number.NaN;
  const untilMs = Number.isNaN(atMs) ? resetMs : atMs;
  return Number.isNaN(untilMs) ? undefined : Math.min(retryAfterMsMax, Math.max(0, untilMs - nowMs));
}

function failed(
  source: string,
  what: string,
  { cause, retryAfterMs }: { readonly cause?: unknown; readonly retryAfterMs?: number | undefined } = {},
): MillraceError {
  return new MillraceError("RECONCILE_FAILED", `the vendor's list of "${source}": ${what}`, {
    hint: `It is asked again by itself; webhooks are taken meanwhile.`,
    ...(cause === undefined ? {} : { cause }),
    ...(retryAfterMs === undefined ? {} : { details: { retryAfterMs } }),
  });
}
