/** What an attempt at capturing is given, and whom it tells what happens. */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import type { Random } from "../base/random.ts";
import type { PostgresDefinition } from "../catalog/definitions.ts";
import type { Engine } from "../engine/engine.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { WriterSizes } from "./capture-log.ts";
import { type ChangeRecorder, eventBytesMax } from "./change-recorder.ts";
import type { LogWriter } from "./log-writer.ts";
import type { Admission } from "./outbox/outbox-writer.ts";
import type { TableProgress } from "./snapshot/table-progress.ts";
import type { StreamSession } from "./stream-session.ts";
import type { SchemaHouse } from "./table-encodings.ts";

export interface CaptureSettings extends WriterSizes {
  readonly heartbeatMs: number;
  /** How often the source's catalogue is compared with what is captured. */
  readonly auditMs: number;
  readonly chunkBytes: number;
  /** Connections that read at once in a first load, where the definition does not say. */
  readonly loadConnections: number;
  /** What transactions that still run may take of memory. */
  readonly spoolBytes: number;
  /** A larger event is set aside. */
  readonly eventBytesMax: number;
}

export const defaultCaptureSettings: CaptureSettings = {
  heartbeatMs: 10_000,
  auditMs: 30_000,
  chunkBytes: 4 * 1024 * 1024,
  loadConnections: 2,
  spoolBytes: 8 * 1024 * 1024,
  eventBytesMax,
  batchBytes: 512 * 1024,
  partBytes: 8 * 1024 * 1024,
};

export interface CaptureTools {
  readonly definition: PostgresDefinition;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly disk: Disk;
  /** Where applications' topics are looked up. */
  readonly engine: Pick<Engine, "topic" | "offsets" | "read">;
  /** What topics have against what applications publish to them; nothing when left out. */
  readonly admit?: Admission;
  /** Where the schemas of a source are registered whose encoding has some. */
  readonly schemas?: SchemaHouse;
  readonly spillDirectory: string;
  readonly logId: string;
  readonly version: string;
  readonly settings: CaptureSettings;
}

/** What the status shows, told as it happens. */
export interface CaptureListener {
  snapshotting(rows: number, rowsEstimated: number): void;
  recording(recorder: ChangeRecorder): void;
  streaming(session: StreamSession, log: LogWriter): void;
  tables(tables: readonly TableShape[], warnings: readonly string[]): void;
  /** About how many rows the tables have in the source, by topic. */
  counted(rows: ReadonlyMap<string, number>): void;
  /** Tables that are read; asked when the status is. */
  reading(progress: () => readonly TableProgress[]): void;
  durable(position: number): void;
  /** The server's position was taken, as was asked. */
  adopted(): void;
  rejected(reason: string, table: string | null): void;
}
