/** The log of a program that is not running: how far its capture has come, and what its topics hold. */
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../../../src/engine/records.ts";
import type { StoredRecord } from "../../../src/records/record.ts";
import type { JudgedLog } from "../../support/capture-judge.ts";
import { decodeLog } from "../../support/log-decoder.ts";

export interface HeldProgress {
  /** While it is `snapshotting` the next start takes a new snapshot with a new slot: the old one's place means nothing. */
  readonly state: string;
  readonly lsn: string;
}

/**
 * How far the log holds a source, as a start would read it; undefined when it knows nothing of it. Read with nothing of the
 * log's own code, and without a change to its files.
 */
export async function durableProgress(data: string, source: string): Promise<HeldProgress | undefined> {
  const topic = "_millrace.progress";
  const log = await decodeLog(realDisk, join(data, "log"), (name) => name === topic);
  const records = log.get(`${topic}/0`)?.records ?? [];
  const last = records.findLast(({ key, fate }) => fate !== "aborted" && String(key) === `progress/source/${source}`);
  return last?.value ? JSON.parse(String(last.value)).value : undefined;
}

/** Opened as a start opens it; closed by the caller. */
export function openLog(data: string): Promise<Engine> {
  const tools = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
  return openEmbeddedEngine({ ...tools, disk: realDisk, directory: join(data, "log") });
}

export function judgedLog(engine: Engine, source: string): JudgedLog {
  return {
    transactions: committedRecords(engine, `${source}.transaction`),
    topic: (name) => committedRecords(engine, name),
  };
}

async function* committedRecords(engine: Engine, topic: string): AsyncIterable<StoredRecord> {
  const end = (await engine.offsets(topic, 0)).lastStable;
  for (let offset = 0; offset < end; ) {
    const request = { topic, partition: 0, offset, isolation: "read_committed", bytesMax: 1024 * 1024 } as const;
    const result = await engine.read(request);
    yield* decodeCommitted(result, offset);
    offset = nextOffsetOf(result, offset);
  }
}
