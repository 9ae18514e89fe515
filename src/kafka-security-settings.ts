/**
 * The settings of who may use the Kafka door, a part of the table in `settings.ts`. Files are read when the door is opened
 * (`server.ts`), not here.
 */
import type { SaslMechanism } from "./access/sasl-mechanisms.ts";
import { saslMechanisms } from "./access/sasl-mechanisms.ts";
import { MillraceError } from "./base/errors.ts";
import { parseDurationMs } from "./base/units.ts";
import type { TokenSettings } from "./token-rules.ts";

export interface KafkaSecuritySettings {
  /** Paths. Null: there is no TLS. */
  readonly certificate: { readonly chain: string; readonly key: string } | null;
  /** The path of who signs clients' certificates; null: the system's authorities. */
  readonly clientAuthority: string | null;
  readonly clientCertificates: "none" | "requested" | "required";
  readonly principalRules: string;
  readonly mechanisms: readonly SaslMechanism[];
  /** A super user that can always log in. */
  readonly admin: { readonly user: string; readonly password: string } | null;
  readonly superUsers: readonly string[];
  readonly authorization: boolean;
  /** Null: OAUTHBEARER is not offered. */
  readonly tokens: TokenSettings | null;
  /** 0: a session has no end but its credential's own. */
  readonly reauthenticateMs: number;
}

/** In the order of the reference. */
export const kafkaSecurityTable = [
  {
    name: "MILLRACE_KAFKA_TLS_CERTIFICATE",
    form: "file",
    default: null,
    about: "The certificate of listeners with TLS, and those above it, as PEM.",
  },
  { name: "MILLRACE_KAFKA_TLS_KEY", form: "file", default: null, about: "Its private key, as PEM." },
  {
    name: "MILLRACE_KAFKA_TLS_CLIENT_CA",
    form: "file",
    default: null,
    about: "Who signs clients' certificates, as PEM.",
  },
  {
    name: "MILLRACE_KAFKA_CLIENT_CERTIFICATES",
    form: "none, requested or required",
    default: "none",
    about: "Whether clients show a certificate on `SSL` listeners; its subject is then who they are.",
  },
  {
    name: "MILLRACE_KAFKA_PRINCIPAL_RULES",
    form: "rules with commas between",
    default: "DEFAULT",
    about: "How a certificate's subject becomes a name: Kafka's `ssl.principal.mapping.rules`.",
  },
  {
    name: "MILLRACE_KAFKA_SASL_MECHANISMS",
    form: "names with commas between",
    default: "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
    about: "What SASL listeners offer. `OAUTHBEARER` needs `MILLRACE_KAFKA_OAUTH_KEYS`.",
  },
  {
    name: "MILLRACE_KAFKA_ADMIN",
    form: "user:password",
    default: null,
    about: "A user who may do everything and can always log in; it makes the others, with `kafka-configs`.",
  },
  {
    name: "MILLRACE_KAFKA_SUPER_USERS",
    form: "User:name with semicolons between",
    default: null,
    about: "Principals that no rule holds for, as in Kafka's `super.users`.",
  },
  {
    name: "MILLRACE_KAFKA_AUTHORIZATION",
    form: "on or off",
    default: "off",
    about:
      "Whether what nobody was allowed (`kafka-acls`) is refused. `off`: everybody who is let in may do everything.",
  },
  {
    name: "MILLRACE_KAFKA_OAUTH_KEYS",
    form: "file or https://…",
    default: null,
    about: "The key set (JWKS) that OAUTHBEARER tokens are signed with.",
  },
  {
    name: "MILLRACE_KAFKA_OAUTH_ISSUER",
    form: "text",
    default: null,
    about: "Who must have issued a token. Left out: anybody with the key.",
  },
  {
    name: "MILLRACE_KAFKA_OAUTH_AUDIENCE",
    form: "texts with commas between",
    default: null,
    about: "For whom a token must be. Left out: anybody.",
  },
  {
    name: "MILLRACE_KAFKA_REAUTHENTICATE",
    form: "duration",
    default: null,
    about:
      "For how long a SASL login holds, `1h`, say: Kafka's `connections.max.reauth.ms`. Clients renew it by themselves. Left out: as long as the connection.",
  },
] as const;

export type KafkaSecurityName = (typeof kafkaSecurityTable)[number]["name"];
type Read = (name: KafkaSecurityName) => string | null;

/** Nobody is let authenticate again within a second. */
const reauthenticateMsMin = 2_000;
const reauthenticateMsMax = 365 * 86_400_000;

/** Throws `SETTING_INVALID`, naming the setting. */
export function readKafkaSecurity(read: Read): KafkaSecuritySettings {
  const chain = read("MILLRACE_KAFKA_TLS_CERTIFICATE");
  const key = read("MILLRACE_KAFKA_TLS_KEY");
  if ((chain === null) !== (key === null)) {
    const [given, missing] =
      chain === null
        ? (["MILLRACE_KAFKA_TLS_KEY", "MILLRACE_KAFKA_TLS_CERTIFICATE"] as const)
        : (["MILLRACE_KAFKA_TLS_CERTIFICATE", "MILLRACE_KAFKA_TLS_KEY"] as const);
    throw invalid(given, `${missing} is left out, and TLS needs both`);
  }
  const keys = read("MILLRACE_KAFKA_OAUTH_KEYS");
  const admin = adminOf(read("MILLRACE_KAFKA_ADMIN"));
  const clientAuthority = read("MILLRACE_KAFKA_TLS_CLIENT_CA");
  const clientCertificates = oneOf(
    read,
    "MILLRACE_KAFKA_CLIENT_CERTIFICATES",
    ["none", "requested", "required"],
    "none",
  );
  // Else whoever has a certificate of a public authority would be somebody.
  if (clientCertificates !== "none" && clientAuthority === null) {
    throw invalid("MILLRACE_KAFKA_CLIENT_CERTIFICATES", "it needs MILLRACE_KAFKA_TLS_CLIENT_CA");
  }
  return {
    certificate: chain === null || key === null ? null : { chain, key },
    clientAuthority,
    clientCertificates,
    principalRules: read("MILLRACE_KAFKA_PRINCIPAL_RULES") ?? "DEFAULT",
    mechanisms: mechanismsOf(read, keys !== null),
    admin,
    superUsers: [
      ...listOf(read("MILLRACE_KAFKA_SUPER_USERS"), ";").map(checkedPrincipal),
      ...(admin === null ? [] : [`User:${admin.user}`]),
    ],
    authorization: oneOf(read, "MILLRACE_KAFKA_AUTHORIZATION", ["on", "off"], "off") === "on",
    tokens:
      keys === null
        ? null
        : {
            keys,
            issuer: read("MILLRACE_KAFKA_OAUTH_ISSUER"),
            audiences: listOf(read("MILLRACE_KAFKA_OAUTH_AUDIENCE"), ","),
          },
    reauthenticateMs: reauthenticateMsOf(read("MILLRACE_KAFKA_REAUTHENTICATE")),
  };
}

function mechanismsOf(read: Read, hasKeys: boolean): SaslMechanism[] {
  const name = "MILLRACE_KAFKA_SASL_MECHANISMS";
  const names = listOf(read(name) ?? "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN", ",");
  if (names.length === 0) throw invalid(name, "it names none");
  return names.map((wanted) => {
    const known = saslMechanisms.find((one) => one === wanted.toUpperCase());
    if (!known) throw invalid(name, `${JSON.stringify(wanted)} is not one of ${saslMechanisms.join(", ")}`);
    if (known === "OAUTHBEARER" && !hasKeys) throw invalid(name, "OAUTHBEARER needs MILLRACE_KAFKA_OAUTH_KEYS");
    return known;
  });
}

function adminOf(text: string | null): KafkaSecuritySettings["admin"] {
  if (text === null) return null;
  const at = text.indexOf(":");
  const [user, password] = [text.slice(0, at), text.slice(at + 1)];
  // The text is not repeated: it holds a password.
  if (at < 1 || password.length < 8)
    throw invalid("MILLRACE_KAFKA_ADMIN", "it is not user:password of 8 characters or more");
  return { user, password };
}

function reauthenticateMsOf(text: string | null): number {
  if (text === null) return 0;
  const name = "MILLRACE_KAFKA_REAUTHENTICATE";
  const ms = parseDurationMs(text, name);
  if (ms >= reauthenticateMsMin && ms <= reauthenticateMsMax) return ms;
  throw invalid(name, `${JSON.stringify(text)} is not between ${reauthenticateMsMin / 1_000}s and 365d`);
}

function checkedPrincipal(text: string): string {
  if (/^[A-Za-z]+:.+$/.test(text)) return text;
  throw invalid("MILLRACE_KAFKA_SUPER_USERS", `${JSON.stringify(text)} is not like User:alice`);
}

function listOf(text: string | null, separator: string): string[] {
  return (text ?? "")
    .split(separator)
    .map((one) => one.trim())
    .filter((one) => one !== "");
}

function oneOf<T extends string>(read: Read, name: KafkaSecurityName, values: readonly T[], byDefault: T): T {
  const text = read(name);
  if (text === null) return byDefault;
  const value = values.find((one) => one === text);
  if (value === undefined) throw invalid(name, `${JSON.stringify(text)} is not ${values.join(" or ")}`);
  return value;
}

function invalid(name: KafkaSecurityName, why: string): MillraceError {
  return new MillraceError("SETTING_INVALID", `${name} cannot be used: ${why}`, { details: { setting: name } });
}
