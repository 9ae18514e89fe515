/**
 * `running.json` in the data directory: where the running program answers, and the read-only login of its store. Only
 * its owner can read it. It stays after a crash; the pid tells whether it is still true.
 */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { StoreAddress } from "./store/store.ts";

export interface RunningFile {
  readonly pid: number;
  readonly startedAt: string;
  readonly addresses: {
    readonly http: string;
    /** `bootstrap.servers` of Kafka clients on this machine; null while that door is shut. */
    readonly kafka: string | null;
    /** All of its listeners, by their names. */
    readonly kafkaListeners: Readonly<Record<string, string>>;
  };
  /** Of the role that can only read. */
  readonly store: StoreAddress;
  /** The same of the groups of views beside `main` whose store was reached, by their names. */
  readonly groupStores: Readonly<Record<string, StoreAddress>>;
}

export interface KeptRunningFile {
  /** Writes it again if there is something else to say. Throws nothing. */
  look(): void;
  /** Takes it away. */
  close(): Promise<void>;
}

/** Resolves when it stands there. */
export async function keepRunningFile(dataDirectory: string, content: () => RunningFile): Promise<KeptRunningFile> {
  const first = content();
  let told = JSON.stringify(first);
  let writing = writeRunningFile(dataDirectory, first);
  await writing;
  let isClosed = false;
  return {
    look() {
      const now = content();
      const text = JSON.stringify(now);
      if (isClosed || text === told) return;
      told = text;
      writing = writing.then(() => writeRunningFile(dataDirectory, now)).catch(() => {});
    },
    async close() {
      isClosed = true;
      await writing;
      await removeRunningFile(dataDirectory);
    },
  };
}

export async function writeRunningFile(dataDirectory: string, content: RunningFile): Promise<void> {
  const path = join(dataDirectory, "running.json");
  await writeFile(`${path}.new`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Undefined when nothing was started there, or what is there cannot be read. */
export async function readRunningFile(dataDirectory: string): Promise<RunningFile | undefined> {
  try {
    return JSON.parse(await readFile(join(dataDirectory, "running.json"), "utf8")) as RunningFile;
  } catch {
    return undefined;
  }
}

export async function removeRunningFile(dataDirectory: string): Promise<void> {
  await rm(join(dataDirectory, "running.json"), { force: true });
}
