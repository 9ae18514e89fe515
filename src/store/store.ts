/**
 * PostgreSQL 18 or later, where mirrors and views live: a server that Millrace starts and minds itself
 * (`embedded-server.ts`), or the user's own (`MILLRACE_STORE`). `store.suite.ts` runs on both.
 */
import type { Client, Pool } from "pg";

export interface StoreAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
}

export interface Store {
  readonly kind: "embedded" | "own";
  /** For people and tools: the read-only role, which sees `views.*` and the mirrors. */
  readonly reader: StoreAddress;
  /** As PostgreSQL's server_version_num, 180004 for 18.4. */
  readonly serverVersion: number;
  /** A connection of its own, for the one writer of a group. Closed by the caller. */
  connect(name: string): Promise<Client>;
  /** Connections for reads, with the read-only role, a statement timeout and a bounded size. Throws `STORE_UNAVAILABLE` when none is to be had. */
  readonly readers: Pool;
  /** Connections with the writing role, for small administrative statements. */
  readonly admin: Pool;
  /** Called when the server went away and when it is back (a supervised restart, or the user's own). */
  onChange(listener: (state: "up" | "down") => void): void;
  state(): "up" | "down";
  close(): Promise<void>;
}
