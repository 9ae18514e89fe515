/** The lowest two parts of the program, which know nothing of each other and open side by side: the store and the log. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "./base/clock.ts";
import type { Diagnostics } from "./base/diagnostics.ts";
import { invariant, MillraceError } from "./base/errors.ts";
import { systemRandom } from "./base/random.ts";
import { realDisk } from "./base/real-disk.ts";
import type { GroupDefinition } from "./catalog/definitions.ts";
import { openClusterEngine } from "./engine/cluster/cluster-engine.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "./engine/embedded/embedded-engine.ts";
import type { Engine } from "./engine/engine.ts";
import type { KafkaClusterSettings } from "./kafka-cluster-settings.ts";
import { planLogLimits } from "./log/log-context.ts";
import type { Settings } from "./settings.ts";
import { openStore, type Store } from "./store/store.ts";

/** Where the log is: in this process, or a Kafka cluster. */
export type OpenLog =
  | { readonly kind: "embedded"; readonly engine: EmbeddedEngine }
  | { readonly kind: "cluster"; readonly engine: Engine; readonly bootstrap: string };

export interface Ground {
  readonly store: Store;
  readonly log: OpenLog;
}

/** Throws what opening throws; what was opened is closed by `house`. */
export async function openGround(
  { settings, diagnostics }: { readonly settings: Settings; readonly diagnostics: Diagnostics },
  house: AsyncDisposableStack,
): Promise<Ground> {
  const tools = { clock: systemClock, random: systemRandom, diagnostics };
  const opening = [openStore({ ...tools, ...storeOptions(settings) }), openLog(settings, tools)] as const;
  const [store, log] = await Promise.allSettled(opening);
  if (store.status === "fulfilled") house.defer(() => store.value.close());
  if (log.status === "fulfilled") house.defer(() => log.value.engine.close());
  if (store.status === "rejected") throw store.reason;
  if (log.status === "rejected") throw log.reason;
  return { store: store.value, log: log.value };
}

/** Of a group beside `main`: where its definition says, or in the server of the others. Closed by the caller. */
export async function openGroupStore(
  { name, store: url }: GroupDefinition,
  main: Store,
  { settings, diagnostics }: { readonly settings: Settings; readonly diagnostics: Diagnostics },
): Promise<Store> {
  if (url === null) {
    invariant(main.beside, "this store has no databases beside its own");
    return await main.beside(name);
  }
  const tools = { clock: systemClock, random: systemRandom, diagnostics };
  // Who opens it tries again by himself.
  return await openStore({ ...tools, ...storeOptions(settings), url, openTimeoutMs: 0 });
}

function storeOptions({ store, dataDirectory, storePort, pgBin }: Settings) {
  const { port, required: portRequired } = storePort;
  return { url: store, dataDirectory, port, portRequired, binDirectory: pgBin };
}

interface Tools {
  readonly clock: typeof systemClock;
  readonly random: typeof systemRandom;
  readonly diagnostics: Diagnostics;
}

async function openLog(settings: Settings, tools: Tools): Promise<OpenLog> {
  const { cluster } = settings.kafka;
  const directory = join(settings.dataDirectory, "log");
  if (cluster) {
    // Checkpoints of what was read stand there all the same.
    await realDisk.makeDirectory(directory);
    const engine = await openClusterEngine({ ...tools, ...clusterOptionsOf(cluster) });
    return { kind: "cluster", engine, bootstrap: cluster.text };
  }
  const limits = planLogLimits(settings.logMemoryBytes, settings.diskReserveBytes);
  return { kind: "embedded", engine: await openEmbeddedEngine({ ...tools, disk: realDisk, directory, limits }) };
}

/** Throws `SETTING_INVALID` for a file that cannot be read. */
export function clusterOptionsOf({ brokers, tls, authority, login }: KafkaClusterSettings) {
  return {
    brokers,
    ...(tls && { tls: authority === null ? {} : { ca: readAuthority(authority) } }),
    ...(login && { sasl: login }),
  };
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new MillraceError(
      "SETTING_INVALID",
      `MILLRACE_KAFKA_CLUSTER_CA cannot be read: ${(cause as Error).message}`,
      { details: { setting: "MILLRACE_KAFKA_CLUSTER_CA" }, cause },
    );
  }
}
