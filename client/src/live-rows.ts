/**
 * The rows of a view in the client's memory, kept as the server's: a snapshot, then each batch of changes as a whole.
 *
 * Always true: `rows` is a state that the view had. What a frame with `more` begins shows only when its last part is
 * there; a part of a snapshot that was cut is dropped, a part of a batch goes on where it was cut.
 */
import { MillraceClientError } from "./client-error.ts";
import { type Followed, type Frame, follow, type Pace } from "./follow.ts";
import { type Change, merged, RowMap, type SentChange } from "./row-map.ts";
import type { Conditions } from "./row-query.ts";
import type { Transport } from "./transport.ts";

/** The rows after a snapshot or a batch, and what changed since the update before. */
export interface Update<Row> {
  /** By key, as `keyText` prints it. The same map each time: it is the present state. */
  readonly rows: ReadonlyMap<string, Row>;
  /** True when the rows were read anew: at the beginning and after a gap. `changes` are then all rows. */
  readonly snapshot: boolean;
  readonly changes: readonly Change<Row>[];
  /** What the rows show: `after` of a read that must not be older. */
  readonly token: string;
}

export interface Gap {
  readonly from: string | null;
  readonly to: string | null;
  readonly reason: string;
}

export type LiveStatus =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  | { readonly kind: "waiting"; readonly error: MillraceClientError; readonly pauseMs: number }
  | { readonly kind: "failed"; readonly error: MillraceClientError }
  | { readonly kind: "closed" };

export interface LiveOptions<Row, Shown = Row> extends Conditions<Row>, LiveHandlers<Shown> {
  /** What of the rows is shown, beside the columns of their key: columns, or a text in PostgREST's grammar. */
  readonly select?: readonly (keyof Row)[] | string;
}

interface LiveHandlers<Row> {
  readonly onUpdate?: (update: Update<Row>) => void;
  /** Changes were missed (the server no longer keeps them); a fresh snapshot follows. */
  readonly onGap?: (gap: Gap) => void;
  readonly onStatus?: (status: LiveStatus) => void;
  readonly signal?: AbortSignal;
}

interface LiveSource<Row> {
  readonly transport: Transport;
  readonly pace: Pace;
  readonly path: string;
  readonly query: readonly (readonly [string, string])[];
  readonly options: LiveHandlers<Row>;
}

interface Part {
  readonly event: string;
  readonly items: unknown[];
}

/** Iterate it for updates (who is slow gets several in one), or give handlers; both may be used. */
export class LiveRows<Row extends object> implements AsyncIterable<Update<Row>> {
  readonly #source: LiveSource<Row>;
  readonly #map = new RowMap<Row>();
  readonly #closing = new AbortController();
  readonly #iterators = new Set<UpdateIterator<Row>>();
  #part: Part | undefined;
  #status: LiveStatus = { kind: "connecting" };
  #token: string | undefined;

  constructor(source: LiveSource<Row>) {
    this.#source = source;
    const { signal } = source.options;
    signal?.addEventListener("abort", () => this.close(), { once: true, signal: this.#closing.signal });
    if (signal?.aborted) this.close();
    else void this.#run();
  }

  /** The present state; empty before the first update. */
  get rows(): ReadonlyMap<string, Row> {
    return this.#map.rows;
  }

  get status(): LiveStatus {
    return this.#status;
  }

  /** What `rows` shows; undefined before the first update. */
  get token(): string | undefined {
    return this.#token;
  }

  /**
   * How a row's key is spelled in `rows`: the JSON of its values in the order of the key columns. Without a key it is the
   * JSON of the row, and its further copies have a blank and their number behind: ` 2`, ` 3`.
   */
  keyText(key: Partial<Row>): string {
    return this.#map.keyText(key);
  }

  /** Begins with the present state, when there is one. Throws what ended the feed for good; ends when it is closed. */
  [Symbol.asyncIterator](): AsyncIterator<Update<Row>> {
    const iterator = new UpdateIterator<Row>(() => this.#iterators.delete(iterator));
    this.#iterators.add(iterator);
    const over = this.#status.kind === "failed" || this.#status.kind === "closed";
    if (this.#token !== undefined && !over) iterator.push(this.#everything(this.#token), (key) => this.keyText(key));
    if (this.#status.kind === "failed") iterator.end(this.#status.error);
    if (this.#status.kind === "closed") iterator.end(undefined);
    return iterator;
  }

  /** Idempotent. */
  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new MillraceClientError("CLOSED", "the live rows were closed"));
    if (this.#status.kind !== "failed") this.#setStatus({ kind: "closed" });
    for (const iterator of this.#iterators) iterator.end(undefined);
  }

  async #run(): Promise<void> {
    const { transport, path, pace, query } = this.#source;
    try {
      const followed = follow({
        transport,
        path,
        pace,
        lastEventId: null,
        restarts: true,
        signal: this.#closing.signal,
        request: () => ({ query }),
      });
      for await (const one of followed) this.#take(one);
    } catch (cause) {
      if (this.#closing.signal.aborted) return;
      const error =
        cause instanceof MillraceClientError
          ? cause
          : new MillraceClientError("ANSWER_INVALID", `the feed could not be read: ${cause}`, { cause });
      this.#setStatus({ kind: "failed", error });
      for (const iterator of this.#iterators) iterator.end(error);
      this.#closing.abort(error);
    }
  }

  #take(one: Followed): void {
    switch (one.kind) {
      case "connected":
        if (this.#part?.event === "snapshot") this.#part = undefined;
        return;
      case "waiting":
        this.#setStatus({ kind: "waiting", error: one.error, pauseMs: one.pauseMs });
        return;
      case "restarted":
        this.#gap({ from: this.#token ?? null, to: null, reason: one.error.message });
        return;
      case "event":
        this.#frame(one.event, one.data);
    }
  }

  #frame(event: string, frame: Frame): void {
    switch (event) {
      case "gap": {
        const { from, to, reason } = frame;
        this.#gap({ from: textOf(from), to: textOf(to), reason: String(reason) });
        return;
      }
      case "progress":
        this.#arrive(String(frame.token));
        return;
      case "snapshot":
      case "changes": {
        // A snapshot in place of what was begun: the server told a gap, or begins again.
        if (this.#part?.event !== event) this.#part = { event, items: [] };
        for (const item of (event === "snapshot" ? frame.rows : frame.changes) as unknown[])
          this.#part.items.push(item);
        if (frame.more === true) return;
        const { items } = this.#part;
        this.#part = undefined;
        if (event === "snapshot") this.#replace(items as Row[], frame.key as string[] | null, String(frame.token));
        else this.#apply(items as SentChange<Row>[], String(frame.token));
      }
    }
  }

  #replace(rows: readonly Row[], keyColumns: readonly string[] | null, token: string): void {
    this.#map.replace(rows, keyColumns);
    this.#arrive(token);
    this.#tell(this.#everything(token));
  }

  #apply(sent: readonly SentChange<Row>[], token: string): void {
    const changes = this.#map.apply(sent);
    this.#arrive(token);
    this.#tell({ rows: this.#map.rows, snapshot: false, changes, token });
  }

  #arrive(token: string): void {
    this.#token = token;
    this.#source.transport.keepToken("views", token);
    if (this.#status.kind !== "live") this.#setStatus({ kind: "live" });
  }

  #everything(token: string): Update<Row> {
    return { rows: this.#map.rows, snapshot: true, changes: this.#map.everything(), token };
  }

  #gap(gap: Gap): void {
    this.#part = undefined;
    this.#source.options.onGap?.(gap);
  }

  #tell(update: Update<Row>): void {
    this.#source.options.onUpdate?.(update);
    for (const iterator of this.#iterators) iterator.push(update, (key) => this.keyText(key));
  }

  #setStatus(status: LiveStatus): void {
    this.#status = status;
    this.#source.options.onStatus?.(status);
  }
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** Holds at most one update: those that nobody has taken become one, the last change of a key winning; without a key they are added up. */
class UpdateIterator<Row> implements AsyncIterator<Update<Row>> {
  readonly #onReturn: () => void;
  #pending: { update: Update<Row>; changes: Map<string, Change<Row>> } | undefined;
  #ended = false;
  #error: unknown;
  #wake: (() => void) | undefined;

  constructor(onReturn: () => void) {
    this.#onReturn = onReturn;
  }

  push(update: Update<Row>, keyText: (key: Partial<Row>) => string): void {
    const changes = update.snapshot ? new Map<string, Change<Row>>() : (this.#pending?.changes ?? new Map());
    for (const change of update.changes) {
      const text = keyText(change.key);
      const one = merged(changes.get(text), change);
      if (one === undefined) changes.delete(text);
      else changes.set(text, one);
    }
    const snapshot = update.snapshot || this.#pending?.update.snapshot === true;
    this.#pending = { update: { ...update, snapshot }, changes };
    this.#wake?.();
  }

  end(error: unknown): void {
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<Update<Row>>> {
    for (;;) {
      const pending = this.#pending;
      if (pending) {
        this.#pending = undefined;
        const changes = [...pending.changes.values()].filter((one) => !pending.update.snapshot || one.op !== "delete");
        return { done: false, value: { ...pending.update, changes } };
      }
      if (this.#ended) {
        const error = this.#error;
        this.#error = undefined;
        this.#onReturn();
        if (error !== undefined) throw error;
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  return(): Promise<IteratorResult<Update<Row>>> {
    this.#pending = undefined;
    this.end(undefined);
    this.#onReturn();
    return Promise.resolve({ done: true, value: undefined });
  }
}
