/** The settings of a Kafka cluster that takes the place of the embedded log, a part of the table in `settings.ts`. */
import { MillraceError } from "./base/errors.ts";
import { type BrokerAddress, parseBrokerAddresses } from "./engine/cluster/broker-address.ts";
import type { SaslLogin, SaslMechanism } from "./engine/cluster/sasl.ts";

export interface KafkaClusterSettings {
  /** As it was written. */
  readonly text: string;
  readonly brokers: readonly BrokerAddress[];
  readonly tls: boolean;
  /** The path of who signs the brokers' certificates; null: the system's authorities. */
  readonly authority: string | null;
  readonly login: SaslLogin | null;
}

/** In the order of the reference. */
export const kafkaClusterTable = [
  {
    name: "MILLRACE_KAFKA",
    form: "host:port with commas between",
    default: null,
    about:
      "A Kafka cluster of version 4.0 or later that is the log. Left out: the embedded one. With a cluster there is no Kafka door here, and the settings of that door mean nothing.",
  },
  {
    name: "MILLRACE_KAFKA_CLUSTER_TLS",
    form: "on or off",
    default: "off",
    about: "Whether that cluster is spoken to inside of TLS.",
  },
  {
    name: "MILLRACE_KAFKA_CLUSTER_CA",
    form: "file",
    default: null,
    about: "Who signs its brokers' certificates, as PEM. Left out: the system's authorities.",
  },
  {
    name: "MILLRACE_KAFKA_CLUSTER_LOGIN",
    form: "mechanism:user:password",
    default: null,
    about: "How to authenticate there: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`, a user and its password.",
  },
] as const;

export type KafkaClusterName = (typeof kafkaClusterTable)[number]["name"];

const mechanisms: readonly SaslMechanism[] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/** Null for the embedded log. Throws `SETTING_INVALID`, naming the setting. */
export function readKafkaCluster(read: (name: KafkaClusterName) => string | null): KafkaClusterSettings | null {
  const text = read("MILLRACE_KAFKA");
  const tls = read("MILLRACE_KAFKA_CLUSTER_TLS") ?? "off";
  if (tls !== "on" && tls !== "off")
    throw invalid("MILLRACE_KAFKA_CLUSTER_TLS", `${JSON.stringify(tls)} is not on or off`);
  const login = loginOf(read("MILLRACE_KAFKA_CLUSTER_LOGIN"));
  if (text === null) return null;
  const brokers = parseBrokerAddresses(text, "MILLRACE_KAFKA");
  return { text, brokers, tls: tls === "on", authority: read("MILLRACE_KAFKA_CLUSTER_CA"), login };
}

function loginOf(text: string | null): SaslLogin | null {
  if (text === null) return null;
  const [, wanted, username, password] = /^([^:]+):([^:]+):(.+)$/.exec(text) ?? [];
  const mechanism = mechanisms.find((one) => one === wanted);
  if (mechanism && username !== undefined && password !== undefined) return { mechanism, username, password };
  // The text is not repeated: it holds a password.
  throw invalid(
    "MILLRACE_KAFKA_CLUSTER_LOGIN",
    `it is not ${mechanisms.join(", ")}, a user and a password with colons between`,
  );
}

function invalid(setting: KafkaClusterName, why: string): MillraceError {
  return new MillraceError("SETTING_INVALID", `${setting} cannot be used: ${why}`, { details: { setting } });
}
