/** Debezium's embedded engine in a process of its own, and what it says. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { debeziumClassPath } from "../../../tools/debezium-parts.ts";
import { findJdk } from "../../../tools/maven-jars.ts";

/** An event as the converters of Debezium made it, all as text. */
export interface EventText {
  readonly topic: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly { readonly key: string; readonly value: string | null }[];
}

export interface Debezium {
  readonly events: readonly EventText[];
  /** Resolves when an event is as wanted. Throws what the engine printed when it ends before. */
  until(wanted: (event: EventText) => boolean): Promise<void>;
  stop(): Promise<void>;
}

/** With the options that Millrace's envelope takes; `snapshot.mode` is initial. */
export function startDebezium(url: string, name: string, properties: Readonly<Record<string, string>> = {}): Debezium {
  const { hostname, port, username, pathname } = new URL(url);
  const folder = mkdtempSync(join(tmpdir(), "millrace-debezium-"));
  const all: Record<string, string> = {
    name,
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
    "database.hostname": hostname,
    "database.port": port,
    "database.user": username,
    "database.password": "none",
    "database.dbname": pathname.slice(1),
    "topic.prefix": "shop",
    "plugin.name": "pgoutput",
    "slot.name": `${name}_slot`,
    "publication.name": `${name}_publication`,
    "publication.autocreate.mode": "filtered",
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
    "header.converter.schemas.enable": "false",
    "decimal.handling.mode": "string",
    "interval.handling.mode": "string",
    "time.precision.mode": "isostring",
    "skipped.operations": "none",
    "provide.transaction.metadata": "true",
    "snapshot.mode": "initial",
    ...properties,
  };
  const java = join(findJdk() ?? "", "java");
  const source = join(import.meta.dirname, "RecordEvents.java");
  const child = spawn(
    java,
    [
      "-Xmx256m",
      "-XX:TieredStopAtLevel=1",
      "-cp",
      debeziumClassPath(),
      source,
      ...Object.entries(all).map(([key, value]) => `${key}=${value}`),
    ],
    { cwd: folder, stdio: ["pipe", "pipe", "pipe"] },
  );
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    words = (words + chunk).slice(-20_000);
  });
  const events: EventText[] = [];
  const lines = createInterface({ input: child.stdout });
  const looks: (() => void)[] = [];
  const wake = () => {
    for (const look of looks.splice(0)) look();
  };
  lines.on("line", (line) => {
    events.push(JSON.parse(line) as EventText);
    wake();
  });
  const gone = once(child, "exit").finally(wake);
  gone.catch(() => {});
  return {
    events,
    async until(wanted) {
      for (let seen = 0; ; ) {
        for (; seen < events.length; seen++) if (wanted(events[seen] as EventText)) return;
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`Debezium ended: ${words}`);
        await new Promise<void>((resolve) => looks.push(resolve));
      }
    },
    async stop() {
      child.stdin.end();
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
