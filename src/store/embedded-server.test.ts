import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chmod, chown, cp, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, suite, test } from "node:test";
import pg from "pg";
import { type TestFolder, testFolder, testPrograms } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { systemRandom } from "../base/random.ts";
import { type Account, serverAccount } from "./account.ts";
import { findPackage } from "./binaries.ts";
import { run, spawnIdentity } from "./child.ts";
import { type EmbeddedServer, type EmbeddedServerOptions, openEmbeddedServer } from "./embedded-server.ts";

const account = await serverAccount();
const notRoot = "skipped: needs root, to be another account for a moment";
const closedClone = "skipped: no other account can read this clone";
const binDirectory = await testPrograms();

/** Whether another account could run a program of this clone. */
async function canRunClone(): Promise<boolean> {
  const script = 'test -r "$1" && test -x "$2"';
  const args = ["-c", script, "sh", import.meta.filename, process.execPath];
  return (await run("/bin/sh", args, { account })).exitCode === 0;
}

let folder: TestFolder;
before(async () => {
  folder = await testFolder();
});
after(async () => {
  await folder[Symbol.asyncDispose]();
});

suite("the embedded server, start after start on one folder", () => {
  const dataFolder = () => path.join(folder.path, "pg", "data");
  const pidFile = () => path.join(dataFolder(), "postmaster.pid");
  const open = (more: Partial<EmbeddedServerOptions> = {}) => openEmbeddedServer(optionsFor(folder.path, more));

  test("a first start that was killed in the middle begins again", async () => {
    const home = path.join(folder.path, "pg");
    const { child } = await program(optionsText({ dataDirectory: folder.path }), "stay", null, async () => {
      await until(() => existsSync(home) && readdirSync(home).some((name) => name.startsWith("data.partial")));
      return "SIGKILL";
    });
    await ended(child);
    assert.equal(existsSync(path.join(home, "data")), false);
    const server = await open();
    await query(server, "create table kept as select 1 as one");
    await server.close();
    assert.deepEqual(
      readdirSync(home).filter((name) => name.includes("partial")),
      [],
    );
  });

  test("it takes a password on every way in, listens on loopback only, and keeps both to itself", async () => {
    const server = await open();
    for (const host of [server.host, server.socketDirectory ?? server.host]) {
      const client = new pg.Client({
        host,
        port: server.port,
        user: server.superuser,
        password: "x",
        database: "postgres",
      });
      await assert.rejects(client.connect(), { code: "28P01" });
    }
    assert.deepEqual(
      await query(
        server,
        "select name, setting from pg_settings where name in ('fsync', 'listen_addresses', 'wal_level') order by 1",
      ),
      [
        { name: "fsync", setting: "on" },
        { name: "listen_addresses", setting: "127.0.0.1" },
        { name: "wal_level", setting: "logical" },
      ],
    );
    const locale = await query(
      server,
      "select datlocprovider, datlocale, pg_encoding_to_char(encoding) as encoding from pg_database where datname = 'template1'",
    );
    assert.deepEqual(locale, [{ datlocprovider: "b", datlocale: "C.UTF-8", encoding: "UTF8" }]);
    assert.equal((await stat(path.join(folder.path, "pg", "login.json"))).mode & 0o777, 0o600);
    assert.equal((await stat(dataFolder())).mode & 0o777, 0o700);
    await server.close();
  });

  test("a clean stop leaves no process and no pid file", async () => {
    const server = await open();
    const pid = server.pid() ?? 0;
    await server.close();
    assert.equal(isAlive(pid), false);
    assert.equal(existsSync(pidFile()), false);
  });

  test("a server that is killed comes back at the same port, though one of its workers is too busy to notice", async () => {
    const server = await open();
    const busy = query(server, "do $$ begin loop perform 1; end loop; end $$").catch(() => "cut");
    await until(async () => (await query(server, "select from pg_stat_activity where query like 'do %'")).length > 0);
    const pid = server.pid();
    const back = new Promise<void>((resolve) => server.onRestart(resolve));
    process.kill(pid ?? 0, "SIGKILL");
    await back;
    assert.notEqual(server.pid(), pid);
    assert.equal(server.problem(), null);
    assert.equal(await busy, "cut");
    assert.deepEqual(await query(server, "select one from kept"), [{ one: 1 }]);
    await server.close();
  });

  test("what a killed program left running is ended, and the next start serves", async () => {
    const { child, said } = await program(optionsText({ dataDirectory: folder.path }), "stay");
    child.kill("SIGKILL");
    await ended(child);
    assert.equal(isAlive(said.pid), true);
    const server = await open();
    assert.equal(isAlive(said.pid), false);
    assert.deepEqual(await query(server, "select one from kept"), [{ one: 1 }]);
    await server.close();
  });

  test("a program that exits without closing takes its server with it", async () => {
    const { child, said } = await program(optionsText({ dataDirectory: folder.path }), "exit");
    await ended(child);
    await until(() => !isAlive(said.pid));
  });

  test("a stale pid file whose number another program has by now does not stop the start", async () => {
    const other = spawn("sleep", ["60"], { ...spawnIdentity(account), stdio: "ignore" });
    const lines = [other.pid, dataFolder(), 1, 4432, "", "127.0.0.1", "  1 1", "ready", ""];
    await writeFile(pidFile(), lines.join("\n"));
    if (account) await chown(pidFile(), account.uid, account.gid);
    const server = await open();
    await server.close();
    assert.equal(other.exitCode ?? other.signalCode, null);
    other.kill();
  });

  test("a stale pid file of a number that nobody has does not stop the start", async () => {
    await writeFile(pidFile(), `99999999\n${dataFolder()}\n1\n4432\n\n\n`);
    if (account) await chown(pidFile(), account.uid, account.gid);
    await (await open()).close();
  });

  test("a login file that was lost is made again", async () => {
    await rm(path.join(folder.path, "pg", "login.json"));
    const server = await open();
    assert.deepEqual(await query(server, "select one from kept"), [{ one: 1 }]);
    await server.close();
  });

  test("settings of one's own are read from a file beside the data, except those that keep the data", async () => {
    const local = path.join(folder.path, "pg", "postgresql.local.conf");
    await writeFile(local, "work_mem = '7MB'\nfsync = off\nlisten_addresses = '*'\n");
    const server = await open();
    const settings = await query(
      server,
      "select current_setting('work_mem') as w, current_setting('fsync') as f, current_setting('listen_addresses') as l",
    );
    assert.deepEqual(settings, [{ w: "7MB", f: "on", l: "127.0.0.1" }]);
    await server.close();
    await rm(local);
  });

  test("a port that is taken is refused when it was asked for, else the next free one is used", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const address = other.address();
    const port = typeof address === "object" && address ? address.port : 0;
    await assert.rejects(open({ port, portRequired: true }), { code: "PORT_TAKEN" });
    const server = await open({ port });
    assert.ok(server.port > port);
    await server.close();
    other.close();
  });

  test("a folder of another major version is refused, untouched, with the way out", async () => {
    const file = path.join(dataFolder(), "PG_VERSION");
    const before = await readFile(file, "utf8");
    await writeFile(file, "17\n");
    await assert.rejects(open(), (error: Error & { code: string; hint: string }) => {
      assert.equal(error.code, "STORE_DATA_OTHER_VERSION");
      assert.match(error.message, /PostgreSQL 17/);
      assert.match(error.hint, /mv .*\/pg\/data /);
      return true;
    });
    await writeFile(file, before);
    await (await open()).close();
  });

  test("a damaged folder is refused with PostgreSQL's own words", async () => {
    const control = path.join(dataFolder(), "global", "pg_control");
    const bytes = await readFile(control);
    await writeFile(control, Buffer.alloc(bytes.length, 7));
    await assert.rejects(open(), {
      code: "STORE_START_FAILED",
      message: /database files are incompatible/,
    });
    await writeFile(control, bytes);
    await (await open()).close();
  });

  test("a folder with programs of the user's choice serves as well as the package", async () => {
    const chosen = binDirectory ?? path.join(findPackage() ?? "", "native", "bin");
    await (await open({ binDirectory: chosen, packageDirectory: null })).close();
  });

  test("a data directory that was moved serves, over loopback alone where its path is too long for a socket", async () => {
    const long = path.join(folder.path, "x".repeat(100));
    await mkdir(long);
    await rename(path.join(folder.path, "pg"), path.join(long, "pg"));
    const server = await open({ dataDirectory: long });
    assert.equal(server.socketDirectory, null);
    assert.deepEqual(await query(server, "select one from kept"), [{ one: 1 }]);
    await server.close();
    await rename(path.join(long, "pg"), path.join(folder.path, "pg"));
  });

  test("root takes over a folder that an ordinary user's start made, under that user's account", async (t) => {
    if (!account) return t.skip(notRoot);
    const user: Account = { name: "a user", uid: account.uid + 1, gid: account.gid };
    assert.equal(
      (await run("chown", ["-R", `${user.uid}:${user.gid}`, path.join(folder.path, "pg")], { account: null })).exitCode,
      0,
    );
    const server = await open();
    assert.deepEqual(await query(server, "select one from kept"), [{ one: 1 }]);
    assert.equal((await stat(`/proc/${server.pid()}`)).uid, user.uid);
    await server.close();
  });
});

suite("the embedded server, where it cannot stand as usual", () => {
  // A package whose install script did not run, below a folder that the tests open and close.
  let door: string;
  let packageDirectory: string;
  before(async () => {
    door = path.join(folder.path, "door");
    packageDirectory = await copyWithoutLinks(path.join(door, "package"));
    await run("chmod", ["-R", "a-w", packageDirectory], { account: null });
  });
  after(() => run("chmod", ["-R", "u+w", packageDirectory], { account: null }));

  test("an ordinary user, a package without links that cannot be written: a copy is made", async (t) => {
    if (!account) return t.skip(notRoot);
    if (!(await canRunClone())) return t.skip(closedClone);
    await using own = await testFolder();
    const dataDirectory = path.join(own.path, "data");
    await mkdir(dataDirectory);
    await chown(dataDirectory, account.uid, account.gid);
    const { child, said } = await program(
      optionsText({ dataDirectory, packageDirectory, binDirectory: null }),
      "close",
      account,
    );
    await ended(child);
    assert.equal(said.code, undefined, said.message);
    assert.equal(existsSync(path.join(packageDirectory, "native", "lib", "libpq.so.5")), false);
    assert.match(said.diagnostics.join("\n"), /programs were copied.*their folder cannot be written/);
    assert.equal((await stat(path.join(dataDirectory, "pg", "data"))).uid, account.uid);
  });

  test("a folder that the user cannot write is named", async (t) => {
    if (!(await canRunClone())) return t.skip(closedClone);
    await using own = await testFolder();
    if (!account) await chmod(own.path, 0o555);
    const { child, said } = await program(
      optionsText({ dataDirectory: path.join(own.path, "data") }),
      "close",
      account,
    );
    await ended(child);
    await chmod(own.path, 0o755);
    assert.equal(said.code, "DATA_DIRECTORY_UNUSABLE");
    assert.match(said.message, new RegExp(own.path));
  });

  test("files that root's start made are refused to an ordinary user, with the command that helps", async (t) => {
    if (!account) return t.skip(notRoot);
    if (!(await canRunClone())) return t.skip(closedClone);
    await using own = await testFolder();
    await mkdir(path.join(own.path, "pg", "data"), { recursive: true });
    await chown(path.join(own.path, "pg"), account.uid, account.gid);
    const { child, said } = await program(optionsText({ dataDirectory: own.path }), "close", account);
    await ended(child);
    assert.equal(said.code, "DATA_DIRECTORY_UNUSABLE");
    assert.match(said.hint, /chown -R/);
  });

  test("root below a folder that no other account enters: files and programs go where the account can reach, and the start says so", async (t) => {
    if (!account) return t.skip(notRoot);
    await using own = await testFolder();
    await chmod(door, 0o700);
    const said: string[] = [];
    const options = optionsFor(path.join(door, "data"), {
      packageDirectory,
      binDirectory: null,
      elsewhere: path.join(own.path, "elsewhere"),
      diagnostics: recording(said),
    });
    const server = await openEmbeddedServer(options);
    await query(server, "create table kept as select 1 as one");
    await server.close();
    assert.match(said.join("\n"), /files stand outside the data directory .*elsewhere/);
    assert.match(said.join("\n"), /programs were copied/);

    said.length = 0;
    const again = await openEmbeddedServer(options);
    assert.deepEqual(await query(again, "select one from kept"), [{ one: 1 }]);
    await again.close();
    assert.doesNotMatch(said.join("\n"), /files stand outside/);

    await rm(path.join(door, "data"), { recursive: true });
    await (await openEmbeddedServer(options)).close();
    assert.match(said.join("\n"), /of a data directory that is gone can be removed/);
  });

  test("root's own closed data directory is opened for the account to pass through, and stays closed otherwise", async (t) => {
    if (!account) return t.skip(notRoot);
    await using own = await testFolder();
    const dataDirectory = path.join(own.path, "data");
    await mkdir(dataDirectory, { mode: 0o700 });
    const said: string[] = [];
    const server = await openEmbeddedServer(optionsFor(dataDirectory, { diagnostics: recording(said) }));
    await server.close();
    const { uid, gid, mode } = await stat(dataDirectory);
    assert.deepEqual([uid, gid, mode & 0o777], [0, account.gid, 0o710]);
    assert.ok(existsSync(path.join(dataDirectory, "pg", "data")));
    assert.doesNotMatch(said.join("\n"), /files stand outside/);
  });

  test("a disk that is full, at the first start and at a later one, is named, and started again once there is space", async (t) => {
    await using own = await testFolder();
    const mounted = await run("mount", ["-t", "tmpfs", "-o", "size=200m,mode=755", "tmpfs", own.path], {
      account: null,
    });
    if (mounted.exitCode !== 0) return t.skip("skipped: needs the right to mount a small file system");
    try {
      const ballast = path.join(own.path, "ballast");
      const fill = (megabytes: number) =>
        run("dd", ["if=/dev/zero", `of=${ballast}`, "bs=1M", `count=${megabytes}`], { account: null });
      await fill(190);
      await assert.rejects(openEmbeddedServer(optionsFor(own.path)), { code: "STORE_DISK_FULL" });
      await rm(ballast);
      await (await openEmbeddedServer(optionsFor(own.path))).close();
      await fill(500);
      await assert.rejects(openEmbeddedServer(optionsFor(own.path)), { code: "STORE_DISK_FULL" });
      await rm(ballast);
      await (await openEmbeddedServer(optionsFor(own.path))).close();
    } finally {
      await run("umount", [own.path], { account: null });
    }
  });

  test("programs that are not there are named, with what helps", async () => {
    await using own = await testFolder();
    const open = (more: Partial<EmbeddedServerOptions>) => openEmbeddedServer(optionsFor(own.path, more));
    await assert.rejects(open({ binDirectory: null, packageDirectory: null }), {
      code: "STORE_BINARIES_MISSING",
      hint: /--include=optional/,
    });
    await assert.rejects(open({ binDirectory: "/nowhere" }), {
      code: "STORE_BINARIES_MISSING",
      message: /MILLRACE_PG_BIN/,
    });
    const old = path.join(own.path, "bin");
    await mkdir(old);
    for (const name of ["postgres", "initdb"]) {
      await writeFile(path.join(old, name), `#!/bin/sh\necho "${name} (PostgreSQL) 15.20"\n`, { mode: 0o755 });
    }
    await assert.rejects(open({ binDirectory: old }), { code: "STORE_TOO_OLD" });
  });
});

function optionsFor(dataDirectory: string, more: Partial<EmbeddedServerOptions> = {}): EmbeddedServerOptions {
  return {
    dataDirectory,
    port: 0,
    portRequired: false,
    binDirectory,
    clock: systemClock,
    random: systemRandom,
    diagnostics: silentDiagnostics,
    ...more,
  };
}

function optionsText(more: Partial<EmbeddedServerOptions>): string {
  return JSON.stringify({ port: 0, portRequired: false, binDirectory, ...more });
}

interface Said {
  readonly pid: number;
  readonly code?: string;
  readonly message: string;
  readonly hint: string;
  readonly diagnostics: string[];
}

/** A program of its own that opens the server and says what came of it. */
async function program(
  options: string,
  then: "stay" | "exit" | "close",
  as: Account | null = null,
  /** Awaited beside the program's first words; answers the signal to send. */
  interrupt: (() => Promise<NodeJS.Signals>) | null = null,
): Promise<{ child: ChildProcess; said: Said }> {
  const base = new URL("../base/", import.meta.url);
  const script = `
    import { openEmbeddedServer } from "${new URL("embedded-server.ts", import.meta.url)}";
    import { systemClock as clock } from "${new URL("clock.ts", base)}";
    import { systemRandom as random } from "${new URL("random.ts", base)}";
    const said = [];
    const note = (message, fields) => said.push(message + " " + JSON.stringify(fields));
    const diagnostics = { debug() {}, info: note, warn: note, error: note, child: () => diagnostics };
    const end = { stay() { setInterval(() => {}, 1000); }, exit() { process.exit(0); }, close: (server) => server.close() };
    try {
      const server = await openEmbeddedServer({ ...${options}, clock, random, diagnostics });
      process.stdout.write(JSON.stringify({ pid: server.pid(), diagnostics: said }) + "\\n");
      await end.${then}(server);
    } catch ({ code, message, hint, stack }) {
      process.stdout.write(JSON.stringify({ code: code ?? stack, message, hint, diagnostics: said }) + "\\n");
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    ...spawnIdentity(as),
    cwd: "/",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (interrupt) {
    child.kill(await interrupt());
    return { child, said: { pid: 0, message: "", hint: "", diagnostics: [] } };
  }
  for await (const line of createInterface({ input: child.stdout })) return { child, said: JSON.parse(line) };
  throw new Error("the program said nothing");
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once("exit", resolve));
}

async function query(server: EmbeddedServer, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({
    host: server.socketDirectory ?? server.host,
    port: server.port,
    user: server.superuser,
    password: server.password,
    database: "postgres",
  });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Zombies are gone: nobody may be there to collect them. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    if (process.platform !== "linux") return true;
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text[text.lastIndexOf(")") + 2] !== "Z";
  } catch {
    return false;
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}

async function copyWithoutLinks(target: string): Promise<string> {
  const source = findPackage() ?? "";
  const links = JSON.parse(await readFile(path.join(source, "native", "pg-symlinks.json"), "utf8"));
  await cp(source, target, { recursive: true, verbatimSymlinks: true, filter: (file) => !file.endsWith(".a") });
  for (const link of links) await rm(path.join(target, link.target), { force: true });
  return target;
}

function recording(said: string[]): Diagnostics {
  const note = (message: string, fields?: object) => void said.push(`${message} ${JSON.stringify(fields)}`);
  return { debug() {}, info: note, warn: note, error: note, child: () => recording(said) };
}
