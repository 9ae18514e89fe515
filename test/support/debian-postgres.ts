/** A PostgreSQL of the operating system's packages, on a port and folder of its own, as somebody's production database. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { findPostgres } from "../../tools/services.ts";
import { freePort } from "./ports.ts";

export interface DebianPostgres {
  readonly url: string;
  readonly port: number;
  /** Where pgbench and psql are. */
  readonly binaries: string;
  readonly version: number;
  stop(): Promise<void>;
}

/** The newest one installed; undefined when there is none. */
export function debianBinaries(): { path: string; version: number } | undefined {
  const path = findPostgres();
  return path === undefined ? undefined : { path, version: Number(/(\d+)\/bin/.exec(path)?.[1]) };
}

export async function startDebianPostgres(settings: Readonly<Record<string, string>> = {}): Promise<DebianPostgres> {
  const found = debianBinaries();
  if (!found) throw new Error("no PostgreSQL below /usr/lib/postgresql");
  const folder = mkdtempSync(join(tmpdir(), "millrace-debian-"));
  const account = process.getuid?.() === 0 ? accountOf("postgres") : {};
  if (account.uid !== undefined) chownSync(folder, account.uid, account.gid ?? account.uid);
  const data = join(folder, "data");
  execFileSync(
    join(found.path, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
    { ...account, stdio: "pipe" },
  );
  const port = await freePort();
  const lines = {
    port: String(port),
    listen_addresses: "'127.0.0.1'",
    unix_socket_directories: "''",
    wal_level: "logical",
    max_wal_size: "'4GB'",
    ...settings,
  };
  writeFileSync(
    join(data, "postgresql.auto.conf"),
    Object.entries(lines)
      .map(([name, value]) => `${name} = ${value}\n`)
      .join(""),
  );
  const server = spawn(join(found.path, "postgres"), ["-D", data], { ...account, stdio: ["ignore", "ignore", "pipe"] });
  let words = "";
  server.stderr?.on("data", (chunk) => {
    words = (words + chunk).slice(-4_000);
  });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await answers(server, url, () => words);
  return {
    url,
    port,
    binaries: found.path,
    version: found.version,
    async stop() {
      const gone = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGINT");
      if (server.exitCode === null) await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function accountOf(name: string): { uid?: number; gid?: number } {
  return { uid: Number(execFileSync("id", ["-u", name])), gid: Number(execFileSync("id", ["-g", name])) };
}

async function answers(server: ChildProcess, url: string, words: () => string): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`PostgreSQL did not start: ${words()}`);
    const client = new pg.Client({ connectionString: url });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
