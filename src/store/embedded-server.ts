/**
 * The PostgreSQL server that Millrace starts and minds itself: made on the first start, restarted when it dies, stopped
 * when we stop. Its address stays the same for as long as this object lives.
 *
 * Not here: databases, roles and connections (store.ts and what it calls).
 */

import { statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import path from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { serverAccount } from "./account.ts";
import { backoffMs } from "./backoff.ts";
import { findBinaries } from "./binaries.ts";
import { openCluster, privateFolder, resetPassword, startFailure, superuser } from "./cluster.ts";
import { type Home, openHome } from "./home.ts";
import { openLogin } from "./login.ts";
import { choosePort, portTaken } from "./port.ts";
import { type ServerProcess, startServer } from "./server-process.ts";
import { type Machine, pinnedSettings, socketDirectoryOrNull } from "./server-settings.ts";
import { endStray } from "./stray.ts";

export interface EmbeddedServerOptions {
  readonly dataDirectory: string;
  readonly port: number;
  /** True when a user named the port: taken is then `PORT_TAKEN`, else the next free one is used. */
  readonly portRequired: boolean;
  /** A folder with PostgreSQL's programs (`MILLRACE_PG_BIN`); null for those from npm. */
  readonly binDirectory: string | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  /** As `openHome` and `findBinaries` take them; left out everywhere but in tests. */
  readonly elsewhere?: string;
  readonly packageDirectory?: string | null;
}

export interface EmbeddedServer {
  readonly host: "127.0.0.1";
  readonly port: number;
  /** The folder of the Unix socket, which is the shorter way; null where its path would be too long. */
  readonly socketDirectory: string | null;
  readonly superuser: string;
  readonly password: string;
  /** As the server says it: `18.4`. */
  readonly version: string;
  /** Of the running server; undefined while there is none. */
  pid(): number | undefined;
  /** Why there is no server at the moment. */
  problem(): MillraceError | null;
  /** Called each time the server takes connections again after it had died. */
  onRestart(listener: () => void): void;
  close(): Promise<void>;
}

/** Throws the `STORE_…` codes of a start, `DATA_DIRECTORY_UNUSABLE` and `PORT_TAKEN`. */
export async function openEmbeddedServer(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
  const { clock, random, diagnostics } = options;
  const home = await openHome({ ...options, account: await serverAccount() });
  const copiesDirectory = path.join(home.directory, "programs");
  const binaries = await findBinaries({ ...options, copiesDirectory, account: home.account });
  const { password, found } = await openLogin(home.ours, random);
  const stray = { dataDirectory: path.join(home.directory, "data"), account: home.account, clock, diagnostics };
  await endStray(stray);
  const request = { home, binaries, password, machine: await thisMachine() };
  const { dataDirectory, made } = await openCluster(request);
  if (!found && !made) await resetPassword(request, dataDirectory);
  const socketDirectory = await openSocketDirectory(home);
  const launch = (port: number) =>
    startServer(binaries.postgres, pinnedSettings({ dataDirectory, port, socketDirectory }), {
      account: home.account,
      clock,
      diagnostics,
    });
  const { server, port } = await startOnFreePort(options, dataDirectory, launch);
  diagnostics.info("PostgreSQL is up", { version: binaries.version, port, folder: home.directory, pid: server.pid });
  const supervisor = new Supervisor(server, {
    clock,
    random,
    diagnostics,
    launch: () => launch(port),
    clear: () => endStray(stray),
    failure: (words) => startFailure(dataDirectory, words),
  });
  return {
    host: "127.0.0.1",
    port,
    socketDirectory,
    superuser,
    password,
    version: binaries.version,
    pid: () => supervisor.pid(),
    problem: () => supervisor.problem,
    onRestart: (listener) => supervisor.onRestart(listener),
    close: () => supervisor.close(),
  };
}

/** Between the choice of a port and its use somebody else may take it. */
async function startOnFreePort(
  { port: wanted, portRequired }: EmbeddedServerOptions,
  dataDirectory: string,
  launch: (port: number) => ServerProcess,
): Promise<{ server: ServerProcess; port: number }> {
  for (let tries = 0; ; tries++) {
    const port = await choosePort({ port: wanted, required: portRequired && wanted !== 0 });
    const server = launch(port);
    const started = await server.started;
    if (started.outcome === "ready") return { server, port };
    if (!/could not bind|could not create any TCP\/IP sockets/.test(started.lastWords)) {
      throw startFailure(dataDirectory, started.lastWords);
    }
    if (tries >= 3 || portRequired) throw portTaken(port);
  }
}

interface SupervisorParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  launch(): ServerProcess;
  /** Ends what a dead postmaster left. */
  clear(): Promise<void>;
  failure(words: string): MillraceError;
}

class Supervisor {
  problem: MillraceError | null = null;
  #server: ServerProcess | null;
  readonly #parts: SupervisorParts;
  readonly #closing = new AbortController();
  readonly #listeners: (() => void)[] = [];
  readonly #loop: Promise<void>;

  constructor(server: ServerProcess, parts: SupervisorParts) {
    this.#server = server;
    this.#parts = parts;
    this.#loop = this.#mind(server);
  }

  pid(): number | undefined {
    return this.#server?.pid;
  }

  onRestart(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#server?.stop();
    await this.#loop;
  }

  async #mind(first: ServerProcess): Promise<void> {
    const { diagnostics } = this.#parts;
    let server: ServerProcess | null = first;
    while (server) {
      const end = await server.ended;
      this.#server = null;
      if (this.#closing.signal.aborted) return;
      this.problem = this.#parts.failure(`it ended (${end.how})\n${end.lastWords}`);
      diagnostics.error("PostgreSQL ended by itself, and is started again", { how: end.how, lastWords: end.lastWords });
      server = await this.#startAgain();
    }
  }

  /** Null when we are closing. Never gives up: a full disk is emptied some day. */
  async #startAgain(): Promise<ServerProcess | null> {
    const { clock, random, diagnostics } = this.#parts;
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      const words = await this.#tryStart();
      if (words === null) return this.#server;
      if (this.#closing.signal.aborted) break;
      this.problem = this.#parts.failure(words);
      const pauseMs = backoffMs(attempt, random);
      diagnostics.error("PostgreSQL did not start, and is tried again", { lastWords: words, pauseMs });
      await clock.sleep(pauseMs, this.#closing.signal).catch(() => {});
    }
    return null;
  }

  /** Null when it is up, else its last words. */
  async #tryStart(): Promise<string | null> {
    const { diagnostics } = this.#parts;
    try {
      await this.#parts.clear();
      if (this.#closing.signal.aborted) return "closing";
      this.#server = this.#parts.launch();
      const started = await this.#server.started;
      if (started.outcome === "ended") {
        this.#server = null;
        return started.lastWords;
      }
    } catch (cause) {
      return cause instanceof Error ? cause.message : String(cause);
    }
    this.problem = null;
    diagnostics.info("PostgreSQL is up again", { pid: this.#server.pid });
    for (const listener of this.#listeners) listener();
    return null;
  }
}

async function openSocketDirectory(home: Home): Promise<string | null> {
  const directory = socketDirectoryOrNull(path.join(home.directory, "socket"));
  if (directory !== null) await privateFolder(directory, home.account);
  return directory;
}

async function thisMachine(): Promise<Machine> {
  const limit = process.constrainedMemory();
  const shared = await statfs("/dev/shm").catch(() => null);
  return {
    memoryBytes: limit > 0 ? Math.min(limit, totalmem()) : totalmem(),
    sharedMemoryBytes: shared === null ? null : shared.bavail * shared.bsize,
  };
}
