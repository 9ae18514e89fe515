/** The client's side of SCRAM (RFC 5802), for tests. */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { credentialOf, type ScramCredential, type ScramMechanism, scramKeyBytes } from "./scram-keys.ts";

const hashes = { "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512" } as const;

export function credentialFor(mechanism: ScramMechanism, password: string, iterations = 4096): ScramCredential {
  const salt = Buffer.from(`salt of ${password}`);
  const salted = pbkdf2Sync(password, salt, iterations, scramKeyBytes[mechanism], hashes[mechanism]);
  return credentialOf(mechanism, salted, salt, iterations);
}

export class ScramClient {
  readonly #mechanism: ScramMechanism;
  readonly #password: string;
  readonly #header: string;
  readonly #bare: string;
  /** What the server will have to prove. */
  serverFinal = "";

  constructor(
    mechanism: ScramMechanism,
    user: string,
    password: string,
    more: { header?: string; extensions?: string } = {},
  ) {
    this.#mechanism = mechanism;
    this.#password = password;
    this.#header = more.header ?? "n,,";
    const name = user.replaceAll("=", "=3D").replaceAll(",", "=2C");
    this.#bare = `n=${name},r=rOprNGfwEbeRWgbNEkqO${more.extensions ?? ""}`;
  }

  first(): Buffer {
    return Buffer.from(this.#header + this.#bare);
  }

  final(serverFirst: Buffer): Buffer {
    const parts = new Map(
      serverFirst
        .toString()
        .split(",")
        .map((part) => [part[0], part.slice(2)]),
    );
    const hash = hashes[this.#mechanism];
    const hmac = (key: Buffer, text: string) => createHmac(hash, key).update(text).digest();
    const salt = Buffer.from(parts.get("s") ?? "", "base64");
    const salted = pbkdf2Sync(this.#password, salt, Number(parts.get("i")), scramKeyBytes[this.#mechanism], hash);
    const clientKey = hmac(salted, "Client Key");
    const withoutProof = `c=${Buffer.from(this.#header).toString("base64")},r=${parts.get("r")}`;
    const exchanged = `${this.#bare},${serverFirst},${withoutProof}`;
    const signature = hmac(createHash(hash).update(clientKey).digest(), exchanged);
    const proof = clientKey.map((byte, i) => byte ^ (signature[i] as number));
    this.serverFinal = `v=${hmac(hmac(salted, "Server Key"), exchanged).toString("base64")}`;
    return Buffer.from(`${withoutProof},p=${Buffer.from(proof).toString("base64")}`);
  }
}
