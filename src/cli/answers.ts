/** What the HTTP door answers, as far as the commands print it. The shapes are those of `/openapi.json`. */

import type { Orphan, SlotWal } from "../capture/slot-look.ts";
import type { TableStatus } from "../capture/source.ts";
import type { HookStatus } from "../capture/webhooks/hook-status.ts";
import type { FindOptions, ReadOptions } from "../catalog/definitions.ts";
import type { BuildProgress, ViewColumn } from "../views/view-info.ts";

export interface List<T> {
  readonly items: readonly T[];
}

export interface ErrorAnswer {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export interface TopicAnswer {
  readonly name: string;
  readonly id: string;
  readonly readOnly: boolean;
  readonly createdAt: string;
  readonly sizeBytes: number;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly partitions: readonly {
    readonly partition: number;
    readonly logStart: number;
    readonly highWatermark: number;
    readonly lastStable: number;
  }[];
}

/** How far the reading of rows is. */
export interface ReadAnswer {
  readonly rows: number;
  readonly rowsEstimated: number;
  readonly rowsPerSecond: number | null;
  readonly remainingMs: number | null;
}

export interface SourceAnswer {
  readonly name: string;
  readonly type: string;
  readonly url: string;
  readonly state:
    | { readonly kind: "connecting" | "streaming" | "left" | "stopped" }
    | ({ readonly kind: "snapshotting" } & ReadAnswer)
    | { readonly kind: "waiting" | "failed"; readonly error: ErrorAnswer }
    | {
        readonly kind: "paused" | "removed";
        readonly slot: "kept" | "dropped";
        readonly sinceMs: number;
        readonly error?: ErrorAnswer;
      };
  readonly tables: readonly TableStatus[];
  readonly changes: number;
  readonly transactions: number;
  readonly position: string | null;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  /** Tables that are read. */
  readonly reading?: readonly (ReadAnswer & {
    readonly table: string;
    readonly reason: string;
    readonly waiting: boolean;
  })[];
  readonly slot: string | null;
  readonly wal: SlotWal | null;
  readonly orphans: readonly Orphan[];
  readonly warnings: readonly string[];
  /** Of a source of webhooks. */
  readonly hook?: HookAnswer;
}

export type HookAnswer = HookStatus["hook"];

export interface ViewAnswer {
  readonly name: string;
  /** Absent in answers of earlier versions. */
  readonly group?: string;
  readonly sql: string;
  readonly class: string;
  readonly columns: readonly ViewColumn[];
  /** Null where rows may be there several times. */
  readonly key: readonly string[] | null;
  readonly hash: string;
  /** What it can be searched by. */
  readonly find?: FindOptions;
  /** How it is read beside as rows. */
  readonly reads?: ReadOptions;
  /** Which rows callers are shown; absent where everybody is shown all of them. */
  readonly policy?: string;
  readonly history?: "store";
  readonly versions?: { readonly name: string; readonly keep: string | null };
  /** Of one that is published to a topic. */
  readonly publishing?: PublishingAnswer;
  /** Of one that is run again as a whole. */
  readonly refresh?: { readonly every: string; readonly behind: boolean };
  /** Of one whose rows belong to windows that end, and of that of its late events. */
  readonly window?: {
    readonly ends: string;
    readonly grace: string;
    readonly session?: { readonly gap: string; readonly by: readonly string[] };
    readonly emit: "updates" | "final";
  };
  readonly watermarks?: readonly { readonly topic: string; readonly at: string | null }[];
  readonly state:
    | { readonly kind: "live"; readonly replacement?: BuildProgress }
    | { readonly kind: "removed" }
    | ({ readonly kind: "building" } & BuildProgress)
    | { readonly kind: "failed"; readonly error: ErrorAnswer };
  readonly rowsEstimated: number;
  readonly changes: number;
}

export interface PublishingAnswer {
  readonly topic: string;
  readonly state:
    | { readonly kind: "starting" | "comparing" | "publishing" }
    | { readonly kind: "waiting" | "stopped"; readonly error: ErrorAnswer };
  readonly position: string | null;
  readonly behind: number | null;
  readonly batches: number;
  readonly records: number;
}

export interface EventsAnswer {
  readonly events: readonly EventAnswer[];
  readonly next: string;
}

export interface EventAnswer {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: unknown;
  readonly value: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
}

export interface QueryAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** There are more rows than were asked for. */
  readonly more?: true;
}

/** A part of a path. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}
