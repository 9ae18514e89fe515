/**
 * Java programs for tests: a JDK and Maven of the system, and jars from Maven Central, each set of them in a folder of its
 * own that `npm ci` removes.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Group, artifact and version. */
export type Artifact = readonly [group: string, artifact: string, version: string];

/** The folder with `java` and `javac`, of version 17 or later; the oldest such one, for all the same. */
export function findJdk(): string | undefined {
  const major = (path: string): number => Number(/(\d+)(?:\.\d+)*(?:-[a-z]\w*)*\/bin\//.exec(path)?.[1] ?? 0);
  const compilers = globSync("/usr/lib/jvm/*/bin/javac")
    .concat(globSync("/opt/homebrew/opt/openjdk@*/bin/javac"))
    .filter((path) => major(path) >= 17)
    .sort((a, b) => major(a) - major(b) || (a < b ? -1 : 1));
  return compilers[0]?.slice(0, -"/javac".length);
}

export function findMaven(): string | undefined {
  return ["/usr/bin/mvn", "/opt/homebrew/bin/mvn"].find((path) => existsSync(path));
}

/** Where the jars of these artifacts are or will be; another list has another folder. */
export function jarsFolder(folder: string, artifacts: readonly Artifact[]): string {
  return join(folder, `lib-${createHash("sha256").update(JSON.stringify(artifacts)).digest("hex").slice(0, 16)}`);
}

/** The artifacts with all that they need, into a new folder. */
export function fetchJars(maven: string, artifacts: readonly Artifact[], path: string): void {
  make(path, (draft) => copyDependencies(maven, artifacts, draft));
}

function copyDependencies(maven: string, artifacts: readonly Artifact[], draft: string): void {
  const pom = `${draft}.pom.xml`;
  const dependencies = artifacts.map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`,
  );
  writeFileSync(
    pom,
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>millrace</groupId><artifactId>under-test</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
${dependencies.join("\n")}
</dependencies></project>
`,
  );
  try {
    run(maven, ["-q", "-B", "-f", pom, "dependency:copy-dependencies", `-DoutputDirectory=${draft}`]);
  } finally {
    rmSync(pom, { force: true });
  }
}

/** All of the folder or nothing of it, also when two make it at once. */
export function make(path: string, fill: (draft: string) => void): void {
  const draft = `${path}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  try {
    fill(draft);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(path)) throw error;
  }
}

/** What could not be had is said, and that is all. */
export function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    console.error(`services: ${error instanceof Error ? error.message : error}`);
  }
}

export function run(program: string, args: readonly string[], options: { readonly cwd?: string } = {}): void {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    timeout: 5 * 60_000,
    ...options,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args[0]}: ${`${stdout}${stderr}`.trim().slice(-2_000)}`);
}
