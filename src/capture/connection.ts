/**
 * Connections to a source: ordinary ones, and one that replicates. Both print values in the one form that the log
 * carries: ISO dates, UTC, ISO 8601 intervals, shortest floats, hexadecimal bytea, UTF-8.
 */
import pg from "pg";
import { MillraceError } from "../base/errors.ts";

/**
 * Prints as every reader expects it, whatever the server's or the role's own settings are. A database without an encoding
 * would refuse to send what is no UTF-8: from it the bytes come as they are, and are checked here.
 */
export const printingSettings =
  "select set_config('client_encoding', case current_setting('server_encoding') when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end, false); " +
  "set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set intervalstyle = 'iso_8601'; set extra_float_digits = 1; " +
  "set bytea_output = 'hex'; set xmlbinary = 'base64'; set lc_monetary = 'C'; set search_path = public";

/** A snapshot is one long transaction and a stream one long wait: what the role has set for people does not apply. */
const withoutTimeouts =
  "select set_config(name, '0', false) from pg_settings where name in ('statement_timeout', 'lock_timeout', " +
  "'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";

const connectTimeoutMs = 15_000;

export interface SourceAddress {
  readonly name: string;
  readonly url: string;
}

/** An error after connecting ends the connection; who uses it sees it in its own call. Throws `SOURCE_UNREACHABLE`, `SOURCE_NOT_PERMITTED`, `SOURCE_POOLER`. */
export async function connect(source: SourceAddress, purpose: "query" | "replication"): Promise<pg.Client> {
  refusePooler(source);
  const client = new pg.Client({
    connectionString: source.url,
    application_name: `millrace ${source.name}`,
    keepAlive: true,
    connectionTimeoutMillis: connectTimeoutMs,
    ...(purpose === "replication" ? { replication: "database" } : {}),
  } as pg.ClientConfig);
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query(printingSettings);
    await client.query(withoutTimeouts);
  } catch (cause) {
    await closeConnection(client);
    throw sourceError(cause, source);
  }
  return client;
}

/** Never throws. */
export async function closeConnection(client: pg.Client): Promise<void> {
  try {
    await client.end();
  } catch {
    // It is gone, which is what was wanted.
  }
}

/** The address without its password. */
export function publicUrl(url: string): string {
  try {
    const parsed = new URL(url);
    if (parsed.password !== "") parsed.password = "";
    parsed.searchParams.delete("password");
    return parsed.href;
  } catch {
    return "postgres://(unreadable)";
  }
}

/** Known poolers by their addresses; others are recognised by what they answer. */
function refusePooler(source: SourceAddress): void {
  let url: URL;
  try {
    url = new URL(source.url);
  } catch (cause) {
    throw new MillraceError("SOURCE_UNREACHABLE", `the url of source "${source.name}" cannot be read`, { cause });
  }
  const direct = directAddress(url);
  if (direct === null) return;
  throw new MillraceError("SOURCE_POOLER", `source "${source.name}" points at a connection pooler (${url.host})`, {
    hint: `Replication needs the database itself: use ${direct}.`,
    details: { source: source.name },
  });
}

function directAddress(url: URL): string | null {
  if (/-pooler\./.test(url.hostname)) return `the host ${url.hostname.replace("-pooler.", ".")}`;
  if (/\.pooler\.supabase\.com$/.test(url.hostname)) {
    return "the direct connection string of the project (host db.<project>.supabase.co, port 5432)";
  }
  return null;
}

const permissionStates = new Set(["28000", "28P01", "42501"]);
const networkCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
]);

/** What PostgreSQL or the network said, as an error with a code. A `MillraceError` stays what it is. */
export function sourceError(cause: unknown, source: SourceAddress): MillraceError {
  if (MillraceError.is(cause)) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const details = { source: source.name, ...(code === "" ? {} : { sqlState: code }) };
  const extra = { cause, details };
  if (/unsupported startup parameter.*replication/i.test(message)) {
    return new MillraceError("SOURCE_POOLER", `source "${source.name}" points at a connection pooler: ${message}`, {
      ...extra,
      hint: "Replication needs the address of the database itself.",
    });
  }
  if (code === "55006") {
    return new MillraceError("SOURCE_SLOT_IN_USE", `source "${source.name}": ${message}`, extra);
  }
  if (code === "53400") {
    return new MillraceError("SOURCE_NOT_PERMITTED", `source "${source.name}": ${message}`, {
      ...extra,
      hint: "Raise max_replication_slots and max_wal_senders, or drop slots that nobody reads: select slot_name from pg_replication_slots where not active.",
    });
  }
  if ((code === "55000" || code === "42704") && /replication slot/i.test(message)) {
    return new MillraceError("SOURCE_SLOT_LOST", `source "${source.name}": ${message}`, {
      ...extra,
      hint: resnapshotHint(source.name),
    });
  }
  if (code === "3D000" || permissionStates.has(code)) {
    return new MillraceError("SOURCE_NOT_PERMITTED", `source "${source.name}": ${message}`, {
      ...extra,
      hint: permissionHint(source, message),
    });
  }
  const passes = networkCodes.has(code) || /^(08|53|57|58|40)/.test(code) || /^(Connection|timeout)/.test(message);
  if (passes) {
    return new MillraceError("SOURCE_UNREACHABLE", `source "${source.name}" does not answer: ${message}`, {
      ...extra,
      hint: "It is tried again by itself. Is the server running, and the address right?",
    });
  }
  return new MillraceError("SOURCE_FAILED", `source "${source.name}": ${message}`, extra);
}

/** The way out where changes are lost for good. */
export function resnapshotHint(source: string): string {
  return `Changes may be missing, so the source must be read anew: millrace sources resnapshot ${source}. Its views are built again from the new snapshot.`;
}

function permissionHint(source: SourceAddress, message: string): string {
  let user = "the role";
  try {
    user = `"${decodeURIComponent(new URL(source.url).username)}"`;
  } catch {
    // The name is only for the hint.
  }
  if (/replication|wal sender/i.test(message)) {
    return `As a superuser: alter role ${user} replication; and pg_hba.conf must let it connect. On RDS: grant rds_replication to ${user}; on Cloud SQL and Azure: alter user ${user} with replication.`;
  }
  return "Check user, password and database in the url, and pg_hba.conf on the server.";
}
