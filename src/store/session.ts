/**
 * Connections: where to, as whom, and with which settings. The settings are pinned at the start of each session, so
 * that values have one text form whatever the server, the database or the role say otherwise.
 */
import pg, { type Client, type ClientConfig, type Pool, type PoolClient } from "pg";
import type { Diagnostics } from "../base/diagnostics.ts";
import { storeFailure } from "./failure.ts";

/** A way into the store: `host` is a folder for a Unix socket. */
export interface Login {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Undefined where the server asks for none, or the user's pgpass file has it. */
  readonly password: string | undefined;
  readonly ssl: ClientConfig["ssl"];
}

export type Settings = Readonly<Record<string, string | number>>;

export const pinnedSession: Settings = {
  TimeZone: "UTC",
  DateStyle: "ISO, YMD",
  IntervalStyle: "iso_8601",
  extra_float_digits: 1,
  bytea_output: "hex",
  xmloption: "content",
  standard_conforming_strings: "on",
  backslash_quote: "safe_encoding",
  search_path: "pg_catalog, public",
  default_transaction_isolation: "read committed",
};

/** An acknowledged batch is on the store's disk, also where the server's default says otherwise. */
export const writerSession: Settings = { ...pinnedSession, synchronous_commit: "on" };

export function readerSession(statementTimeoutMs: number): Settings {
  return {
    ...pinnedSession,
    search_path: "views, public",
    default_transaction_read_only: "on",
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: 300_000,
    // A statement of somebody who has gone away ends.
    client_connection_check_interval: 1_000,
  };
}

/** The longest transaction of the shared role: one that reads holds back what vacuum can take away. */
export const sharedTransactionMs = 600_000;

/** A session may lift each of these for itself; `shared-sessions.ts` ends one whose transaction is too long all the same. */
export function sharedSession(statementTimeoutMs: number): Settings {
  return {
    ...readerSession(statementTimeoutMs),
    lock_timeout: 10_000,
    idle_in_transaction_session_timeout: 60_000,
    transaction_timeout: sharedTransactionMs,
  };
}

const connectTimeoutMs = 10_000;
const keepAliveDelayMs = 10_000;

export function clientConfig(login: Login, settings: Settings, name: string): ClientConfig {
  return {
    host: login.host,
    port: login.port,
    database: login.database,
    user: login.user,
    ...(login.password === undefined ? {} : { password: login.password }),
    ...(login.ssl === undefined ? {} : { ssl: login.ssl }),
    // The server cuts at 63 bytes and says so in its log.
    application_name: `millrace ${name}`.slice(0, 60),
    options: startupOptions(settings),
    client_encoding: "UTF8",
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveDelayMs,
  };
}

/** As the start-up packet's `options` takes them: split at blanks that no backslash precedes. */
export function startupOptions(settings: Settings): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${String(value).replaceAll(/[\\ ]/g, "\\$&")}`)
    .join(" ");
}

/** Connected. A connection that drops later fails its statements and emits `end`; it never ends the process. */
export async function connectClient(config: ClientConfig): Promise<Client> {
  const client = new pg.Client(config);
  client.on("error", () => {});
  try {
    await client.connect();
    return client;
  } catch (cause) {
    await client.end().catch(() => {});
    throw storeFailure(cause);
  }
}

type ConnectCallback = (
  error: Error | undefined,
  client: PoolClient | undefined,
  done: (release?: unknown) => void,
) => void;

/** A pool whose failures to get a connection are `STORE_UNAVAILABLE`; statements' own errors are as they are. */
class StorePool extends pg.Pool {
  override connect(): Promise<PoolClient>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<PoolClient> | undefined {
    if (callback === undefined) {
      return super.connect().catch((cause: unknown) => {
        throw storeFailure(cause);
      });
    }
    super.connect((error, client, done) => callback(error && (storeFailure(error) as Error), client, done));
    return undefined;
  }
}

export function openPool(config: ClientConfig, connectionsMax: number, diagnostics: Diagnostics): Pool {
  const pool = new StorePool({ ...config, max: connectionsMax, idleTimeoutMillis: 60_000 });
  pool.on("error", (cause) => diagnostics.debug("an idle connection to the store was lost", { cause: cause.message }));
  // A connection that somebody holds has no listener of the pool's.
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}
