/**
 * pg_ivm, an extension of PostgreSQL that keeps materialized views, as Debian builds it for the version of the embedded
 * server. It is fetched when a benchmark asks for it, into a folder that `npm ci` removes, and is no part of this project.
 */
import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import { downloadByApt } from "./debian-packages.ts";
import { make, run } from "./maven-jars.ts";

const major = 18;
const folder = join(import.meta.dirname, "..", "node_modules", ".cache", "millrace-postgres", `pg-ivm-${major}`);

/** Folders for `extension_control_path` and `dynamic_library_path`. */
export interface PgIvm {
  readonly control: string;
  readonly libraries: string;
}

/** Undefined while it is not here. */
export function findPgIvm(): PgIvm | undefined {
  if (!existsSync(folder)) return undefined;
  return {
    control: join(folder, "usr", "share", "postgresql", String(major)),
    libraries: join(folder, "usr", "lib", "postgresql", String(major), "lib"),
  };
}

/** Throws why it could not be had. */
export function installPgIvm(): void {
  if (existsSync(folder)) return;
  if (!existsSync("/usr/bin/apt-get")) throw new Error("there is no apt-get");
  make(folder, (draft) => {
    downloadByApt(draft, "deb http://deb.debian.org/debian forky main", ["download", `postgresql-${major}-pg-ivm`]);
    const [archive = ""] = globSync("*.deb", { cwd: draft });
    run("dpkg-deb", ["--extract", join(draft, archive), draft]);
  });
}
