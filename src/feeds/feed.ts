/**
 * What a live subscription hands out, whatever carries it (SSE, WebSocket, long poll): frames, pulled one at a time.
 *
 * Always true: a subscriber that resumes with the last `id` it saw gets what follows, without a gap and without a
 * repetition, or a `gap` frame that says so. A feed holds no frames for a subscriber that does not pull.
 * Not here: heartbeats, and closing a peer that does not read (the doors).
 */
import type { Caller } from "../views/policy/caller.ts";
import type { Filter, Selected } from "../views/view-info.ts";

/** `end` is the last one, of a feed that the server ends: it says why. */
export type FrameEvent = "snapshot" | "changes" | "progress" | "gap" | "events" | "end";

/** Frozen, and one object for all subscribers that get the same frame. */
export interface Frame {
  readonly event: FrameEvent;
  /** What to resume with; null where a resume must go back to the frame before (a part of a snapshot, a gap). */
  readonly id: string | null;
  /** JSON text on one line. */
  readonly data: string;
}

export interface ViewFeedRequest {
  readonly view: string;
  readonly filter: Filter | null;
  /** What of rows is shown beside their keys; all of them when null or left out. */
  readonly select?: readonly Selected[] | null;
  /** Who follows it: whoever, when left out. */
  readonly caller?: Caller;
  /** `Last-Event-ID`, as the client sent it; null begins with a snapshot. */
  readonly lastEventId: string | null;
  readonly signal?: AbortSignal;
}

export interface TopicFeedRequest {
  readonly topic: string;
  /** Where to begin: a cursor is a topic token or the `id` of an earlier frame, offsets need `partition`. */
  readonly from:
    | { readonly kind: "earliest" }
    | { readonly kind: "latest" }
    | { readonly kind: "time"; readonly timestampMs: number }
    | { readonly kind: "cursor"; readonly cursor: string }
    | { readonly kind: "offset"; readonly offset: number };
  /** Only this partition; all of them when left out. */
  readonly partition?: number;
  readonly signal?: AbortSignal;
}

/** Ends with the signal (without an error), when the feeds are closed, or by `return`; reading on after that answers done. */
export type Feed = AsyncIterableIterator<Frame, undefined, undefined>;

export interface Feeds {
  /**
   * Resolves when the first read has succeeded, so that a refusal can still be answered with a status.
   * Frames: `snapshot` `{token, key, rows, more?}` (`key` names the key columns), then `changes` `{token, changes: [{op, key, row?}], more?}` per batch,
   * `progress` `{token}`, and `gap` `{from, to, reason}` followed by a snapshot.
   * Throws `VIEW_UNKNOWN`, `VIEW_BUILDING`, `VIEW_FAILED`, `CALLER_UNKNOWN`, `CALLER_REFUSED`, `COLUMN_UNKNOWN`, `FILTER_INVALID`, `PATH_INVALID`, `REQUEST_INVALID`, `TOKEN_INVALID`, `STORE_UNAVAILABLE`.
   */
  openViewFeed(request: ViewFeedRequest): Promise<Feed>;
  /**
   * Frames: `events` `{events: [{partition, offset, timestamp, key, value, headers}], next}`, whose `next` is also its
   * `id`, and `progress` `{next}`. Records that were retired before they were read are told by `gap` `{from, to, reason}`.
   * Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`, `TOKEN_INVALID`, `TOKEN_FOREIGN`, `OFFSET_OUT_OF_RANGE`, `REQUEST_INVALID`.
   */
  openTopicFeed(request: TopicFeedRequest): Promise<Feed>;
  /** Feeds that are open now. */
  open(): { readonly views: number; readonly topics: number };
  /** Ends every open feed. */
  close(): Promise<void>;
}

const encoded = new WeakMap<Frame, Buffer>();

/** The frame as an event of `text/event-stream` (WHATWG HTML, 9.2). One buffer for all who get the same frame: not to be written to. */
export function encodeSse(frame: Frame): Buffer {
  let bytes = encoded.get(frame);
  if (!bytes) {
    const id = frame.id === null ? "" : `id: ${frame.id}\n`;
    bytes = Buffer.from(`event: ${frame.event}\n${id}data: ${frame.data}\n\n`);
    encoded.set(frame, bytes);
  }
  return bytes;
}
