/** All open feeds of the process: one hub per view, shape of filter and caller, and a bound on what they read at once. */
import type { Clock } from "../base/clock.ts";
import type { Engine } from "../engine/engine.ts";
import { plainReader, type WireReader } from "../schema/registry/wire-reader.ts";
import { anyone, type Caller, callerText } from "../views/policy/caller.ts";
import { Slots } from "../views/reader-slots.ts";
import type { ViewsReader } from "../views/view-info.ts";
import type { Feed, Feeds, TopicFeedRequest, ViewFeedRequest } from "./feed.ts";
import { type FilterShape, shapeOf } from "./filter-shape.ts";
import { SharedReads } from "./shared-reads.ts";
import { TopicFeed, type TopicFeedLimits } from "./topic-feed.ts";
import { ViewFeed } from "./view-feed.ts";
import { type HubLimits, RingBudget, ViewHub } from "./view-hub.ts";

export interface FeedLimits extends HubLimits, TopicFeedLimits {
  /** Of all rings together. */
  readonly ringsBytesMax: number;
  /** Reads of change rows at once. */
  readonly reads: number;
}

export interface FeedsOptions {
  readonly views: ViewsReader;
  readonly engine: Engine;
  readonly clock: Clock;
  /** Of values in the wire format; without it they are bytes. */
  readonly wire?: WireReader;
  readonly limits?: Partial<FeedLimits>;
}

export const defaultFeedLimits: FeedLimits = {
  ringBytesMax: 4 * 1024 * 1024,
  ringsBytesMax: 64 * 1024 * 1024,
  snapshotBytesMax: 1024 * 1024,
  reads: 2,
  progressMs: 1_000,
  retryMs: 1_000,
  eventsMax: 500,
  frameCharactersMax: 256 * 1024,
  readBytes: 512 * 1024,
  waitMs: 30_000,
};

export function openFeeds(options: FeedsOptions): Feeds {
  return new OpenFeeds(options);
}

class OpenFeeds implements Feeds {
  readonly #options: FeedsOptions;
  readonly #limits: FeedLimits;
  readonly #hubs = new Map<string, ViewHub>();
  readonly #slots: Slots;
  readonly #reads: SharedReads;
  readonly #budget: RingBudget;
  readonly #viewFeeds = new Set<Feed>();
  readonly #topicFeeds = new Set<Feed>();

  constructor(options: FeedsOptions) {
    this.#options = options;
    this.#limits = { ...defaultFeedLimits, ...options.limits };
    this.#slots = new Slots(this.#limits.reads);
    this.#reads = new SharedReads(options.views, this.#slots);
    this.#budget = new RingBudget(this.#limits.ringsBytesMax);
  }

  async openViewFeed(request: ViewFeedRequest): Promise<Feed> {
    const { clock } = this.#options;
    const { caller = anyone } = request;
    const reader = this.#readerOf(caller);
    reader.info(request.view);
    const shape = shapeOf(request.filter, request.select);
    const key = `${shape.text} ${callerText(caller)} ${request.view}`;
    const hub = this.#hub(key, request.view, shape, caller);
    let feed: Feed | undefined;
    const onClose = () => {
      if (feed) this.#viewFeeds.delete(feed);
      if (hub.subscribers > 0) return;
      hub.close();
      if (this.#hubs.get(key) === hub) this.#hubs.delete(key);
    };
    const { retryMs } = this.#limits;
    const shaped = { ...request, filter: shape.filter };
    feed = await ViewFeed.open({ reader, clock, hub, slots: this.#slots, request: shaped, retryMs, onClose });
    if (request.signal?.aborted !== true) this.#viewFeeds.add(feed);
    return feed;
  }

  async openTopicFeed(request: TopicFeedRequest): Promise<Feed> {
    const { engine, clock, wire = plainReader } = this.#options;
    let feed: Feed | undefined;
    const onClose = () => {
      if (feed) this.#topicFeeds.delete(feed);
    };
    feed = await TopicFeed.open({ engine, clock, wire, request, limits: this.#limits, onClose });
    if (request.signal?.aborted !== true) this.#topicFeeds.add(feed);
    return feed;
  }

  open(): { readonly views: number; readonly topics: number } {
    return { views: this.#viewFeeds.size, topics: this.#topicFeeds.size };
  }

  async close(): Promise<void> {
    const feeds = [...this.#viewFeeds, ...this.#topicFeeds];
    await Promise.all(feeds.map((feed) => feed.return?.()));
  }

  #readerOf(caller: Caller): ViewsReader {
    const { views } = this.#options;
    return caller.kind === "anyone" ? views : views.as(caller);
  }

  #hub(key: string, view: string, shape: FilterShape, caller: Caller): ViewHub {
    const found = this.#hubs.get(key);
    if (found) return found;
    const { clock } = this.#options;
    const hub = new ViewHub({
      reader: this.#readerOf(caller),
      clock,
      view,
      shape,
      caller,
      reads: this.#reads,
      budget: this.#budget,
      limits: this.#limits,
    });
    this.#hubs.set(key, hub);
    return hub;
  }
}
