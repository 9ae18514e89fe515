/**
 * One subscriber of a view: snapshot, batches, progress, gaps. It holds a position and at most the frames of one batch;
 * everything else is the hub's (`view-hub.ts`) or is read from the store when it is pulled.
 */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { Slots } from "../views/reader-slots.ts";
import type { ChangesAnswer, GroupPosition, ViewsReader } from "../views/view-info.ts";
import type { Feed, Frame, ViewFeedRequest } from "./feed.ts";
import { changesFrames, gapFrame, largeFrames, progressFrame } from "./feed-frames.ts";
import { decodeFeedId } from "./token.ts";
import type { ViewHub } from "./view-hub.ts";

export interface ViewFeedOptions {
  readonly reader: ViewsReader;
  readonly clock: Clock;
  readonly hub: ViewHub;
  readonly slots: Slots;
  readonly request: ViewFeedRequest;
  readonly retryMs: number;
  readonly onClose: () => void;
}

const done = { done: true, value: undefined } as const;

export class ViewFeed implements Feed {
  readonly #options: ViewFeedOptions;
  readonly #leave: () => void;
  readonly #onAbort = () => this.#close();
  #position: GroupPosition;
  /** Frames of the batch after `position` that the client has already. */
  #skip: { readonly batch: number; readonly frames: number } | undefined;
  #queue: readonly Frame[] = [];
  #next = 0;
  #pages: AsyncIterator<Frame, undefined> | undefined;
  /** What the pages are made from: a generator that was never asked does not pass on that it is left. */
  #source: AsyncIterable<unknown> | undefined;
  /** Where the feed stands when the pages have ended. */
  #pagesEnd: GroupPosition | undefined;
  #wake: (() => void) | undefined;
  #closed = false;

  private constructor(options: ViewFeedOptions) {
    this.#options = options;
    this.#position = options.hub.position;
    this.#leave = options.hub.join(() => this.#wake?.());
    options.request.signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (options.request.signal?.aborted) this.#close();
  }

  /** Resolves when the first frames are there, so that a refusal can be answered as such. */
  static async open(options: ViewFeedOptions): Promise<ViewFeed> {
    const feed = new ViewFeed(options);
    try {
      await feed.#begin(options.request.lastEventId);
    } catch (error) {
      feed.#close();
      throw error;
    }
    return feed;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Frame, undefined>> {
    try {
      for (;;) {
        if (this.#closed) return done;
        const frame = this.#queue[this.#next] ?? (this.#pages ? await this.#fromPages(this.#pages) : undefined);
        if (this.#closed) return done;
        if (frame) {
          if (frame === this.#queue[this.#next]) this.#next++;
          return { done: false, value: frame };
        }
        const advancing = this.#advance();
        if (advancing) await advancing;
      }
    } catch (error) {
      const wasClosed = this.#closed;
      this.#close();
      if (wasClosed) return done;
      throw error;
    }
  }

  return(): Promise<IteratorResult<Frame, undefined>> {
    this.#close();
    return Promise.resolve(done);
  }

  async #begin(lastEventId: string | null): Promise<void> {
    if (lastEventId === null) {
      await this.#openSnapshot();
      return;
    }
    const { frame, ...position } = decodeFeedId(lastEventId);
    if (frame === null) {
      this.#position = position;
    } else {
      this.#position = { ...position, batch: position.batch - 1 };
      this.#skip = { batch: position.batch, frames: frame };
    }
    const { hub } = this.#options;
    const answer = hub.after(this.#position);
    if (answer.kind === "batch" && answer.frames !== null) this.#takeBatch(answer.position, answer.frames);
    else if (answer.kind === "batch") await this.#openLarge(answer.position);
    else if (answer.kind === "behind" || answer.kind === "gap" || !hub.covers(this.#position)) await this.#readFrom();
    else this.#position = hub.position;
    // A resume is always answered.
    if (this.#queue.length === 0 && !this.#pages) this.#enqueue([progressFrame(this.#position)]);
  }

  /** Takes the frames that there are, at once, or waits until there may be some. */
  #advance(): Promise<void> | undefined {
    const { hub } = this.#options;
    const answer = hub.after(this.#position);
    switch (answer.kind) {
      case "batch": {
        const { position, frames } = answer;
        if (frames === null) return this.#patiently(() => this.#openLarge(position));
        this.#takeBatch(position, frames);
        return undefined;
      }
      case "progress":
        this.#enqueue([answer.frame]);
        this.#position = answer.position;
        return undefined;
      case "nothing":
        return this.#sleep();
      case "behind":
        return this.#patiently(() => this.#readFrom());
      case "gap":
        return this.#patiently(() => this.#gap(answer.reason, answer.current));
    }
  }

  #takeBatch(position: GroupPosition, frames: readonly Frame[]): void {
    this.#enqueue(this.#unseen(position.batch, frames));
    this.#position = position;
  }

  /** One bounded read from the store, for who is not where the ring is. */
  async #readFrom(): Promise<void> {
    const { reader, request, slots } = this.#options;
    const release = await slots.acquire(request.signal);
    let answer: ChangesAnswer;
    try {
      answer = await reader.changesSince(request.view, this.#position, request.filter, request.select);
    } finally {
      release();
    }
    if (answer.outcome === "gap") {
      await this.#gap(answer.reason, answer.current);
      return;
    }
    // A large batch is always the only one of its answer.
    const [first] = answer.batches;
    if (first?.large) {
      await this.#openLarge(first.position);
      return;
    }
    const frames = answer.batches.flatMap((one) => this.#unseen(one.position.batch, changesFrames(one)));
    const told = answer.batches.at(-1)?.position ?? this.#position;
    if (told.batch < answer.upTo.batch) frames.push(progressFrame(answer.upTo));
    this.#enqueue(frames);
    this.#position = answer.upTo;
  }

  async #gap(reason: string, current: GroupPosition): Promise<void> {
    const from = this.#position;
    await this.#openSnapshot();
    this.#enqueue([gapFrame(from, this.#pagesEnd ?? current, reason)]);
  }

  async #openSnapshot(): Promise<void> {
    const snapshot = await this.#options.hub.openSnapshot();
    this.#skip = undefined;
    this.#queue = [];
    this.#pages = snapshot.frames;
    this.#pagesEnd = snapshot.position;
    if (this.#closed) this.#dropPages();
  }

  /** A batch that is read by pages; when it is no longer kept, the store's answer to the whole range says so. */
  async #openLarge(position: GroupPosition): Promise<void> {
    const { reader, request } = this.#options;
    const pages = await reader.changesOf(request.view, position, request.filter, request.select);
    if (pages === null) {
      await this.#readFrom();
      return;
    }
    const skip = this.#skip?.batch === position.batch ? this.#skip.frames : 0;
    this.#skip = undefined;
    this.#pages = withoutFirst(skip, largeFrames(position, pages));
    this.#source = pages;
    this.#pagesEnd = position;
    if (this.#closed) this.#dropPages();
  }

  async #fromPages(pages: AsyncIterator<Frame, undefined>): Promise<Frame | undefined> {
    const { done: ended, value } = await pages.next();
    if (ended !== true) return value;
    this.#pages = undefined;
    if (this.#pagesEnd) this.#position = this.#pagesEnd;
    this.#pagesEnd = undefined;
    return undefined;
  }

  #unseen(batch: number, frames: readonly Frame[]): readonly Frame[] {
    const skip = this.#skip;
    if (!skip || batch < skip.batch) return frames;
    this.#skip = undefined;
    if (batch !== skip.batch) return frames;
    if (frames.length <= skip.frames) throw unknownFrame(skip.frames);
    return frames.slice(skip.frames);
  }

  #enqueue(frames: readonly Frame[]): void {
    this.#queue = frames;
    this.#next = 0;
  }

  /** What passes (a view being built, a store that restarts) is waited for; the client keeps its place. */
  async #patiently(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!MillraceError.is(error) || !passing.has(error.code) || this.#closed) throw error;
      const timer = this.#options.clock.after(this.#options.retryMs, () => this.#wake?.());
      await this.#sleep();
      timer.cancel();
    }
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (this.#closed) resolve();
    });
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.request.signal?.removeEventListener("abort", this.#onAbort);
    this.#leave();
    this.#queue = [];
    this.#dropPages();
    this.#wake?.();
    this.#options.onClose();
  }

  #dropPages(): void {
    this.#pages?.return?.().catch(() => {});
    this.#pages = undefined;
    this.#source?.[Symbol.asyncIterator]()
      .return?.()
      .catch(() => {});
    this.#source = undefined;
  }
}

const passing: ReadonlySet<string> = new Set(["VIEW_BUILDING", "STORE_UNAVAILABLE", "QUERY_TIMEOUT"]);

async function* withoutFirst(count: number, frames: AsyncIterable<Frame>): AsyncGenerator<Frame, undefined> {
  let skipped = 0;
  for await (const frame of frames) {
    if (skipped++ >= count) yield frame;
  }
  if (skipped <= count) throw unknownFrame(count);
}

function unknownFrame(frame: number): MillraceError {
  return new MillraceError("TOKEN_INVALID", `the id names frame ${frame} of a batch that has fewer`, {
    hint: "Resume with the id of the last event, as it was sent, with the same filter.",
  });
}
