/**
 * PostgreSQL for tests: one server per process, started when the first test asks, stopped when the process ends, and
 * databases of their own in it. `MILLRACE_TEST_POSTGRES` names a server to use instead.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdtemp, rm, statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { serverAccount } from "../../src/store/account.ts";
import { findBinaries, findPackage } from "../../src/store/binaries.ts";
import { run, serverEnvironment, spawnIdentity } from "../../src/store/child.ts";

export interface TestServer {
  /** With the superuser's role; `postgres` unless a database is named. */
  url(database?: string): string;
  readonly host: string;
  readonly port: number;
}

export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TestFolder {
  readonly path: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Empty, ours, and open to every account; removed with all that is in it when disposed. */
export async function testFolder(): Promise<TestFolder> {
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-folder-"));
  await chmod(folder, 0o755);
  return { path: folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 5 }) };
}

let programs: Promise<string | null> | undefined;

/**
 * What to hand to a store or an embedded server as `binDirectory`. Null, unless this clone lies where the server's
 * account cannot reach it (below `/root`): then one copy for the whole process, where each store would make its own.
 */
export function testPrograms(): Promise<string | null> {
  programs ??= findPrograms();
  return programs;
}

async function findPrograms(): Promise<string | null> {
  if (process.env.MILLRACE_PG_BIN) return process.env.MILLRACE_PG_BIN;
  const [account, from] = [await serverAccount(), findPackage()];
  if (account === null || from === null) return null;
  const directory = await mkdtemp(path.join(tmpdir(), "millrace-programs-"));
  await chmod(directory, 0o755);
  endWithUs(null, directory);
  const request = { binDirectory: null, copiesDirectory: directory, account, diagnostics: silentDiagnostics };
  const { postgres } = await findBinaries(request);
  return postgres.startsWith(from) ? null : path.dirname(postgres);
}

let server: Promise<TestServer> | undefined;

/** `wal_level` is logical; the role is a superuser without a password. */
export function testServer(): Promise<TestServer> {
  const given = process.env.MILLRACE_TEST_POSTGRES;
  server ??= given ? Promise.resolve(describe(new URL(given))) : start();
  return server;
}

/** Fresh and empty; dropped with its connections and its replication slots when disposed. */
export async function testDatabase(): Promise<TestDatabase> {
  return await databaseOf(await testServer());
}

/** The same on another server, with an address of a superuser. */
export function databaseOn(url: string): Promise<TestDatabase> {
  return databaseOf(describe(new URL(url)));
}

async function databaseOf({ url }: TestServer): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await withClient(url(), async (client) => {
    const { rows } = await client.query("select current_setting('server_version_num')::int >= 150000 as chooses");
    // Before 15 it was the only way.
    const strategy = rows[0]?.chooses ? " strategy file_copy" : "";
    await client.query(`create database ${name} template template0${strategy}`);
  });
  return {
    name,
    url: url(name),
    [Symbol.asyncDispose]: () => withClient(url(), (client) => drop(client, name)),
  };
}

async function drop(client: pg.Client, name: string): Promise<void> {
  const slots = `from pg_replication_slots where database = '${name}'`;
  for (;;) {
    await client.query(`select pg_drop_replication_slot(slot_name) ${slots} and active_pid is null`);
    const { rowCount } = await client.query(
      `select pg_terminate_backend(active_pid), pg_sleep(0.01) ${slots} and active_pid is not null`,
    );
    if (rowCount === 0) break;
  }
  await client.query(`drop database if exists ${name} with (force)`);
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

function describe(address: URL): TestServer {
  return {
    host: address.hostname,
    port: Number(address.port || 5432),
    url(database = "postgres") {
      const url = new URL(address);
      url.pathname = `/${database}`;
      return url.href;
    },
  };
}

async function start(): Promise<TestServer> {
  const account = await serverAccount();
  const directory = await mkdtemp(path.join(await memoryFolder(), "millrace-test-"));
  if (account) await chown(directory, account.uid, account.gid);
  const binaries = await findBinaries({
    binDirectory: await testPrograms(),
    copiesDirectory: path.join(directory, "copies"),
    account,
    diagnostics: silentDiagnostics,
  });
  const data = path.join(directory, "data");
  const made = await run(
    binaries.initdb,
    ["--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-sync"].concat([
      "--locale-provider",
      "builtin",
      "--builtin-locale",
      "C.UTF-8",
      "--locale",
      "C",
      "--no-instructions",
    ]),
    { account },
  );
  if (made.exitCode !== 0) throw new Error(`initdb failed: ${made.output}`);
  const port = await freePort();
  const child = spawn(binaries.postgres, ["-D", data, ...settings(directory, port)], {
    ...spawnIdentity(account),
    cwd: "/",
    env: serverEnvironment(),
    stdio: ["ignore", "ignore", "pipe"],
    // Not in our process group: Ctrl-C must not end it before the tests are done with it.
    detached: true,
  });
  await ready(child);
  endWithUs(child, directory);
  return describe(new URL(`postgres://postgres@127.0.0.1:${port}/postgres`));
}

/** Files in memory, where there are some to spare: databases are made and dropped faster there. */
async function memoryFolder(): Promise<string> {
  const shared = "/dev/shm";
  try {
    const { bavail, bsize } = await statfs(shared);
    return bavail * bsize > 4 * 1024 ** 3 ? shared : tmpdir();
  } catch {
    return tmpdir();
  }
}

function settings(socketDirectory: string, port: number): string[] {
  return Object.entries({
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: socketDirectory,
    wal_level: "logical",
    max_replication_slots: 40,
    max_wal_senders: 40,
    max_prepared_transactions: 10,
    max_connections: 200,
    // Right here and nowhere else: nothing in it outlives the process.
    fsync: "off",
    full_page_writes: "off",
    autovacuum_naptime: "10min",
    timezone: "UTC",
    shared_buffers: "64MB",
    log_min_messages: "log",
    log_checkpoints: "off",
    max_logical_replication_workers: 0,
  }).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      output = (output + chunk).slice(-8192);
      if (output.includes("ready to accept connections")) resolve();
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`the test server ended: ${output}`)));
  });
}

/**
 * A shell that reads from us until we are gone, however that comes about, ends the server and removes the files. Nothing
 * here keeps the process alive.
 */
function endWithUs(child: ChildProcess | null, directory: string): void {
  const script = `read gone
if [ "$1" ]; then
  kill -QUIT "$1"
  for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 0.1; done
fi
rm -rf "$2"`;
  const warden = spawn("/bin/sh", ["-c", script, "sh", String(child?.pid ?? ""), directory], {
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  for (const handle of [warden, warden.stdin, child, child?.stderr]) {
    if (handle && "unref" in handle && typeof handle.unref === "function") handle.unref();
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
