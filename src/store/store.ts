/**
 * PostgreSQL 18 or later, where mirrors and views live: a server that Millrace starts and minds itself
 * (`embedded-server.ts`), or the user's own (`MILLRACE_STORE`). `store.suite.ts` runs on both.
 */
import type { Client, Pool } from "pg";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { besideDatabase, makeBeside } from "./beside.ts";
import { createDatabase, type DatabaseRequest, openStoreDatabase, storeDatabase } from "./embedded-databases.ts";
import { type EmbeddedServer, openEmbeddedServer } from "./embedded-server.ts";
import { StoreMonitor } from "./monitor.ts";
import { checkOwnServer, openOwnServer } from "./own-server.ts";
import { openReaders, type ReaderLogins } from "./roles.ts";
import {
  clientConfig,
  connectClient,
  type Login,
  openPool,
  readerSession,
  sharedSession,
  sharedTransactionMs,
  writerSession,
} from "./session.ts";
import { SharedSessions } from "./shared-sessions.ts";

export interface StoreAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
}

export interface Store {
  readonly kind: "embedded" | "own";
  /** For people and tools: the shared role, which sees `views.*` and the mirrors. */
  readonly reader: StoreAddress;
  /** As PostgreSQL's server_version_num, 180004 for 18.4. */
  readonly serverVersion: number;
  /** A connection of its own, for the one writer of a group. Closed by the caller. Throws `STORE_UNAVAILABLE`. */
  connect(name: string): Promise<Client>;
  /** Connections for the program's own reads, with the role that reads everything, a statement timeout and a bounded size. Throws `STORE_UNAVAILABLE` when none is to be had. */
  readonly readers: Pool;
  /** Connections for people's statements, with the shared role. */
  readonly shared: Pool;
  /** Connections with the writing role, for small administrative statements. */
  readonly admin: Pool;
  /** Called when the server went away and when it is back (a supervised restart, or the user's own). */
  onChange(listener: (state: "up" | "down") => void): void;
  state(): "up" | "down";
  /** Why it is down; null while it is up. */
  problem?(): MillraceError | null;
  /**
   * The store of a group of views beside `main`: a database of its own in the same server, made when it is missing. Closed
   * by the caller, before this one. Throws `STORE_UNAVAILABLE`, `STORE_NOT_PERMITTED`, `STORE_UNSUITABLE`.
   */
  beside?(group: string): Promise<Store>;
  /** In the embedded server only: a database of its own with its own role, which may replicate. Made once, found again by name. */
  createDatabase?(request: DatabaseRequest): Promise<StoreAddress>;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** The user's own PostgreSQL (`MILLRACE_STORE`); null for the embedded one. */
  readonly url: string | null;
  /** The embedded server's files stand in its folder `pg`. */
  readonly dataDirectory: string;
  /** Of the embedded server; 0 means any. */
  readonly port: number;
  /** True when a user named the port: taken is then `PORT_TAKEN`, else the next free one is used. */
  readonly portRequired: boolean;
  /** A folder with PostgreSQL's programs (`MILLRACE_PG_BIN`); null for those from npm. */
  readonly binDirectory: string | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly readersMax?: number;
  readonly statementTimeoutMs?: number;
  /** How long the user's own server is waited for at the start. */
  readonly openTimeoutMs?: number;
}

const readersMaxDefault = 10;
const adminMax = 4;
const sharedMax = 4;
/** Statements that are still running when the store is closed are cut off after this. */
const drainMs = 1_000;

/**
 * Throws what a start of the server throws (`embedded-server.ts`, `own-server.ts`), and `STORE_NOT_PERMITTED` when the
 * read-only role cannot be made. Nothing runs on when it throws.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  if (options.url !== null) {
    const writer = await openOwnServer({ openTimeoutMs: 60_000, ...options, url: options.url });
    const store = await assemble(options, writer, null);
    return {
      ...store,
      beside: async (group) => {
        const login = { ...writer, database: besideDatabase(writer.database, group) };
        await makeBeside(store.admin, login);
        return await assemble(
          besideOptions(options),
          await checkOwnServer(login, { ...options, openTimeoutMs: 0 }),
          null,
        );
      },
    };
  }
  const server = await openEmbeddedServer(options);
  try {
    const store = await assemble(options, await openStoreDatabase(server), server);
    return {
      ...store,
      createDatabase: async (request) => address(await createDatabase(server, request, options.random)),
      beside: async (group) => {
        const login = await openStoreDatabase(server, besideDatabase(storeDatabase, group));
        return await assemble(besideOptions(options), login, server);
      },
      close: async () => {
        await store.close();
        await server.close();
      },
    };
  } catch (cause) {
    await server.close();
    throw cause;
  }
}

/** Groups of one server share its connections. */
function besideOptions(options: StoreOptions): StoreOptions {
  return { ...options, readersMax: Math.ceil((options.readersMax ?? readersMaxDefault) / 2) };
}

/** On a database that is there. Closing it leaves the server to whoever opened that. */
async function assemble(options: StoreOptions, writer: Login, server: EmbeddedServer | null): Promise<Store> {
  const { clock, random, diagnostics, readersMax = readersMaxDefault, statementTimeoutMs = 30_000 } = options;
  const connect = (name: string) => connectClient(clientConfig(writer, writerSession, name));
  const { shared: reader, program, serverVersion } = await prepare(writer, { statementTimeoutMs, random });
  const monitor = new StoreMonitor({ connect: () => connect("monitor"), clock, random, diagnostics });
  await monitor.start();
  server?.onRestart(() => monitor.nudge());
  const readers = openPool(clientConfig(program, readerSession(statementTimeoutMs), "reader"), readersMax, diagnostics);
  const shared = openPool(clientConfig(reader, sharedSession(statementTimeoutMs), "query"), sharedMax, diagnostics);
  const admin = openPool(clientConfig(writer, writerSession, "admin"), adminMax, diagnostics);
  const transactionMs = sharedTransactionMs;
  const sessions = new SharedSessions({ admin, role: reader.user, transactionMs, clock, diagnostics });
  return {
    kind: server ? "embedded" : "own",
    reader: address({ ...reader, host: server?.host ?? reader.host }),
    serverVersion,
    connect,
    readers,
    shared,
    admin,
    onChange: (listener) => monitor.onChange(listener),
    state: () => monitor.state(),
    problem: () => (monitor.problem === null ? null : (server?.problem() ?? monitor.problem)),
    async close() {
      await monitor.close();
      await sessions.close();
      const waiting = new AbortController();
      const drained = Promise.all([readers.end(), shared.end(), admin.end()]).then(() => waiting.abort());
      await Promise.race([drained, clock.sleep(drainMs, waiting.signal).catch(() => {})]);
    },
  };
}

async function prepare(
  writer: Login,
  options: { readonly statementTimeoutMs: number; readonly random: Random },
): Promise<ReaderLogins & { readonly serverVersion: number }> {
  const client = await connectClient(clientConfig(writer, writerSession, "start"));
  try {
    const logins = await openReaders({ client, writer, ...options });
    const { rows } = await client.query("select current_setting('server_version_num')::int as version");
    return { ...logins, serverVersion: Number(rows[0]?.version) };
  } finally {
    await client.end().catch(() => {});
  }
}

function address({ host, port, database, user, password }: Login): StoreAddress {
  return { host, port, database, user, password: password ?? "" };
}
