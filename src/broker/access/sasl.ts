/**
 * SASL on one connection (KIP-43, KIP-152, KIP-368): a handshake chooses the mechanism, tokens follow, in SaslAuthenticate
 * requests or, after a handshake of version 0, as frames of their own. Later handshakes authenticate again: the same
 * principal, by the same mechanism.
 *
 * Always true: a principal is known only after an exchange has come through; one that failed is the last of its
 * connection. What a client is told about a failure does not say who is there. When the session's time is over nothing
 * but SASL is taken. Not here: how long a refusal is held back, and how the connection is closed.
 */
import type { SaslExchange, SaslStep } from "../../access/sasl-exchange.ts";
import type { SaslMechanisms } from "../../access/sasl-mechanisms.ts";
import type { Clock } from "../../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../../base/diagnostics.ts";
import { apiVersions } from "../../kafka/apis/api-versions.ts";
import { saslAuthenticate } from "../../kafka/apis/sasl-authenticate.ts";
import { saslHandshake } from "../../kafka/apis/sasl-handshake.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { ConnectionSession } from "../session.ts";

/** sasl.server.max.receive.size: frames before a connection is authenticated. */
export const saslFrameBytesMax = 512 * 1024;

const reauthenticationPauseMs = 1_000;
const noBytes = Buffer.alloc(0);

export interface SaslSessionOptions {
  readonly mechanisms: SaslMechanisms;
  readonly clock: Clock;
  /** connections.max.reauth.ms; 0 for no end but the credential's own. */
  readonly reauthenticateMs: number;
  readonly diagnostics?: Diagnostics;
}

export interface HandshakeResult {
  readonly errorCode: number;
  readonly mechanisms: readonly string[];
  /** The connection is to be closed behind the answer. */
  readonly isRefused: boolean;
}

export interface AuthenticateResult {
  readonly errorCode: number;
  readonly errorMessage: string | null;
  readonly authBytes: Buffer;
  /** 0 when the session has no end, or is none yet. */
  readonly sessionLifetimeMs: number;
  readonly isRefused: boolean;
}

type State =
  | { readonly kind: "handshake" }
  | { readonly kind: "exchange"; readonly mechanism: string; readonly exchange: SaslExchange; readonly isRaw: boolean }
  /** A mechanism that the session must not change to; said when the client goes on. */
  | { readonly kind: "other mechanism"; readonly mechanism: string; readonly isRaw: boolean }
  /** A token is looked at. */
  | { readonly kind: "busy"; readonly isRaw: boolean }
  | { readonly kind: "ended" };

interface Authenticated {
  readonly principal: string;
  readonly mechanism: string;
  /** On the monotonic clock; infinity for never. */
  readonly expiresAtMs: number;
}

export interface SaslSession extends ConnectionSession {
  handshake(mechanism: string, version: number): HandshakeResult;
  authenticate(token: Buffer): Promise<AuthenticateResult>;
}

export function createSaslSession(options: SaslSessionOptions): SaslSession {
  return new ConnectionSasl(options);
}

export function isSaslSession(session: ConnectionSession): session is SaslSession {
  return session instanceof ConnectionSasl;
}

class ConnectionSasl implements SaslSession {
  readonly #mechanisms: SaslMechanisms;
  readonly #clock: Clock;
  readonly #reauthenticateMs: number;
  readonly #diagnostics: Diagnostics;
  #state: State = { kind: "handshake" };
  #authenticated: Authenticated | undefined;
  #isFailed = false;
  #reauthenticatedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SaslSessionOptions) {
    this.#mechanisms = options.mechanisms;
    this.#clock = options.clock;
    this.#reauthenticateMs = options.reauthenticateMs;
    this.#diagnostics = options.diagnostics ?? silentDiagnostics;
  }

  get principal(): string | null {
    return this.#authenticated?.principal ?? null;
  }

  get takesRawFrames(): boolean {
    return "isRaw" in this.#state && this.#state.isRaw;
  }

  mayAsk(apiKey: number): boolean {
    if (apiKey === saslHandshake.key || apiKey === saslAuthenticate.key) return true;
    if (this.#isFailed) return false;
    if (!this.#authenticated) return apiKey === apiVersions.key;
    return this.#clock.monotonicMs() < this.#authenticated.expiresAtMs;
  }

  handshake(mechanism: string, version: number): HandshakeResult {
    const mechanisms = this.#mechanisms.names;
    if (this.#isFailed || "isRaw" in this.#state) {
      this.#fail("a handshake in the middle of an exchange");
      return { errorCode: kafkaErrors.ILLEGAL_SASL_STATE, mechanisms, isRefused: true };
    }
    if (this.#authenticated) {
      const nowMs = this.#clock.monotonicMs();
      if (nowMs - this.#reauthenticatedAtMs < reauthenticationPauseMs) {
        return { errorCode: kafkaErrors.ILLEGAL_SASL_STATE, mechanisms: [], isRefused: false };
      }
      this.#reauthenticatedAtMs = nowMs;
    }
    const isRaw = version === 0;
    const exchange = this.#mechanisms.begin(mechanism);
    if (!exchange) {
      this.#fail("the mechanism is not offered");
      return { errorCode: kafkaErrors.UNSUPPORTED_SASL_MECHANISM, mechanisms, isRefused: true };
    }
    const isOther = this.#authenticated !== undefined && this.#authenticated.mechanism !== mechanism;
    this.#state = isOther
      ? { kind: "other mechanism", mechanism, isRaw }
      : { kind: "exchange", mechanism, exchange, isRaw };
    return { errorCode: kafkaErrors.NONE, mechanisms, isRefused: false };
  }

  async authenticate(token: Buffer): Promise<AuthenticateResult> {
    const state = this.#state;
    if (state.kind === "other mechanism") {
      const before = this.#authenticated?.mechanism;
      const message = `SASL mechanism '${state.mechanism}' requested by client is not supported for re-authentication of mechanism '${before}'`;
      return this.#refuse(message, message);
    }
    if (state.kind !== "exchange") {
      if (state.kind === "ended" && !this.#isFailed) return answer(kafkaErrors.ILLEGAL_SASL_STATE, afterwards);
      this.#fail("a token that nothing was to be done with");
      return {
        ...answer(kafkaErrors.ILLEGAL_SASL_STATE, "Unexpected SaslAuthenticate request"),
        isRefused: true,
      };
    }
    this.#state = { kind: "busy", isRaw: state.isRaw };
    const step = await this.#step(state.exchange, token);
    if (this.#isFailed) return this.#refuse("two tokens at once", "Unexpected token during SASL authentication");
    if (step.outcome === "challenge") {
      this.#state = state;
      return { ...answer(kafkaErrors.NONE, null), authBytes: step.token };
    }
    if (step.outcome === "failed") {
      const phase = this.#authenticated ? "re-authentication" : "authentication";
      const words = `Authentication failed during ${phase} due to invalid credentials with SASL mechanism ${state.mechanism}`;
      return this.#refuse(step.reason, step.message ?? words);
    }
    return this.#complete(state.mechanism, step);
  }

  async authenticateRaw(token: Buffer): Promise<{ readonly response: Buffer; readonly isRefused: boolean }> {
    const { authBytes, isRefused, errorCode } = await this.authenticate(token);
    return { response: authBytes, isRefused: isRefused || errorCode !== kafkaErrors.NONE };
  }

  async #step(exchange: SaslExchange, token: Buffer): Promise<SaslStep> {
    try {
      return await exchange.step(token);
    } catch (cause) {
      this.#diagnostics.error("an exchange of SASL failed with an error of ours", { cause: String(cause) });
      return { outcome: "failed", message: null, reason: "an error of ours" };
    }
  }

  #complete(mechanism: string, { principal, expiresAtMs, token }: SaslStep & { outcome: "done" }): AuthenticateResult {
    const before = this.#authenticated?.principal;
    if (before !== undefined && before !== principal) {
      const message = `Cannot change principals during re-authentication from ${dotted(before)}: ${dotted(principal)}`;
      return this.#refuse(message, message);
    }
    this.#state = { kind: "ended" };
    const lifetimeMs = lifetimeOf(
      expiresAtMs === null ? null : expiresAtMs - this.#clock.now(),
      this.#reauthenticateMs,
    );
    this.#authenticated = {
      principal,
      mechanism,
      expiresAtMs: lifetimeMs === null ? Number.POSITIVE_INFINITY : this.#clock.monotonicMs() + lifetimeMs,
    };
    return { ...answer(kafkaErrors.NONE, null), authBytes: token, sessionLifetimeMs: lifetimeMs ?? 0 };
  }

  #refuse(reason: string, errorMessage: string): AuthenticateResult {
    this.#fail(reason);
    return { ...answer(kafkaErrors.SASL_AUTHENTICATION_FAILED, errorMessage), isRefused: true };
  }

  #fail(reason: string): void {
    this.#isFailed = true;
    this.#state = { kind: "ended" };
    this.#diagnostics.info("a client could not be authenticated", { reason });
  }
}

const afterwards = "SaslAuthenticate request received after successful authentication";

/** Milliseconds until the client has to authenticate again; null for never. */
export function lifetimeOf(credentialMs: number | null, reauthenticateMs: number): number | null {
  const bounds = [
    ...(credentialMs === null ? [] : [credentialMs]),
    ...(reauthenticateMs > 0 ? [reauthenticateMs] : []),
  ];
  return bounds.length === 0 ? null : Math.max(0, Math.floor(Math.min(...bounds)));
}

function answer(errorCode: number, errorMessage: string | null): AuthenticateResult {
  return { errorCode, errorMessage, authBytes: noBytes, sessionLifetimeMs: 0, isRefused: false };
}

/** As Kafka says it in this one place. */
function dotted(principal: string): string {
  return principal.replace(":", ".");
}
