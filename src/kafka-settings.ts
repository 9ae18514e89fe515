/** The settings of the Kafka door, a part of the table in `settings.ts`, which hands the environment in. */
import { MillraceError } from "./base/errors.ts";
import type { Listener } from "./broker/door-settings.ts";
import { needsAuthentication, parseListeners, usesTls } from "./broker/listeners.ts";
import {
  type KafkaClusterName,
  type KafkaClusterSettings,
  kafkaClusterTable,
  readKafkaCluster,
} from "./kafka-cluster-settings.ts";
import {
  type KafkaSecurityName,
  type KafkaSecuritySettings,
  kafkaSecurityTable,
  readKafkaSecurity,
} from "./kafka-security-settings.ts";

export interface KafkaSettings {
  /** Null: the log is the embedded one. */
  readonly cluster: KafkaClusterSettings | null;
  /** Empty: the door stays shut. */
  readonly listeners: readonly Listener[];
  readonly autoCreateTopics: boolean;
  readonly partitionsDefault: number;
  readonly security: KafkaSecuritySettings;
}

/** In the order of the reference. */
export const kafkaSettingsTable = [
  ...kafkaClusterTable,
  {
    name: "MILLRACE_KAFKA_PORT",
    form: "port, or off",
    default: "9092",
    about: "Kafka's protocol, on loopback and without TLS, by the same rules as `MILLRACE_PORT`. `off`: not at all.",
  },
  {
    name: "MILLRACE_KAFKA_LISTENERS",
    form: "NAME://host:port with commas between",
    default: null,
    about:
      "In place of the port: Kafka's `listeners`. `SASL_SSL://0.0.0.0:9094`, say. Beyond loopback clients authenticate, by SASL or certificate.",
  },
  {
    name: "MILLRACE_KAFKA_ADVERTISED_LISTENERS",
    form: "NAME://host:port with commas between",
    default: null,
    about:
      "What clients are told to connect to, where it is not the address that they have connected to: behind a mapped port, say.",
  },
  {
    name: "MILLRACE_KAFKA_LISTENER_PROTOCOLS",
    form: "NAME:protocol with commas between",
    default: null,
    about: "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL` of listeners that have names of their own.",
  },
  {
    name: "MILLRACE_KAFKA_ANONYMOUS",
    form: "loopback or anywhere",
    default: "loopback",
    about:
      "From where clients may connect that do not authenticate: inside a container the host's are not on loopback.",
  },
  {
    name: "MILLRACE_KAFKA_AUTO_CREATE",
    form: "true or false",
    default: "true",
    about: "Whether a topic that a Kafka client asks for is made.",
  },
  {
    name: "MILLRACE_KAFKA_PARTITIONS",
    form: "number",
    default: "1",
    about: "Partitions of topics that Kafka clients make without saying how many.",
  },
  ...kafkaSecurityTable,
] as const;

type KafkaSettingName = (typeof kafkaSettingsTable)[number]["name"] | KafkaSecurityName | KafkaClusterName;

/** Throws `SETTING_INVALID`, and `KEY_REQUIRED` for strangers beyond loopback. */
export function readKafkaSettings(read: (name: KafkaSettingName) => string | null): KafkaSettings {
  const listeners = listenersOf(read);
  const anonymous = oneOf(read, "MILLRACE_KAFKA_ANONYMOUS", ["loopback", "anywhere"], "loopback");
  const security = readKafkaSecurity(read);
  for (const listener of listeners) {
    if (usesTls(listener) && security.certificate === null) {
      throw new MillraceError("SETTING_INVALID", `listener ${listener.name} needs MILLRACE_KAFKA_TLS_CERTIFICATE`, {
        details: { setting: "MILLRACE_KAFKA_TLS_CERTIFICATE" },
      });
    }
    if (usesTls(listener) && security.clientCertificates === "required") continue;
    if (needsAuthentication(listener) || isLoopback(listener.host) || anonymous === "anywhere") continue;
    throw new MillraceError("KEY_REQUIRED", `listener ${listener.name} on ${listener.host} lets everybody in`, {
      hint: "Use SASL_SSL, or set MILLRACE_KAFKA_ANONYMOUS=anywhere where the network is trusted.",
      details: { setting: "MILLRACE_KAFKA_LISTENERS" },
    });
  }
  return {
    cluster: readKafkaCluster(read),
    listeners,
    autoCreateTopics: oneOf(read, "MILLRACE_KAFKA_AUTO_CREATE", ["true", "false"], "true") === "true",
    partitionsDefault: whole("MILLRACE_KAFKA_PARTITIONS", read("MILLRACE_KAFKA_PARTITIONS") ?? "1", 1, 10_000),
    security,
  };
}

function listenersOf(read: (name: KafkaSettingName) => string | null): Listener[] {
  const text = read("MILLRACE_KAFKA_LISTENERS");
  const advertised = read("MILLRACE_KAFKA_ADVERTISED_LISTENERS");
  const port = read("MILLRACE_KAFKA_PORT");
  if (text === null) {
    if (port === "off") return [];
    const listener = parseListeners(
      {
        listeners: `PLAINTEXT://127.0.0.1:${whole("MILLRACE_KAFKA_PORT", port ?? "9092", 0, 65_535)}`,
        advertised,
        protocolMap: null,
      },
      settingNames,
    );
    return port === null ? listener.map((one) => ({ ...one, port: null })) : listener;
  }
  return parseListeners(
    { listeners: text, advertised, protocolMap: read("MILLRACE_KAFKA_LISTENER_PROTOCOLS") },
    settingNames,
  );
}

const settingNames = {
  listeners: "MILLRACE_KAFKA_LISTENERS",
  advertised: "MILLRACE_KAFKA_ADVERTISED_LISTENERS",
  protocolMap: "MILLRACE_KAFKA_LISTENER_PROTOCOLS",
};

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\./.test(host);
}

function oneOf<T extends string>(
  read: (name: KafkaSettingName) => string | null,
  name: KafkaSettingName,
  values: readonly T[],
  byDefault: T,
): T {
  const text = read(name);
  if (text === null) return byDefault;
  const value = values.find((one) => one === text);
  if (value !== undefined) return value;
  throw new MillraceError("SETTING_INVALID", `${name} is ${JSON.stringify(text)}, not ${values.join(" or ")}`, {
    details: { setting: name },
  });
}

function whole(name: KafkaSettingName, text: string, from: number, to: number): number {
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value >= from && value <= to) return value;
  throw new MillraceError(
    "SETTING_INVALID",
    `${name} is ${JSON.stringify(text)}, not a whole number from ${from} to ${to}`,
    {
      details: { setting: name },
    },
  );
}
