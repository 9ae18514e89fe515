/** Programs that the store runs. None of them sees our environment, and none outlives an exit of ours. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Account } from "./account.ts";

export interface Outcome {
  /** Null when a signal ended it, or it could not be started. */
  readonly exitCode: number | null;
  /** stdout and stderr, the last 4 MiB. */
  readonly output: string;
}

const outputCharactersMax = 4 * 1024 ** 2;

/** Runs a program to its end, as `account` when there is one. Never throws: a program that cannot be started is an outcome. */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly account: Account | null; readonly cwd?: string; readonly input?: string },
): Promise<Outcome> {
  return new Promise((resolve) => {
    let output = "";
    const take = (chunk: string) => {
      output = (output + chunk).slice(-outputCharactersMax);
    };
    let child: ChildProcess;
    try {
      child = spawn(program, args, {
        ...spawnIdentity(options.account),
        cwd: options.cwd ?? "/",
        env: serverEnvironment(),
      });
    } catch (cause) {
      resolve({ exitCode: null, output: String(cause) });
      return;
    }
    endAtExit(child, "SIGKILL");
    child.stdout?.setEncoding("utf8").on("data", take);
    child.stderr?.setEncoding("utf8").on("data", take);
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
    child.once("error", (cause) => resolve({ exitCode: null, output: `${output}${cause.message}` }));
    child.once("close", (exitCode) => resolve({ exitCode, output }));
  });
}

export function spawnIdentity(account: Account | null): { uid?: number; gid?: number } {
  return account ? { uid: account.uid, gid: account.gid } : {};
}

/** Nothing of ours reaches the server: PG* variables and locales of the user's shell would change what it does. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };
}

const endings = new Map<ChildProcess, NodeJS.Signals>();

/** Sends the signal when our process exits while the child still runs. (When ours is killed, nobody can.) */
export function endAtExit(child: ChildProcess, signal: NodeJS.Signals): void {
  if (endings.size === 0) process.on("exit", endAll);
  endings.set(child, signal);
  const forget = () => {
    endings.delete(child);
    if (endings.size === 0) process.off("exit", endAll);
  };
  child.once("exit", forget);
  child.once("error", forget);
}

function endAll(): void {
  for (const [child, signal] of endings) child.kill(signal);
}
