/**
 * A client of Kafka behind one small language: operations with arguments in JSON, answers in JSON. Clients of other
 * languages run in a process of their own and speak it in lines over standard input and output.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
export type Arguments = { readonly [name: string]: Json };

export interface Client {
  /** Throws a `Refused` with the name of what went wrong, as the client's user sees it. */
  run(operation: string, args: Arguments): Promise<Json>;
  close(): Promise<void>;
}

/** The error of an operation, by its name alone: words, ids and times differ from run to run. */
export class Refused extends Error {
  readonly error: string;

  constructor(error: string, message: string) {
    super(`${error}: ${message}`);
    this.error = error;
  }
}

/** Of an operation that this client does not have. */
export const unsupported = "UNSUPPORTED";

/** Topics that a broker makes for itself. Not every client leaves them out of a list. */
export function isInternal(topic: string): boolean {
  return /^(__|_millrace\.)/.test(topic);
}

interface Waiting {
  resolve(answer: Json): void;
  reject(error: Error): void;
}

/** What goes wrong with the process itself rejects what waits for it. */
export function openProcessClient(program: string, args: readonly string[]): Client {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  const waiting = new Map<number, Waiting>();
  let asked = 0;
  let words = "";
  child.stderr.on("data", (chunk) => {
    words = (words + chunk).slice(-10_000);
    if (process.env.MILLRACE_CONFORMANCE_WORDS) process.stderr.write(chunk);
  });
  const giveUp = (why: string) => {
    for (const { reject } of waiting.values()) reject(new Error(`${program} ${why}: ${words}`));
    waiting.clear();
  };
  child.on("error", (error) => giveUp(error.message));
  child.on("close", (code, signal) => giveUp(`ended with ${code ?? signal}`));
  child.stdin.on("error", () => {});
  createInterface({ input: child.stdout }).on("line", (line) => {
    const answer = JSON.parse(line) as { id: number; ok?: Json; error?: string; message?: string };
    const one = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (answer.error !== undefined) one?.reject(new Refused(answer.error, answer.message ?? ""));
    else one?.resolve(answer.ok ?? null);
  });
  return {
    run(op, given) {
      const id = ++asked;
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${program} is not there: ${words}`);
      child.stdin.write(`${JSON.stringify({ id, op, arguments: given })}\n`);
      return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    },
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}
