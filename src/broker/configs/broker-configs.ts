/**
 * The configs that clients and their consoles ask a broker for, with the values that hold here under Kafka's names. All are
 * read-only: they are set where Millrace is started, or are as the table says.
 */
import type { TopicSettings } from "../../engine/engine.ts";
import { groupsPartitions } from "../../log/groups/groups-log.ts";
import { defaultOffsetStoreSettings } from "../../log/groups/offset-store.ts";
import { nodeId } from "../broker-node.ts";
import type { BrokerLimits, Listener } from "../door-settings.ts";
import { defaultClassicSettings } from "../groups/classic-state.ts";
import { defaultConsumerCoordinatorSettings } from "../groups/consumer-group-coordinator.ts";
import { defaultSessionTimeouts } from "../groups/group-door.ts";
import { transactionTimeoutMsMaxDefault } from "../transactions/transaction-door.ts";
import { type ConfigEntry, configEntry, configSource, isWanted } from "./config-entry.ts";
import type { ConfigTypeName } from "./config-values.ts";
import { topicConfigs } from "./topic-config-table.ts";
import { describeTopicConfigs } from "./topic-configs.ts";

/** What of the door its configs tell. */
export interface BrokerFacts {
  /** As they are bound. */
  readonly listeners: readonly (Pick<Listener, "name" | "protocol" | "host"> & { readonly port: number })[];
  readonly advertised: readonly { readonly name: string; readonly host: string; readonly port: number }[];
  readonly logDirectory: string;
  readonly autoCreateTopics: boolean;
  readonly partitionsDefault: number;
  readonly limits: BrokerLimits;
  /** Of topics that are made through the door. */
  readonly topicDefaults: TopicSettings;
}

interface BrokerConfig {
  readonly name: string;
  readonly type: ConfigTypeName;
  /** Of Kafka; null where it has none. */
  readonly kafkaDefault: string | null;
  readonly value: (facts: BrokerFacts) => string | null;
  readonly documentation: string;
}

const intMax = "2147483647";
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

function config(
  name: string,
  type: ConfigTypeName,
  kafkaDefault: string | null,
  value: string | null | ((facts: BrokerFacts) => string | null),
  documentation: string,
): BrokerConfig {
  return { name, type, kafkaDefault, value: typeof value === "function" ? value : () => value, documentation };
}

function retentionText({ topicDefaults }: BrokerFacts, unitMs: number): string | null {
  const { retentionMs } = topicDefaults;
  if (retentionMs === null) return "-1";
  return retentionMs % unitMs === 0 ? String(retentionMs / unitMs) : null;
}

function addressesOf(all: readonly { readonly name: string; readonly host: string; readonly port: number }[]): string {
  return all.map(({ name, host, port }) => `${name}://${host.includes(":") ? `[${host}]` : host}:${port}`).join(",");
}

const ofDoor: readonly BrokerConfig[] = [
  config(
    "advertised.listeners",
    "list",
    null,
    ({ advertised }) => addressesOf(advertised),
    "What clients are told to connect to.",
  ),
  config(
    "auto.create.topics.enable",
    "boolean",
    "true",
    (facts) => String(facts.autoCreateTopics),
    "Whether asking for a topic makes it.",
  ),
  config(
    "auto.leader.rebalance.enable",
    "boolean",
    "true",
    "false",
    "There is one replica of each partition, which leads.",
  ),
  config("authorizer.class.name", "string", "", "", "Access is decided by Millrace's own rules."),
  config("broker.id", "int", "-1", String(nodeId), "The number of this broker."),
  config("broker.rack", "string", null, null, "There is one broker."),
  config(
    "connections.max.idle.ms",
    "long",
    "600000",
    ({ limits }) => String(limits.idleMs),
    "When an idle connection is closed.",
  ),
  config("connections.max.reauth.ms", "long", "0", "0", "A connection stays authenticated as long as it is there."),
  config(
    "controlled.shutdown.enable",
    "boolean",
    "true",
    "true",
    "Requests that have begun are finished before the door closes.",
  ),
  config("default.replication.factor", "int", "1", "1", "There is one broker, so one replica."),
  config("delete.topic.enable", "boolean", "true", "true", "Topics can be deleted."),
  config(
    "fetch.max.bytes",
    "int",
    "57671680",
    ({ limits }) => String(limits.fetchBytesMax),
    "The most that one fetch is answered with.",
  ),
  config("inter.broker.listener.name", "string", null, null, "There is one broker."),
  config(
    "listener.security.protocol.map",
    "string",
    "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
    ({ listeners }) => listeners.map(({ name, protocol }) => `${name}:${protocol}`).join(","),
    "How each listener is protected.",
  ),
  config(
    "listeners",
    "list",
    "PLAINTEXT://:9092",
    ({ listeners }) => addressesOf(listeners),
    "Where clients are listened to.",
  ),
  config("log.dir", "list", "/tmp/kafka-logs", ({ logDirectory }) => logDirectory, "The directory of the log."),
  config("log.dirs", "list", null, ({ logDirectory }) => logDirectory, "The directory of the log."),
  config(
    "max.connections",
    "int",
    intMax,
    ({ limits }) => String(limits.connectionsMax),
    "Connections at the same time.",
  ),
  config(
    "max.connections.per.ip",
    "int",
    intMax,
    ({ limits }) => String(limits.connectionsPerAddressMax),
    "Connections at the same time from one address.",
  ),
  config(
    "max.incremental.fetch.session.cache.slots",
    "int",
    "1000",
    ({ limits }) => String(limits.fetchSessionsMax),
    "Fetch sessions that are kept.",
  ),
  config("node.id", "int", null, String(nodeId), "The number of this broker."),
  config(
    "num.partitions",
    "int",
    "1",
    (facts) => String(facts.partitionsDefault),
    "Partitions of a topic that is made without a number.",
  ),
  config("process.roles", "list", null, "broker,controller", "One process is both."),
  config(
    "queued.max.request.bytes",
    "long",
    "-1",
    ({ limits }) => String(limits.requestMemoryBytes),
    "Bytes of requests that are received and not answered yet.",
  ),
  config(
    "socket.request.max.bytes",
    "int",
    "104857600",
    ({ limits }) => String(limits.requestBytesMax),
    "The largest request.",
  ),
];

const ofLog: readonly BrokerConfig[] = [
  config("log.cleaner.backoff.ms", "long", "15000", "10000", "How often compaction looks for what is due."),
  config("log.cleaner.enable", "boolean", "true", "true", "Topics that ask for it are compacted."),
  config("log.cleaner.threads", "int", "1", "1", "One compaction runs at a time."),
  config("log.retention.check.interval.ms", "long", "300000", "300000", "How often retention looks for what is due."),
  config(
    "log.retention.hours",
    "int",
    "168",
    (facts) => retentionText(facts, hourMs),
    "As log.retention.ms, in hours.",
  ),
  config(
    "log.retention.minutes",
    "int",
    null,
    (facts) => retentionText(facts, minuteMs),
    "As log.retention.ms, in minutes.",
  ),
  config(
    "log.roll.hours",
    "int",
    "168",
    ({ topicDefaults }) => hoursOf(topicDefaults.segmentMs),
    "As log.roll.ms, in hours.",
  ),
  config("num.replica.fetchers", "int", "1", "0", "There is one broker."),
  config(
    "producer.id.expiration.ms",
    "int",
    "86400000",
    "86400000",
    "When the sequences of an idle producer are forgotten.",
  ),
  config("remote.log.storage.system.enable", "boolean", "false", "false", "There is no remote storage."),
  config(
    "transaction.max.timeout.ms",
    "int",
    "900000",
    String(transactionTimeoutMsMaxDefault),
    "The longest timeout that a producer may ask for.",
  ),
  config(
    "transaction.partition.verification.enable",
    "boolean",
    "true",
    "true",
    "A partition's transactions are known to belong to it.",
  ),
  config("transaction.state.log.min.isr", "int", "2", "1", "There is one replica."),
  config("transaction.state.log.num.partitions", "int", "50", "1", "Transactions are kept in one partition."),
  config("transaction.state.log.replication.factor", "short", "3", "1", "There is one replica."),
  config(
    "transaction.two.phase.commit.enable",
    "boolean",
    "false",
    "false",
    "Transactions end with their producer or their timeout.",
  ),
  config(
    "transactional.id.expiration.ms",
    "int",
    "604800000",
    "604800000",
    "When an idle transactional id is forgotten.",
  ),
];

const consumers = defaultConsumerCoordinatorSettings;
const { initialRebalanceDelayMs, membersMax } = defaultClassicSettings;

const ofGroups: readonly BrokerConfig[] = [
  config(
    "group.coordinator.rebalance.protocols",
    "list",
    "classic,consumer,streams",
    "classic,consumer",
    "Kinds of groups.",
  ),
  config(
    "group.consumer.assignors",
    "list",
    "uniform,range",
    "uniform,range",
    "How the partitions of a group are shared out.",
  ),
  config(
    "group.consumer.heartbeat.interval.ms",
    "int",
    "5000",
    String(consumers.heartbeatIntervalMs),
    "How often members of consumer groups are heard of.",
  ),
  config("group.consumer.max.size", "int", intMax, String(consumers.membersMax), "Members of a consumer group."),
  config(
    "group.consumer.migration.policy",
    "string",
    "bidirectional",
    "bidirectional",
    "Groups change protocols while they are used.",
  ),
  config(
    "group.consumer.session.timeout.ms",
    "int",
    "45000",
    String(consumers.sessionTimeoutMs),
    "After how long without news a member is gone.",
  ),
  config(
    "group.initial.rebalance.delay.ms",
    "int",
    "3000",
    String(initialRebalanceDelayMs),
    "How long a new group waits for more members.",
  ),
  config(
    "group.max.session.timeout.ms",
    "int",
    "1800000",
    String(defaultSessionTimeouts.maxMs),
    "The longest session timeout.",
  ),
  config("group.max.size", "int", intMax, String(membersMax), "Members of a group."),
  config(
    "group.min.session.timeout.ms",
    "int",
    "6000",
    String(defaultSessionTimeouts.minMs),
    "The shortest session timeout.",
  ),
  config("offset.metadata.max.bytes", "int", "4096", "4096", "The longest text beside a committed offset."),
  config(
    "offsets.retention.minutes",
    "int",
    "10080",
    String(defaultOffsetStoreSettings.retentionMs / minuteMs),
    "How long offsets outlive the members of their group.",
  ),
  config("offsets.topic.compression.codec", "int", "0", "0", "Offsets are not compressed."),
  config(
    "offsets.topic.num.partitions",
    "int",
    "50",
    String(groupsPartitions),
    "Partitions in which offsets are kept.",
  ),
  config("offsets.topic.replication.factor", "short", "3", "1", "There is one replica."),
];

const table: readonly BrokerConfig[] = [...ofDoor, ...ofLog, ...ofGroups];

/** With those that topics have by default, by name. */
export function describeBrokerConfigs(facts: BrokerFacts, names: readonly string[] | null): ConfigEntry[] {
  const own = table.map((one) => {
    const value = one.value(facts);
    const source = value === one.kafkaDefault ? configSource.default : configSource.brokerStatic;
    return entryOf(one.name, one.type, value, source, one.documentation);
  });
  return [...own, ...topicDefaultsOf(facts)]
    .filter(({ name }) => isWanted(names, name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Each topic's config has a name for the broker's default. */
function topicDefaultsOf({ topicDefaults }: BrokerFacts): ConfigEntry[] {
  return describeTopicConfigs({ settings: topicDefaults }, null, topicDefaults).flatMap(
    ({ name, value, documentation }) => {
      const of = topicConfigs.get(name);
      if (!of || of.synonym === null) return [];
      const source = value === of.kafkaDefault ? configSource.default : configSource.brokerStatic;
      return [
        entryOf(of.synonym, of.type, value, source, `For topics that have no ${name} of their own. ${documentation}`),
      ];
    },
  );
}

function entryOf(
  name: string,
  type: ConfigTypeName,
  value: string | null,
  source: number,
  documentation: string,
): ConfigEntry {
  const synonyms = value === null ? [] : [{ name, value, source }];
  return configEntry({ name, type, value, source, readOnly: true, synonyms, documentation });
}

function hoursOf(ms: number): string | null {
  return ms % hourMs === 0 ? String(ms / hourMs) : null;
}
