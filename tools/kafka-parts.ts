/**
 * A real Kafka, and the clients of other languages: jars from Maven Central, Java and Python of the system, Python's
 * client in an environment of its own. All of it stands in a folder that `npm ci` removes; what is missing is missing
 * for good until `installServices` runs again.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attempt, fetchJars, findJdk, findMaven, jarsFolder, make, run } from "./maven-jars.ts";

export { findJdk, findMaven } from "./maven-jars.ts";

export const kafkaVersion = "4.3.1";
const log4jVersion = "2.25.4";
const confluentKafkaVersion = "2.16.1";

const root = join(import.meta.dirname, "..");
const folder = join(root, "node_modules", ".cache", "millrace-kafka", kafkaVersion);
/** With all that they need. */
const artifacts = [
  ["org.apache.kafka", "kafka_2.13", kafkaVersion],
  ["org.apache.kafka", "kafka-tools", kafkaVersion],
  ["org.apache.kafka", "kafka-streams", kafkaVersion],
  ["org.apache.logging.log4j", "log4j-core", log4jVersion],
  ["org.apache.logging.log4j", "log4j-slf4j-impl", log4jVersion],
] as const;
const jars = jarsFolder(folder, artifacts);
const python = join(folder, `python-${confluentKafkaVersion}`);
const javaSources = join(root, "test", "conformance", "kafka", "java");

export function findKcat(): string | undefined {
  return ["/usr/bin/kcat", "/opt/homebrew/bin/kcat"].find((path) => existsSync(path));
}

/** A Python that can make environments. */
export function findPython(): string | undefined {
  return ["/usr/bin/python3", "/opt/homebrew/bin/python3"].find(
    (path) => existsSync(path) && spawnSync(path, ["-c", "import ensurepip"]).status === 0,
  );
}

/** The class path with Kafka's server, its tools and our own few classes; undefined when a part is missing. */
export function findKafkaJars(): string | undefined {
  return existsSync(jars) ? jars : undefined;
}

/** The Python of the environment that holds confluent-kafka. */
export function findConfluentPython(): string | undefined {
  return existsSync(join(python, "complete")) ? join(python, "bin", "python") : undefined;
}

/** The same, with the serializers that use a registry of schemas. */
export function findPythonSerializers(): string | undefined {
  return existsSync(join(python, "serializers")) ? findConfluentPython() : undefined;
}

/** What a test says when it skips itself; undefined when a Kafka can be started. */
export function kafkaMissing(): string | undefined {
  if (findJdk() === undefined) return "skipped: no JDK is here";
  if (findKafkaJars() === undefined) return `skipped: the jars of Kafka ${kafkaVersion} could not be had`;
  return undefined;
}

/** Our own classes and Kafka's, as `java -cp` takes them. Compiled anew when a source has changed. */
export function kafkaClassPath(): string {
  const jdk = findJdk();
  if (jdk === undefined || findKafkaJars() === undefined) throw new Error(kafkaMissing());
  const sources = globSync(join(javaSources, "*.java")).sort();
  const hash = createHash("sha256");
  for (const path of sources) hash.update(readFileSync(path));
  const classes = join(folder, `classes-${hash.digest("hex").slice(0, 16)}`);
  if (!existsSync(classes)) {
    make(classes, (draft) =>
      run(join(jdk, "javac"), ["-nowarn", "-proc:none", "-cp", `${jars}/*`, "-d", draft, ...sources]),
    );
  }
  return `${classes}:${jars}/*`;
}

/** Never fails; says what could not be had. */
export function installKafkaParts(): void {
  const maven = findMaven();
  if (findKafkaJars() === undefined && maven !== undefined) {
    console.error(`services: fetching the jars of Kafka ${kafkaVersion}`);
    attempt(() => fetchJars(maven, artifacts, jars));
  }
  const system = findPython();
  if (findConfluentPython() === undefined && system !== undefined) {
    console.error(`services: installing confluent-kafka ${confluentKafkaVersion}`);
    attempt(() => {
      // An environment cannot be moved, so that a file says when all of it is there.
      rmSync(python, { recursive: true, force: true });
      run(system, ["-m", "venv", "--copies", python]);
      const requirement = `confluent-kafka==${confluentKafkaVersion}`;
      run(join(python, "bin", "python"), ["-m", "pip", "install", "-q", requirement]);
      writeFileSync(join(python, "complete"), "");
    });
  }
  if (findConfluentPython() !== undefined && findPythonSerializers() === undefined) {
    console.error(`services: installing the serializers of confluent-kafka ${confluentKafkaVersion}`);
    attempt(() => {
      const requirement = `confluent-kafka[schemaregistry,avro,json,protobuf]==${confluentKafkaVersion}`;
      run(join(python, "bin", "python"), ["-m", "pip", "install", "-q", requirement]);
      writeFileSync(join(python, "serializers"), "");
    });
  }
}
