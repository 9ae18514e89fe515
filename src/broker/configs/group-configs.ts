/** The configs that a consumer group has in Kafka (KIP-848): they hold for all groups alike, and are not set for one. */
import { defaultConsumerCoordinatorSettings } from "../groups/consumer-group-coordinator.ts";
import { type ConfigEntry, configEntry, configSource, isWanted } from "./config-entry.ts";
import { readConfig } from "./config-values.ts";

const settings = defaultConsumerCoordinatorSettings;

const table = [
  {
    name: "consumer.assignment.interval.ms",
    synonym: "group.consumer.assignment.interval.ms",
    value: String(settings.assignmentIntervalMs),
    min: 0,
    documentation: "How often the partitions of a group are shared out anew at most.",
  },
  {
    name: "consumer.heartbeat.interval.ms",
    synonym: "group.consumer.heartbeat.interval.ms",
    value: String(settings.heartbeatIntervalMs),
    min: 1,
    documentation: "How often members are heard of.",
  },
  {
    name: "consumer.session.timeout.ms",
    synonym: "group.consumer.session.timeout.ms",
    value: String(settings.sessionTimeoutMs),
    min: 1,
    documentation: "After how long without news a member is gone.",
  },
] as const;

export function describeGroupConfigs(names: readonly string[] | null): ConfigEntry[] {
  const source = configSource.default;
  return table
    .filter(({ name }) => isWanted(names, name))
    .map(({ name, value, documentation, synonym }) =>
      configEntry({
        name,
        type: "int",
        value,
        source,
        readOnly: true,
        synonyms: [
          { name, value, source },
          { name: synonym, value, source },
        ],
        documentation,
      }),
    );
}

/** Kafka's sentence for INVALID_CONFIG, or undefined: only what holds already can be set. */
export function groupConfigRefusal(name: string, value: string): string | undefined {
  const known = table.find((one) => one.name === name);
  if (!known) return `Unknown group config name: ${name}`;
  const read = readConfig({ name, type: "int", min: known.min }, value);
  if ("error" in read) return read.error;
  if (read.text === known.value) return undefined;
  return `Invalid value ${read.text} for configuration ${name}: It is ${known.value} for all groups`;
}
