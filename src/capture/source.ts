/**
 * The port to something outside that changes: a snapshot, then a stream, as one ordered sequence of transactions
 * with positions. `source.suite.ts` is the suite that every variant passes.
 *
 * Always true: the outside is told that a position is done only when the log has every whole transaction up to it
 * durably; rows, END with frontier, and the progress record are one log transaction.
 */
import type { MillraceError } from "../base/errors.ts";
import type { TableShape } from "../schema/table-shape.ts";

export type SourceState =
  | { readonly kind: "connecting" }
  | { readonly kind: "snapshotting"; readonly rows: number; readonly rowsEstimated: number }
  | { readonly kind: "streaming" }
  /** Tries again by itself at `retryAtMs`. */
  | { readonly kind: "waiting"; readonly error: MillraceError; readonly retryAtMs: number }
  /** Needs somebody. */
  | { readonly kind: "failed"; readonly error: MillraceError }
  | { readonly kind: "stopped" };

export interface SourceStatus {
  readonly name: string;
  readonly type: "postgres";
  readonly state: SourceState;
  /** Without the password. */
  readonly url: string;
  readonly tables: readonly TableShape[];
  /** Changes written to the log since this process began. */
  readonly changes: number;
  readonly transactions: number;
  /** The last position that is durable in the log, as the source prints it (`0/16B3748`); null before the first. */
  readonly position: string | null;
  /** How far the source's end is ahead of that, where it is known. */
  readonly lagBytes: number | null;
  /** Age of the oldest change that is not yet in the log; 0 when there is none. */
  readonly lagMs: number | null;
  readonly slot: string | null;
  /** Sentences for the operator: types carried as text, settings that are dangerous. */
  readonly warnings: readonly string[];
}

export interface Source {
  readonly name: string;
  status(): SourceStatus;
  /** Runs until `stop`; failures that may pass are retried with growing pauses and shown in the status. */
  start(): void;
  /**
   * Resolves when the log has everything up to this position of the source (its end of now when left out), or when the
   * source does not stream. A quiet source is asked at once, and says so in a HEARTBEAT record. Never rejects.
   */
  catchUp(position?: string): Promise<void>;
  /** A new snapshot in place of what is there: the way out where changes were lost. Takes effect at once. */
  resnapshot(): void;
  /** `release` gives up what the source holds for us (the slot), and says so in the progress record. */
  stop(options?: { readonly release?: boolean }): Promise<void>;
}
