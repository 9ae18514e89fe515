/**
 * Public keys that tokens are signed with: a set (RFC 7517) that is loaded when it is first needed, and again when a
 * token names a key that is not in it, though not more often than now and then. Old keys serve on when loading fails.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";

export type SignatureAlgorithm = "RS256" | "ES256" | "EdDSA";

export const signatureAlgorithms: readonly SignatureAlgorithm[] = ["RS256", "ES256", "EdDSA"];

export interface JsonWebKey {
  /** Undefined when the set does not name it. */
  readonly id: string | undefined;
  readonly algorithm: SignatureAlgorithm;
  readonly key: KeyObject;
}

export interface JsonWebKeysOptions {
  /** The text of the set, from a file or an address. */
  readonly load: (signal: AbortSignal) => Promise<string>;
  readonly clock: Clock;
  /** sasl.oauthbearer.jwks.endpoint.refresh.ms */
  readonly refreshMs?: number;
  /** At least so long between two loadings: tokens with made-up key ids are anybody's to send. */
  readonly pauseMs?: number;
  readonly loadTimeoutMs?: number;
  readonly diagnostics?: Diagnostics;
}

const keysMax = 100;
const textLengthMax = 1024 * 1024;
const rsaBitsMin = 2048;

export class JsonWebKeys {
  readonly #load: (signal: AbortSignal) => Promise<string>;
  readonly #clock: Clock;
  readonly #refreshMs: number;
  readonly #pauseMs: number;
  readonly #loadTimeoutMs: number;
  readonly #diagnostics: Diagnostics;
  #keys: readonly JsonWebKey[] = [];
  #loadedAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;

  constructor(options: JsonWebKeysOptions) {
    this.#load = options.load;
    this.#clock = options.clock;
    this.#refreshMs = options.refreshMs ?? 3_600_000;
    this.#pauseMs = options.pauseMs ?? 10_000;
    this.#loadTimeoutMs = options.loadTimeoutMs ?? 10_000;
    this.#diagnostics = options.diagnostics ?? silentDiagnostics;
  }

  /** Those that a token with this algorithm and key id may be signed with; a token without an id may be by any. */
  async find(algorithm: SignatureAlgorithm, id: string | undefined): Promise<JsonWebKey[]> {
    const isOld = this.#clock.monotonicMs() - this.#loadedAtMs >= this.#refreshMs;
    if (isOld) await this.#refresh();
    const found = this.#fitting(algorithm, id);
    if (found.length > 0 || isOld) return found;
    await this.#refresh();
    return this.#fitting(algorithm, id);
  }

  #fitting(algorithm: SignatureAlgorithm, id: string | undefined): JsonWebKey[] {
    return this.#keys.filter((key) => key.algorithm === algorithm && (id === undefined || key.id === id));
  }

  #refresh(): Promise<void> {
    if (this.#loading) return this.#loading;
    if (this.#clock.monotonicMs() - this.#triedAtMs < this.#pauseMs) return Promise.resolve();
    this.#triedAtMs = this.#clock.monotonicMs();
    this.#loading = this.#reload().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #reload(): Promise<void> {
    const timeout = new AbortController();
    const timer = this.#clock.after(this.#loadTimeoutMs, () => timeout.abort(new Error("it did not come in time")));
    const late = new Promise<never>((_resolve, reject) => {
      timeout.signal.addEventListener("abort", () => reject(timeout.signal.reason), { once: true });
    });
    try {
      const text = await Promise.race([this.#load(timeout.signal), late]);
      this.#keys = readJsonWebKeys(text);
      this.#loadedAtMs = this.#clock.monotonicMs();
    } catch (cause) {
      this.#diagnostics.warn("the keys that tokens are signed with could not be loaded", { cause: String(cause) });
    } finally {
      timer.cancel();
    }
  }
}

/** A set, one key of such a set, or a public key in PEM. Keys that cannot serve are left out; none at all is a fault. */
export function readJsonWebKeys(text: string): JsonWebKey[] {
  if (text.length > textLengthMax) throw unusable("it is too long");
  const keys = text.trimStart().startsWith("-----BEGIN") ? [keyOf(createPublicKey(text), undefined)] : keysOfSet(text);
  const usable = keys.filter((key) => key !== undefined);
  if (usable.length === 0) throw unusable(`no key in it is of ${signatureAlgorithms.join(", ")}`);
  return usable;
}

function keysOfSet(text: string): (JsonWebKey | undefined)[] {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch (cause) {
    throw unusable("it is no JSON", cause);
  }
  const { keys } = (set ?? {}) as { readonly keys?: unknown };
  const list = Array.isArray(keys) ? keys : [set];
  if (list.length > keysMax) throw unusable(`it has more than ${keysMax} keys`);
  return list.map((jwk: Readonly<Record<string, unknown>> | null) => {
    // A symmetric or private key has no business here, nor one that is for something else.
    if (jwk === null || typeof jwk !== "object" || jwk.kty === "oct" || "d" in jwk) return undefined;
    if (jwk.use !== undefined && jwk.use !== "sig") return undefined;
    try {
      const key = keyOf(
        createPublicKey({ key: jwk, format: "jwk" }),
        typeof jwk.kid === "string" ? jwk.kid : undefined,
      );
      return jwk.alg === undefined || jwk.alg === key?.algorithm ? key : undefined;
    } catch {
      return undefined;
    }
  });
}

function keyOf(key: KeyObject, id: string | undefined): JsonWebKey | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "rsa" && (details?.modulusLength ?? 0) >= rsaBitsMin) return { id, algorithm: "RS256", key };
  if (type === "ec" && details?.namedCurve === "prime256v1") return { id, algorithm: "ES256", key };
  if (type === "ed25519") return { id, algorithm: "EdDSA", key };
  return undefined;
}

function unusable(reason: string, cause?: unknown): MillraceError {
  return new MillraceError("SETTING_INVALID", `the set of keys for tokens cannot be used: ${reason}`, {
    hint: "It is a JSON Web Key Set, or a public key in PEM.",
    cause,
  });
}
