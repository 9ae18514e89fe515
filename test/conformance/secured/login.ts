/** One way to log in, as each client wants it said. */
import { join } from "node:path";
import type { KafkaConfig, SASLOptions } from "kafkajs";
import type { Json } from "../kafka/client.ts";

/** In the order of the program's listeners. */
export const listeners = ["SASL_SSL", "SASL_PLAINTEXT", "SSL"] as const;
export const passwordMechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const;

export type Listener = (typeof listeners)[number];
export type PasswordMechanism = (typeof passwordMechanisms)[number];

export type Proof =
  | {
      readonly kind: "password";
      readonly mechanism: PasswordMechanism;
      readonly user: string;
      readonly password: string;
    }
  /** The first one first, the last one for good. */
  | { readonly kind: "tokens"; readonly tokens: readonly Token[] }
  | { readonly kind: "certificate" }
  | { readonly kind: "none" };

export interface Token {
  readonly text: string;
  readonly user: string;
  readonly expiresAtMs: number;
}

export interface Login {
  readonly listener: Listener;
  /** Of the listener. */
  readonly address: string;
  readonly proof: Proof;
}

/** A folder with `ca.pem`, `client.pem`, `client-key.pem` and both in `client-both.pem`. */
export class LoginForms {
  readonly #folder: string;
  readonly #pem: (name: string) => string;

  constructor(folder: string, pem: (name: string) => string) {
    this.#folder = folder;
    this.#pem = pem;
  }

  kafkajs({ listener, address, proof }: Login): Pick<KafkaConfig, "brokers" | "ssl" | "sasl"> {
    const certificate =
      proof.kind === "certificate" ? { cert: this.#pem("client.pem"), key: this.#pem("client-key.pem") } : {};
    return {
      brokers: [address],
      ...(listener !== "SASL_PLAINTEXT" && { ssl: { ca: this.#pem("ca.pem"), ...certificate } }),
      ...saslOfKafkajs(proof),
    };
  }

  /** The tokens stand beside what librdkafka knows. */
  librdkafka({ listener, address, proof }: Login): { readonly [name: string]: Json } {
    return {
      "bootstrap.servers": address,
      "security.protocol": listener,
      ...(listener !== "SASL_PLAINTEXT" && { "ssl.ca.location": this.path("ca.pem") }),
      ...(proof.kind === "certificate" && {
        "ssl.certificate.location": this.path("client.pem"),
        "ssl.key.location": this.path("client-key.pem"),
      }),
      ...(proof.kind === "password" && {
        "sasl.mechanism": proof.mechanism,
        "sasl.username": proof.user,
        "sasl.password": proof.password,
      }),
      ...(proof.kind === "tokens" && {
        "sasl.mechanism": "OAUTHBEARER",
        tokens: proof.tokens.map(({ text, user, expiresAtMs }) => [text, expiresAtMs / 1_000, user]),
      }),
    };
  }

  /** A properties file. Java reads its token, the first one, from `token.jwt`. */
  java({ listener, proof }: Login): string {
    const lines = [`security.protocol=${listener}`];
    if (listener !== "SASL_PLAINTEXT") {
      lines.push("ssl.truststore.type=PEM", `ssl.truststore.location=${this.path("ca.pem")}`);
    }
    if (proof.kind === "certificate") {
      lines.push("ssl.keystore.type=PEM", `ssl.keystore.location=${this.path("client-both.pem")}`);
    }
    if (proof.kind === "password") {
      const kind = proof.mechanism === "PLAIN" ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
      const options = `username="${proof.user}" password="${proof.password}"`;
      lines.push(`sasl.mechanism=${proof.mechanism}`, `sasl.jaas.config=${security}.${kind} required ${options};`);
    }
    if (proof.kind === "tokens") {
      lines.push(
        "sasl.mechanism=OAUTHBEARER",
        `sasl.jaas.config=${security}.oauthbearer.OAuthBearerLoginModule required;`,
        `sasl.login.callback.handler.class=${security}.oauthbearer.OAuthBearerLoginCallbackHandler`,
        `sasl.oauthbearer.token.endpoint.url=${this.tokenAddress}`,
      );
    }
    return `${lines.join("\n")}\n`;
  }

  get tokenAddress(): string {
    return `file://${this.path("token.jwt")}`;
  }

  path(name: string): string {
    return join(this.#folder, name);
  }
}

const security = "org.apache.kafka.common.security";

function saslOfKafkajs(proof: Proof): { readonly sasl?: SASLOptions } {
  if (proof.kind === "tokens") {
    const left = [...proof.tokens];
    const next = () => (left.length > 1 ? left.shift() : left[0])?.text ?? "";
    return { sasl: { mechanism: "oauthbearer", oauthBearerProvider: async () => ({ value: next() }) } };
  }
  if (proof.kind !== "password") return {};
  const who = { username: proof.user, password: proof.password };
  if (proof.mechanism === "PLAIN") return { sasl: { mechanism: "plain", ...who } };
  return { sasl: { mechanism: proof.mechanism === "SCRAM-SHA-256" ? "scram-sha-256" : "scram-sha-512", ...who } };
}
