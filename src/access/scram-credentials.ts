/**
 * Credentials of users, in the catalogue: of a password only what SCRAM needs to check a proof.
 *
 * Always true: for a name that has none there is a credential too, always the same one and nobody's, so that a guest
 * cannot tell names that are there from names that are not. It comes from a secret that is in the catalogue since the
 * first start.
 */
import { createHmac } from "node:crypto";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Catalogue, CatalogueReader } from "../catalog/catalogue-topic.ts";
import { type ScramCredential, type ScramMechanism, scramIterationsMin, scramKeyBytes } from "./scram-keys.ts";

const catalogueKind = "scram-credential";
const secretKind = "access-secret";
const secretKey = "unknown-users";

export interface CredentialChange {
  readonly user: string;
  readonly mechanism: ScramMechanism;
  /** Null removes it. */
  readonly credential: ScramCredential | null;
}

export interface CredentialInfo {
  readonly mechanism: ScramMechanism;
  readonly iterations: number;
}

export class ScramCredentials {
  readonly #catalogue: Catalogue;
  readonly #secret: Buffer;
  readonly #credentialsMax: number;
  readonly #known: Record<ScramMechanism, Map<string, ScramCredential>> = {
    "SCRAM-SHA-256": new Map(),
    "SCRAM-SHA-512": new Map(),
  };
  readonly #stop: () => void;

  private constructor(catalogue: Catalogue, secret: Buffer, credentialsMax: number) {
    this.#catalogue = catalogue;
    this.#secret = secret;
    this.#credentialsMax = credentialsMax;
    for (const [key, value] of catalogue.list(catalogueKind)) this.#follow(key, value);
    this.#stop = catalogue.onChange(catalogueKind, ({ key, value }) => this.#follow(key, value));
  }

  static async open(
    catalogue: Catalogue,
    random: Random,
    options: { readonly credentialsMax?: number } = {},
  ): Promise<ScramCredentials> {
    if (!secretIn(catalogue)) await catalogue.put(secretKind, secretKey, random.bytes(32).toString("base64"));
    const secret = secretIn(catalogue) as Buffer;
    return new ScramCredentials(catalogue, secret, options.credentialsMax ?? 50_000);
  }

  find(user: string, mechanism: ScramMechanism): ScramCredential | undefined {
    return this.#known[mechanism].get(user);
  }

  /** The user's own, or one that nobody can have a password for. */
  findOrInvent(
    user: string,
    mechanism: ScramMechanism,
  ): { readonly isKnown: boolean; readonly credential: ScramCredential } {
    const credential = this.find(user, mechanism);
    return credential ? { isKnown: true, credential } : { isKnown: false, credential: this.#invented(user, mechanism) };
  }

  users(): string[] {
    return [...new Set(Object.values(this.#known).flatMap((users) => [...users.keys()]))];
  }

  describe(user: string): CredentialInfo[] {
    const mechanisms = Object.keys(this.#known) as ScramMechanism[];
    return mechanisms.flatMap((mechanism) => {
      const credential = this.find(user, mechanism);
      return credential ? [{ mechanism, iterations: credential.iterations }] : [];
    });
  }

  /** All or none. Throws `REQUEST_INVALID` when there are too many. */
  async change(changes: readonly CredentialChange[]): Promise<void> {
    const added = changes.filter((c) => c.credential && !this.find(c.user, c.mechanism)).length;
    const count = this.#known["SCRAM-SHA-256"].size + this.#known["SCRAM-SHA-512"].size;
    if (added > 0 && count + added > this.#credentialsMax) {
      throw new MillraceError("REQUEST_INVALID", `there can be ${this.#credentialsMax} credentials of users`);
    }
    await this.#catalogue.change(
      changes.map(({ user, mechanism, credential }) => ({
        kind: catalogueKind,
        key: `${mechanism}/${user}`,
        value: credential ? encoded(credential) : undefined,
      })),
    );
  }

  close(): void {
    this.#stop();
  }

  #follow(key: string, value: unknown): void {
    const slash = key.indexOf("/");
    const users = this.#known[key.slice(0, slash) as ScramMechanism] as Map<string, ScramCredential> | undefined;
    if (!users) return;
    const user = key.slice(slash + 1);
    const credential = value === undefined ? undefined : decoded(value);
    if (credential) users.set(user, credential);
    else users.delete(user);
  }

  #invented(user: string, mechanism: ScramMechanism): ScramCredential {
    const bytesOf = (what: string) =>
      createHmac("sha512", this.#secret).update(`${mechanism}\0${what}\0${user}`).digest();
    const keyBytes = scramKeyBytes[mechanism];
    return {
      salt: saltLike(bytesOf("salt")),
      iterations: this.#usualIterations(mechanism),
      storedKey: bytesOf("stored key").subarray(0, keyBytes),
      serverKey: bytesOf("server key").subarray(0, keyBytes),
    };
  }

  /** Those of the user who is longest there: an invented credential is to look like the others. */
  #usualIterations(mechanism: ScramMechanism): number {
    for (const { iterations } of this.#known[mechanism].values()) return iterations;
    return scramIterationsMin;
  }
}

function secretIn(catalogue: CatalogueReader): Buffer | undefined {
  const value = catalogue.get(secretKind, secretKey);
  return typeof value === "string" ? Buffer.from(value, "base64") : undefined;
}

/** As Kafka's tools make them: 130 bits in small letters and digits. */
function saltLike(bytes: Buffer): Buffer {
  const bits = BigInt(`0x${bytes.subarray(0, 17).toString("hex")}`) >> 6n;
  return Buffer.from(bits.toString(36));
}

function encoded({ salt, iterations, storedKey, serverKey }: ScramCredential): unknown {
  return {
    salt: salt.toString("base64"),
    iterations,
    storedKey: storedKey.toString("base64"),
    serverKey: serverKey.toString("base64"),
  };
}

function decoded(value: unknown): ScramCredential | undefined {
  const { salt, iterations, storedKey, serverKey } = (value ?? {}) as Record<string, unknown>;
  if (typeof salt !== "string" || typeof storedKey !== "string" || typeof serverKey !== "string") return undefined;
  if (!Number.isSafeInteger(iterations) || (iterations as number) < scramIterationsMin) return undefined;
  const [saltBytes, storedBytes, serverBytes] = [salt, storedKey, serverKey].map((text) => Buffer.from(text, "base64"));
  return {
    salt: saltBytes as Buffer,
    iterations: iterations as number,
    storedKey: storedBytes as Buffer,
    serverKey: serverBytes as Buffer,
  };
}
