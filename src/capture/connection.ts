/**
 * Connections to a source: ordinary ones, and one that replicates. Both print values in the one form that the log
 * carries: ISO dates, UTC, ISO 8601 intervals, shortest floats, hexadecimal bytea, UTF-8.
 */
import type { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import pg from "pg";
import { invariant, MillraceError } from "../base/errors.ts";
import { readNamedFile } from "../base/named-file.ts";
import { codeOf, isTlsFault, sourceError } from "./source-error.ts";
import { type ConnectPlan, type ConnectTry, planConnect } from "./tls-modes.ts";

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
/** A peer that is gone without a word is noticed on an idle connection after this, and ten probes. */
const keepAliveMs = 10_000;

export interface SourceAddress {
  readonly name: string;
  readonly url: string;
}

/** An error after connecting ends the connection; who uses it sees it in its own call. Throws `SOURCE_UNREACHABLE`, `SOURCE_NOT_PERMITTED`, `SOURCE_POOLER`, `SOURCE_TLS`. */
export async function connect(source: SourceAddress, purpose: "query" | "replication"): Promise<pg.Client> {
  refusePooler(source);
  try {
    const client = await openClient(source.url, {
      application_name: `millrace ${source.name}`,
      ...(purpose === "replication" ? { replication: "database" } : {}),
    } as pg.ClientConfig);
    try {
      await client.query(printingSettings);
      await client.query(withoutTimeouts);
    } catch (cause) {
      await closeConnection(client);
      throw cause;
    }
    return client;
  } catch (cause) {
    throw sourceError(cause, source);
  }
}

/**
 * A connection as the address asks for it: in the TLS modes of libpq, with its fallbacks. Throws `SOURCE_TLS`, and what
 * the network or the server said.
 */
export async function openClient(address: string, more: pg.ClientConfig = {}): Promise<pg.Client> {
  const outcome = planConnect(address);
  if ("fault" in outcome) throw new MillraceError("SOURCE_TLS", `the address cannot be used: ${outcome.fault}`);
  const { plan } = outcome;
  const secrets = await readSecrets(plan);
  let tries = [...plan.tries];
  for (;;) {
    const [next, ...rest] = tries;
    invariant(next !== undefined, "a plan has a try");
    try {
      return await tryToConnect(plan, next, secrets, more);
    } catch (error) {
      if (
        next.tls &&
        next.bind &&
        plan.binding === "prefer" &&
        /^SASL channel binding/.test((error as Error).message)
      ) {
        // A certificate that it cannot be made of: it was only preferred.
        tries = [{ ...next, bind: false }, ...rest];
      } else if (rest.length > 0 && leadsToTheNext(error, next)) tries = rest;
      else throw error;
    }
  }
}

interface Secrets {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

async function readSecrets({ files }: ConnectPlan): Promise<Secrets> {
  const read = async (name: string, path: string | null): Promise<string | undefined> => {
    if (path === null) return undefined;
    try {
      return await readNamedFile(path);
    } catch (cause) {
      throw new MillraceError("SOURCE_TLS", `the file that ${name} names cannot be read: ${(cause as Error).message}`, {
        cause,
      });
    }
  };
  const ca = await read("sslrootcert", files.authority);
  const cert = await read("sslcert", files.certificate);
  const key = await read("sslkey", files.key);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/** What the client has and its types do not tell. */
type ClientInside = pg.Client & { readonly connection: EventEmitter & { readonly stream: Duplex } };

async function tryToConnect(
  { url, binding, keyPassword, versionMin, direct }: ConnectPlan,
  one: ConnectTry,
  secrets: Secrets,
  more: pg.ClientConfig,
): Promise<pg.Client> {
  const tls = one.tls && {
    ...secrets,
    ...(keyPassword !== null && { passphrase: keyPassword }),
    ...(versionMin !== null && { minVersion: versionMin }),
    rejectUnauthorized: one.verify !== "nothing",
    ...(one.verify === "authority" && { checkServerIdentity: () => undefined }),
  };
  const client = new pg.Client({
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
    connectionTimeoutMillis: connectTimeoutMs,
    ...more,
    connectionString: url,
    ssl: tls,
    ...(tls && direct && { sslnegotiation: "direct" }),
    enableChannelBinding: one.tls && one.bind,
  } as pg.ClientConfig);
  client.on("error", () => {});
  const bound = binding === "require" ? requireBinding(client as ClientInside) : null;
  try {
    await client.connect();
    bound?.check();
    return client;
  } catch (error) {
    await closeConnection(client);
    throw bound?.fault() ?? error;
  }
}

/** Ends the connection before a password goes out in any other way than bound to the channel. */
function requireBinding({ connection }: ClientInside): { check(): void; fault(): MillraceError | null } {
  let seen = false;
  let error: MillraceError | null = null;
  const refuse = () => {
    error = new MillraceError("SOURCE_TLS", "channel_binding=require, and the server does not bind the channel", {
      hint: "It needs password_encryption = 'scram-sha-256', a password set since, and scram-sha-256 in pg_hba.conf.",
    });
    connection.stream.destroy();
  };
  connection.on("authenticationSASL", ({ mechanisms }: { readonly mechanisms: readonly string[] }) => {
    if (mechanisms.includes("SCRAM-SHA-256-PLUS")) seen = true;
    else refuse();
  });
  connection.on("authenticationCleartextPassword", refuse);
  connection.on("authenticationMD5Password", refuse);
  return {
    check() {
      if (!seen) refuse();
      if (error !== null) throw error;
    },
    fault: () => error,
  };
}

/** As libpq: TLS that cannot be had, or a rule of the server that is for the other way. A wrong password is not shown twice. */
function leadsToTheNext(error: unknown, one: ConnectTry): boolean {
  const code = codeOf(error);
  return code === "28000" || (one.tls && isTlsFault(error, code));
}

/** Never throws. */
export async function closeConnection(client: pg.Client): Promise<void> {
  try {
    await client.end();
  } catch {
    // It is gone, which is what was wanted.
  }
}

/** Known poolers by their addresses; others are recognised by what they answer. */
function refusePooler(source: SourceAddress): void {
  let url: URL;
  try {
    url = new URL(source.url);
  } catch {
    // What the parser says has the url in it, and with it the password.
    throw new MillraceError("SOURCE_UNREACHABLE", `the url of source "${source.name}" cannot be read`);
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
