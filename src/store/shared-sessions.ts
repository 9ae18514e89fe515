/**
 * Ends sessions of the shared role whose transaction is too old. PostgreSQL's own limits are settings that a session may
 * lift for itself; while its transaction is open, vacuum takes away nothing that is younger, and a view that it has read is
 * not replaced.
 */
import type { Pool } from "pg";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";

export interface SharedSessionsOptions {
  /** With the writing role. */
  readonly admin: Pick<Pool, "query">;
  readonly role: string;
  readonly transactionMs: number;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
}

const lookMs = 5_000;

export class SharedSessions {
  readonly #options: SharedSessionsOptions;
  readonly #closing = new AbortController();
  readonly #loop: Promise<void>;

  constructor(options: SharedSessionsOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, diagnostics } = this.#options;
    for (;;) {
      await clock.sleep(lookMs, this.#closing.signal).catch(() => {});
      if (this.#closing.signal.aborted) return;
      // While the store is down it is the monitor that says so.
      await this.look().catch((cause: Error) => {
        diagnostics.debug("sessions of the shared role cannot be seen", { cause: cause.message });
      });
    }
  }

  /** Ends those that are older now; PostgreSQL's own limit is given the time to act first. */
  async look(olderThanMs = this.#options.transactionMs + lookMs): Promise<void> {
    const { admin, role, diagnostics } = this.#options;
    const { rows } = await admin.query<{ application: string; seconds: number }>(
      `select application_name as application, extract(epoch from clock_timestamp() - xact_start)::int as seconds,
         pg_terminate_backend(pid) as ended
       from pg_stat_activity
       where usename = $1 and datname = current_database() and pid <> pg_backend_pid()
         and xact_start < clock_timestamp() - $2 * interval '1 millisecond'`,
      [role, olderThanMs],
    );
    for (const { application, seconds } of rows) {
      diagnostics.warn("a session of the shared role was ended, for its transaction was open too long", {
        role,
        application,
        seconds,
      });
    }
  }
}
