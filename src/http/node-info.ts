/** What a process says about itself: `/v1/nodes`. */
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
  readonly addresses: {
    readonly http: string;
    /** `bootstrap.servers` of Kafka clients; null while that door is shut. */
    readonly kafka: string | null;
    readonly store: string;
  };
}
