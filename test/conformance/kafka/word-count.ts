/**
 * A word count by Kafka Streams, exactly once: lines go in, instances of the application and the broker may be killed,
 * and every count that a reader of committed records is shown is kept.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { findJdk, kafkaClassPath } from "../../../tools/kafka-parts.ts";
import { openJava } from "./open-java.ts";

export const wordPartitions = 4;
const application = "words";

/** Without end. */
export function* linesOf(seed: number): Generator<string, never> {
  const random = seededRandom(seed);
  for (;;) {
    yield Array.from({ length: 1 + random.below(7) }, () => `w${Math.floor(random.next() ** 3 * 300)}`).join(" ");
  }
}

/** The plain count, in order of words. */
export function countWords(lines: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of lines.flatMap((line) => line.split(" "))) counts.set(word, (counts.get(word) ?? 0) + 1);
  return sorted(counts);
}

/** What a reader was shown of a topic of counts: each word's counts in their order. */
export type Shown = ReadonlyMap<string, readonly number[]>;

export function lastOf(shown: Shown): Map<string, number> {
  return sorted(new Map([...shown].map(([word, counts]) => [word, counts.at(-1) ?? 0])));
}

export interface WordCounts {
  /** What was sent. */
  readonly lines: readonly string[];
  readonly acknowledged: number;
  /** Of the output, by a reader that was there all the time, and by one that read it when all was over. */
  readonly followed: Shown;
  readonly read: Shown;
  readonly changelog: Shown;
}

export interface WordCountOptions {
  readonly bootstrap: string;
  readonly lines: Iterable<string>;
  readonly instances: number;
  /** Lines are sent until it ends, so many a second; without it all of them at once. */
  readonly harass?: { readonly linesPerSecond: number; run(work: WorkInProgress): Promise<unknown> };
  readonly patienceMs: number;
  readonly say: (line: string) => void;
}

export interface WorkInProgress {
  readonly instances: readonly Instance[];
  /** Resolves when so many more counts have been shown than now. */
  progress(counts: number): Promise<void>;
}

/** One process of the application, with a folder of its own. */
export interface Instance {
  /** And starts it again, on what is left in its folder. */
  kill(): Promise<void>;
  /** As its user would. */
  restart(): Promise<void>;
}

export async function wordCount(options: WordCountOptions): Promise<WordCounts> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-word-count-"));
  const run = new WordCountRun(options, folder, systemClock);
  try {
    return await run.run();
  } finally {
    await run.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Followed {
  readonly shown: Shown;
  /** Of all words. */
  readonly count: number;
}

class WordCountRun {
  readonly #options: WordCountOptions;
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #running = new Set<ChildProcess>();
  readonly #words = new Map<string, string>();

  constructor(options: WordCountOptions, folder: string, clock: Clock) {
    this.#options = options;
    this.#folder = folder;
    this.#clock = clock;
  }

  async run(): Promise<WordCounts> {
    await this.#makeTopics();
    const followed = this.#follow("counted");
    const apps = Array.from({ length: this.#options.instances }, (_, index) => this.#openInstance(index));
    const began = this.#clock.monotonicMs();
    const { lines, acknowledged } = await this.#send(apps, followed);
    const sentMs = this.#clock.monotonicMs() - began;
    const total = [...countWords(lines).values()].reduce((sum, count) => sum + count, 0);
    await this.#reach(followed, total, "the output");
    const countedMs = this.#clock.monotonicMs() - began;
    await Promise.all(apps.map((app) => app.close()));
    const read = this.#follow("counted");
    const changelog = this.#follow(`${application}-counts-changelog`);
    await this.#reach(read, total, "the output, read again");
    await this.#reach(changelog, total, "the changelog");
    // What is too much would come now.
    await this.#clock.sleep(500);
    const readMs = this.#clock.monotonicMs() - began;
    this.#options.say(
      `${total} words: sent after ${Math.round(sentMs)} ms, counted after ${Math.round(countedMs)} ms, read again after ${Math.round(readMs)} ms`,
    );
    return { lines, acknowledged, followed: followed.shown, read: read.shown, changelog: changelog.shown };
  }

  async end(): Promise<void> {
    await Promise.all([...this.#running].map((child) => endOf(child, "SIGKILL")));
  }

  async #makeTopics(): Promise<void> {
    const client = openJava(this.#options.bootstrap);
    try {
      for (const topic of ["lines", "counted"]) {
        await client.run("createTopic", { topic, partitions: wordPartitions, replicationFactor: 1 });
      }
    } finally {
      await client.close();
    }
  }

  #java(name: string, args: readonly string[]): ChildProcess {
    const flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=OFF"];
    const child = spawn(join(findJdk() ?? "", "java"), [...flags, "-cp", kafkaClassPath(), ...args]);
    this.#running.add(child);
    child.once("exit", () => this.#running.delete(child));
    child.stdin.on("error", () => {});
    child.stderr.on("data", (chunk: Buffer) => {
      this.#words.set(name, ((this.#words.get(name) ?? "") + chunk).slice(-6_000));
    });
    return child;
  }

  #openInstance(index: number): Instance & { close(): Promise<void> } {
    const start = () => {
      const name = `instance-${index}`;
      const folder = join(this.#folder, String(index));
      const started = this.#java(name, ["WordCount", this.#options.bootstrap, application, folder, name]);
      started.stdout?.resume();
      return started;
    };
    let child = start();
    const close = async () => {
      child.stdin?.write("close\n");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    };
    return {
      async kill() {
        await endOf(child, "SIGKILL");
        child = start();
      },
      async restart() {
        await close();
        child = start();
      },
      close,
    };
  }

  async #send(
    instances: readonly Instance[],
    followed: Followed,
  ): Promise<{ lines: readonly string[]; acknowledged: number }> {
    const { bootstrap, harass } = this.#options;
    const child = this.#java("lines", ["Lines", bootstrap, "lines", String(wordPartitions)]);
    let answer = "";
    child.stdout?.on("data", (chunk) => {
      answer += chunk;
    });
    const over = once(child, "exit");
    const sent: string[] = [];
    const send = (lines: readonly string[]) => {
      child.stdin?.write(lines.map((line) => `${line}\n`).join(""));
      sent.push(...lines);
    };
    if (harass === undefined) send([...this.#options.lines]);
    else {
      const lines = this.#options.lines[Symbol.iterator]();
      let isOver = false;
      const progress = async (counts: number) => {
        const enough = followed.count + counts;
        await this.#until(() => followed.count >= enough, `${counts} more counts`);
      };
      const harassing = harass.run({ instances, progress }).finally(() => {
        isOver = true;
      });
      while (!isOver) {
        send(Array.from({ length: harass.linesPerSecond / 10 }, () => lines.next().value as string));
        await this.#clock.sleep(100);
      }
      await harassing;
    }
    child.stdin?.end();
    await over;
    return { lines: sent, acknowledged: Number(answer) };
  }

  #follow(topic: string): Followed {
    const child = this.#java(`reader of ${topic}`, ["Counts", this.#options.bootstrap, topic, String(wordPartitions)]);
    const followed = { shown: new Map<string, number[]>(), count: 0 };
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const [word, count] = JSON.parse(line) as [string, number];
      const counts = followed.shown.get(word);
      if (counts === undefined) followed.shown.set(word, [count]);
      else counts.push(count);
      followed.count++;
    });
    return followed;
  }

  /** Until the last counts make up the whole. */
  async #reach({ shown }: Followed, total: number, what: string): Promise<void> {
    const sum = () => [...shown.values()].reduce((all, counts) => all + (counts.at(-1) ?? 0), 0);
    await this.#until(
      () => sum() >= total,
      () => `${what} has counted ${sum()} of ${total} words`,
    );
  }

  async #until(condition: () => boolean, complaint: string | (() => string)): Promise<void> {
    const deadline = this.#clock.monotonicMs() + this.#options.patienceMs;
    while (!condition()) {
      if (this.#clock.monotonicMs() > deadline) {
        const words = [...this.#words].map(([name, text]) => `${name}:\n${text}`).join("\n");
        throw new Error(`${typeof complaint === "string" ? complaint : complaint()}\n${words}`);
      }
      await this.#clock.sleep(50);
    }
  }
}

async function endOf(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

function sorted(counts: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}
