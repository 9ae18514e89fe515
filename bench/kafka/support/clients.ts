/** Clients that are not ours, run as programs of their own: librdkafka by kcat, Java's own by its performance tools. */
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { findJdk, findKcat, kafkaClassPath, kafkaMissing } from "../../../tools/kafka-parts.ts";

export const recordBytes = 1024;
const million = 1_000_000;

/** Why this client cannot be run here; undefined when it can. */
export function kcatMissing(): string | undefined {
  return findKcat() === undefined ? "librdkafka was not measured: kcat is not here" : undefined;
}

export function javaMissing(): string | undefined {
  const missing = kafkaMissing();
  return missing && `Java's client was not measured: ${missing.replace("skipped: ", "")}`;
}

/** A file of so many lines, each a record; its content does not compress. */
export async function writeLines(directory: string, count: number): Promise<string> {
  const path = join(directory, "lines.txt");
  // Half a record is random, and its hexadecimal digits are the whole.
  const line = systemRandom.bytes(recordBytes / 2).toString("hex");
  const lines: string[] = [];
  for (let i = 0; i < count; i++) lines.push(`${String(i).padStart(12, "0")}${line.slice(12)}\n`);
  await writeFile(path, lines.join(""));
  return path;
}

/** librdkafka's own defaults: batches up to 1 MB, 5 ms of linger. Answers seconds, its start and end included. */
export async function kcatProduce(bootstrap: string, topic: string, file: string): Promise<number> {
  const producing = ["-X", "acks=all", "-X", "queue.buffering.max.kbytes=262144"];
  const queue = ["-X", "queue.buffering.max.messages=1000000"];
  const { seconds } = await kcat(bootstrap, topic, ["-P", ...producing, ...queue, "-l", file]);
  return seconds;
}

/** Reads so many records from the beginning; answers seconds, its start and end included. */
export async function kcatConsume(bootstrap: string, topic: string, count: number): Promise<number> {
  // With its own limits it stops asking for half a second whenever 64 MB wait to be printed.
  const queue = ["-X", "queued.max.messages.kbytes=2097151", "-X", "queued.min.messages=10000000"];
  const fetching = ["-X", "fetch.message.max.bytes=8388608", ...queue];
  // One letter for each record.
  const reading = ["-C", "-o", "beginning", "-c", String(count), "-q", "-f", "."];
  const { seconds, outputBytes } = await kcat(bootstrap, topic, [...reading, ...fetching]);
  if (outputBytes !== count) throw new Error(`kcat read ${outputBytes} records of ${count}`);
  return seconds;
}

async function kcat(bootstrap: string, topic: string, args: readonly string[]) {
  const beganMs = systemClock.monotonicMs();
  const { outputBytes } = await run(findKcat() ?? "kcat", ["-b", bootstrap, "-t", topic, "-p", "0", ...args]);
  return { seconds: (systemClock.monotonicMs() - beganMs) / 1000, outputBytes };
}

export interface JavaProduced {
  readonly megabytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Java's own defaults: batches of 16 KB, 5 ms of linger, idempotence. Megabytes are of a million bytes. */
export async function javaProduce(bootstrap: string, topic: string, count: number): Promise<JavaProduced> {
  const words = await javaTool("org.apache.kafka.tools.ProducerPerformance", [
    ...["--topic", topic, "--num-records", String(count), "--record-size", String(recordBytes), "--throughput", "-1"],
    ...["--bootstrap-server", bootstrap, "--command-property", "acks=all"],
  ]);
  const last = linesOf(words).findLast((line) => / 50th/.test(line)) ?? "";
  const [, sent] = /^(\d+) records sent/.exec(last) ?? [];
  const [, rate] = /([\d.]+) records\/sec/.exec(last) ?? [];
  const [, p50] = /([\d.]+) ms 50th/.exec(last) ?? [];
  const [, p99] = /([\d.]+) ms 99th/.exec(last) ?? [];
  if (Number(sent) !== count) throw new Error(`the producer's tool said: ${words.slice(-500)}`);
  return { megabytesPerSecond: (Number(rate) * recordBytes) / million, p50Ms: Number(p50), p99Ms: Number(p99) };
}

export interface JavaConsumed {
  readonly megabytesPerSecond: number;
  /** From its subscription to its first assignment; not part of the speed. */
  readonly joinMs: number;
}

/** Joins a group of its own and reads from the beginning. Reads a little more than it was told: what has come with the last fetch. */
export async function javaConsume(bootstrap: string, topic: string, count: number): Promise<JavaConsumed> {
  const words = await javaTool("org.apache.kafka.tools.ConsumerPerformance", [
    ...["--bootstrap-server", bootstrap, "--topic", topic, "--num-records", String(count), "--hide-header"],
  ]);
  // Begin, end, MiB, MiB/s, records, records/s, then the times of joining and of fetching in ms.
  const fields = linesOf(words).findLast((line) => line.split(", ").length === 10);
  const [, , , , records = "0", , joinMs = "", fetchMs = ""] = fields?.split(", ") ?? [];
  if (Number(records) < count) throw new Error(`the consumer's tool said: ${words.slice(-500)}`);
  const bytes = Number(records) * recordBytes;
  return { megabytesPerSecond: bytes / million / (Number(fetchMs) / 1000), joinMs: Number(joinMs) };
}

async function javaTool(main: string, args: readonly string[]): Promise<string> {
  const java = join(findJdk() ?? "", "java");
  return (await run(java, ["-cp", kafkaClassPath(), "-Xmx512m", main, ...args])).words;
}

function linesOf(words: string): string[] {
  return words.trim().split("\n");
}

interface Ended {
  /** The last that it said. */
  readonly words: string;
  readonly outputBytes: number;
}

function run(program: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let words = "";
    let outputBytes = 0;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        if (stream === child.stdout) outputBytes += chunk.length;
        words = (words + chunk).slice(-20_000);
      });
    }
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve({ words, outputBytes });
      else reject(new Error(`${program} ended with ${code}: ${words.slice(-2000)}`));
    });
  });
}
