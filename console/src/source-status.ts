/** What the HTTP interface tells of a source; the shapes are those of `/openapi.json`. */
import type { Problem } from "./api.ts";

/** How far the reading of rows is. */
export interface ReadProgress {
  readonly rows: number;
  readonly rowsEstimated: number;
  readonly rowsPerSecond: number | null;
  readonly remainingMs: number | null;
}

export interface TableReading extends ReadProgress {
  /** `schema.table`. */
  readonly table: string;
  readonly reason: string;
  readonly waiting: boolean;
}

export interface SourceTable {
  readonly schema: string;
  readonly table: string;
  readonly topic: string;
  readonly key: readonly string[] | null;
  readonly appendOnly: boolean;
  readonly rowsEstimated: number | null;
  readonly columns: readonly {
    readonly name: string;
    readonly sourceType: string;
    readonly storeType: string;
    readonly nullable: boolean;
    readonly carriedAsText: boolean;
  }[];
}

export interface SourceStatus {
  readonly name: string;
  readonly type: "postgres" | "webhook";
  readonly state: {
    readonly kind:
      | "connecting"
      | "snapshotting"
      | "streaming"
      | "waiting"
      | "failed"
      | "paused"
      | "removed"
      /** In the module no more, with its slot still in the database. */
      | "left"
      | "stopped";
    readonly slot?: "kept" | "dropped";
    readonly sinceMs?: number;
    readonly error?: Problem;
    readonly retryAtMs?: number;
  } & Partial<ReadProgress>;
  readonly url: string;
  readonly tables: readonly SourceTable[];
  readonly changes: number;
  readonly transactions: number;
  readonly position: string | null;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  /** Tables that are read, those that wait for their turn last. */
  readonly reading?: readonly TableReading[];
  readonly slot: string | null;
  readonly wal: {
    readonly heldBytes: number;
    readonly safeBytes: number | null;
    readonly limitBytes: number | null;
    readonly status: string;
  } | null;
  readonly walAllowance?: { readonly heldBytesMax: number; readonly whenFull: "pause" | "drop-slot" };
  readonly orphans: readonly {
    readonly kind: "slot" | "publication";
    readonly name: string;
    readonly heldBytes: number | null;
    readonly sql: string;
  }[];
  readonly warnings: readonly string[];
  readonly hook?: HookStatus;
}

export interface HookStatus {
  readonly verifier: string;
  readonly topic: string;
  readonly accepted: number;
  readonly duplicates: number;
  readonly challenges: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly late: number;
  readonly lastEventAt: string | null;
  readonly ids: { readonly held: number; readonly max: number; readonly bytes: number; readonly evicted: number };
  readonly reconcile?: ReconcileStatus | null;
}

/** Of the passes over the vendor's own list. */
export interface ReconcileStatus {
  readonly state: "waiting" | "asking" | "failing" | "stopped";
  readonly completeTo: string | null;
  readonly nextAt: string | null;
  readonly error: Problem | null;
  readonly passes: number;
  readonly listed: number;
  readonly missed: number;
  readonly altered: number;
  readonly corrected: number;
}

export interface Retried {
  readonly tried: number;
  readonly written: number;
  readonly superseded: number;
  readonly refused: number;
  readonly reasons: readonly string[];
  readonly more: boolean;
}
