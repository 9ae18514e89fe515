/** One run of the embedded server's program, from the start of its process to the end. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Account } from "./account.ts";
import { endAtExit, serverEnvironment, spawnIdentity } from "./child.ts";

export interface Ended {
  /** `exit code 1` or `signal SIGKILL`, for people. */
  readonly how: string;
  /** The server's last lines, of its start if it did not get through it. */
  readonly lastWords: string;
}

export interface ServerProcess {
  readonly pid: number | undefined;
  /** What came first: it takes connections, or it has ended. Crash recovery may lie before either; there is no time limit. */
  readonly started: Promise<{ readonly outcome: "ready" } | ({ readonly outcome: "ended" } & Ended)>;
  readonly ended: Promise<Ended>;
  /** A fast shutdown with its checkpoint; without one when that takes longer than `fastMs`. */
  stop(): Promise<void>;
}

const wordsMax = 30;
const wordsMs = 200;
const fastMs = 20_000;
const immediateMs = 5_000;

export interface ServerProcessOptions {
  readonly account: Account | null;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
}

export function startServer(
  program: string,
  args: readonly string[],
  { account, clock, diagnostics }: ServerProcessOptions,
): ServerProcess {
  // In a session of its own: Ctrl-C is for us, and we stop the server when we have finished with it.
  const child = spawn(program, args, {
    ...spawnIdentity(account),
    cwd: "/",
    env: serverEnvironment(),
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  endAtExit(child, "SIGINT");
  const words: string[] = [];
  const ready = new Promise<{ outcome: "ready" }>((resolve) => {
    if (!child.stderr) return;
    createInterface({ input: child.stderr }).on("line", (raw) => {
      const line = raw.replace(/^\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] /, "");
      words.push(line);
      if (words.length > wordsMax) words.shift();
      report(line, diagnostics);
      if (!line.endsWith("database system is ready to accept connections")) return;
      words.length = 0;
      resolve({ outcome: "ready" });
    });
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once("error", (cause) => resolve({ how: cause.message, lastWords: cause.message }));
    child.once("exit", async (code, signal) => {
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
      // Its last words may still be in the pipe, which servers without a postmaster hold open.
      const waiting = new AbortController();
      const silence = new Promise<void>((done) => {
        if (!child.stderr || child.stderr.closed) done();
        else child.stderr.once("close", done);
      });
      await Promise.race([silence, clock.sleep(wordsMs, waiting.signal).catch(() => {})]);
      waiting.abort();
      resolve({ how, lastWords: words.length > 0 ? words.join("\n") : how });
    });
  });
  return {
    pid: child.pid,
    ended,
    started: Promise.race([ready, ended.then((end) => ({ outcome: "ended" as const, ...end }))]),
    stop: () => stop(child, ended, clock),
  };
}

async function stop(child: ChildProcess, ended: Promise<Ended>, clock: Clock): Promise<void> {
  const steps = [
    ["SIGINT", fastMs],
    ["SIGQUIT", immediateMs],
  ] as const;
  for (const [signal, withinMs] of steps) {
    if (!isRunning(child)) return;
    child.kill(signal);
    const waiting = new AbortController();
    const late = clock.sleep(withinMs, waiting.signal).catch(() => {});
    await Promise.race([ended, late]);
    waiting.abort();
  }
  if (isRunning(child)) child.kill("SIGKILL");
  await ended;
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

function report(line: string, diagnostics: Diagnostics): void {
  const [, severity, text] = /^([A-Z]+):\s+(.*)$/.exec(line) ?? [];
  // What somebody asked for, a stop above all, is no news.
  if (text?.startsWith("terminating connection due to administrator command")) diagnostics.debug(`postgres: ${text}`);
  else if (severity === "PANIC") diagnostics.error(`postgres: ${text}`);
  else if (severity === "FATAL") diagnostics.warn(`postgres: ${text}`);
  // May take minutes after a crash: somebody waits for this.
  else if (/recovery in progress|redo in progress/.test(line)) diagnostics.info(`postgres: ${text}`);
  else diagnostics.debug(`postgres: ${line}`);
}
