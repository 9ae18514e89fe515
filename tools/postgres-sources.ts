/**
 * PostgreSQL's own regression suite, from the source package of the system's distribution: queries that others have
 * thought of. It is fetched when the tests run, into a folder that `npm ci` removes, and is no part of this project.
 */
import { existsSync, globSync, rmSync } from "node:fs";
import { join } from "node:path";
import { downloadByApt } from "./debian-packages.ts";
import { attempt, make, run } from "./maven-jars.ts";

const major = 15;
const folder = join(import.meta.dirname, "..", "node_modules", ".cache", "millrace-postgres", `regress-${major}`);

/** The folder with `sql` and `data`; undefined while it is not here. */
export function findRegressionSuite(): string | undefined {
  return existsSync(folder) ? folder : undefined;
}

/** What a test says when it skips itself; undefined when the suite is here. */
export function regressionSuiteMissing(): string | undefined {
  return findRegressionSuite() === undefined
    ? `skipped: the sources of Debian's postgresql-${major} could not be had by apt-get`
    : undefined;
}

/** Never fails; says what could not be had. */
export function installRegressionSuite(): void {
  if (existsSync(folder) || !existsSync("/usr/bin/apt-get")) return;
  console.error(`services: fetching the sources of postgresql-${major}`);
  attempt(() =>
    make(folder, (draft) => {
      downloadByApt(draft, "deb-src http://deb.debian.org/debian bookworm main", [
        "source",
        "--download-only",
        `postgresql-${major}`,
      ]);
      const [archive = ""] = globSync("*.orig.tar.*", { cwd: draft });
      const parts = ["sql", "data"].map((name) => `*/src/test/regress/${name}/*`);
      run("tar", ["-xf", join(draft, archive), "-C", draft, "--strip-components=4", "--wildcards", ...parts]);
      for (const name of globSync("postgresql-*", { cwd: draft })) rmSync(join(draft, name));
    }),
  );
}
