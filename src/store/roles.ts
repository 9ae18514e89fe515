/**
 * The read-only role, for people, tools and the reading half: it may connect and select, in sessions that are read-only
 * unless they say otherwise, and has a right to write nowhere.
 *
 * Its password is made once and kept in the store (`millrace_store.logins`, for the writing role only), so that every
 * process of one store knows it. What the writing role makes in this database is readable to it by default privileges.
 */
import { createHash } from "node:crypto";
import { type Client, escapeIdentifier, escapeLiteral } from "pg";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { isNotPermitted } from "./failure.ts";
import { newPassword } from "./login.ts";
import { scramVerifier } from "./scram.ts";
import { clientConfig, connectClient, type Login, readerSession } from "./session.ts";

const identifierBytesMax = 63;

/** Roles belong to the whole server: two stores in two databases of one server need two. */
export function readerRole(database: string): string {
  if (database === "millrace") return "millrace_reader";
  const role = `millrace_reader_${database}`;
  if (Buffer.byteLength(role) <= identifierBytesMax) return role;
  return `millrace_reader_${createHash("sha256").update(database).digest("hex").slice(0, 16)}`;
}

export interface ReaderRequest {
  /** Connected to the store's database with the writing role. */
  readonly client: Client;
  readonly writer: Login;
  readonly statementTimeoutMs: number;
  readonly random: Random;
}

/** Makes or completes the role; answers the way in, tried. Throws `STORE_NOT_PERMITTED` with the SQL that would help. */
export async function openReader(request: ReaderRequest): Promise<Login> {
  const user = readerRole(request.writer.database);
  const password = await prepare(request, user).catch((cause: unknown) => {
    if (!isNotPermitted(cause)) throw cause;
    throw notPermitted(request.writer, user, cause);
  });
  const login = { ...request.writer, user, password };
  const settings = readerSession(request.statementTimeoutMs);
  const attempt = async () => (await connectClient(clientConfig(login, settings, "login"))).end();
  try {
    await attempt();
  } catch (cause) {
    if (!MillraceError.is(cause, "STORE_NOT_PERMITTED")) throw refusedConnect(cause, request.writer, user);
    // The role was there before with another password, or somebody changed it.
    await request.client.query(alterPassword(user, password, request.random)).catch((refused: unknown) => {
      throw isNotPermitted(refused) ? notPermitted(request.writer, user, refused) : refused;
    });
    await attempt();
  }
  return login;
}

async function prepare({ client, writer, statementTimeoutMs, random }: ReaderRequest, role: string): Promise<string> {
  const reader = escapeIdentifier(role);
  const database = escapeIdentifier(writer.database);
  await client.query("begin");
  try {
    // Several processes may start on one store at the same moment.
    await client.query("select pg_advisory_xact_lock(hashtext('millrace_store'))");
    await client.query(`
      create schema if not exists millrace_store;
      create table if not exists millrace_store.logins (role text primary key, password text not null)`);
    const password = await storedPassword(client, role, random);
    const { rowCount } = await client.query("select from pg_roles where rolname = $1", [role]);
    if (rowCount === 0) {
      await client.query(`create role ${reader} login`);
      await client.query(alterPassword(role, password, random));
    }
    const settings = Object.entries(readerSession(statementTimeoutMs)).map(
      ([name, value]) => `alter role ${reader} in database ${database} set ${name} = ${settingValue(name, value)};`,
    );
    await client.query(`${settings.join("\n")}
      alter default privileges grant usage on schemas to ${reader};
      alter default privileges grant select on tables to ${reader};
      revoke all on schema millrace_store from ${reader};
      revoke all on millrace_store.logins from ${reader}`);
    await client.query("commit");
    return password;
  } catch (cause) {
    await client.query("rollback").catch(() => {});
    throw cause;
  }
}

async function storedPassword(client: Client, role: string, random: Random): Promise<string> {
  await client.query("insert into millrace_store.logins values ($1, $2) on conflict do nothing", [
    role,
    newPassword(random),
  ]);
  const { rows } = await client.query<{ password: string }>(
    "select password from millrace_store.logins where role = $1",
    [role],
  );
  return rows[0]?.password ?? "";
}

function alterPassword(role: string, password: string, random: Random): string {
  const verifier = scramVerifier(password, random.bytes(16));
  return `alter role ${escapeIdentifier(role)} login password ${escapeLiteral(verifier)}`;
}

/** A list is a list only without quotes around the whole of it. */
function settingValue(name: string, value: string | number): string {
  return name === "search_path" || name === "DateStyle" ? String(value) : escapeLiteral(String(value));
}

function notPermitted(writer: Login, reader: string, cause: Error): MillraceError {
  const writerName = escapeIdentifier(writer.user);
  return new MillraceError(
    "STORE_NOT_PERMITTED",
    `the role ${writer.user} cannot prepare the read-only role ${reader}: ${cause.message}`,
    {
      hint: `As an administrator of the store, run: alter role ${writerName} createrole; and, if ${reader} exists: grant ${escapeIdentifier(reader)} to ${writerName} with admin option;`,
      cause,
    },
  );
}

function refusedConnect(cause: unknown, writer: Login, reader: string): unknown {
  const inner = cause instanceof Error && "code" in cause ? cause : null;
  if (inner?.code !== "42501") return cause;
  return new MillraceError(
    "STORE_NOT_PERMITTED",
    `the read-only role ${reader} may not connect to ${writer.database}`,
    {
      hint: `As the owner of the database, run: grant connect on database ${escapeIdentifier(writer.database)} to ${escapeIdentifier(reader)};`,
      cause,
    },
  );
}
