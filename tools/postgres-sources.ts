/**
 * PostgreSQL's own regression suite, from the source package of the system's distribution: queries that others have
 * thought of. It is fetched when the tests run, into a folder that `npm ci` removes, and is no part of this project.
 */
import { existsSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
      // Lists of its own: the system's say nothing of sources, and stay as they are.
      const lists = join(draft, "lists");
      mkdirSync(join(lists, "partial"), { recursive: true });
      const sources = join(draft, "sources.list");
      writeFileSync(sources, "deb-src http://deb.debian.org/debian bookworm main\n");
      const options = [
        `Dir::Etc::sourcelist=${sources}`,
        "Dir::Etc::sourceparts=/dev/null",
        `Dir::State::lists=${lists}`,
        "APT::Sandbox::User=root",
      ].flatMap((option) => ["-o", option]);
      run("apt-get", ["-qq", ...options, "update"]);
      run("apt-get", ["-qq", ...options, "source", "--download-only", `postgresql-${major}`], { cwd: draft });
      const [archive = ""] = globSync("*.orig.tar.*", { cwd: draft });
      const parts = ["sql", "data"].map((name) => `*/src/test/regress/${name}/*`);
      run("tar", ["-xf", join(draft, archive), "-C", draft, "--strip-components=4", "--wildcards", ...parts]);
      run("rm", ["-rf", lists, sources, ...globSync("postgresql-*", { cwd: draft }).map((name) => join(draft, name))]);
    }),
  );
}
