/** Sources of webhooks on a log on a simulated disk, and the vendor that calls them. */
import { createHmac } from "node:crypto";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import type { Disk } from "../../base/disk.ts";
import { silentMetrics } from "../../base/metrics.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { type WebhookDefinition, type WebhookOptions, webhook } from "../../catalog/definitions.ts";
import { openEmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import type { Engine } from "../../engine/engine.ts";
import { decodeCommitted } from "../../engine/records.ts";
import { ProgressTable } from "../../ownership/progress-table.ts";
import type { StoredRecord } from "../../records/record.ts";
import type { Hook, HookAnswer, HookCall } from "./hook.ts";
import { type HookEvent, hashOfId, idHeader } from "./hook-event.ts";
import { Hooks, type HooksOptions } from "./hooks.ts";
import { hmacSignature } from "./verify/hmac.ts";

export const secret = "hush";

export interface House {
  readonly clock: VirtualClock;
  readonly disk: Disk;
  readonly engine: Engine;
  readonly progress: ProgressTable;
  readonly hooks: Hooks;
  /** Waits until the source takes events. */
  serving(name: string): Promise<Hook>;
  close(): Promise<void>;
}

export interface HouseOptions {
  readonly disk?: Disk;
  readonly clock?: VirtualClock;
  readonly definitions?: readonly WebhookDefinition[];
  readonly hooks?: Partial<HooksOptions>;
  /** Of the ids that are made: two starts on one disk have two. */
  readonly seed?: number;
  /** In place of the engine that was opened. */
  readonly wrap?: (engine: Engine) => Engine;
}

let nextSeed = 1_000;

export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const { disk = new SimulatedDisk(seededRandom(1)), clock = new VirtualClock() } = options;
  const tools = { disk, clock, random: seededRandom(options.seed ?? nextSeed++), diagnostics: silentDiagnostics };
  const opened = await openEmbeddedEngine({ ...tools, directory: "/data/log" });
  const engine = options.wrap?.(opened) ?? opened;
  const progress = await ProgressTable.open({ engine, clock, checkpoint: { disk, file: "/data/progress" } });
  const hooks = new Hooks({
    ...tools,
    engine,
    progress,
    metrics: silentMetrics,
    directory: "/data/hooks",
    ...options.hooks,
  });
  await hooks.apply(options.definitions ?? [signed("vendor")]);
  return {
    clock,
    disk,
    engine,
    progress,
    hooks,
    serving: (name) => serving(hooks, name),
    async close() {
      await hooks.close();
      await progress.close();
      await opened.close();
    },
  };
}

/** A source whose calls carry `x-mac` and, where the test wants one, `x-id`. */
export function signed(name: string, options: Partial<WebhookOptions> = {}): WebhookDefinition {
  return webhook(name, { verify: hmacSignature({ secret, header: "x-mac", idHeader: "x-id" }), ...options });
}

async function serving(hooks: Hooks, name: string): Promise<Hook> {
  const hook = hooks.get(name);
  if (!hook) throw new Error(`there is no source ${name}`);
  while (hook.status().state.kind === "connecting") await turn();
  return hook;
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export interface Sent {
  readonly id?: string;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly search?: string;
  readonly mac?: string;
}

export function callOf({ id, body = "{}", headers = {}, method = "POST", search = "", mac }: Sent): HookCall {
  const bytes = Buffer.from(body);
  return {
    method,
    search,
    headers: {
      "content-type": "application/json",
      "x-mac": mac ?? createHmac("sha256", secret).update(bytes).digest("hex"),
      ...(id === undefined ? {} : { "x-id": id }),
      ...headers,
    },
    guard() {},
    async body({ onBytes }) {
      onBytes(bytes.length);
      return bytes;
    },
  };
}

/** Resolves with the place; throws for what was refused or answered as a challenge. */
export async function send(hook: Hook, sent: Sent) {
  const answer: HookAnswer = await hook.handle(callOf(sent));
  if (answer.kind !== "kept") throw new Error(`it was answered as a ${answer.kind}`);
  return answer.place;
}

/** What an acceptor is handed, made of an id alone. */
export function eventOf(id: string, extra: Partial<HookEvent> = {}): HookEvent {
  return {
    idHash: hashOfId(id),
    key: null,
    value: Buffer.from(`{"id":${JSON.stringify(id)}}`),
    headers: [{ key: idHeader, value: Buffer.from(id) }],
    sequence: undefined,
    hasId: true,
    faults: [],
    ...extra,
  };
}

export async function recordsOf(
  engine: Engine,
  topic: string,
): Promise<(StoredRecord & { readonly partition: number })[]> {
  const all: (StoredRecord & { readonly partition: number })[] = [];
  const partitions = engine.topic(topic)?.settings.partitions ?? 0;
  for (let partition = 0; partition < partitions; partition++) {
    const { lastStable } = await engine.offsets(topic, partition);
    for (let offset = 0; offset < lastStable; ) {
      const result = await engine.read({ topic, partition, offset, isolation: "read_committed", bytesMax: 1e6 });
      for (const record of decodeCommitted(result, offset)) all.push({ ...record, partition });
      const last = result.batches.at(-1);
      if (!last) break;
      offset = Number(last.readBigInt64BE(0)) + last.readInt32BE(23) + 1;
    }
  }
  return all;
}

export function headersOf({ headers }: StoredRecord): Record<string, string> {
  return Object.fromEntries(headers.map(({ key, value }) => [key, String(value)]));
}
