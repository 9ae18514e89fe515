/** Opens the Kafka door as the settings say: the files that they name, the admin, the catalogue's rules. */
import { readFileSync } from "node:fs";
import type { TlsOptions } from "node:tls";
import { ensureUser } from "./access/ensure-user.ts";
import type { Clock } from "./base/clock.ts";
import type { Diagnostics } from "./base/diagnostics.ts";
import { MillraceError } from "./base/errors.ts";
import type { Metrics } from "./base/metrics.ts";
import type { Random } from "./base/random.ts";
import { type BrokerDoor, openBrokerDoor } from "./broker/broker-door.ts";
import { openDoorSecurity } from "./broker/door-security.ts";
import { needsAuthentication } from "./broker/listeners.ts";
import type { Catalogue } from "./catalog/catalogue-topic.ts";
import type { EmbeddedEngine } from "./engine/embedded/embedded-engine.ts";
import type { KafkaSecurityName, KafkaSecuritySettings } from "./kafka-security-settings.ts";
import type { KafkaSettings } from "./kafka-settings.ts";
import type { TopicSchemas } from "./registry/topic-schemas.ts";
import { openTokenRules } from "./token-rules.ts";

export interface KafkaDoorOptions {
  readonly engine: EmbeddedEngine;
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly metrics: Metrics;
  readonly schemas: TopicSchemas;
  readonly settings: KafkaSettings;
  readonly logDirectory: string;
  /** Somebody looks on while it starts: groups begin at once, and do not wait for more members first. */
  readonly isDevelopment: boolean;
}

/** Throws `SETTING_INVALID` for a file that cannot be read, and what opening throws. */
export async function openKafkaDoor(options: KafkaDoorOptions): Promise<BrokerDoor> {
  const { catalogue, random, settings, logDirectory } = options;
  const { listeners, autoCreateTopics, partitionsDefault } = settings;
  const hasSasl = listeners.some(needsAuthentication);
  const security = await openDoorSecurity(catalogue, options, {
    authorization: settings.security.authorization,
    superUsers: settings.security.superUsers,
    principalRules: settings.security.principalRules,
    mechanisms: hasSasl ? settings.security.mechanisms : [],
    tokens: openTokenRules(settings.security.tokens, options),
    reauthenticateMs: settings.security.reauthenticateMs,
  });
  try {
    const { admin } = settings.security;
    if (admin) await ensureUser(security.credentials, random, admin);
    const tls = tlsOf(settings.security);
    const door = await openBrokerDoor({
      ...options,
      security,
      settings: {
        listeners,
        autoCreateTopics,
        partitionsDefault,
        tls,
        logDirectory,
        ...(options.isDevelopment && { groups: { initialRebalanceDelayMs: 0 } }),
      },
    });
    const close = async () => {
      await door.close();
      security.close();
    };
    return {
      addresses: door.addresses,
      get connectionCount() {
        return door.connectionCount;
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    security.close();
    throw error;
  }
}

function tlsOf({ certificate, clientAuthority, clientCertificates }: KafkaSecuritySettings): TlsOptions | null {
  if (!certificate) return null;
  return {
    cert: pem(certificate.chain, "MILLRACE_KAFKA_TLS_CERTIFICATE"),
    key: pem(certificate.key, "MILLRACE_KAFKA_TLS_KEY"),
    ...(clientAuthority !== null && { ca: pem(clientAuthority, "MILLRACE_KAFKA_TLS_CLIENT_CA") }),
    requestCert: clientCertificates !== "none",
    rejectUnauthorized: clientCertificates === "required",
  };
}

function pem(path: string, setting: KafkaSecurityName): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new MillraceError("SETTING_INVALID", `${setting} cannot be read: ${(cause as Error).message}`, {
      details: { setting },
      cause,
    });
  }
}
