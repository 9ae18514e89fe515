/** The user's own PostgreSQL as the store (`MILLRACE_STORE`): found, waited for, and checked before anything is written. */
import pg, { type Client, escapeIdentifier } from "pg";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { backoffMs } from "./backoff.ts";
import { readerRole } from "./roles.ts";
import { clientConfig, connectClient, type Login, writerSession } from "./session.ts";

export interface OwnServerOptions {
  readonly url: string;
  /** How long a server that does not answer is waited for: in a group of containers it may start after us. */
  readonly openTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
}

/** Throws `SETTING_INVALID`, `STORE_UNAVAILABLE`, `STORE_TOO_OLD`, `STORE_NOT_PERMITTED`, `STORE_UNSUITABLE`. */
export async function openOwnServer(options: OwnServerOptions): Promise<Login> {
  return await checkOwnServer(parseStoreUrl(options.url), options);
}

/** The same for a login that is known. Answers it. */
export async function checkOwnServer(login: Login, options: Omit<OwnServerOptions, "url">): Promise<Login> {
  const client = await connectPatiently(login, options);
  try {
    const refusal = judge(await inspect(client), login.database);
    if (refusal) throw refusal;
    return login;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Throws `SETTING_INVALID`. The message never shows the URL, which may hold a password. */
export function parseStoreUrl(url: string): Login {
  try {
    if (!/^postgres(?:ql)?:\/\//.test(url)) throw new Error("it does not begin with postgres://");
    const { host, port, database, user, password, ssl } = new pg.Client({ connectionString: url });
    if (database === undefined || user === undefined) throw new Error("it names no database or no user");
    return { host, port, database, user, password: password ?? undefined, ssl };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MillraceError("SETTING_INVALID", `MILLRACE_STORE is no address of a PostgreSQL: ${reason}`, {
      hint: "Write it as postgres://user:password@host:5432/database, with ?sslmode=verify-full for TLS.",
      details: { setting: "MILLRACE_STORE" },
    });
  }
}

async function connectPatiently(login: Login, options: Omit<OwnServerOptions, "url">): Promise<Client> {
  const { clock, random, diagnostics } = options;
  const deadline = clock.monotonicMs() + options.openTimeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await connectClient(clientConfig(login, writerSession, "check"));
    } catch (cause) {
      if (cause instanceof Error && /unsupported startup parameter/.test(cause.message))
        throw behindPooler(cause.message);
      const pauseMs = backoffMs(attempt, random);
      if (!MillraceError.is(cause, "STORE_UNAVAILABLE") || clock.monotonicMs() + pauseMs > deadline) throw cause;
      if (attempt === 0) {
        diagnostics.warn("the store does not answer yet, and is tried again", { reason: cause.message });
      }
      await clock.sleep(pauseMs);
    }
  }
}

export interface Inspection {
  /** server_version_num */
  readonly version: number;
  readonly role: string;
  readonly superuser: boolean;
  readonly createRole: boolean;
  readonly createInDatabase: boolean;
  readonly temporary: boolean;
  readonly readersExist: boolean;
  readonly standby: boolean;
  readonly encoding: string;
  /** Whether the settings of the start-up packet arrived. */
  readonly pinned: boolean;
}

async function inspect(client: Client): Promise<Inspection> {
  const readers = (["shared", "program"] as const).map((kind) => readerRole(client.database ?? "", kind));
  const { rows } = await client.query<Inspection>(
    `select current_setting('server_version_num')::int as "version", rolname::text as "role", rolsuper as "superuser",
       rolcreaterole as "createRole",
       has_database_privilege(current_database(), 'CREATE') as "createInDatabase",
       has_database_privilege(current_database(), 'TEMPORARY') as "temporary",
       (select count(*) from pg_roles where rolname = any($1)) = 2 as "readersExist",
       pg_is_in_recovery() as "standby", current_setting('server_encoding') as "encoding",
       current_setting('IntervalStyle') = '${writerSession.IntervalStyle}' as "pinned"
     from pg_roles where rolname = current_user`,
    [readers],
  );
  const row = rows[0];
  if (!row) throw new MillraceError("STORE_UNAVAILABLE", "the store does not know the role that it let in");
  return row;
}

/** Pure: why this server and role will not do, or null. */
export function judge(found: Inspection, database: string): MillraceError | null {
  if (found.version < 180_000) {
    const version = `${Math.floor(found.version / 10_000)}.${found.version % 10_000}`;
    return new MillraceError("STORE_TOO_OLD", `the store is PostgreSQL ${version}; 18 or later is needed`, {
      hint: "Upgrade it, name another server in MILLRACE_STORE, or leave the setting out to use the embedded one.",
      details: { version: found.version },
    });
  }
  if (found.standby) {
    return new MillraceError("STORE_UNSUITABLE", "the store is a standby, which cannot be written", {
      hint: "Name the primary in MILLRACE_STORE.",
    });
  }
  if (found.encoding !== "UTF8") {
    return new MillraceError("STORE_UNSUITABLE", `the store's database has the encoding ${found.encoding}, not UTF8`, {
      hint: `Make another one: create database millrace encoding 'UTF8' template template0;`,
    });
  }
  if (!found.pinned) return behindPooler("it leaves out the settings of a session's start");
  const missing = missingRights(found, database);
  if (missing.length === 0) return null;
  return new MillraceError("STORE_NOT_PERMITTED", `the role ${found.role} lacks rights in the store's database`, {
    hint: `As an administrator of the store, run: ${missing.join(" ")}`,
    details: { sql: missing },
  });
}

function missingRights(found: Inspection, database: string): string[] {
  if (found.superuser) return [];
  const role = escapeIdentifier(found.role);
  const onDatabase = [found.createInDatabase ? [] : ["create"], found.temporary ? [] : ["temporary"]].flat();
  const grants =
    onDatabase.length === 0
      ? []
      : [`grant ${onDatabase.join(", ")} on database ${escapeIdentifier(database)} to ${role};`];
  return found.createRole || found.readersExist ? grants : [...grants, `alter role ${role} createrole;`];
}

function behindPooler(reason: string): MillraceError {
  return new MillraceError("STORE_UNSUITABLE", `the store is reached through a pooler: ${reason}`, {
    hint: "Name PostgreSQL's own address in MILLRACE_STORE: Millrace pools by itself, and needs sessions of its own.",
  });
}
