/**
 * The composition root: opens the floors from the ground up and closes them from the top down. It decides nothing;
 * what a part does stands with the part.
 */
import { join } from "node:path";
import { systemClock } from "./base/clock.ts";
import { countBuffersWithHeap } from "./base/collector.ts";
import type { Diagnostics } from "./base/diagnostics.ts";
import { MillraceError } from "./base/errors.ts";
import { systemRandom } from "./base/random.ts";
import { realDisk } from "./base/real-disk.ts";
import type { BrokerDoor } from "./broker/broker-door.ts";
import { LeftSources } from "./capture/left-sources.ts";
import { openPostgresSource } from "./capture/postgres.ts";
import { Sources } from "./capture/sources.ts";
import { Hooks } from "./capture/webhooks/hooks.ts";
import { CatalogueTopic } from "./catalog/catalogue-topic.ts";
import { arrange, type Definitions } from "./catalog/collect.ts";
import { type Definition, mainGroup } from "./catalog/definitions.ts";
import { topicRetentions } from "./catalog/topic-retentions.ts";
import { topicTables } from "./catalog/topic-table.ts";
import { descriptorsMax } from "./descriptors.ts";
import type { EmbeddedEngine } from "./engine/embedded/embedded-engine.ts";
import { openFeeds } from "./feeds/feeds.ts";
import { openGround, openGroupStore } from "./ground.ts";
import { openConsoleFiles } from "./http/console-files.ts";
import { planConnections } from "./http/door-settings.ts";
import { openGuard } from "./http/guard.ts";
import { openHttpDoor } from "./http/http-door.ts";
import { IdempotentAppends } from "./http/idempotent-appends.ts";
import type { GroupInfo } from "./http/node-info.ts";
import { openKafkaDoor } from "./kafka-door.ts";
import { lockDirectory } from "./log/directory-lock.ts";
import {
  collectGroups,
  collectLog,
  collectProcess,
  collectPublishers,
  collectSources,
  collectViews,
  watchEventLoop,
} from "./observe/collectors.ts";
import { MetricsRegistry } from "./observe/metrics.ts";
import {
  fenceOwners,
  unitOfGroup,
  unitOfHook,
  unitOfIdempotency,
  unitOfPublisher,
  unitOfReconcile,
  unitOfSource,
} from "./ownership/become-owner.ts";
import { ProgressTable } from "./ownership/progress-table.ts";
import { prepareTopics } from "./publish/prepare-topics.ts";
import { newestPublished } from "./publish/published-topic.ts";
import { Publishers } from "./publish/publishers.ts";
import { CapturedSchemas } from "./registry/captured-schemas.ts";
import { SchemaRegistry, schemasUnit } from "./registry/schema-registry.ts";
import { TopicSchemas } from "./registry/topic-schemas.ts";
import { keepRunningFile } from "./running-file.ts";
import type { SchemaFile } from "./schema/table-shape.ts";
import type { Settings } from "./settings.ts";
import type { Store, StoreAddress } from "./store/store.ts";
import { openTokenRules } from "./token-rules.ts";
import { refuseAcrossGroups } from "./views/group-borders.ts";
import { type GroupStatus, openGroups } from "./views/groups.ts";
import { operator } from "./views/policy/caller.ts";
import { refuseExpiring, retentionErrors } from "./views/topic-retention.ts";

export interface MillraceOptions {
  /** A function is asked when the store is up, after `prepare`. */
  readonly definitions: readonly Definition[] | (() => Promise<readonly Definition[]>);
  /** `dev` gives slots up when it stops and drops views that are not defined any more; `start` keeps both. */
  readonly mode: "dev" | "start";
  readonly settings: Settings;
  readonly diagnostics: Diagnostics;
  readonly version: string;
  /** By source: what a refusal at the start is answered with. */
  readonly whenRefused?: ReadonlyMap<string, "resnapshot" | "adopt">;
  /** Runs when the store answers, before definitions are asked for. */
  readonly prepare?: (store: Store) => Promise<void>;
}

export interface Running {
  readonly addresses: {
    readonly http: string;
    /** What Kafka clients are given as `bootstrap.servers`; null while the door is shut. */
    readonly kafka: string | null;
    readonly store: StoreAddress;
  };
  /** Takes other definitions over; what is wrong with them is thrown and the old ones go on. */
  reload(definitions: readonly Definition[]): Promise<void>;
  schemaFile(): SchemaFile;
  sources: Sources;
  /** Idempotent. */
  stop(): Promise<void>;
}

/** Throws what its parts throw when they open (`DATA_DIRECTORY_LOCKED`, `STORE_START_FAILED`, `PORT_TAKEN`, …). */
export async function startMillrace(options: MillraceOptions): Promise<Running> {
  countBuffersWithHeap();
  const house = new AsyncDisposableStack();
  try {
    return await build(options, house);
  } catch (error) {
    await house.disposeAsync();
    throw error;
  }
}

/** As `arrange`, and throws `VIEW_OF_ANOTHER_GROUP`, `VIEW_TOPIC_RETENTION`: a view that is not to be kept must not end one that is. */
async function checked(given: readonly Definition[]): Promise<Definitions> {
  const definitions = arrange(given);
  await refuseAcrossGroups(definitions.views);
  await refuseExpiring(definitions.views, topicRetentions(definitions));
  return definitions;
}

async function build(options: MillraceOptions, house: AsyncDisposableStack): Promise<Running> {
  const { mode, settings, diagnostics } = options;
  const tools = { clock: systemClock, random: systemRandom, diagnostics, disk: realDisk };
  const { dataDirectory } = settings;
  const startedAt = new Date(systemClock.now()).toISOString();

  // What is wrong with settings, and with definitions that are known, is said before anything is started for them.
  openGuard(settings);
  if (typeof options.definitions !== "function") await checked(options.definitions);
  await makeDataDirectory(dataDirectory);
  const lock = await lockDirectory({ ...tools, directory: dataDirectory, waitMs: lockWaitMs });
  house.defer(() => lock.release());

  const { store, log } = await openGround(options, house);
  const { engine } = log;
  await options.prepare?.(store);
  const given = typeof options.definitions === "function" ? await options.definitions() : options.definitions;
  const definitions = await checked(given);

  const units = [
    ...[mainGroup, ...definitions.groups.map(({ name }) => name)].map(unitOfGroup),
    schemasUnit,
    unitOfIdempotency,
    ...definitions.sources.map(({ name }) => unitOfSource(name)),
    ...definitions.published.map(({ topic }) => unitOfPublisher(topic)),
  ];
  const hookUnits = definitions.webhooks.flatMap(({ name }) => [unitOfHook(name), unitOfReconcile(name)]);
  await fenceOwners(engine, [...units, ...hookUnits]);
  const progress = await ProgressTable.open({
    ...tools,
    engine,
    checkpoint: { disk: realDisk, file: join(dataDirectory, "log", "progress.checkpoint") },
  });
  house.defer(() => progress.close());
  const registry = await SchemaRegistry.open({ ...tools, engine, progress });
  house.defer(() => registry.close());
  const captured = new CapturedSchemas({ registry, diagnostics });
  const { wire } = captured;
  const spillDirectory = join(dataDirectory, "spill");
  const sources = new Sources(
    (definition) => {
      const whenRefused = options.whenRefused?.get(definition.name);
      return openPostgresSource({
        ...tools,
        definition,
        engine,
        mode,
        spillDirectory,
        progress,
        version: options.version,
        admit: (topic, record) => schemas.misfitOf(topic.name, record),
        schemas: captured,
        ...(definition.encoding === "json" && { onTables: (tables) => captured.note(tables) }),
        ...(whenRefused && { whenRefused }),
      });
    },
    new LeftSources({ ...tools, engine, progress }),
  );
  house.defer(() => sources.stop({ release: mode === "dev" }));
  await prepareTopics({ ...tools, engine, registry, progress }, definitions);
  const cleanupOf = (topic: string) => engine.topic(topic)?.settings.cleanup;
  // What definitions say was refused before; this is what somebody has set in the log.
  const warnOfRetention = async (arranged: Definitions) => {
    const retentions = topicRetentions(arranged, (topic) => engine.topic(topic)?.settings);
    const errors = await retentionErrors(arranged.views, retentions);
    for (const { message, hint } of errors) diagnostics.warn(message, { hint });
  };
  await warnOfRetention(definitions);
  const groups = await openGroups({
    ...tools,
    engine,
    store,
    openStore: (definition) => openGroupStore(definition, store, options),
    mode,
    progress,
    wire,
    work: { ...definitions, topics: topicTables(definitions, cleanupOf) },
    told: (name) => newestPublished(progress, name === mainGroup ? undefined : name),
    catchUp: (source) => sources.catchUp(source),
    rowCacheBytesMax: settings.rowCacheBytes,
  });
  house.defer(() => groups.stop());
  const { reader } = groups;
  const feeds = openFeeds({ ...tools, views: reader, engine, wire });
  house.defer(() => feeds.close());

  const metrics = new MetricsRegistry();
  collectLog(metrics, engine);
  collectSources(metrics, () => sources.list());
  collectViews(metrics, reader);
  collectGroups(metrics, () => groups.status());
  collectProcess(metrics, systemClock);
  const loop = watchEventLoop(metrics, systemClock);
  house.defer(() => loop.close());

  const hooks = new Hooks({ ...tools, engine, progress, metrics, directory: join(dataDirectory, "hooks") });
  house.defer(() => hooks.close());
  await hooks.apply(given);

  const schemas = new TopicSchemas({ registry, engine, metrics });
  schemas.set(definitions.topics);

  const publishers = new Publishers({
    ...tools,
    engine,
    progress,
    reader: reader.as(operator),
    store: groups,
    misfitOf: (topic, record) => schemas.misfitOf(topic, record),
  });
  house.defer(() => publishers.close());
  collectPublishers(metrics, publishers);
  await publishers.apply(definitions.published);

  const protocol =
    log.kind === "cluster" ? null : await openKafkaProtocol(log.engine, options, { metrics, schemas }, house);
  const kafka = log.kind === "cluster" ? log.bootstrap : bootstrapOf(protocol);

  const idempotent = new IdempotentAppends({
    ...tools,
    engine,
    progress,
    metrics,
    directory: join(dataDirectory, "idempotency"),
    windowMs: settings.idempotencyWindowMs,
  });
  house.defer(() => idempotent.close());
  const door = await openHttpDoor({
    ...tools,
    engine,
    views: reader,
    rebuildView: (view) => groups.rebuild(view),
    publications: publishers,
    feeds,
    metrics,
    sources,
    hooks,
    registry,
    schemas,
    wire,
    idempotent,
    node: () => ({
      version: options.version,
      logId: engine.logId,
      pid: process.pid,
      startedAt,
      mode,
      store: {
        kind: store.kind,
        state: store.state(),
        version: store.serverVersion,
        reader: withoutPassword(store.reader),
      },
      groups: groups.status().map(groupInfo),
      addresses: {
        http: door.url,
        kafka,
        store: `postgres://${store.reader.user}@${store.reader.host}:${store.reader.port}/${store.reader.database}`,
      },
    }),
    files: openConsoleFiles(realDisk),
    renderMetrics: () => metrics.render(),
    tokens: openTokenRules(settings.tokens, tools),
    settings: {
      host: settings.host,
      port: settings.http.required ? settings.http.port : null,
      key: settings.key,
      origins: settings.origins,
      limits: planConnections(descriptorsMax()),
    },
  });
  house.defer(() => door.close());
  await sources.apply(given, { release: false });
  const runningFile = await keepRunningFile(dataDirectory, () => ({
    pid: process.pid,
    startedAt,
    addresses: { http: door.url, kafka, kafkaListeners: listenersOf(protocol) },
    store: store.reader,
    groupStores: storesBeside(groups.status()),
  }));
  house.defer(() => runningFile.close());
  house.defer(reader.onChange(() => runningFile.look()));

  let { published } = definitions;
  return {
    addresses: { http: door.url, kafka, store: store.reader },
    sources,
    async reload(next) {
      const arranged = await checked(next);
      await publishers.retire(arranged.published);
      try {
        await prepareTopics({ ...tools, engine, registry, progress }, arranged);
      } catch (refusal) {
        await publishers.apply(published);
        throw refusal;
      }
      await warnOfRetention(arranged);
      schemas.set(arranged.topics);
      await sources.apply(next, { release: mode === "dev" });
      await hooks.apply(next);
      await groups.reload({ ...arranged, topics: topicTables(arranged, cleanupOf) });
      published = arranged.published;
      await publishers.apply(published);
    },
    schemaFile: () => groups.schemaFile(),
    stop: () => house.disposeAsync(),
  };
}

/** How long a program that is going down on the same data directory is waited for. */
const lockWaitMs = 10_000;

async function makeDataDirectory(path: string): Promise<void> {
  try {
    await realDisk.makeDirectory(path);
  } catch (cause) {
    throw new MillraceError(
      "DATA_DIRECTORY_UNUSABLE",
      `data directory ${path} cannot be made: ${(cause as Error).message}`,
      {
        hint: "Choose one that this user can write, with MILLRACE_DATA.",
        cause,
      },
    );
  }
}

/** A cluster has a door of its own. */
async function openKafkaProtocol(
  engine: EmbeddedEngine,
  { mode, settings, diagnostics }: MillraceOptions,
  parts: { readonly metrics: MetricsRegistry; readonly schemas: TopicSchemas },
  house: AsyncDisposableStack,
): Promise<BrokerDoor> {
  const tools = { clock: systemClock, random: systemRandom, diagnostics };
  const catalogue = await CatalogueTopic.open({ ...tools, engine });
  house.defer(() => catalogue.close());
  const door = await openKafkaDoor({
    ...tools,
    ...parts,
    engine,
    catalogue,
    settings: settings.kafka,
    logDirectory: join(settings.dataDirectory, "log"),
    isDevelopment: mode === "dev",
  });
  house.defer(() => door.close());
  return door;
}

/** The first listener is for the machine itself; where it is on every address, loopback is one of them. */
function bootstrapOf(door: BrokerDoor | null): string | null {
  const [first] = door?.addresses.values() ?? [];
  if (!first) return null;
  const host = first.host === "0.0.0.0" ? "127.0.0.1" : first.host === "::" ? "::1" : first.host;
  return printedAddress({ host, port: first.port });
}

function listenersOf(door: BrokerDoor | null): Record<string, string> {
  return Object.fromEntries([...(door?.addresses ?? [])].map(([name, address]) => [name, printedAddress(address)]));
}

function printedAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function storesBeside(groups: readonly GroupStatus[]): Record<string, StoreAddress> {
  return Object.fromEntries(
    groups.flatMap(({ name, store }) => (name === mainGroup || !store ? [] : [[name, store.reader]])),
  );
}

function groupInfo({ name, condition, position, store }: GroupStatus): GroupInfo {
  const { kind } = condition;
  return {
    name,
    state: kind,
    error: kind === "running" ? (store?.problem?.() ?? null) : condition.error,
    position: { generation: position.generation, batch: position.batch },
    store: store && { kind: store.kind, state: store.state(), reader: withoutPassword(store.reader) },
  };
}

function withoutPassword({ host, port, database, user }: StoreAddress): Omit<StoreAddress, "password"> {
  return { host, port, database, user };
}
