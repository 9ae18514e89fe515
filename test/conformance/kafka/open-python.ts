/** confluent-kafka for Python, which is librdkafka. */
import { join } from "node:path";
import { findConfluentPython } from "../../../tools/kafka-parts.ts";
import { type Client, openProcessClient } from "./client.ts";

export function openPython(bootstrap: string): Client {
  const script = join(import.meta.dirname, "python", "client.py");
  return openProcessClient(findConfluentPython() ?? "", ["-B", script, bootstrap]);
}
