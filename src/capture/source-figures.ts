/** What is known of a source, as its status tells it: what runs say while they go, and what they leave behind. */
import type { Clock } from "../base/clock.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { ChangeRecorder } from "./change-recorder.ts";
import type { LogWriter } from "./log-writer.ts";
import { printLsn } from "./lsn.ts";
import { type ReadProgress, type ReadStart, readProgress, type TableProgress } from "./snapshot/table-progress.ts";
import type { SourceStatus } from "./source.ts";
import type { SetAside } from "./source-warnings.ts";
import type { StreamSession } from "./stream-session.ts";

export class SourceFigures {
  readonly #clock: Clock;
  tables: readonly TableShape[] = [];
  rowsByTopic: ReadonlyMap<string, number> = new Map();
  /** Of the tables. */
  warnings: readonly string[] = [];
  position: number | null = null;
  reading: () => readonly TableProgress[] = () => [];
  #setAside: SetAside = { count: 0, last: "" };
  /** Of runs that have ended. */
  #changes = 0;
  #transactions = 0;
  #recorder: ChangeRecorder | null = null;
  #streaming: { readonly session: StreamSession; readonly log: LogWriter } | null = null;
  #loadBegan: ReadStart | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get setAside(): SetAside {
    return this.#setAside;
  }

  get isStreaming(): boolean {
    return this.#streaming !== null;
  }

  /** How long the server has been silent; 0 while nothing streams. */
  get silentMs(): number {
    return this.#streaming?.session.silentMs ?? 0;
  }

  recording(recorder: ChangeRecorder): void {
    this.#changes += this.#recorder?.changes ?? 0;
    this.#recorder = recorder;
  }

  streaming(session: StreamSession, log: LogWriter): void {
    this.#streaming = { session, log };
  }

  loading(rows: number, rowsEstimated: number): ReadProgress {
    const nowMs = this.#clock.monotonicMs();
    if (this.#loadBegan === null || rows === 0) this.#loadBegan = { ms: nowMs, rows };
    return readProgress(rows, rowsEstimated, this.#loadBegan, nowMs);
  }

  rejected(reason: string, table: string | null): void {
    const last = table === null ? reason : `${reason} (table ${table})`;
    this.#setAside = { count: this.#setAside.count + 1, last };
  }

  /** `count` rows that were set aside need nobody any more. */
  settled(count: number): void {
    this.#setAside = { ...this.#setAside, count: this.#setAside.count - count };
  }

  runEnded(): void {
    this.#changes += this.#recorder?.changes ?? 0;
    this.#transactions += this.#streaming?.session.transactions ?? 0;
    this.#recorder = null;
    this.reading = () => [];
    this.#streaming = null;
  }

  now(): Pick<SourceStatus, "tables" | "changes" | "transactions" | "position" | "lagBytes" | "lagMs" | "reading"> {
    const { position } = this;
    const serverEnd = this.#streaming?.session.serverEnd ?? 0;
    const waitingSince = this.#streaming?.log.waitingSinceMs ?? null;
    return {
      tables: this.tables.map((shape) => ({ ...shape, rowsEstimated: this.rowsByTopic.get(shape.topic) ?? null })),
      changes: this.#changes + (this.#recorder?.changes ?? 0),
      transactions: this.#transactions + (this.#streaming?.session.transactions ?? 0),
      position: position === null ? null : printLsn(position),
      lagBytes: position === null || serverEnd === 0 ? null : Math.max(0, serverEnd - position),
      lagMs:
        this.#streaming === null ? null : waitingSince === null ? 0 : Math.max(0, this.#clock.now() - waitingSince),
      reading: this.reading(),
    };
  }
}
