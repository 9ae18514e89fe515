/**
 * The two roles that read. Both may only select, in sessions that are read-only unless they say otherwise, and have a right
 * to write nowhere. The *program's* reads everything that the writing role makes, by default privileges. The *shared* one is
 * for people and their tools, and reads what it is granted by name: views, and the captured tables that views read.
 *
 * Their passwords are made once and kept in the store (`millrace_store.logins`, for the writing role only), so that every
 * process of one store knows them.
 */
import { createHash } from "node:crypto";
import { type Client, escapeIdentifier, escapeLiteral } from "pg";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { isNotPermitted } from "./failure.ts";
import { newPassword } from "./login.ts";
import { scramVerifier } from "./scram.ts";
import { clientConfig, connectClient, type Login, readerSession, type Settings, sharedSession } from "./session.ts";

const identifierBytesMax = 63;

/** Of people's tools together: they must not take the connections that the program needs. */
const sharedConnectionsMax = 40;

/** What queries of the shared role may write to temporary files, where the writing role may say so. */
const temporaryFiles = "2GB";

type Kind = "shared" | "program";

/** Roles belong to the whole server: two stores in two databases of one server need their own. */
export function readerRole(database: string, kind: Kind = "shared"): string {
  const base = kind === "shared" ? "millrace_reader" : "millrace_program";
  if (database === "millrace") return base;
  const role = `${base}_${database}`;
  if (Buffer.byteLength(role) <= identifierBytesMax) return role;
  return `${base}_${createHash("sha256").update(database).digest("hex").slice(0, 16)}`;
}

export interface ReadersRequest {
  /** Connected to the store's database with the writing role. */
  readonly client: Client;
  readonly writer: Login;
  readonly statementTimeoutMs: number;
  readonly random: Random;
}

export interface ReaderLogins {
  readonly shared: Login;
  readonly program: Login;
}

/** Makes or completes the roles; answers the ways in, tried. Throws `STORE_NOT_PERMITTED` with the SQL that would help. */
export async function openReaders(request: ReadersRequest): Promise<ReaderLogins> {
  const { writer, statementTimeoutMs } = request;
  const shared = readerRole(writer.database, "shared");
  const program = readerRole(writer.database, "program");
  const passwords = await prepare(request, { shared, program });
  return {
    shared: await openLogin(request, shared, passwords.shared, sharedSession(statementTimeoutMs)),
    program: await openLogin(request, program, passwords.program, readerSession(statementTimeoutMs)),
  };
}

async function openLogin(request: ReadersRequest, user: string, password: string, settings: Settings): Promise<Login> {
  const login = { ...request.writer, user, password };
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

async function prepare(
  request: ReadersRequest,
  roles: Readonly<Record<Kind, string>>,
): Promise<Readonly<Record<Kind, string>>> {
  const { client, statementTimeoutMs } = request;
  await client.query("begin");
  try {
    // Several processes may start on one store at the same moment.
    await lockBeside(client, "millrace_store", roles.shared);
    await client.query(`
      create schema if not exists millrace_store;
      create table if not exists millrace_store.logins (role text primary key, password text not null)`);
    const passwords = {
      shared: await prepareRole(request, roles.shared, sharedSession(statementTimeoutMs), sharedRights),
      program: await prepareRole(request, roles.program, readerSession(statementTimeoutMs), (reader) =>
        programRights(reader, roles.shared),
      ),
    };
    await client.query("commit");
    return passwords;
  } catch (cause) {
    await client.query("rollback").catch(() => {});
    throw cause;
  }
}

async function prepareRole(
  { client, writer, random }: ReadersRequest,
  role: string,
  session: Settings,
  rights: (reader: string) => string,
): Promise<string> {
  const reader = escapeIdentifier(role);
  const database = escapeIdentifier(writer.database);
  try {
    const password = await storedPassword(client, role, random);
    const { rowCount } = await client.query("select from pg_roles where rolname = $1", [role]);
    if (rowCount === 0) {
      await client.query(`create role ${reader} login`);
      await client.query(alterPassword(role, password, random));
    }
    const settings = Object.entries(session).map(
      ([name, value]) => `alter role ${reader} in database ${database} set ${name} = ${settingValue(name, value)};`,
    );
    await client.query(`
      alter role ${reader} in database ${database} reset all;
      ${settings.join("\n")}
      ${rights(reader)}
      ${membership(reader)}
      revoke all on schema millrace_store from ${reader};
      revoke all on millrace_store.logins from ${reader}`);
    return password;
  } catch (cause) {
    if (isNotPermitted(cause)) throw notPermitted(writer, role, cause);
    throw cause;
  }
}

/** So that the writing role sees the sessions of the reading ones and can end them. It cannot become one of them by it. */
function membership(reader: string): string {
  return `
    do $$ begin
      if not (select rolsuper from pg_roles where rolname = current_user) then
        grant ${reader} to current_user with inherit true, set false;
      end if;
    end $$;`;
}

/** Of what there is already: Millrace's own schemas, and those of captured tables; and of what the writing role makes from now on. */
function programRights(reader: string, shared: string): string {
  return `
    alter default privileges grant usage on schemas to ${reader};
    alter default privileges grant select on tables to ${reader};
    do $$ declare schema text; begin
      for schema in select nspname from pg_namespace
        where nspowner = current_user::regrole and (nspname in ('millrace', 'views') or exists (
          select from aclexplode(nspacl) join pg_roles on oid = grantee where rolname = ${escapeLiteral(shared)})) loop
        execute format('grant usage on schema %1$I to %2$s; grant select on all tables in schema %1$I to %2$s', schema, ${escapeLiteral(reader)});
      end loop;
    end $$;`;
}

/** Earlier versions let it read everything. */
function sharedRights(reader: string): string {
  return `
    alter role ${reader} connection limit ${sharedConnectionsMax};
    alter default privileges revoke usage on schemas from ${reader};
    alter default privileges revoke select on tables from ${reader};
    do $$ begin
      if to_regnamespace('millrace') is not null then
        revoke all on all tables in schema millrace from ${reader};
        revoke all on schema millrace from ${reader};
      end if;
      if (select rolsuper from pg_roles where rolname = current_user) then
        alter role ${reader} set temp_file_limit = '${temporaryFiles}';
      end if;
    end $$;`;
}

/**
 * Until the end of the transaction nobody else does what goes by this name. Anybody may take any advisory lock: sessions
 * of the shared role that have or want this one are ended.
 */
export async function lockBeside(client: Client, name: string, shared: string): Promise<void> {
  await client.query(
    `select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)
      where locktype = 'advisory' and objsubid = 1 and usename = $2 and usename <> current_user
        and ((classid::bigint << 32) | objid::bigint) = hashtext($1)::bigint`,
    [name, shared],
  );
  await client.query("select pg_advisory_xact_lock(hashtext($1))", [name]);
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
