/** A log on a simulated disk, appends with idempotency keys, and the door over both. */
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import { silentMetrics } from "../base/metrics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import type { VirtualClock } from "../base/virtual-clock.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine } from "../engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../engine/records.ts";
import { ProgressTable } from "../ownership/progress-table.ts";
import type { StoredRecord } from "../records/record.ts";
import { type Answer, ask, type DoorOverrides, openTestDoor } from "./door-fixture.ts";
import type { HttpDoor } from "./http-door.ts";
import { IdempotentAppends, type IdempotentAppendsOptions } from "./idempotent-appends.ts";

export interface AppendLog {
  readonly engine: Engine;
  readonly progress: ProgressTable;
  readonly idempotent: IdempotentAppends;
  close(): Promise<void>;
}

export interface AppendLogOptions {
  readonly disk?: Disk;
  readonly clock?: VirtualClock;
  readonly idempotent?: Partial<IdempotentAppendsOptions>;
  /** In place of the engine that was opened. */
  readonly wrap?: (engine: Engine) => Engine;
}

let seed = 500;

export async function openAppendLog(options: AppendLogOptions = {}): Promise<AppendLog> {
  const { disk = new SimulatedDisk(seededRandom(1)), clock = systemClock, wrap = (engine) => engine } = options;
  const tools = { disk, clock, random: seededRandom(seed++), diagnostics: silentDiagnostics };
  const opened = await openEmbeddedEngine({ ...tools, directory: "/data/log" });
  const engine = wrap(opened);
  const progress = await ProgressTable.open({ engine, clock });
  const idempotent = new IdempotentAppends({
    ...tools,
    engine,
    progress,
    metrics: silentMetrics,
    directory: "/data/idempotency",
    windowMs: 86_400_000,
    ...options.idempotent,
  });
  return {
    engine,
    progress,
    idempotent,
    async close() {
      await idempotent.close();
      await progress.close();
      await opened.close();
    },
  };
}

export interface AppendHouse extends AsyncDisposable, AppendLog {
  readonly door: HttpDoor;
  /** An append to topic `t`. */
  post(body: unknown, headers?: Readonly<Record<string, string>>, search?: string): Promise<Answer>;
}

export async function openAppendHouse(
  options: AppendLogOptions = {},
  overrides: DoorOverrides = {},
): Promise<AppendHouse> {
  const log = await openAppendLog(options);
  if (!log.engine.topic("t")) await log.engine.createTopic("t", { partitions: 2 });
  const door = await openTestDoor({ engine: log.engine, idempotent: log.idempotent, ...overrides });
  return {
    ...log,
    door,
    post: (body, headers = {}, search = "") =>
      ask(door, `/v1/topics/t${search}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body),
      }),
    async [Symbol.asyncDispose]() {
      await door.close();
      await log.close();
    },
  };
}

/** What a reader of the topic sees. */
export async function recordsOf(engine: Engine, topic = "t"): Promise<(StoredRecord & { partition: number })[]> {
  const records: (StoredRecord & { partition: number })[] = [];
  const partitions = engine.topic(topic)?.settings.partitions ?? 0;
  for (let partition = 0; partition < partitions; partition++) {
    const { logStart, lastStable } = await engine.offsets(topic, partition);
    for (let offset = logStart; offset < lastStable; ) {
      const place = { topic, partition, offset, isolation: "read_committed", bytesMax: 1_000_000 } as const;
      const result = await engine.read(place);
      for (const record of decodeCommitted(result, offset)) records.push({ ...record, partition });
      offset = nextOffsetOf(result, offset);
    }
  }
  return records;
}

/** `<status> <code>` of a refusal. */
export function codeOf({ status, json }: Answer): string {
  return `${status} ${(json() as { code?: string }).code}`;
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
