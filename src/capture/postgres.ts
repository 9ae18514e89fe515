/**
 * A PostgreSQL database as a source (PostgreSQL 14 to 18): keeps one attempt after another going until it is stopped.
 * Failures that may pass are tried again for ever with growing pauses; what needs somebody is shown, and looked at again
 * from time to time, so that it goes on by itself when it was put right.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import type { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { PostgresDefinition } from "../catalog/definitions.ts";
import type { Engine } from "../engine/engine.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { CaptureLog } from "./capture-log.ts";
import { type CaptureListener, CaptureRun, type CaptureSettings, defaultCaptureSettings } from "./capture-run.ts";
import type { ChangeRecorder } from "./change-recorder.ts";
import { closeConnection, connect, publicUrl, sourceError } from "./connection.ts";
import type { LogWriter } from "./log-writer.ts";
import { parseLsn, printLsn } from "./lsn.ts";
import { refuseTopicCollision, rejectedTopic, slotName, topicName } from "./names.ts";
import { dropPublications, dropSlot } from "./server-setup.ts";
import type { Source, SourceState, SourceStatus } from "./source.ts";
import type { SessionEnd, StreamSession } from "./stream-session.ts";

export interface PostgresSourceOptions {
  readonly definition: PostgresDefinition;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly disk: Disk;
  /** For transactions that do not fit into memory; what is in its folder of this source is removed. */
  readonly spillDirectory: string;
  /** `start` keeps the slot whatever is asked of `stop`. */
  readonly mode: "dev" | "start";
  /** Of the log that slot and publications are named after; the engine's when left out. */
  readonly logId?: string;
  /** The process's table of progress; without it every taking over reads the whole topic. */
  readonly progress?: ProgressTable;
  /** Millrace's, for `source.version` in events. */
  readonly version?: string;
  readonly settings?: Partial<CaptureSettings>;
}

/** Opens nothing before `start`, and throws nothing: what is wrong stands in the status. */
export function openPostgresSource(options: PostgresSourceOptions): Source {
  return new PostgresSource(options);
}

const pauseMsMin = 500;
const pauseMsMax = 30_000;
/** What needs somebody is looked at again after this. */
const recheckMs = 15_000;

class PostgresSource implements Source {
  readonly name: string;
  readonly #options: PostgresSourceOptions;
  readonly #slot: string;
  #state: SourceState = { kind: "connecting" };
  #tables: readonly TableShape[] = [];
  #warnings: readonly string[] = [];
  #rejected: { readonly count: number; readonly last: string } = { count: 0, last: "" };
  /** Of runs that have ended. */
  #changes = 0;
  #transactions = 0;
  #position: number | null = null;
  #run: CaptureRun | null = null;
  #streaming: { readonly session: StreamSession; readonly log: LogWriter } | null = null;
  #recorder: ChangeRecorder | null = null;
  #log: CaptureLog | null = null;
  #resnapshot = false;
  #stopping = false;
  #pauseMs = pauseMsMin;
  #sleeping: AbortController | null = null;
  #loop: Promise<void> | null = null;

  constructor(options: PostgresSourceOptions) {
    this.name = options.definition.name;
    this.#options = options;
    this.#slot = slotName(this.name, options.logId ?? options.engine.logId);
  }

  start(): void {
    this.#loop ??= this.#keepGoing();
  }

  status(): SourceStatus {
    const { definition, clock } = this.#options;
    const position = this.#position;
    const serverEnd = this.#streaming?.session.serverEnd ?? 0;
    const waitingSince = this.#streaming?.log.waitingSinceMs ?? null;
    const { count, last } = this.#rejected;
    return {
      name: this.name,
      type: "postgres",
      state: this.#state,
      url: publicUrl(definition.url),
      tables: this.#tables,
      changes: this.#changes + (this.#recorder?.changes ?? 0),
      transactions: this.#transactions + (this.#streaming?.session.transactions ?? 0),
      position: position === null ? null : printLsn(position),
      lagBytes: position === null || serverEnd === 0 ? null : Math.max(0, serverEnd - position),
      lagMs: this.#streaming === null ? null : waitingSince === null ? 0 : Math.max(0, clock.now() - waitingSince),
      slot: this.#log?.progress == null || this.#log.progress.state === "released" ? null : this.#slot,
      warnings:
        count === 0
          ? this.#warnings
          : [...this.#warnings, `rows set aside in topic ${rejectedTopic(this.name)}: ${count}; the last: ${last}`],
    };
  }

  async catchUp(position?: string): Promise<void> {
    try {
      await this.#run?.catchUp(position === undefined ? null : parseLsn(position));
    } catch (cause) {
      this.#options.diagnostics.debug("a source could not be asked how far it is", {
        source: this.name,
        cause: String(cause),
      });
    }
  }

  resnapshot(): void {
    this.#resnapshot = true;
    this.#run?.needSnapshot("it was asked for");
    this.#sleeping?.abort();
  }

  async stop(options: { readonly release?: boolean } = {}): Promise<void> {
    this.#stopping = true;
    this.#run?.stop();
    this.#sleeping?.abort();
    await this.#loop;
    const { mode, definition } = this.#options;
    if (options.release === true && mode === "dev" && !definition.keepSlot) await this.#release();
    this.#state = { kind: "stopped" };
  }

  async #keepGoing(): Promise<void> {
    while (!this.#stopping) {
      try {
        const end = await this.#attempt();
        if (end.kind === "failed") throw end.error;
        if (end.kind === "snapshot-needed") {
          this.#resnapshot = true;
          this.#options.diagnostics.warn("the source must be read anew", { source: this.name, reason: end.reason });
        }
      } catch (cause) {
        if (this.#stopping) break;
        const error = sourceError(cause, this.#options.definition);
        if (error.code === "PRODUCER_FENCED") {
          this.#state = { kind: "failed", error };
          this.#say(error);
          return;
        }
        await this.#pause(error);
      }
    }
  }

  async #attempt(): Promise<SessionEnd> {
    const { definition, engine, clock, progress, logId } = this.#options;
    if (this.#state.kind !== "failed") this.#state = { kind: "connecting" };
    refuseTopicCollision(definition);
    const log = this.#log ?? (await this.#own(await CaptureLog.own(engine, definition, clock, progress)));
    const run = new CaptureRun(
      {
        ...this.#options,
        logId: logId ?? engine.logId,
        version: this.#options.version ?? "0.1.0",
        settings: { ...defaultCaptureSettings, ...this.#options.settings },
      },
      log,
      this.#listener(),
    );
    this.#run = run;
    if (this.#stopping) return { kind: "stopped" };
    try {
      return await run.run({ resnapshot: this.#resnapshot });
    } finally {
      this.#changes += this.#recorder?.changes ?? 0;
      this.#transactions += this.#streaming?.session.transactions ?? 0;
      this.#recorder = null;
      this.#streaming = null;
      this.#run = null;
      // What the log has is read from it again, under an ownership of its own.
      if (run.logFailure !== null) this.#log = null;
    }
  }

  async #own(log: CaptureLog): Promise<CaptureLog> {
    this.#log = log;
    const { definition } = this.#options;
    const declared = new Set(definition.tables.map((table) => topicName(definition.name, table)));
    this.#tables = (await log.readShapes()).filter(({ topic }) => declared.has(topic));
    this.#position = log.progress === null ? null : parseLsn(log.progress.lsn);
    return log;
  }

  #listener(): CaptureListener {
    return {
      snapshotting: (rows, rowsEstimated) => {
        this.#resnapshot = false;
        this.#state = { kind: "snapshotting", rows, rowsEstimated };
      },
      recording: (recorder) => {
        this.#changes += this.#recorder?.changes ?? 0;
        this.#recorder = recorder;
      },
      streaming: (session, log) => {
        this.#streaming = { session, log };
        this.#pauseMs = pauseMsMin;
        this.#state = { kind: "streaming" };
      },
      tables: (tables, warnings) => {
        this.#tables = tables;
        this.#warnings = warnings;
      },
      durable: (position) => {
        this.#position = position;
      },
      rejected: (reason, table) => {
        this.#rejected = {
          count: this.#rejected.count + 1,
          last: table === null ? reason : `${reason} (table ${table})`,
        };
        if (this.#rejected.count === 1) {
          this.#options.diagnostics.warn("a row was set aside", { source: this.name, table, reason });
        }
      },
    };
  }

  async #pause(error: MillraceError): Promise<void> {
    const { clock, random } = this.#options;
    const passes = error.action === "wait" || error.action === "retry";
    const delayMs = passes ? this.#pauseMs * (0.5 + random.next() / 2) : recheckMs;
    if (passes) this.#pauseMs = Math.min(pauseMsMax, this.#pauseMs * 2);
    const before = this.#state;
    this.#state = passes ? { kind: "waiting", error, retryAtMs: clock.now() + delayMs } : { kind: "failed", error };
    const same = (before.kind === "failed" || before.kind === "waiting") && before.error.message === error.message;
    if (!same) this.#say(error);
    this.#sleeping = new AbortController();
    try {
      if (!this.#stopping) await clock.sleep(delayMs, this.#sleeping.signal);
    } catch {
      // Woken: there is something to do.
    }
    this.#sleeping = null;
  }

  #say(error: MillraceError): void {
    const { code, message, hint } = error;
    this.#options.diagnostics.warn("a source does not go on", { source: this.name, code, error: message, hint });
  }

  /** First the log says that the slot is given up, then it is: a crash between the two costs a snapshot, no more. */
  async #release(): Promise<void> {
    const { definition, clock, diagnostics } = this.#options;
    const log = this.#log;
    if (log?.progress == null || log.progress.state === "released") return;
    try {
      await log.writeProgress({ ...log.progress, state: "released" });
      const client = await connect(definition, "query");
      try {
        await dropSlot(client, this.name, this.#slot, clock);
        await dropPublications(client, this.#slot);
      } finally {
        await closeConnection(client);
      }
    } catch (cause) {
      const error = sourceError(cause, definition);
      diagnostics.warn("a replication slot could not be given up, and holds the source's log until it is dropped", {
        source: this.name,
        slot: this.#slot,
        error: error.message,
        hint: `select pg_drop_replication_slot('${this.#slot}')`,
      });
    }
  }
}
