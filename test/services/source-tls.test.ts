/** The TLS modes of libpq and SCRAM, against a server of the operating system's packages that has certificates. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import { MillraceError } from "../../src/base/errors.ts";
import { closeConnection, connect } from "../../src/capture/connection.ts";
import { PostgresFixture } from "../../src/capture/postgres-fixture.ts";
import { type DebianPostgres, debianBinaries, startDebianPostgres } from "../support/debian-postgres.ts";

const missing = debianBinaries() === undefined ? "no PostgreSQL below /usr/lib/postgresql" : false;
const password = "secret of the source";

describe("a source over TLS", { skip: missing }, () => {
  let server: DebianPostgres;
  let folder: string;
  let authority: string;
  let stranger: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "millrace-tls-"));
    chmodSync(folder, 0o755);
    authority = makeAuthority(folder, "authority");
    stranger = makeAuthority(folder, "stranger");
    const certificate = sign(folder, "server", "/CN=localhost", "subjectAltName=DNS:localhost");
    sign(folder, "client", "/CN=certified");
    const settings = {
      ssl: "on",
      ssl_cert_file: `'${certificate}'`,
      ssl_key_file: `'${join(folder, "server.key")}'`,
      ssl_ca_file: `'${authority}'`,
    };
    ownedByServer(join(folder, "server.key"));
    server = await startDebianPostgres(settings);
    await sql(`create table t (id int primary key);
      create role secured login replication superuser password '${password}';
      create role certified login superuser;
      create role plain login superuser;
      set password_encryption = 'md5'; create role old login superuser password '${password}'`);
    const [row] = await sql("show hba_file");
    const file = row?.hba_file as string;
    const rules = readFileSync(file, "utf8");
    writeFileSync(
      file,
      `hostssl all secured all scram-sha-256
hostssl replication secured all scram-sha-256
hostssl all certified all cert
hostssl all old all md5
hostnossl all plain all trust
hostssl all plain all reject
hostnossl all secured,certified,old all reject
${rules}`,
    );
    await sql("select pg_reload_conf()");
    for (;;) {
      const [seen] = await sql("select count(*)::int as rules from pg_hba_file_rules where user_name = '{secured}'");
      if (((seen?.rules as number) ?? 0) > 0 && (await told(urlOf("secured", "sslmode=disable"))) !== "open") break;
    }
  });

  after(async () => {
    await server?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  async function sql(text: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      const result = await client.query(text);
      return (Array.isArray(result) ? result.at(-1) : result).rows;
    } finally {
      await client.end();
    }
  }

  const urlOf = (role: string, query = "", host = "localhost") =>
    `postgres://${role}:${encodeURIComponent(password)}@${host}:${server.port}/postgres?${query}`;

  /** How the connection is, as the server sees it; or the code of what was thrown. */
  async function told(url: string): Promise<string> {
    try {
      const client = await connect({ name: "shop", url }, "query");
      try {
        const { rows } = await client.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()");
        return rows[0].ssl ? "tls" : "open";
      } finally {
        await closeConnection(client);
      }
    } catch (error) {
      assert.ok(MillraceError.is(error), String(error));
      assert.ok(!JSON.stringify([error.message, error.hint, error.details]).includes(password));
      return error.code;
    }
  }

  test("each mode connects as libpq's does, or is refused", async () => {
    const ca = `sslrootcert=${authority}`;
    assert.equal(await told(urlOf("secured")), "tls");
    assert.equal(await told(urlOf("secured", "sslmode=disable")), "SOURCE_NOT_PERMITTED");
    assert.equal(await told(urlOf("secured", "sslmode=allow")), "tls");
    assert.equal(await told(urlOf("secured", "sslmode=prefer")), "tls");
    assert.equal(await told(urlOf("secured", "sslmode=require")), "tls");
    assert.equal(await told(urlOf("secured", `sslmode=verify-ca&${ca}`)), "tls");
    assert.equal(await told(urlOf("secured", `sslmode=verify-full&${ca}`)), "tls");
    // Who the server is: another authority, another name, nobody that is known.
    assert.equal(await told(urlOf("secured", `sslmode=require&sslrootcert=${stranger}`)), "SOURCE_TLS");
    assert.equal(await told(urlOf("secured", `sslmode=verify-ca&sslrootcert=${stranger}`)), "SOURCE_TLS");
    assert.equal(await told(urlOf("secured", `sslmode=verify-full&${ca}`, "127.0.0.1")), "SOURCE_TLS");
    assert.equal(await told(urlOf("secured", `sslmode=verify-ca&${ca}`, "127.0.0.1")), "tls");
    assert.equal(await told(urlOf("secured", "sslmode=verify-full")), "SOURCE_TLS");
    assert.equal(await told(urlOf("secured", "ssl_min_protocol_version=TLSv1.3")), "tls");
  });

  test("a role that the server takes only without TLS is let in by prefer and allow, and by nothing stronger", async () => {
    assert.equal(await told(urlOf("plain", "sslmode=prefer")), "open");
    assert.equal(await told(urlOf("plain", "sslmode=allow")), "open");
    assert.equal(await told(urlOf("plain", "sslmode=require")), "SOURCE_NOT_PERMITTED");
  });

  test("a certificate logs in where the server asks for one", async () => {
    const files = `sslcert=${join(folder, "client.pem")}&sslkey=${join(folder, "client.key")}`;
    assert.equal(await told(urlOf("certified", `sslmode=require&${files}`)), "tls");
    assert.equal(await told(urlOf("certified", "sslmode=require")), "SOURCE_NOT_PERMITTED");
    assert.equal(await told(urlOf("certified", "sslmode=require&sslcert=/nowhere&sslkey=/nowhere")), "SOURCE_TLS");
  });

  test("a password is bound to the channel where that is asked for, or does not go out", async () => {
    assert.equal(await told(urlOf("secured", "channel_binding=require")), "tls");
    assert.equal(await told(urlOf("secured", "sslmode=require&channel_binding=disable")), "tls");
    assert.equal(await told(urlOf("old", "sslmode=require")), "tls");
    assert.equal(await told(urlOf("old", "sslmode=require&channel_binding=require")), "SOURCE_TLS");
    const wrong = urlOf("secured", "sslmode=require").replace(encodeURIComponent(password), "wrong");
    assert.equal(await told(wrong), "SOURCE_NOT_PERMITTED");
  });

  test("a source is captured over TLS with SCRAM, its stream as well", async () => {
    await using fixture = await PostgresFixture.open();
    const url = urlOf("secured", `sslmode=verify-full&sslrootcert=${authority}&channel_binding=require`);
    const source = fixture.source(["t"], { url });
    await fixture.caughtUp(source);
    await sql("insert into t values (1)");
    await fixture.caughtUp(source);
    assert.equal((await fixture.values("shop.public.t")).length, 1);
    const [row] = await sql(
      "select bool_and(ssl) as all from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'millrace shop'",
    );
    assert.equal(row?.all, true);
    await source.stop({ release: true });
  });
});

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { stdio: "pipe" });
}

function makeAuthority(folder: string, name: string): string {
  const [certificate, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
    "-keyout",
    key,
    "-out",
    certificate,
  );
  return certificate;
}

/** By `authority`. */
function sign(folder: string, name: string, subject: string, extension = "keyUsage=digitalSignature"): string {
  const at = (ending: string) => join(folder, `${name}.${ending}`);
  openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", at("key"), "-out", at("csr"));
  writeFileSync(at("ext"), extension);
  const [ca, caKey] = [join(folder, "authority.pem"), join(folder, "authority.key")];
  openssl(
    "x509",
    "-req",
    "-in",
    at("csr"),
    "-CA",
    ca,
    "-CAkey",
    caKey,
    "-CAcreateserial",
    "-days",
    "2",
    "-extfile",
    at("ext"),
    "-out",
    at("pem"),
  );
  return at("pem");
}

/** The server runs as an account of its own, and takes no key that others may read. */
function ownedByServer(file: string): void {
  chmodSync(file, 0o600);
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(file);
  const id = (what: string) => Number(execFileSync("id", [what, "postgres"], { encoding: "utf8" }));
  if (uid === 0) chownSync(file, id("-u"), id("-g") || gid);
}
