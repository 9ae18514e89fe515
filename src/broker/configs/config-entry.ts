/** One config as DescribeConfigs answers it, of whatever resource. */
import { type ConfigTypeName, configType } from "./config-values.ts";

/** Where a value comes from, as DescribeConfigs numbers it. */
export const configSource = { topic: 1, brokerStatic: 4, default: 5, group: 8 } as const;

export interface ConfigSynonym {
  readonly name: string;
  readonly value: string | null;
  readonly source: number;
}

export interface ConfigEntry {
  readonly name: string;
  /** Null where it is not set, or secret. */
  readonly value: string | null;
  readonly isDefault: boolean;
  readonly source: number;
  /** As DescribeConfigs numbers it. */
  readonly type: number;
  readonly isSensitive: boolean;
  readonly readOnly: boolean;
  /** The most particular first. */
  readonly synonyms: readonly ConfigSynonym[];
  readonly documentation: string;
}

export interface ConfigParts {
  readonly name: string;
  readonly type: ConfigTypeName;
  readonly value: string | null;
  readonly source: number;
  readonly readOnly: boolean;
  readonly synonyms: readonly ConfigSynonym[];
  readonly documentation: string;
}

export function configEntry({ type, value, source, ...parts }: ConfigParts): ConfigEntry {
  const isSensitive = type === "password";
  return {
    ...parts,
    value: isSensitive ? null : value,
    source,
    isDefault: source === configSource.default,
    type: configType[type],
    isSensitive,
  };
}

/** Names that nobody knows are left out, as Kafka does; no names at all, or null, are all of them. */
export function isWanted(names: readonly string[] | null, name: string): boolean {
  return names === null || names.length === 0 || names.includes(name);
}
