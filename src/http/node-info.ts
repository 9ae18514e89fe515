/** What a process says about itself, and about its groups of views: `/v1/nodes`. */
import type { MillraceError } from "../base/errors.ts";

/** Of one group of views. */
export interface GroupInfo {
  readonly name: string;
  /** `waiting` tries again by itself, `stopped` needs somebody. */
  readonly state: "running" | "waiting" | "stopped";
  /** Why its views are not kept right now, or not read. */
  readonly error: MillraceError | null;
  readonly position: { readonly generation: number; readonly batch: number };
  /** Null where it was not reached since the start. */
  readonly store: Pick<NodeInfo["store"], "kind" | "state" | "reader"> | null;
}

export interface NodeInfo {
  readonly version: string;
  readonly logId: string;
  readonly pid: number;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly mode: "dev" | "start";
  readonly store: {
    readonly kind: "embedded" | "own";
    readonly state: "up" | "down";
    /** As PostgreSQL's server_version_num; 0 before the store was reached. */
    readonly version: number;
    /** For people and tools; without the password. */
    readonly reader: { readonly host: string; readonly port: number; readonly database: string; readonly user: string };
  };
  /** `main` first. */
  readonly groups: readonly GroupInfo[];
  readonly addresses: {
    readonly http: string;
    /** `bootstrap.servers` of Kafka clients; null while that door is shut. */
    readonly kafka: string | null;
    readonly store: string;
  };
}
