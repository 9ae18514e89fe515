/**
 * Topics by Kafka's configs: what a topic has is told, and what somebody wants of it is planned as settings and as
 * the texts that are kept beside them. Nothing here touches the log. The table is topic-config-table.ts.
 */
import { defaultTopicSettings, type TopicConfigs, type TopicSettings } from "../../engine/engine.ts";
import { type ConfigEntry, configEntry, configSource, isWanted } from "./config-entry.ts";
import { type ConfigValue, readConfig } from "./config-values.ts";
import { type SettingsPatch, type TopicConfig, topicConfigs, topicConfigTable } from "./topic-config-table.ts";

/** Of topics that are made through the Kafka door: the log's, with Kafka's bound for times that are ahead. */
export const kafkaTopicDefaults: TopicSettings = { ...defaultTopicSettings, timestampAfterMaxMs: 3_600_000 };

export interface ConfiguredTopic {
  readonly settings: TopicSettings;
  readonly configs?: TopicConfigs;
}

/** `error` is Kafka's sentence for INVALID_CONFIG. */
export interface ConfigRefusal {
  readonly error: string;
}

export interface PlannedTopic {
  readonly settings: TopicSettings;
  readonly configs: TopicConfigs;
}

/** What an alteration changes, and all texts that are kept from then on. */
export interface PlannedAlteration {
  readonly settings: Partial<TopicSettings>;
  readonly configs: TopicConfigs;
}

export interface ConfigOperation {
  readonly name: string;
  readonly operation: "set" | "delete" | "append" | "subtract";
  readonly value: string | null;
}

export function describeTopicConfigs(
  topic: ConfiguredTopic,
  names: readonly string[] | null,
  defaults: TopicSettings = kafkaTopicDefaults,
): ConfigEntry[] {
  return topicConfigTable.filter(({ name }) => isWanted(names, name)).map((config) => entryOf(config, topic, defaults));
}

/** For a topic that is to be made. */
export function planTopicSettings(
  given: ReadonlyMap<string, string | null>,
  defaults: TopicSettings = kafkaTopicDefaults,
): PlannedTopic | ConfigRefusal {
  const planned = planGiven(given);
  if ("error" in planned) return planned;
  const settings = { ...defaults, ...planned.patch };
  return lagRefusal(settings) ?? { settings, configs: planned.configs };
}

/** IncrementalAlterConfigs: what is not named stays. */
export function planTopicChange(
  topic: ConfiguredTopic,
  operations: readonly ConfigOperation[],
  defaults: TopicSettings = kafkaTopicDefaults,
): PlannedAlteration | ConfigRefusal {
  const given = new Map<string, string | null>();
  const removed = new Set<string>();
  for (const { name, operation, value } of operations) {
    if (operation === "delete") removed.add(name);
    else if (operation === "set") given.set(name, value);
    else {
      const listed = changedList(topic, name, operation, value ?? "");
      if (typeof listed !== "string") return listed;
      given.set(name, listed);
    }
  }
  const planned = planGiven(given);
  if ("error" in planned) return planned;
  const patch: SettingsPatch = { ...defaultsOf([...removed], defaults), ...planned.patch };
  const configs: Record<string, string> = {};
  for (const [name, text] of Object.entries(topic.configs ?? {})) if (!removed.has(name)) configs[name] = text;
  return (
    lagRefusal({ ...topic.settings, ...patch }) ?? { settings: patch, configs: { ...configs, ...planned.configs } }
  );
}

/** AlterConfigs: what is not named gets its default. */
export function planTopicReplacement(
  topic: ConfiguredTopic,
  given: ReadonlyMap<string, string | null>,
  defaults: TopicSettings = kafkaTopicDefaults,
): PlannedAlteration | ConfigRefusal {
  const planned = planGiven(given);
  if ("error" in planned) return planned;
  const others = topicConfigTable.map(({ name }) => name).filter((name) => !given.has(name));
  const patch: SettingsPatch = { ...defaultsOf(others, defaults), ...planned.patch };
  return lagRefusal({ ...topic.settings, ...patch }) ?? { settings: patch, configs: planned.configs };
}

function entryOf(config: TopicConfig, topic: ConfiguredTopic, defaults: TopicSettings): ConfigEntry {
  const { name, type, synonym, documentation, kafkaDefault } = config;
  const value = shownValue(config, topic);
  const byDefault = shownValue(config, { settings: defaults });
  // Settings may have been changed without Kafka's names.
  const isSet = topic.configs?.[name] !== undefined || (config.setting !== undefined && value !== byDefault);
  const defaultSource = byDefault === kafkaDefault ? configSource.default : configSource.brokerStatic;
  const synonyms = synonym === null ? [] : [{ name: synonym, value: byDefault, source: defaultSource }];
  return configEntry({
    name,
    type,
    value,
    source: isSet ? configSource.topic : synonym === null ? configSource.default : defaultSource,
    readOnly: false,
    synonyms: isSet ? [{ name, value, source: configSource.topic }, ...synonyms] : synonyms,
    documentation,
  });
}

/** What was written, as long as it is what holds. */
function shownValue(config: TopicConfig, { settings, configs }: ConfiguredTopic): string {
  const { setting, holds, kafkaDefault } = config;
  const kept = configs?.[config.name];
  if (!setting) return holds?.(settings, kept) ?? kafkaDefault;
  if (kept !== undefined) {
    const read = readConfig(config, kept);
    const patch = "error" in read ? {} : setting.read(read.value);
    const names = Object.keys(patch) as (keyof TopicSettings)[];
    if (names.length > 0 && names.every((name) => (patch as SettingsPatch)[name] === settings[name])) return kept;
  }
  return setting.print(settings);
}

/** Names first, as Kafka does, then values. */
function planGiven(
  given: ReadonlyMap<string, string | null>,
): { readonly patch: SettingsPatch; readonly configs: Readonly<Record<string, string>> } | ConfigRefusal {
  const nulls = [...given].filter(([, value]) => value === null).map(([name]) => name);
  if (nulls.length > 0) return { error: `Null value not supported for topic configs: ${nulls.join(",")}` };
  const unknown = [...given.keys()].find((name) => !topicConfigs.has(name));
  if (unknown !== undefined) return { error: `Unknown topic config name: ${unknown}` };
  const patch: SettingsPatch = {};
  const configs: Record<string, string> = {};
  for (const [name, text] of given) {
    const config = topicConfigs.get(name) as TopicConfig;
    const read = readConfig(config, text as string);
    if ("error" in read) return read;
    if (name === "remote.storage.enable" && read.value === true) {
      return {
        error:
          "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
      };
    }
    const changed = patchOf(config, read.value);
    if ("error" in changed) return changed as ConfigRefusal;
    Object.assign(patch, changed);
    configs[name] = read.text;
  }
  return { patch, configs };
}

function patchOf(config: TopicConfig, value: ConfigValue): SettingsPatch | ConfigRefusal {
  return config.setting?.read(value) ?? config.implies?.(value) ?? {};
}

/** Of configs that have a setting. */
function defaultsOf(names: readonly string[], defaults: TopicSettings): SettingsPatch {
  const patch: SettingsPatch = {};
  for (const name of names) {
    const config = topicConfigs.get(name);
    if (!config?.setting) continue;
    const read = readConfig(config, config.setting.print(defaults));
    if (!("error" in read)) Object.assign(patch, config.setting.read(read.value));
  }
  return patch;
}

function changedList(
  topic: ConfiguredTopic,
  name: string,
  operation: "append" | "subtract",
  value: string,
): string | ConfigRefusal {
  const config = topicConfigs.get(name);
  if (config?.type !== "list") {
    return { error: `Can't ${operation.toUpperCase()} to key ${name} because its type is not LIST.` };
  }
  const items = shownValue(config, topic)
    .split(",")
    .filter((item) => item !== "");
  const named = value.split(",");
  if (operation === "subtract") return items.filter((item) => !named.includes(item)).join(",");
  return [...new Set([...items, ...named])].join(",");
}

function lagRefusal({ compactionLagMinMs, compactionLagMaxMs }: TopicSettings): ConfigRefusal | undefined {
  if (compactionLagMaxMs === null || compactionLagMinMs <= compactionLagMaxMs) return undefined;
  return {
    error: `conflict topic config setting min.compaction.lag.ms (${compactionLagMinMs}) > max.compaction.lag.ms (${compactionLagMaxMs})`,
  };
}
