/** Clients in processes of their own, which may be killed like the broker; what they write down goes into one history. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findConfluentPython, findJdk, kafkaClassPath } from "../../tools/kafka-parts.ts";
import type { HistoryLines } from "../support/kafka-history.ts";

export type Language = "java" | "python";
export type Role = { readonly role: "producer" | "consumer" | "observer" | "reader" } & {
  readonly [name: string]: string | number | readonly string[];
};

export class VerifiableClient {
  readonly #child: ChildProcess;
  /** Resolves when it is over and all that it wrote is in the history. */
  readonly #over: Promise<unknown>;
  #words = "";

  private constructor(child: ChildProcess, history: HistoryLines) {
    this.#child = child;
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    lines.on("line", (line) => history.add(line));
    child.stdin?.on("error", () => {});
    child.stderr?.on("data", (chunk) => {
      this.#words = (this.#words + chunk).slice(-5_000);
    });
    this.#over = Promise.all([once(child, "exit"), once(lines, "close")]);
  }

  static start(language: Language, bootstrap: string, roles: readonly Role[], history: HistoryLines): VerifiableClient {
    const [program, args] =
      language === "java"
        ? [
            join(findJdk() ?? "", "java"),
            ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dlog4j2.level=OFF"].concat([
              "-cp",
              kafkaClassPath(),
              "Verifiable",
            ]),
          ]
        : [findConfluentPython() ?? "", ["-B", join(import.meta.dirname, "verifiable.py")]];
    const child = spawn(program, [...args, bootstrap, JSON.stringify(roles)], { stdio: ["pipe", "pipe", "pipe"] });
    return new VerifiableClient(child, history);
  }

  get words(): string {
    return this.#words;
  }

  /** It leaves as it should: transactions are ended, groups are told. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.stdin?.write("stop\n");
    await this.#over;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#over;
  }

  ended(): Promise<unknown> {
    return this.#over;
  }
}
