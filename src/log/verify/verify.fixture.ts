/** Logs on a simulated disk to be damaged, and what they hold afterwards. */
import * as assert from "node:assert/strict";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import { decodeBatch } from "../../records/batch-records.ts";
import { Log } from "../log.ts";
import type { LogLimits } from "../log-context.ts";
import { type LogTopicSettings, laterTopicSettings } from "../topic-catalogue.ts";
import type { Finding } from "./finding.ts";
import { repairLog } from "./repair-log.ts";
import { planRepair, type RepairChoice } from "./repair-plan.ts";
import { surveyLog, type VerifyOptions, verifyLog } from "./verify-log.ts";

export const settings: LogTopicSettings = {
  ...laterTopicSettings,
  partitions: 2,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1024 * 1024,
  segmentBytesMax: 2000,
  durability: "fsync",
};

export const clock = new VirtualClock();
/** Everything goes straight to its segment; a crash tears little. */
export const limits: Partial<LogLimits> = {
  diskReserveBytes: 0,
  directBytesMin: 1,
  groupBytesMax: 300,
  unsyncedBytesMax: 300,
  journalFileBytes: 8 * 1024,
};
/** Everything goes through the journal, in files of 8 KiB. */
export const journalLimits: Partial<LogLimits> = {
  diskReserveBytes: 0,
  groupBytesMax: 300,
  unsyncedBytesMax: 300,
  journalFileBytes: 8 * 1024,
  journalFilesMax: 3,
};

export const many = Array.from({ length: 40 }, (_, i) => `${i}`.padEnd(150, "."));

let opened = 0;

export function openOn(disk: SimulatedDisk, more: Partial<LogLimits> = limits): Promise<Log> {
  return Log.open({
    disk,
    directory: "/data/log",
    clock,
    random: seededRandom(++opened),
    diagnostics: silentDiagnostics,
    limits: more,
  });
}

export interface Made {
  readonly disk: SimulatedDisk;
  /** Of the segments of partition 0, in order. */
  readonly paths: readonly string[];
  readonly directory: string;
}

export interface MakeOptions {
  readonly values?: readonly string[];
  /** Else it is killed, and has no checkpoint of what was appended. */
  readonly closed?: boolean;
  readonly settings?: Partial<LogTopicSettings>;
  readonly limits?: Partial<LogLimits>;
}

/** Topic `t`: the values in partition 0, and "other" in partition 1. */
export async function makeLog(options: MakeOptions = {}): Promise<Made> {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk, options.limits);
  await log.createTopic("t", { ...settings, ...options.settings }, false);
  await append(log, options.values ?? many);
  await append(log, ["other"], 1);
  const { directory } = log.partition("t", 0).place;
  if (options.closed ?? true) await log.close();
  const left = options.closed === false ? disk.afterKill() : disk;
  return { disk: left, directory, paths: await segmentPaths(left, directory) };
}

export async function append(log: Log, values: readonly string[], partition = 0): Promise<void> {
  for (const value of values) {
    await log.append("t", partition, encodeBatch([{ key: null, value: Buffer.from(value) }], clock.now()));
  }
}

export async function segmentPaths(disk: SimulatedDisk, directory: string): Promise<string[]> {
  const names = await disk.list(directory);
  return names.filter((name) => name.endsWith(".log")).map((name) => `${directory}/${name}`);
}

/** By offset. */
export async function recordsOf(log: Log, partition = 0): Promise<Map<number, string>> {
  const from = log.partition("t", partition);
  const found = new Map<number, string>();
  for (let offset = from.logStart; offset < from.highWatermark; ) {
    const { batches } = await from.read(offset, false, 1000);
    if (batches.length === 0) break;
    for (const record of batches.flatMap(decodeBatch)) {
      found.set(record.offset, String(record.value));
      offset = record.offset + 1;
    }
  }
  return found;
}

/** Every file's bytes, by path. */
export async function bytesOn(disk: SimulatedDisk, folder = "/"): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await disk.list(folder)) {
    const at = folder === "/" ? `/${name}` : `${folder}/${name}`;
    const inside = await disk.list(at).catch(() => undefined);
    if (inside) for (const [path, bytes] of await bytesOn(disk, at)) found.set(path, bytes);
    else found.set(at, disk.contents(at).toString("base64"));
  }
  return found;
}

type Options = Partial<VerifyOptions>;

function optionsOn(disk: SimulatedDisk, more: Options): VerifyOptions {
  return { disk, directory: "/data/log", clock, limits, ...more };
}

/** Verifies, and looks that nothing was changed. */
export async function findingsOn(disk: SimulatedDisk, more: Options = {}): Promise<readonly Finding[]> {
  const before = await bytesOn(disk);
  const { operations } = disk;
  const { findings } = await verifyLog(optionsOn(disk, more));
  assert.deepEqual(await bytesOn(disk), before);
  assert.equal(disk.operations, operations, "verify has written something");
  assert.equal(disk.openFiles, 0);
  return findings;
}

export function worst(findings: readonly Finding[]): string[] {
  return findings.filter(({ severity }) => severity === "damage").map(({ code }) => code);
}

/** Answers the side folder. */
export async function repairOn(
  disk: SimulatedDisk,
  choice: RepairChoice = {},
  more: Options = {},
): Promise<string | undefined> {
  const options = optionsOn(disk, more);
  const survey = await surveyLog(options);
  return await repairLog(options, survey, planRepair(survey, choice));
}

export const withCode = (code: string) => (error: unknown) =>
  (MillraceError.is(error) && error.code === code) || assert.fail(`expected ${code}, not ${error}`);
