/** What others see of the publishers: where each stands, and what it waits for. */
import type { MillraceError } from "../base/errors.ts";
import type { GroupPosition } from "../views/view-info.ts";

export type PublisherState =
  /** Takes the topic over. */
  | { readonly kind: "starting" }
  /** Reads the topic back, and writes what is different. */
  | { readonly kind: "comparing" }
  /** Writes each batch when it is committed. */
  | { readonly kind: "publishing" }
  /** Tries again by itself. */
  | { readonly kind: "waiting"; readonly error: MillraceError; readonly retryAtMs: number }
  /** Until the definitions are others, or the next start. */
  | { readonly kind: "stopped"; readonly error: MillraceError };

export interface PublicationInfo {
  readonly view: string;
  readonly topic: string;
  readonly state: PublisherState;
  /** The topic is the view at this position; null while that is not known. */
  readonly position: GroupPosition | null;
  /** Batches of the view's group that the topic lacks; null while it cannot be told. */
  readonly behind: number | null;
  /** Written since the start. */
  readonly records: number;
  /** Of the view, with changes of it, since the start. */
  readonly batches: number;
}

export interface PublicationsInfo {
  list(): readonly PublicationInfo[];
  /** Undefined for a view that is not published. */
  of(view: string): PublicationInfo | undefined;
}
