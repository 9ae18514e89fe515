/**
 * Where the embedded server's files stand: `<data>/pg`, unless root lends an account that cannot get there (a data
 * directory below `/root`; one that is only itself closed is opened for passing through). Then they stand in a folder of their own below `/var/lib/millrace`, and `<data>/pg/elsewhere`
 * names it, so that the next start finds it again.
 */
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { type Account, canWrite } from "./account.ts";

export interface Home {
  /** Absolute; the account enters and writes it. Holds `data/`, `socket/` and, when they are needed, `programs/`. */
  readonly directory: string;
  /** Absolute; ours, not the account's. Holds `login.json`. */
  readonly ours: string;
  readonly account: Account | null;
}

export interface HomeRequest {
  readonly dataDirectory: string;
  readonly account: Account | null;
  readonly diagnostics: Diagnostics;
  /** Where the files go when the account cannot reach the data directory. */
  readonly elsewhere?: string;
}

/** Throws `DATA_DIRECTORY_UNUSABLE`, `STORE_DISK_FULL`. */
export async function openHome(request: HomeRequest): Promise<Home> {
  const ours = path.resolve(request.dataDirectory, "pg");
  try {
    await mkdir(ours, { recursive: true, mode: 0o755 });
    return request.account === null
      ? await homeOfThisUser(ours)
      : await homeOfAccount(ours, request.account, request.elsewhere ?? "/var/lib/millrace", request.diagnostics);
  } catch (cause) {
    throw MillraceError.is(cause) ? cause : unusable(ours, cause);
  }
}

async function homeOfThisUser(ours: string): Promise<Home> {
  if (!(await canWrite(null, ours))) {
    throw new MillraceError("DATA_DIRECTORY_UNUSABLE", `the folder ${ours} cannot be written by this user`, {
      hint: "Give the folder to the user that runs Millrace, or name another one in MILLRACE_DATA.",
    });
  }
  const owner = await ownerOf(path.join(ours, "data"));
  if (owner !== null && owner.uid !== process.getuid?.()) {
    throw new MillraceError(
      "DATA_DIRECTORY_UNUSABLE",
      `the store's files in ${ours} belong to another account (number ${owner.uid}): Millrace was started as root before`,
      { hint: `Start as root again, or give the files to this user: chown -R "$(id -u)" ${ours}` },
    );
  }
  return { directory: ours, ours, account: null };
}

async function homeOfAccount(ours: string, lent: Account, elsewhere: string, diagnostics: Diagnostics): Promise<Home> {
  const pointer = path.join(ours, "elsewhere");
  const known = (await readFile(pointer, "utf8").catch(() => "")).trim();
  const directory = known === "" ? ours : known;
  // Files that an ordinary user's start made stay that user's: the server takes no folder of somebody else.
  const owner = await ownerOf(path.join(directory, "data"));
  const account = owner === null || owner.uid === 0 ? lent : { name: `number ${owner.uid}`, ...owner };
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await chown(directory, account.uid, account.gid);
  if (await canWrite(account, directory)) return { directory, ours, account };
  if (directory === ours && (await letThrough(path.dirname(ours), account)) && (await canWrite(account, ours))) {
    return { directory, ours, account };
  }
  if (owner !== null) throw unreachable(directory, account);

  const moved = path.join(elsewhere, `${path.basename(path.dirname(ours))}-${randomBytes(4).toString("hex")}`);
  await mkdir(moved, { recursive: true, mode: 0o755 }).catch(() => {});
  await chown(moved, account.uid, account.gid).catch(() => {});
  if (!(await canWrite(account, moved))) throw unreachable(ours, account);
  await warnOfLeftovers(elsewhere, diagnostics);
  await writeFile(path.join(moved, "of"), `${ours}\n`);
  await writeFile(pointer, `${moved}\n`);
  diagnostics.warn("the store's files stand outside the data directory", {
    directory: moved,
    reason: `PostgreSQL does not run as root, and the account ${account.name} that it runs under cannot reach ${ours}`,
  });
  return { directory: moved, ours, account };
}

/**
 * A data directory that root made for itself alone: the account may pass through it, by its group, and see nothing of
 * it. Folders above it are not ours to open. False when nothing was changed.
 */
async function letThrough(dataDirectory: string, account: Account): Promise<boolean> {
  const { uid, mode } = await stat(dataDirectory);
  if (uid !== 0 || (mode & 0o077) !== 0) return false;
  await chown(dataDirectory, 0, account.gid);
  await chmod(dataDirectory, (mode & 0o700) | 0o010);
  return true;
}

/** Who removes a data directory does not see these files. They are named and not removed: a volume may not be mounted. */
async function warnOfLeftovers(elsewhere: string, diagnostics: Diagnostics): Promise<void> {
  for (const name of await readdir(elsewhere)) {
    const folder = path.join(elsewhere, name);
    const of = (await readFile(path.join(folder, "of"), "utf8").catch(() => "")).trim();
    if (of === "") continue;
    const named = (await readFile(path.join(of, "elsewhere"), "utf8").catch(() => "")).trim();
    if (named === folder) continue;
    diagnostics.warn("the store's files of a data directory that is gone can be removed", { folder, of });
  }
}

async function ownerOf(directory: string): Promise<{ uid: number; gid: number } | null> {
  try {
    const { uid, gid } = await stat(directory);
    return { uid, gid };
  } catch {
    return null;
  }
}

function unreachable(directory: string, account: Account): MillraceError {
  return new MillraceError(
    "DATA_DIRECTORY_UNUSABLE",
    `PostgreSQL does not run as root, and the account ${account.name} that it runs under cannot reach ${directory}`,
    { hint: "Start Millrace as an ordinary user, or name a data directory outside /root in MILLRACE_DATA." },
  );
}

function unusable(directory: string, cause: unknown): MillraceError {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new MillraceError("STORE_DISK_FULL", `there is no space for ${directory}`, {
      hint: "Make space on its file system, or name a data directory on another one in MILLRACE_DATA.",
      cause,
    });
  }
  const words = cause instanceof Error ? cause.message : String(cause);
  return new MillraceError("DATA_DIRECTORY_UNUSABLE", `the folder ${directory} cannot be used: ${words}`, {
    hint: "Give the folder to the user that runs Millrace, or name another one in MILLRACE_DATA.",
    cause,
  });
}
