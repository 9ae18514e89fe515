/**
 * What is compared: our broker alone, a real Kafka in its defaults, one that syncs every message, a server that does
 * nothing. Each is a process of its own on loopback, with its files below the folder that the caller has chosen.
 */
import { readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { kafkaMissing, startKafka } from "../../../test/support/kafka.ts";
import { freePort } from "../../../test/support/ports.ts";
import { type Child, runChild } from "../../log/support/child.ts";
import { makeScratch } from "../../log/support/scratch.ts";

export interface Subject extends AsyncDisposable {
  readonly name: SubjectName;
  readonly bootstrap: string;
  readonly port: number;
  /** Of the whole process, since it was started last. */
  cpuSeconds(): number;
  residentMegabytes(): number;
}

/** One that has a log, and can be ended and started on it again. */
export interface Broker extends Subject {
  /** Resolves when it answers; on the same port and log. */
  start(): Promise<void>;
  /** SIGTERM, with its own orderly end. */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Removes the log; only while it does not run. */
  clear(): Promise<void>;
}

export type BrokerName = "millrace" | "kafka" | "kafka, flush.messages=1";
export type SubjectName = BrokerName | "null server";

export interface SubjectOptions {
  /** Of the batches that the null server answers. */
  readonly recordBytes?: number;
  readonly recordsPerBatch?: number;
}

/** Why this one cannot be had here; undefined when it can. */
export function subjectMissing(name: SubjectName): string | undefined {
  if (name === "millrace" || name === "null server") return undefined;
  const missing = kafkaMissing();
  return missing && `${name} was not measured: ${missing.replace("skipped: ", "")}`;
}

export async function openSubject(name: SubjectName, options: SubjectOptions = {}): Promise<Subject> {
  return name === "null server" ? await openNullServer(options) : await openBroker(name);
}

export async function openBroker(name: BrokerName): Promise<Broker> {
  return name === "millrace" ? await openMillrace() : await openKafka(name);
}

async function openNullServer({ recordBytes = 1024, recordsPerBatch = 500 }: SubjectOptions): Promise<Subject> {
  const script = new URL("./null-server-child.ts", import.meta.url);
  const child = runChild(script, [`${recordBytes}`, `${recordsPerBatch}`]);
  const { port } = (await child.message()) as { readonly port: number };
  return {
    name: "null server",
    port,
    bootstrap: `127.0.0.1:${port}`,
    ...usageOf(() => child.pid),
    [Symbol.asyncDispose]: child.kill,
  };
}

async function openMillrace(): Promise<Broker> {
  const scratch = await makeScratch();
  const directory = join(scratch.directory, "log");
  const port = await freePort();
  let child: Child | undefined;
  const broker: Broker = {
    name: "millrace",
    port,
    bootstrap: `127.0.0.1:${port}`,
    ...usageOf(() => child?.pid ?? 0),
    async start() {
      child = runChild(new URL("./broker-child.ts", import.meta.url), [directory, `${port}`]);
      await child.message();
    },
    async stop() {
      if (!child) return;
      // It says nothing more, so what comes is its end.
      const ended = child.message().catch(() => undefined);
      process.kill(child.pid, "SIGTERM");
      await ended;
      child = undefined;
    },
    async kill() {
      await child?.kill();
      child = undefined;
    },
    clear: () => rm(directory, { recursive: true, force: true }),
    async [Symbol.asyncDispose]() {
      await broker.kill();
      await scratch[Symbol.asyncDispose]();
    },
  };
  return await started(broker);
}

async function openKafka(name: BrokerName): Promise<Broker> {
  const scratch = await makeScratch();
  const directory = join(scratch.directory, "log");
  await mkdir(directory);
  const kafka = await startKafka({
    properties: {
      "log.dirs": directory,
      ...(name === "kafka, flush.messages=1" && { "log.flush.interval.messages": "1" }),
      // Tests have others; these are the defaults.
      "broker.heartbeat.interval.ms": "2000",
      "broker.session.timeout.ms": "9000",
    },
    // As kafka-run-class.sh and kafka-server-start.sh have it.
    heapMegabytes: 1024,
    jvmArguments: [
      "-Xms1g",
      "-server",
      "-XX:+UseG1GC",
      "-XX:MaxGCPauseMillis=20",
      "-XX:InitiatingHeapOccupancyPercent=35",
      "-XX:+ExplicitGCInvokesConcurrent",
      "-XX:MaxInlineLevel=15",
      "-Djava.awt.headless=true",
    ],
  }).catch(async (error) => {
    await scratch[Symbol.asyncDispose]();
    throw error;
  });
  const [node] = kafka.nodes;
  return {
    name,
    bootstrap: kafka.bootstrap,
    port: Number(kafka.bootstrap.split(":")[1]),
    ...usageOf(() => node.process.pid ?? 0),
    start: () => node.start(),
    stop: () => node.stop(),
    kill: () => node.kill(),
    async clear() {
      await rm(directory, { recursive: true, force: true });
      await mkdir(directory);
    },
    async [Symbol.asyncDispose]() {
      await kafka[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    },
  };
}

async function started(broker: Broker): Promise<Broker> {
  try {
    await broker.start();
    return broker;
  } catch (error) {
    await broker[Symbol.asyncDispose]();
    throw error;
  }
}

const ticksPerSecond = 100;

function usageOf(pid: () => number) {
  return {
    cpuSeconds(): number {
      const fields = readFileSync(`/proc/${pid()}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
    },
    residentMegabytes(): number {
      return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid()}/status`, "utf8"))?.[1] ?? 0) / 1024;
    },
  };
}
