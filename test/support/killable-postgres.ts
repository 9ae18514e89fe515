/**
 * A PostgreSQL on a port and folder of its own that can be killed with SIGKILL and started again on its files, as
 * somebody's database that crashes. Ended, and its files removed, when it is disposed of or the process ends.
 *
 * Nothing is synced to the platter (`fsync = off`): what it wrote before it was killed is with the operating system.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { type Account, serverAccount } from "../../src/store/account.ts";
import { findBinaries } from "../../src/store/binaries.ts";
import { run, serverEnvironment, spawnIdentity } from "../../src/store/child.ts";
import { freePort } from "./ports.ts";
import { testPrograms } from "./postgres.ts";

export interface KillablePostgresOptions {
  /** The folder of `postgres` and `initdb`; those of the npm package when left out. */
  readonly binaries?: string;
  /** As in postgresql.conf, quoted where that needs it. */
  readonly settings?: Readonly<Record<string, string>>;
}

export class KillablePostgres {
  readonly port: number;
  readonly url: string;
  readonly #account: Account | null;
  readonly #folder: string;
  readonly #program: string;
  #server: ChildProcess | null = null;
  readonly #atExit: () => void;

  private constructor(port: number, account: Account | null, folder: string, program: string) {
    this.port = port;
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    this.#account = account;
    this.#folder = folder;
    this.#program = program;
    this.#atExit = () => {
      this.#server?.kill("SIGQUIT");
      rmSync(folder, { recursive: true, force: true });
    };
    process.once("exit", this.#atExit);
  }

  /** Made and running. */
  static async start(options: KillablePostgresOptions = {}): Promise<KillablePostgres> {
    const account = await serverAccount();
    const folder = mkdtempSync(path.join(tmpdir(), "millrace-killable-"));
    if (account) chownSync(folder, account.uid, account.gid);
    const programs = options.binaries ?? (await packagePrograms(account, folder));
    const data = path.join(folder, "data");
    const made = await run(
      path.join(programs, "initdb"),
      ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
      { account },
    );
    if (made.exitCode !== 0) throw new Error(`initdb failed: ${made.output}`);
    const port = await freePort();
    const lines = {
      port: String(port),
      listen_addresses: "'127.0.0.1'",
      unix_socket_directories: "''",
      wal_level: "logical",
      fsync: "off",
      timezone: "'UTC'",
      shared_buffers: "'64MB'",
      max_logical_replication_workers: "0",
      ...options.settings,
    };
    const text = Object.entries(lines).map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(path.join(data, "postgresql.auto.conf"), text.join(""));
    const server = new KillablePostgres(port, account, folder, path.join(programs, "postgres"));
    await server.start();
    return server;
  }

  get running(): boolean {
    return this.#server !== null;
  }

  /** Resolves when it answers; a server that was killed recovers first. */
  async start(): Promise<void> {
    for (;;) {
      const server = spawn(this.#program, ["-D", path.join(this.#folder, "data")], {
        ...spawnIdentity(this.#account),
        cwd: "/",
        env: serverEnvironment(),
        stdio: ["ignore", "ignore", "pipe"],
      });
      let words = "";
      server.stderr?.on("data", (chunk) => {
        words = (words + chunk).slice(-8_000);
      });
      this.#server = server;
      const ended = () => server.exitCode !== null || server.signalCode !== null;
      while (!ended()) {
        if (await answers(this.url)) return;
        await systemClock.sleep(20);
      }
      this.#server = null;
      // Processes of the one that was killed are still on their way out.
      if (!/shared memory block|lock file|Address already in use/.test(words)) throw new Error(`it ended: ${words}`);
      await systemClock.sleep(50);
    }
  }

  /** SIGKILL, as the kernel does it when memory ends. Resolves when the server's first process is gone. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** A clean stop with a checkpoint; connections are cut. */
  stop(): Promise<void> {
    return this.#end("SIGINT");
  }

  async connect(url = this.url): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url });
    client.on("error", () => {});
    await client.connect();
    return client;
  }

  /** Over a connection of its own. */
  async query<T extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<T[]> {
    const client = await this.connect();
    try {
      return (await client.query(text, values)).rows as T[];
    } finally {
      await client.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end("SIGQUIT");
    process.off("exit", this.#atExit);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, "exit");
    server.kill(signal);
    await gone;
  }
}

async function packagePrograms(account: Account | null, folder: string): Promise<string> {
  const { postgres } = await findBinaries({
    binDirectory: await testPrograms(),
    copiesDirectory: path.join(folder, "copies"),
    account,
    diagnostics: silentDiagnostics,
  });
  return path.dirname(postgres);
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("select 1");
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
