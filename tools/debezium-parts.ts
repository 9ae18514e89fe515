/** A real Debezium: its embedded engine and its PostgreSQL connector, from Maven Central. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { attempt, fetchJars, findJdk, findMaven, jarsFolder } from "./maven-jars.ts";

export const debeziumVersion = "3.6.1.Final";

const artifacts = [
  ["io.debezium", "debezium-embedded", debeziumVersion],
  ["io.debezium", "debezium-connector-postgres", debeziumVersion],
] as const;
const folder = join(import.meta.dirname, "..", "node_modules", ".cache", "millrace-debezium", debeziumVersion);
const jars = jarsFolder(folder, artifacts);

/** What a test says when it skips itself; undefined when the engine can be run. */
export function debeziumMissing(): string | undefined {
  if (findJdk() === undefined) return "skipped: no JDK is here";
  if (!existsSync(jars)) return `skipped: the jars of Debezium ${debeziumVersion} could not be had`;
  return undefined;
}

export function debeziumClassPath(): string {
  return `${jars}/*`;
}

/** Never fails; says what could not be had. */
export function installDebeziumParts(): void {
  const maven = findMaven();
  if (existsSync(jars) || maven === undefined) return;
  console.error(`services: fetching the jars of Debezium ${debeziumVersion}`);
  attempt(() => fetchJars(maven, artifacts, jars));
}
