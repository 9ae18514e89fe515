/** A script in a process of its own, which tells its parent things in messages. */
import { fork } from "node:child_process";
import { once } from "node:events";

export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** The next message; rejects when the process ends before. */
  message(): Promise<unknown>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
}

export function runChild(script: URL, args: readonly string[], nodeArguments: readonly string[] = []): Child {
  const child = fork(script, args, { execArgv: [...nodeArguments], stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const gone = once(child, "exit");
  const messages: unknown[] = [];
  let waiting: PromiseWithResolvers<unknown> | undefined;
  child.on("message", (message) => {
    if (waiting) waiting.resolve(message);
    else messages.push(message);
    waiting = undefined;
  });
  child.on("exit", (code, signal) => waiting?.reject(new Error(`${script.pathname} ended with ${signal ?? code}`)));
  const kill = async () => {
    child.kill("SIGKILL");
    await gone;
  };
  return {
    pid: child.pid ?? 0,
    message() {
      if (messages.length > 0) return Promise.resolve(messages.shift());
      if (child.exitCode !== null || child.signalCode !== null) {
        return Promise.reject(new Error(`${script.pathname} has ended`));
      }
      waiting = Promise.withResolvers();
      return waiting.promise;
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}
