/** The databases of the embedded server: the store's own, and those that an example keeps beside it. */
import { type Client, escapeIdentifier, escapeLiteral } from "pg";
import { invariant } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { EmbeddedServer } from "./embedded-server.ts";
import { scramVerifier } from "./scram.ts";
import { clientConfig, connectClient, type Login, writerSession } from "./session.ts";

export const storeDatabase = "millrace";

export interface DatabaseRequest {
  readonly name: string;
  /** Owns the database, may log in and replicate, and may do nothing outside it. */
  readonly role: string;
  readonly password: string;
}

/** The superuser's way in, by the socket where there is one. */
export function embeddedLogin(server: EmbeddedServer, database: string): Login {
  return {
    host: server.socketDirectory ?? server.host,
    port: server.port,
    database,
    user: server.superuser,
    password: server.password,
    ssl: false,
  };
}

/** Makes the store's database on the first start, or another one of the same kind. */
export async function openStoreDatabase(server: EmbeddedServer, database = storeDatabase): Promise<Login> {
  const name = escapeIdentifier(database);
  await withServer(server, async (client) => {
    const { rowCount } = await client.query("select from pg_database where datname = $1", [database]);
    if (rowCount === 0) await client.query(`create database ${name}`);
    await client.query(`
      revoke temporary on database ${name} from public;
      revoke connect on database postgres from public`);
  });
  await withServer(server, closeLargeObjects, database);
  return embeddedLogin(server, database);
}

/** Makes a database and its role, or sets the password of one that is there. Answers the way in over TCP. */
export async function createDatabase(server: EmbeddedServer, request: DatabaseRequest, random: Random): Promise<Login> {
  const { name, role, password } = request;
  invariant(![storeDatabase, "postgres", "template0", "template1"].includes(name), `${name} is not a free name`);
  invariant(role !== server.superuser && !role.startsWith("pg_"), `${role} is not a free name`);
  await withServer(server, async (client) => {
    const owner = escapeIdentifier(role);
    const { rowCount: roles } = await client.query("select from pg_roles where rolname = $1", [role]);
    if (roles === 0) await client.query(`create role ${owner}`);
    const verifier = escapeLiteral(scramVerifier(password, random.bytes(16)));
    await client.query(`alter role ${owner} login replication password ${verifier}`);
    const { rowCount: databases } = await client.query("select from pg_database where datname = $1", [name]);
    if (databases === 0) await client.query(`create database ${escapeIdentifier(name)} owner ${owner}`);
    await client.query(`revoke all on database ${escapeIdentifier(name)} from public`);
  });
  return { host: server.host, port: server.port, database: name, user: role, password, ssl: false };
}

/** Anybody may make large objects, which would be writing. */
async function closeLargeObjects(client: Client): Promise<void> {
  await client.query(`
    do $$ declare f regprocedure; begin
      for f in select oid::regprocedure from pg_proc
        where pronamespace = 'pg_catalog'::regnamespace and proname in ('lo_create', 'lo_creat', 'lo_from_bytea') loop
        execute format('revoke execute on function %s from public', f);
      end loop;
    end $$`);
}

async function withServer(
  server: EmbeddedServer,
  work: (client: Client) => Promise<void>,
  database = "postgres",
): Promise<void> {
  const client = await connectClient(clientConfig(embeddedLogin(server, database), writerSession, "databases"));
  try {
    await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}
