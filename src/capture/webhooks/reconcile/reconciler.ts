/**
 * Asks the vendor of one source, from time to time, for what its webhooks did not bring, and keeps it. Runs by itself and
 * never inside a call.
 *
 * Always true: where a pass stands is in the log, written behind the events that it stands for, so that a kill repeats a
 * page at most, which deduplication makes harmless; who has been fenced writes no place. A failure is told, and
 * tried again with growing pauses, no sooner than the vendor allows.
 * Not here: which span is next (windows.ts), what a page does (take-page.ts).
 */
import type { Clock } from "../../../base/clock.ts";
import type { Diagnostics } from "../../../base/diagnostics.ts";
import { MillraceError } from "../../../base/errors.ts";
import type { Random } from "../../../base/random.ts";
import type { ReconcileDefinition } from "../../../catalog/define/reconcile.ts";
import type { WebhookDefinition } from "../../../catalog/definitions.ts";
import type { Engine } from "../../../engine/engine.ts";
import { becomeOwner, type Ownership, unitOfReconcile } from "../../../ownership/become-owner.ts";
import type { ProgressTable } from "../../../ownership/progress-table.ts";
import type { HookLog } from "../hook-log.ts";
import { ReconcileCounts, type ReconcileStatus, reconcileStatus, reconcileWarnings } from "./reconcile-status.ts";
import { takePage } from "./take-page.ts";
import { VendorList } from "./vendor-list.ts";
import {
  afterFailures,
  afterPage,
  backTo,
  endsPass,
  freshState,
  planWindow,
  type ReconcileState,
  readState,
  stateRecord,
  type WindowClock,
} from "./windows.ts";

/** A definition that says how. */
export type ReconciledDefinition = WebhookDefinition & { readonly reconcile: ReconcileDefinition };

export interface ReconcilerOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly progress: ProgressTable;
  readonly log: Pick<HookLog, "accept" | "idsSinceMs">;
  /** In place of Node's. */
  readonly fetch?: typeof fetch;
}

const retryMsMin = 1_000;
const retryMsMax = 5 * 60_000;
/** Between two looks whether the source knows its ids. */
const servingMs = 500;

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #list: VendorList;
  readonly #counts = new ReconcileCounts();
  readonly #stop = new AbortController();
  #definition: ReconciledDefinition;
  #owner: Ownership | undefined;
  #place: ReconcileState = freshState;
  #state: ReconcileStatus["state"] = "waiting";
  #error: MillraceError | undefined;
  #failures = 0;
  /** In monotonic time; undefined before the first pass. */
  #nextAtMs: number | undefined;
  #requested: { readonly sinceMs: number | null } | undefined;
  #wake: () => void = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(definition: ReconciledDefinition, options: ReconcilerOptions) {
    this.#definition = definition;
    this.#options = options;
    this.#list = new VendorList({
      source: definition.name,
      clock: options.clock,
      ...(options.fetch && { fetch: options.fetch }),
    });
  }

  start(): void {
    this.#running = this.#run();
  }

  redefine(definition: ReconciledDefinition): void {
    const isLater = definition.reconcile.everyMs !== this.#definition.reconcile.everyMs;
    this.#definition = definition;
    if (isLater && this.#error === undefined) this.#nextAtMs = undefined;
    this.#wake();
  }

  /** Begins a pass now, at the latest when the vendor allows; `sinceMs` goes back as far as ids are known. */
  request(sinceMs: number | null): void {
    this.#requested = { sinceMs };
    this.#wake();
  }

  status(): ReconcileStatus {
    return reconcileStatus(this.#facts);
  }

  warnings(): readonly string[] {
    return reconcileWarnings(this.#facts, this.#options.clock.now(), this.#definition.reconcile);
  }

  async close(): Promise<void> {
    this.#stop.abort(new MillraceError("SHUTTING_DOWN", "Millrace is stopping"));
    this.#wake();
    await this.#running;
    this.#state = "stopped";
  }

  get #facts() {
    const { clock } = this.#options;
    const nextAtMs =
      this.#nextAtMs === undefined || this.#state === "asking"
        ? undefined
        : clock.now() + Math.max(0, this.#nextAtMs - clock.monotonicMs());
    return { state: this.#state, place: this.#place, error: this.#error, nextAtMs, counts: this.#counts };
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      const waitMs = this.#windowClock() === undefined ? servingMs : await this.#turn();
      if (waitMs <= 0 || this.#stop.signal.aborted) continue;
      await new Promise<void>((resolve) => {
        const timer = clock.after(waitMs, resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
    }
  }

  /** One pass when it is due; answers how long to wait. */
  async #turn(): Promise<number> {
    const { clock } = this.#options;
    try {
      const owner = await this.#own();
      this.#nextAtMs ??= clock.monotonicMs() + this.#dueInMs();
      const beganMs = clock.monotonicMs();
      if (this.#requested === undefined && this.#nextAtMs > beganMs) return this.#nextAtMs - beganMs;
      this.#state = "asking";
      await this.#pass(owner);
      this.#counts.passes++;
      this.#failures = 0;
      this.#error = undefined;
      this.#state = "waiting";
      // So that sources that began together do not ask together for ever.
      this.#nextAtMs = beganMs + this.#definition.reconcile.everyMs * (0.95 + this.#options.random.next() / 10);
    } catch (thrown) {
      if (!this.#stop.signal.aborted) this.#failed(MillraceError.from(thrown));
    }
    return (this.#nextAtMs ?? 0) - clock.monotonicMs();
  }

  /** Since when, by what the log says, the next pass is due; at once where one was under way. */
  #dueInMs(): number {
    const { completeMs, window } = this.#place;
    const { everyMs, graceMs } = this.#definition.reconcile;
    if (completeMs === null || window) return 0;
    return Math.min(everyMs, Math.max(0, completeMs + graceMs + everyMs - this.#options.clock.now()));
  }

  async #own(): Promise<Ownership> {
    if (this.#owner) return this.#owner;
    const { engine, progress, diagnostics } = this.#options;
    const { name } = this.#definition;
    const owner = await becomeOwner(engine, unitOfReconcile(name), { progress });
    const place = readState(owner.progress);
    if (!place && owner.progress !== undefined) {
      diagnostics.warn("where a source was reconciled to cannot be read; it is asked for anew", { source: name });
    }
    this.#place = place ?? freshState;
    this.#owner = owner;
    return owner;
  }

  async #pass(owner: Ownership): Promise<void> {
    const { engine, clock, log } = this.#options;
    const { signal } = this.#stop;
    for (;;) {
      const definition = this.#definition;
      await this.#goBack(owner);
      const now = this.#windowClock();
      if (!now) throw this.#notServing();
      const isFirst = this.#place.completeMs === null;
      this.#place = planWindow(this.#place, now, definition.reconcile);
      const { window } = this.#place;
      if (!window) return;
      // Where the first window of all begins is no later after a kill.
      if (isFirst) await this.#write(owner, this.#place);
      const page = await this.#list.page(definition.reconcile, window, signal);
      // It may have taken long: ids from its beginning may be forgotten by now.
      const idsSinceMs = this.#windowClock()?.idsSinceMs;
      if (idsSinceMs === undefined) throw this.#notServing();
      if (window.sinceMs < idsSinceMs) continue;
      const outcome = await takePage(page.events, {
        definition,
        engine,
        nowMs: clock.now(),
        accept: (event) => log.accept(event),
      });
      this.#tell(outcome);
      await this.#write(owner, afterPage(this.#place, page, definition.reconcile));
      this.#failures = 0;
      if (endsPass(window, page, definition.reconcile) && !this.#requested) return;
    }
  }

  async #goBack(owner: Ownership): Promise<void> {
    const requested = this.#requested;
    const now = this.#windowClock();
    if (!requested || !now) return;
    if (requested.sinceMs !== null) {
      await this.#write(owner, backTo(this.#place, requested.sinceMs, now, this.#definition.reconcile));
    }
    if (this.#requested === requested) this.#requested = undefined;
  }

  /** Undefined while the source does not know its ids. */
  #windowClock(): WindowClock | undefined {
    const { idsSinceMs } = this.#options.log;
    return idsSinceMs === undefined ? undefined : { nowMs: this.#options.clock.now(), idsSinceMs };
  }

  /** Durable when it resolves. Whether a write that failed is in the log is known when it is read again. */
  async #write(owner: Ownership, place: ReconcileState): Promise<void> {
    try {
      const transaction = owner.begin();
      await transaction.append(owner.progressBatch(stateRecord(place)));
      await transaction.commit();
    } catch (error) {
      this.#owner = undefined;
      throw error;
    }
    this.#place = place;
  }

  #tell(outcome: Parameters<ReconcileCounts["add"]>[0]): void {
    const { clock, diagnostics } = this.#options;
    const source = this.#definition.name;
    const fresh = this.#counts.add(outcome, clock.now());
    // A line for a page: after a downtime there may be many thousands.
    const [missed, altered] = (["missed", "altered"] as const).map((kind) => fresh.filter((one) => one.kind === kind));
    const facts = (some: typeof fresh) => ({ source, count: some.length, first: some[0]?.id });
    if (missed?.length) diagnostics.info("webhooks were missed, and their events are kept now", facts(missed));
    if (altered?.length) diagnostics.warn("the vendor's list has events otherwise than they were kept", facts(altered));
  }

  #failed(error: MillraceError): void {
    const { clock, random, diagnostics } = this.#options;
    this.#failures++;
    this.#counts.failures++;
    this.#error = error;
    this.#state = "failing";
    if (error.code === "RECONCILE_FAILED") this.#place = afterFailures(this.#place, this.#failures);
    const growing = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(20, this.#failures - 1));
    const { retryAfterMs } = error.details;
    const pauseMs = Math.max(growing * (0.5 + random.next() / 2), typeof retryAfterMs === "number" ? retryAfterMs : 0);
    this.#nextAtMs = clock.monotonicMs() + pauseMs;
    diagnostics.warn("a source cannot be reconciled with its vendor; it is tried again", {
      source: this.#definition.name,
      error,
      pauseMs: Math.round(pauseMs),
    });
  }

  #notServing(): MillraceError {
    return new MillraceError("UNIT_MOVING", `source "${this.#definition.name}" takes no events now`, {
      hint: "It goes on by itself.",
    });
  }
}
