/**
 * Whether the store answers, for everybody who wants to know. One connection is held for this alone: when it breaks or
 * stops answering the store is down, when a new one can be had it is up.
 */
import type { Client } from "pg";
import type { Clock, Timer } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { backoffMs } from "./backoff.ts";

export interface MonitorOptions {
  /** A connection with the writing role to a server that can be written, or the reason why not. */
  connect(): Promise<Client>;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
}

type Listener = (state: "up" | "down") => void;

const pingMs = 5_000;
const pingTimeoutMs = 5_000;

export class StoreMonitor {
  problem: MillraceError | null = null;
  readonly #options: MonitorOptions;
  readonly #listeners: Listener[] = [];
  readonly #closing = new AbortController();
  #hurry = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Returns when the store is up. Throws what `connect` threw. */
  async start(): Promise<void> {
    const client = await this.#options.connect();
    this.#loop = this.#watch(client);
  }

  state(): "up" | "down" {
    return this.problem === null ? "up" : "down";
  }

  onChange(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /** There is reason to think that it is back: the pause before the next attempt is cut short. */
  nudge(): void {
    this.#hurry.abort();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#hurry.abort();
    await this.#loop;
  }

  async #watch(first: Client): Promise<void> {
    let client: Client | null = first;
    while (client) {
      const reason = await this.#untilLost(client);
      void client.end().catch(() => {});
      if (this.#closing.signal.aborted) return;
      this.#turn(new MillraceError("STORE_UNAVAILABLE", `the store does not answer: ${reason}`));
      client = await this.#reconnect();
    }
  }

  /** Why the connection is of no use any more. */
  #untilLost(client: Client): Promise<string> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      let over = false;
      const lost = (reason: string) => {
        over = true;
        timer?.cancel();
        this.#closing.signal.removeEventListener("abort", onClose);
        resolve(reason);
      };
      const onClose = () => lost("closing");
      const ping = () => {
        timer = clock.after(pingTimeoutMs, () => lost("no answer in time"));
        client.query("select pg_is_in_recovery() as standby").then(
          ({ rows }) => {
            if (over) return;
            timer?.cancel();
            if (rows[0]?.standby === true) lost("the server became a standby, which cannot be written");
            else timer = clock.after(pingMs, ping);
          },
          (cause: Error) => lost(cause.message),
        );
      };
      if (this.#closing.signal.aborted) return onClose();
      this.#closing.signal.addEventListener("abort", onClose);
      client.once("error", (cause) => lost(cause.message));
      client.once("end", () => lost("the connection ended"));
      timer = clock.after(pingMs, ping);
    });
  }

  /** Null when we are closing. */
  async #reconnect(): Promise<Client | null> {
    const { clock, random } = this.#options;
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      this.#hurry = new AbortController();
      if (this.#closing.signal.aborted) break;
      try {
        const client = await this.#options.connect();
        this.#turn(null);
        return client;
      } catch (cause) {
        this.problem = MillraceError.from(cause);
      }
      await clock.sleep(backoffMs(attempt, random), this.#hurry.signal).catch(() => {});
    }
    return null;
  }

  #turn(problem: MillraceError | null): void {
    const { diagnostics } = this.#options;
    this.problem = problem;
    if (problem) diagnostics.warn("the store is down", { reason: problem.message });
    else diagnostics.info("the store is up again");
    for (const listener of this.#listeners) {
      try {
        listener(problem ? "down" : "up");
      } catch (cause) {
        diagnostics.error("a listener to the store's state threw", { cause });
      }
    }
  }
}
