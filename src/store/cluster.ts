/**
 * The embedded server's data directory: made on the first start, checked on every one.
 *
 * Always true: a folder named `data` is complete. It is made as `data.partial-…` and renamed when all of it is on disk, so
 * a first start that was killed begins again.
 */
import { randomBytes } from "node:crypto";
import { access, chmod, chown, mkdir, open, readdir, readFile, rename, rm, statfs, writeFile } from "node:fs/promises";
import path from "node:path";
import { MillraceError } from "../base/errors.ts";
import type { Account } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { type Outcome, run } from "./child.ts";
import type { Home } from "./home.ts";
import { accessFile, type Machine, settingsFile } from "./server-settings.ts";

/** The role that owns everything in the embedded server. */
export const superuser = "millrace";

/** A new one takes 40 MB, one database more 8 MB, and the first work its WAL. */
const newBytesMin = 128 * 1024 ** 2;
const startBytesMin = 16 * 1024 ** 2;

export interface ClusterRequest {
  readonly home: Home;
  readonly binaries: Binaries;
  readonly password: string;
  readonly machine: Machine;
}

/** Answers its path. Throws `STORE_DATA_OTHER_VERSION`, `STORE_DISK_FULL`, `STORE_START_FAILED`. */
export async function openCluster(request: ClusterRequest): Promise<{ dataDirectory: string; made: boolean }> {
  const { home, binaries } = request;
  const dataDirectory = path.join(home.directory, "data");
  const major = await majorOf(dataDirectory);
  if (major !== null && major !== binaries.major) throw otherVersion(dataDirectory, major, binaries);
  await requireSpace(home.directory, major === null ? newBytesMin : startBytesMin);
  if (major === null) await make(request, dataDirectory);
  try {
    const local = path.join(home.directory, "postgresql.local.conf");
    const hasLocal = await access(local).then(
      () => true,
      () => false,
    );
    const settings = settingsFile(request.machine, hasLocal ? local : null);
    await replaceFile(path.join(dataDirectory, "postgresql.conf"), settings, home.account);
    await replaceFile(path.join(dataDirectory, "pg_hba.conf"), accessFile, home.account);
  } catch (cause) {
    throw startFailure(dataDirectory, cause instanceof Error ? cause.message : String(cause));
  }
  return { dataDirectory, made: major === null };
}

/** Gives the superuser another password, by the server's single-user mode: the file with the old one is gone. */
export async function resetPassword(request: ClusterRequest, dataDirectory: string): Promise<void> {
  const outcome = await run(request.binaries.postgres, ["--single", "-D", dataDirectory, "postgres"], {
    account: request.home.account,
    input: `alter role ${superuser} password '${request.password}'\n`,
  });
  if (outcome.exitCode !== 0 || /^(?:ERROR|FATAL|PANIC):/m.test(withoutPrefix(outcome.output))) {
    throw startFailure(dataDirectory, outcome.output);
  }
}

/** A failed start as the user should see it: what PostgreSQL said last decides the code. */
export function startFailure(dataDirectory: string, words: string): MillraceError {
  const lastWords = withoutPrefix(words).trim().split("\n").slice(-8).join("\n");
  if (/No space left on device|ENOSPC|Disk quota exceeded|EDQUOT/.test(words)) {
    return diskFull(`there is no space for the store in ${dataDirectory}: ${lastWords}`);
  }
  return new MillraceError(
    "STORE_START_FAILED",
    `the embedded PostgreSQL in ${dataDirectory} did not start: ${lastWords}`,
    {
      hint: `If the folder is damaged, move it away (mv ${dataDirectory} ${dataDirectory}.old) and start again: the views are rebuilt.`,
    },
  );
}

async function make({ home, binaries, password }: ClusterRequest, dataDirectory: string): Promise<void> {
  const inside = await readdir(dataDirectory).catch(() => []);
  if (inside.length > 0) {
    throw new MillraceError("STORE_START_FAILED", `the folder ${dataDirectory} holds no PostgreSQL, and is not empty`, {
      hint: `Move it away (mv ${dataDirectory} ${dataDirectory}.old) and start again.`,
    });
  }
  await removePartial(home.directory);
  // A name of its own: the initdb of a start that was killed may still be at work on its folder.
  const suffix = `partial-${randomBytes(4).toString("hex")}`;
  const partial = `${dataDirectory}.${suffix}`;
  const passwordFile = path.join(home.directory, `password.${suffix}`);
  try {
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
    if (home.account) await chown(passwordFile, home.account.uid, home.account.gid);
    const outcome = await initialize(binaries, home.account, partial, passwordFile);
    if (outcome.exitCode !== 0) throw startFailure(dataDirectory, outcome.output);
    await rm(dataDirectory, { recursive: true, force: true });
    await rename(partial, dataDirectory);
    await syncDirectory(home.directory);
  } catch (cause) {
    await rm(partial, { recursive: true, force: true, maxRetries: 3 });
    if (MillraceError.is(cause)) throw cause;
    throw startFailure(dataDirectory, cause instanceof Error ? cause.message : String(cause));
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function removePartial(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => /^(?:data|password)\.partial-/.test(name));
  for (const name of names) {
    await rm(path.join(directory, name), { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }
}

/** Sorting by code point, the same on every machine and in every release; letters known beyond ASCII where libc has C.UTF-8. */
async function initialize(
  binaries: Binaries,
  account: Account | null,
  target: string,
  passwordFile: string,
): Promise<Outcome> {
  const initdb = (locale: string) =>
    run(
      binaries.initdb,
      ["--pgdata", target, "--username", superuser, "--pwfile", passwordFile, "--auth", "scram-sha-256"].concat(
        ["--encoding", "UTF8", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", locale],
        ["--no-instructions"],
      ),
      { account },
    );
  const outcome = await initdb("C.UTF-8");
  return outcome.exitCode !== 0 && outcome.output.includes("invalid locale name") ? initdb("C") : outcome;
}

/** Null when there is no cluster yet. */
async function majorOf(dataDirectory: string): Promise<number | null> {
  try {
    return Number.parseInt(await readFile(path.join(dataDirectory, "PG_VERSION"), "utf8"), 10);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw startFailure(dataDirectory, cause instanceof Error ? cause.message : String(cause));
  }
}

function otherVersion(dataDirectory: string, major: number, binaries: Binaries): MillraceError {
  return new MillraceError(
    "STORE_DATA_OTHER_VERSION",
    `the store's folder ${dataDirectory} was made by PostgreSQL ${major}, and this is PostgreSQL ${binaries.version}`,
    {
      hint: `Move it away (mv ${dataDirectory} ${dataDirectory}.${major}) and start again: the views are rebuilt. Or name a folder with PostgreSQL ${major}'s programs in MILLRACE_PG_BIN.`,
      details: { folder: dataDirectory, made: major, here: binaries.major },
    },
  );
}

async function requireSpace(directory: string, bytesMin: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize >= bytesMin) return;
  const megabytes = (bytes: number) => `${Math.floor(bytes / 1024 ** 2)} MB`;
  throw diskFull(
    `the store in ${directory} needs ${megabytes(bytesMin)} to start, and ${megabytes(bavail * bsize)} are free`,
  );
}

function diskFull(message: string): MillraceError {
  return new MillraceError("STORE_DISK_FULL", message, {
    hint: "Make space on its file system, or name a data directory on another one in MILLRACE_DATA.",
  });
}

/** The server's own prefix of a line, before its settings are read: a time and a process number. */
function withoutPrefix(text: string): string {
  return text.replaceAll(/^\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] /gm, "");
}

async function replaceFile(file: string, text: string, account: Account | null): Promise<void> {
  const partial = `${file}.partial`;
  await writeFile(partial, text, { mode: 0o600, flush: true });
  await chmod(partial, 0o600);
  if (account) await chown(partial, account.uid, account.gid);
  await rename(partial, file);
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A folder of the account's own, nobody else's. */
export async function privateFolder(directory: string, account: Account | null): Promise<void> {
  await mkdir(directory, { recursive: true });
  if (account) await chown(directory, account.uid, account.gid);
  await chmod(directory, 0o700);
}
