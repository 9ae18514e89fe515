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
import { type PostgresDefinition, patternOf } from "../catalog/definitions.ts";
import type { Engine } from "../engine/engine.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { CaptureLog } from "./capture-log.ts";
import { CaptureRun } from "./capture-run.ts";
import { type CaptureListener, type CaptureSettings, defaultCaptureSettings } from "./capture-tools.ts";
import { beginHold, endHold, giveUp, holdState } from "./hold.ts";
import { parseLsn } from "./lsn.ts";
import { refuseTopicCollision, slotName, topicName } from "./names.ts";
import type { Admission } from "./outbox/outbox-writer.ts";
import { refusalCodes, type SourceHold, witnessed } from "./progress.ts";
import type { RetryResult } from "./retry.ts";
import { SlotCare, silenceFault } from "./slot-care.ts";
import { lookAtSlot, type SlotLook, walAllowance } from "./slot-look.ts";
import { SlotMinder } from "./slot-minder.ts";
import type { Source, SourceState, SourceStatus } from "./source.ts";
import { notStreaming, sourceError } from "./source-error.ts";
import { SourceFigures } from "./source-figures.ts";
import { historyWarnings } from "./source-warnings.ts";
import type { SessionEnd } from "./stream-session.ts";
import type { SchemaHouse } from "./table-encodings.ts";
import { publicUrl } from "./tls-modes.ts";
import { type Wish, Wishes } from "./wishes.ts";

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
  /** What a refusal at the start is answered with, where somebody has said so beforehand. */
  readonly whenRefused?: "resnapshot" | "adopt";
  /** What topics have against what applications publish to them. */
  readonly admit?: Admission;
  /** Where the schemas of a source are registered whose encoding has some; a definition with another than JSON needs it. */
  readonly schemas?: SchemaHouse;
  /** Told of the tables as they are, whenever one is met or has changed. Must not throw. */
  readonly onTables?: (tables: readonly TableShape[]) => void;
  /** How often the server is asked what it keeps for us. */
  readonly careMs?: number;
}

/** Opens nothing before `start`, and throws nothing: what is wrong stands in the status. */
export function openPostgresSource(options: PostgresSourceOptions): Source {
  return new PostgresSource(options);
}

const pauseMsMin = 500;
const pauseMsMax = 30_000;
/** What needs somebody is looked at again after this. */
const recheckMs = 15_000;
const careMs = 30_000;

class PostgresSource implements Source {
  readonly name: string;
  readonly #options: PostgresSourceOptions;
  readonly #slot: string;
  readonly #minder: SlotMinder;
  readonly #wishes: Wishes;
  #state: SourceState = { kind: "connecting" };
  readonly #figures: SourceFigures;
  #run: CaptureRun | null = null;
  #log: CaptureLog | null = null;
  #resnapshot = false;
  #adopt = false;
  #refusal: MillraceError | null = null;
  /** It has streamed, taken a snapshot, or been refused. */
  #begun = false;
  /** What was to be dropped before this process began may still be there. */
  #firstStand = true;
  #stopping = false;
  #pauseMs = pauseMsMin;
  #sleeping: AbortController | null = null;
  #loop: Promise<void> | null = null;

  constructor(options: PostgresSourceOptions) {
    this.name = options.definition.name;
    this.#options = options;
    this.#slot = slotName(this.name, options.logId ?? options.engine.logId);
    this.#minder = new SlotMinder({ ...options, slot: this.#slot });
    this.#wishes = new Wishes(this.name);
    this.#figures = new SourceFigures(options.clock);
  }

  start(): void {
    this.#loop ??= this.#keepGoing();
  }

  status(): SourceStatus {
    const { definition } = this.#options;
    const progress = this.#log?.progress ?? null;
    return {
      name: this.name,
      type: "postgres",
      state: this.#state,
      url: publicUrl(definition.url),
      ...this.#figures.now(),
      slot: progress === null || progress.state === "released" ? null : this.#slot,
      ...(progress !== null && { server: { systemId: progress.systemId, timeline: progress.timeline } }),
      wal: this.#minder.look?.wal ?? null,
      ...walAllowance(definition),
      orphans: this.#minder.look?.orphans ?? [],
      warnings: [
        ...this.#figures.warnings,
        ...this.#minder.warnings(),
        ...historyWarnings(this.name, progress, this.#figures.setAside),
      ],
    };
  }

  refusedAtStart(): MillraceError | null {
    return this.#refusal;
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

  end(): Promise<string> {
    return this.#whileStreaming((run) => run.end());
  }

  resnapshot(): void {
    this.#resnapshot = true;
    this.#run?.needSnapshot("it was asked for");
    this.#goOn();
  }

  readTable(table: string): Promise<void> {
    return this.#whileStreaming((run) => run.readTable(table));
  }

  async retry(): Promise<RetryResult> {
    const { count } = this.#figures.setAside;
    const result = await this.#whileStreaming((run) => run.retry());
    // What was set aside by then is settled; what has been since is still to be warned of.
    if (result.refused === 0 && !result.more) this.#figures.settled(count);
    return result;
  }

  async #whileStreaming<T>(work: (run: CaptureRun) => Promise<T> | undefined): Promise<T> {
    const done = this.#run !== null && this.#state.kind === "streaming" ? work(this.#run) : undefined;
    if (done === undefined) throw notStreaming(this.name);
    return await done.catch((cause) => {
      throw sourceError(cause, this.#options.definition);
    });
  }

  adopt(): void {
    // A source that runs has nothing to adopt, and must not do so later unasked.
    if (this.#state.kind === "streaming" || this.#state.kind === "snapshotting") return;
    this.#adopt = true;
    this.#goOn();
  }

  hold(kind: "paused" | "removed", slot: "keep" | "drop"): Promise<void> {
    const told = slot === "keep" ? "kept" : "dropped";
    return this.#ask({
      kind: "hold",
      hold: { kind, slot: told, because: null, atMs: this.#options.clock.now() },
    });
  }

  resume(): Promise<void> {
    return this.#ask({ kind: "resume" });
  }

  async stop(options: { readonly release?: boolean } = {}): Promise<void> {
    this.#stopping = true;
    this.#run?.stop();
    this.#sleeping?.abort();
    await this.#loop;
    const { mode, definition } = this.#options;
    // What somebody has told to keep or to drop stays so.
    const held = this.#log?.progress?.hold !== undefined;
    if (options.release === true && mode === "dev" && !definition.keepSlot && !held) await this.#release();
    this.#state = { kind: "stopped" };
  }

  /** Whatever holds it: a pause ends, a wait is over. */
  #goOn(): void {
    if (this.#log?.progress?.hold !== undefined) this.resume().catch(() => undefined);
    this.#sleeping?.abort();
  }

  #ask(wish: Wish): Promise<void> {
    const done = this.#wishes.ask(wish);
    this.#run?.stop();
    this.#sleeping?.abort();
    return done;
  }

  async #keepGoing(): Promise<void> {
    while (!this.#stopping) {
      try {
        const log = await this.#owned();
        await this.#wishes.obey((wish) => this.#perform(wish, log));
        const hold = log.progress?.hold;
        if (hold !== undefined) {
          await this.#standStill(log, hold);
          continue;
        }
        const end = await this.#attempt(log);
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
          break;
        }
        if (!(await this.#answerRefusal(error))) await this.#pause(error);
      }
    }
    this.#wishes.close();
  }

  async #owned(): Promise<CaptureLog> {
    const { definition, engine, clock, progress } = this.#options;
    if (this.#state.kind !== "failed") this.#state = { kind: "connecting" };
    refuseTopicCollision(definition);
    return this.#log ?? (await this.#own(await CaptureLog.own(engine, definition, clock, progress)));
  }

  async #attempt(log: CaptureLog): Promise<SessionEnd> {
    const { engine, clock, logId } = this.#options;
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
    if (this.#stopping || this.#wishes.waiting) return { kind: "stopped" };
    this.#run = run;
    const care = new SlotCare({
      source: this.name,
      clock,
      everyMs: this.#options.careMs ?? careMs,
      ask: (begun) =>
        run.ask((client) => {
          begun();
          return lookAtSlot(client, this.#slot);
        }),
      onLook: (look) => this.#looked(look),
      onFault: (error) => run.fail(error),
    });
    try {
      return await run.run({ resnapshot: this.#resnapshot, adopt: this.#adopt });
    } finally {
      care.stop();
      this.#figures.runEnded();
      this.#run = null;
      // What the log has is read from it again, under an ownership of its own.
      if (run.logFailure !== null) this.#log = null;
    }
  }

  async #own(log: CaptureLog): Promise<CaptureLog> {
    this.#log = log;
    const { definition } = this.#options;
    const declared = new Set(definition.tables.map((table) => topicName(definition.name, table)));
    const { patterns } = definition;
    const tables = (await log.readShapes()).filter((shape) => declared.has(shape.topic) || patternOf(patterns, shape));
    this.#figures.tables = tables;
    this.#options.onTables?.(tables);
    this.#figures.position = log.progress === null ? null : parseLsn(log.progress.lsn);
    return log;
  }

  #listener(): CaptureListener {
    return {
      snapshotting: (rows, rowsEstimated) => {
        this.#resnapshot = this.#adopt = false;
        this.#begun = true;
        this.#minder.letFlow();
        this.#minder.madeAnew();
        this.#state = { kind: "snapshotting", ...this.#figures.loading(rows, rowsEstimated) };
      },
      recording: (recorder) => this.#figures.recording(recorder),
      adopted: () => {
        this.#minder.madeAnew();
        this.#options.diagnostics.warn("the server's position was adopted; changes may be missing", {
          source: this.name,
          gap: this.#log?.progress?.gap,
        });
      },
      streaming: (session, log) => {
        this.#figures.streaming(session, log);
        this.#adopt = false;
        this.#begun = true;
        this.#pauseMs = pauseMsMin;
        this.#state = { kind: "streaming" };
      },
      tables: (tables, warnings) => {
        this.#figures.tables = tables;
        this.#figures.warnings = warnings;
        this.#options.onTables?.(tables);
      },
      counted: (rows) => {
        this.#figures.rowsByTopic = rows;
      },
      reading: (progress) => {
        this.#figures.reading = progress;
      },
      durable: (position) => {
        this.#figures.position = position;
      },
      rejected: (reason, table) => {
        this.#figures.rejected(reason, table);
        if (this.#figures.setAside.count === 1) {
          this.#options.diagnostics.warn("a row was set aside", { source: this.name, table, reason });
        }
      },
    };
  }

  // What somebody has asked for.

  async #perform(wish: Wish, log: CaptureLog): Promise<void> {
    const tools = { source: this.name, slot: this.#slot, minder: this.#minder, diagnostics: this.#options.diagnostics };
    if (wish.kind === "hold") await beginHold(log, wish.hold, tools);
    else if (wish.kind === "resume") await endHold(log, tools);
    else {
      this.#resnapshot = true;
      await giveUp(log, wish.because, tools);
    }
    const hold = log.progress?.hold;
    this.#state = hold === undefined ? { kind: "connecting" } : holdState(this.name, hold);
  }

  /** Until somebody resumes it, or stops the program. What the server keeps for it meanwhile is looked at. */
  async #standStill(log: CaptureLog, hold: SourceHold): Promise<void> {
    this.#state = holdState(this.name, hold);
    if (hold.slot === "kept") {
      try {
        await this.#minder.lookFromOutside();
        if (this.#minder.decide() === "drop-slot") {
          const because = this.#minder.heldSentence();
          return await this.#perform({ kind: "hold", hold: { ...hold, slot: "dropped", because } }, log);
        }
      } catch (cause) {
        this.#options.diagnostics.debug("a source that stands still could not be looked at", {
          source: this.name,
          cause: String(cause),
        });
      }
    } else if (this.#minder.dropFailed || this.#firstStand) await this.#minder.drop(hold.kind === "removed");
    this.#firstStand = false;
    if (!this.#wishes.waiting) await this.#sleep(recheckMs);
  }

  /** First the log says that the slot is given up, then it is: a crash between the two costs a snapshot, no more. */
  async #release(): Promise<void> {
    const log = this.#log;
    if (log?.progress == null || log.progress.state === "released") return;
    try {
      await log.writeProgress({ ...log.progress, state: "released" });
    } catch (cause) {
      const error = sourceError(cause, this.#options.definition).message;
      this.#options.diagnostics.warn("the log cannot be told that a slot is given up, so that it is kept", {
        source: this.name,
        slot: this.#slot,
        error,
      });
      return;
    }
    await this.#minder.drop(true);
  }

  // What the server keeps.

  #looked(look: SlotLook): void {
    const slotRestart = this.#minder.take(look, { streaming: this.#figures.isStreaming });
    const progress = this.#log?.progress ?? null;
    if (this.#log !== null && progress?.state === "streaming" && slotRestart !== null) {
      this.#log.progress = witnessed(progress, slotRestart);
    }
    const silence = silenceFault(this.name, this.#figures.silentMs, look.walSenderTimeoutMs);
    if (silence !== null) this.#run?.fail(silence);
    if (this.#state.kind !== "streaming") return;
    const act = this.#minder.decide();
    if (act === "nothing") return;
    const because = this.#minder.heldSentence();
    const hold = { kind: "paused", slot: "kept", because, atMs: this.#options.clock.now() } as const;
    this.#ask(act === "pause" ? { kind: "hold", hold } : { kind: "give-up", because }).catch(() => undefined);
  }

  // What keeps it.

  /** True when what was said beforehand answers it. What cannot be seen again later is put down. */
  async #answerRefusal(error: MillraceError): Promise<boolean> {
    if (!refusalCodes.includes(error.code)) return false;
    const { whenRefused, diagnostics } = this.#options;
    const log = this.#log;
    if (error.details.passing === true && log?.progress && log.progress.refused === undefined) {
      const { code, message } = error;
      await log.writeProgress({ ...log.progress, refused: { code, message } }).catch(() => undefined);
    }
    if (this.#begun) return false;
    this.#begun = true;
    if (whenRefused === undefined) {
      this.#refusal = error;
      return false;
    }
    diagnostics.warn("a refusal is answered as was said at the start", {
      source: this.name,
      error: error.message,
      answer: whenRefused,
    });
    if (whenRefused === "adopt") this.#adopt = true;
    else this.#resnapshot = true;
    return true;
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
    await this.#sleep(delayMs);
  }

  async #sleep(delayMs: number): Promise<void> {
    this.#sleeping = new AbortController();
    try {
      if (!this.#stopping) await this.#options.clock.sleep(delayMs, this.#sleeping.signal);
    } catch {
      // Woken: there is something to do.
    }
    this.#sleeping = null;
  }

  #say(error: MillraceError): void {
    const { code, message, hint } = error;
    this.#options.diagnostics.warn("a source does not go on", { source: this.name, code, error: message, hint });
  }
}
