/** The program in a process of its own, as `npm start` and the command line run it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import type { RunningFile } from "../../src/running-file.ts";

export interface ProgramOptions {
  /** What Node.js runs, with its arguments: `examples/shop/start.ts`, or `src/cli/millrace.ts start app.ts`. */
  readonly script: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Kept when the program is disposed of; a fresh one is made and removed when left out. */
  readonly data?: string;
  /** The limit of open files that the program runs under. */
  readonly descriptors?: number;
}

export interface Program {
  readonly address: string;
  /** `bootstrap.servers` */
  readonly kafka: string;
  readonly kafkaListeners: Readonly<Record<string, string>>;
  readonly data: string;
  readonly process: ChildProcess;
  /** The last that it printed, for a failing test. */
  words(): string;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>;
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const root = new URL("../../", import.meta.url).pathname;

/** Resolves when the door answers; rejects with its last words when it ends before. */
export async function runProgram(options: ProgramOptions): Promise<Program> {
  const data = options.data ?? mkdtempSync(join(tmpdir(), "millrace-program-"));
  const [script = "", ...rest] = options.script;
  const command = [
    process.execPath,
    "-C",
    "source",
    "--disable-warning=ExperimentalWarning",
    join(root, script),
    ...rest,
  ];
  const limited =
    options.descriptors === undefined
      ? command
      : ["sh", "-c", `ulimit -n ${options.descriptors} && exec "$@"`, "sh", ...command];
  const [program = "", ...args] = limited;
  const child = spawn(program, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      MILLRACE_PORT: "0",
      MILLRACE_STORE_PORT: "0",
      MILLRACE_KAFKA_PORT: "0",
      NO_COLOR: "1",
      ...options.env,
      MILLRACE_DATA: data,
    },
  });
  const ended = once(child, "exit");
  let words = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => {
      words = (words + chunk).slice(-20_000);
    });
  }
  const over = () => child.exitCode !== null || child.signalCode !== null;
  const end = async (signal: NodeJS.Signals) => {
    if (!over()) child.kill(signal);
    await ended;
    return child.exitCode;
  };
  const dispose = async () => {
    await end("SIGTERM");
    if (options.data === undefined) rmSync(data, { recursive: true, force: true });
  };
  for (;;) {
    if (over()) {
      if (options.data === undefined) rmSync(data, { recursive: true, force: true });
      throw new Error(`the program ended with ${child.exitCode ?? child.signalCode}:\n${words}`);
    }
    const addresses = runningAddresses(data, child.pid);
    if (addresses !== undefined && (await answers(addresses.http))) {
      return {
        address: addresses.http,
        kafka: addresses.kafka ?? "",
        kafkaListeners: addresses.kafkaListeners,
        data,
        process: child,
        words: () => words,
        stop: () => end("SIGTERM"),
        kill: async () => void (await end("SIGKILL")),
        [Symbol.asyncDispose]: dispose,
      };
    }
    await systemClock.sleep(50);
  }
}

function runningAddresses(data: string, pid: number | undefined): RunningFile["addresses"] | undefined {
  try {
    const running = JSON.parse(readFileSync(join(data, "running.json"), "utf8")) as RunningFile;
    return running.pid === pid ? running.addresses : undefined;
  } catch {
    return undefined;
  }
}

async function answers(address: string): Promise<boolean> {
  try {
    return (await fetch(`${address}/healthz`)).ok;
  } catch {
    return false;
  }
}

/** Asks again until the answer satisfies; the test runner's own time limit ends what never does. */
export async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await systemClock.sleep(50);
  }
}
