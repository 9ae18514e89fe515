/** Kafka's own client for Java, and its command line tools. */
import { join } from "node:path";
import { findJdk, kafkaClassPath } from "../../../tools/kafka-parts.ts";
import { type Client, openProcessClient } from "./client.ts";

export function openJava(bootstrap: string): Client {
  const flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=OFF"];
  return openProcessClient(join(findJdk() ?? "", "java"), [...flags, "-cp", kafkaClassPath(), "Client", bootstrap]);
}
