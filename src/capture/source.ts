/**
 * The port to something outside that changes: a snapshot, then a stream, as one ordered sequence of transactions
 * with positions. `source.suite.ts` is the suite that every variant passes.
 *
 * Always true: the outside is told that a position is done only when the log has every whole transaction up to it
 * durably; rows, END with frontier, and the progress record are one log transaction.
 */
import type { MillraceError } from "../base/errors.ts";
import type { ServerIdentity } from "../catalog/source-token.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { RetryResult } from "./retry.ts";
import type { Orphan, SlotWal, WalAllowance } from "./slot-look.ts";
import type { ReadProgress, TableProgress } from "./snapshot/table-progress.ts";

export type SourceState =
  | { readonly kind: "connecting" }
  | ({ readonly kind: "snapshotting" } & ReadProgress)
  | { readonly kind: "streaming" }
  /** Tries again by itself at `retryAtMs`. */
  | { readonly kind: "waiting"; readonly error: MillraceError; readonly retryAtMs: number }
  /** Needs somebody. */
  | { readonly kind: "failed"; readonly error: MillraceError }
  /** Until somebody resumes it; `error` where nobody asked for the pause. Removed: it was meant for good. */
  | {
      readonly kind: "paused" | "removed";
      readonly slot: "kept" | "dropped";
      readonly sinceMs: number;
      readonly error?: MillraceError;
    }
  /** Captured once, and in the module no more. */
  | { readonly kind: "left" }
  | { readonly kind: "stopped" };

/** A table of a source, and about how many rows it has there. */
export interface TableStatus extends TableShape {
  /** By the source's own statistics, as old as its last `analyze`; null before they were read. */
  readonly rowsEstimated: number | null;
}

export interface SourceStatus {
  readonly name: string;
  readonly type: "postgres";
  readonly state: SourceState;
  /** Without the password. */
  readonly url: string;
  readonly tables: readonly TableStatus[];
  /** Changes written to the log since this process began. */
  readonly changes: number;
  readonly transactions: number;
  /** The last position that is durable in the log, as the source prints it (`0/16B3748`); null before the first. */
  readonly position: string | null;
  /** How far the source's end is ahead of that, where it is known. */
  readonly lagBytes: number | null;
  /** Age of the oldest change that is not yet in the log; 0 when there is none. */
  readonly lagMs: number | null;
  /** Tables that are read: all of them in the first load, single ones while the stream of the others goes on. */
  readonly reading: readonly TableProgress[];
  readonly slot: string | null;
  /** Which server is captured; absent before the first snapshot. */
  readonly server?: ServerIdentity;
  /** What the source's server keeps for us; null while it is not known. */
  readonly wal: SlotWal | null;
  /** Absent where the definition sets no `walHeldBytesMax`. */
  readonly walAllowance?: WalAllowance;
  /** What earlier Millraces, or removed sources, have left behind in the source. */
  readonly orphans: readonly Orphan[];
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
  /** Where the end of the source is now, as the source prints it. Throws `SOURCE_UNREACHABLE` while it does not stream. */
  end(): Promise<string>;
  /** A new snapshot in place of what is there: the way out where changes were lost. Takes effect at once. */
  resnapshot(): void;
  /**
   * Reads one table anew (`schema.table`, or `table` of `public`) while the others go on; resolves when that has begun.
   * Throws `TABLE_UNKNOWN`, `SOURCE_UNREACHABLE` while it does not stream, and what keeps the table from being captured.
   */
  readTable(table: string): Promise<void>;
  /** Goes on from where the server is, and says so in the log: the way out where nothing that matters was lost. */
  adopt(): void;
  /**
   * Stops until `resume`, through restarts. The slot is kept, and holds the source's log, or dropped, and a resume takes
   * a new snapshot. `remove` also takes the publications away. Resolves when the log says so; throws what it throws.
   */
  hold(kind: "paused" | "removed", slot: "keep" | "drop"): Promise<void>;
  /** No error when it runs. */
  resume(): Promise<void>;
  /** Tries what was set aside once more, oldest first. Throws `SOURCE_UNREACHABLE` while it does not stream. */
  retry(): Promise<RetryResult>;
  /** Why the source was refused when the process began; null when it was not. */
  refusedAtStart(): MillraceError | null;
  /** `release` gives up what the source holds for us (the slot), and says so in the progress record. */
  stop(options?: { readonly release?: boolean }): Promise<void>;
}
