/**
 * Servers of the embedded PostgreSQL that a test stops, kills, copies and promotes: somebody's production database on a
 * bad day. Each has a folder of its own; all are gone when the group is disposed of.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFile, chown, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { type Account, serverAccount } from "../../src/store/account.ts";
import { findBinaries } from "../../src/store/binaries.ts";
import { endAtExit, run, serverEnvironment, spawnIdentity } from "../../src/store/child.ts";
import { findOtherPostgres, type OtherMajor } from "../../tools/postgres-parts.ts";
import { freePort } from "./ports.ts";
import { testPrograms } from "./postgres.ts";
import { eventually } from "./program.ts";

type Settings = Readonly<Record<string, string | number>>;

const settingsOfAll: Settings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  wal_level: "logical",
  max_connections: 30,
  fsync: "off",
  full_page_writes: "off",
  shared_buffers: "32MB",
  timezone: "UTC",
  max_logical_replication_workers: 0,
  hot_standby_feedback: "on",
  wal_receiver_status_interval: 1,
};

export class EmbeddedServers {
  readonly #folder: string;
  readonly #account: Account | null;
  readonly #programs: { readonly initdb: string; readonly postgres: string };
  readonly #servers: OwnServer[] = [];
  #folders = 0;

  private constructor(folder: string, account: Account | null, programs: { initdb: string; postgres: string }) {
    this.#folder = folder;
    this.#account = account;
    this.#programs = programs;
  }

  /** Servers of `major`, which must be here, or of the one that `MILLRACE_TEST_POSTGRES_MAJOR` names; else the store's own. */
  static async open(major = process.env.MILLRACE_TEST_POSTGRES_MAJOR): Promise<EmbeddedServers> {
    const account = await serverAccount();
    const folder = await mkdtemp(path.join(tmpdir(), "millrace-servers-"));
    if (account) await chown(folder, account.uid, account.gid);
    const programs = await findBinaries({
      binDirectory: major === undefined ? await testPrograms() : null,
      copiesDirectory: path.join(folder, "copies"),
      account,
      diagnostics: silentDiagnostics,
      ...(major !== undefined && {
        packageDirectory: findOtherPostgres(Number(major) as OtherMajor) ?? null,
        majorMin: Number(major),
      }),
    });
    return new EmbeddedServers(folder, account, programs);
  }

  /** A new cluster, running. */
  async create(settings: Settings = {}): Promise<OwnServer> {
    const data = this.#newFolder();
    const made = await run(
      this.#programs.initdb,
      [
        "--pgdata",
        data,
        "--username",
        "postgres",
        "--auth",
        "trust",
        "--encoding",
        "UTF8",
        "--no-sync",
        "--locale",
        "C",
      ],
      { account: this.#account },
    );
    if (made.exitCode !== 0) throw new Error(`initdb failed: ${made.output}`);
    return await this.#started(data, settings);
  }

  /** The data of a server that is stopped, as it lies there. */
  async copy(server: OwnServer): Promise<string> {
    const data = this.#newFolder();
    await cp(server.data, data, { recursive: true, preserveTimestamps: true });
    await this.#own(data);
    return data;
  }

  /** Runs on data that was copied: as a standby of `primary`, or for itself. */
  async runCopy(data: string, settings: Settings = {}, primary?: OwnServer): Promise<OwnServer> {
    if (primary) {
      await writeFile(path.join(data, "standby.signal"), "");
      await appendFile(
        path.join(data, "postgresql.auto.conf"),
        `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres'\n`,
      );
      await this.#own(data);
    }
    return await this.#started(data, settings);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.kill()));
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #newFolder(): string {
    return path.join(this.#folder, `data${++this.#folders}`);
  }

  async #own(data: string): Promise<void> {
    const { uid } = this.#account ?? {};
    if (uid !== undefined) await run("/bin/chown", ["-R", `${uid}:${this.#account?.gid}`, data], { account: null });
    await run("/bin/chmod", ["700", data], { account: null });
  }

  async #started(data: string, settings: Settings): Promise<OwnServer> {
    await mkdir(data, { recursive: true });
    const server = new OwnServer(this.#programs.postgres, data, await freePort(), this.#account, settings);
    this.#servers.push(server);
    await server.start();
    return server;
  }
}

export class OwnServer {
  readonly data: string;
  port: number;
  readonly #program: string;
  readonly #account: Account | null;
  readonly #settings: Settings;
  #child: ChildProcess | null = null;

  constructor(program: string, data: string, port: number, account: Account | null, settings: Settings) {
    this.#program = program;
    this.data = data;
    this.port = port;
    this.#account = account;
    this.#settings = settings;
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  /** Resolves when it answers. On another server's port it takes that one's place. */
  async start(port = this.port): Promise<void> {
    this.port = port;
    const options = Object.entries({ ...settingsOfAll, ...this.#settings, port });
    const child = spawn(
      this.#program,
      ["-D", this.data, ...options.flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      { ...spawnIdentity(this.#account), cwd: "/", env: serverEnvironment(), stdio: ["ignore", "ignore", "pipe"] },
    );
    endAtExit(child, "SIGQUIT");
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      let words = "";
      child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
        words = (words + chunk).slice(-8192);
        if (/ready to accept (read-only )?connections/.test(words)) resolve();
      });
      child.once("exit", () => reject(new Error(`the server ended: ${words}`)));
    });
  }

  /** As an administrator does it: with its last checkpoint. */
  stop(): Promise<void> {
    return this.#end("SIGINT");
  }

  kill(): Promise<void> {
    return this.#end("SIGQUIT");
  }

  async sql(text: string, values?: unknown[]): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.url });
    client.on("error", () => {});
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end().catch(() => {});
    }
  }

  /** Resolves when the statement answers true. */
  async becomes(text: string): Promise<void> {
    await eventually(async () => Object.values((await this.sql(text))[0] ?? {})[0] === true || undefined);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }
}
