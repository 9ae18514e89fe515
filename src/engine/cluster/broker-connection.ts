/**
 * One connection to one broker: requests go out in the order of the calls, answers come back in that order.
 *
 * Always true: at most `inFlightMax` requests wait for an answer, and `queuedMax` for their turn; a request that is not
 * answered in time ends the connection, for what comes after it could not be told apart. When a connection ends, everything
 * that waits on it is rejected with `CLUSTER_UNREACHABLE`: what was sent may or may not have been done.
 * Not here: which broker, and asking again (cluster-client.ts).
 */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock, Timer } from "../../base/clock.ts";
import { MillraceError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { apiVersions } from "../../kafka/apis/api-versions.ts";
import { saslAuthenticate } from "../../kafka/apis/sasl-authenticate.ts";
import { saslHandshake } from "../../kafka/apis/sasl-handshake.ts";
import type { Api, RequestInput, ResponseOf } from "../../kafka/fields.ts";
import { decodeResponseFrame, encodeRequestFrame } from "../../kafka/frames.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type BrokerAddress, printAddress } from "./broker-address.ts";
import { assertNone } from "./kafka-error.ts";
import { ResponseFrames } from "./response-frames.ts";
import { authenticate, type SaslLogin } from "./sasl.ts";

/** Certificates and key in PEM; the system's authorities where `ca` is left out. */
export interface ClusterTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

export interface ConnectionSettings {
  readonly clientId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly tls?: ClusterTls;
  readonly sasl?: SaslLogin;
}

export interface RequestOptions {
  /** From the moment in which it is sent. */
  readonly timeoutMs?: number;
  /** No higher version than this. */
  readonly versionMax?: number;
  /** No lower one; `CLUSTER_UNSUITABLE` where the broker has none. */
  readonly versionMin?: number;
}

/** What the whole cluster has decided on, by name (KIP-584). */
export type ClusterFeatures = ReadonlyMap<string, number>;

interface Pending {
  readonly correlationId: number;
  readonly endMs: number;
  readonly answer: (frame: Buffer) => void;
  readonly reject: (error: unknown) => void;
}

interface Queued {
  readonly send: () => void;
  readonly reject: (error: unknown) => void;
}

export const requestTimeoutMs = 30_000;
const connectTimeoutMs = 10_000;
const inFlightMax = 32;
const queuedMax = 100_000;
/** Of a login's lifetime (KIP-368), after which another connection is opened. */
const lifetimeShare = 0.8;

export class BrokerConnection {
  readonly address: BrokerAddress;
  readonly #settings: ConnectionSettings;
  readonly #socket: Socket;
  readonly #frames: ResponseFrames;
  readonly #pending: Pending[] = [];
  readonly #queued: Queued[] = [];
  readonly #ranges = new Map<number, readonly [min: number, max: number]>();
  #features: ClusterFeatures = new Map();
  #correlationId = 0;
  #timer: Timer | undefined;
  #error: MillraceError | undefined;
  #retireMs = Number.POSITIVE_INFINITY;

  private constructor(address: BrokerAddress, settings: ConnectionSettings, socket: Socket) {
    this.address = address;
    this.#settings = settings;
    this.#socket = socket;
    this.#frames = new ResponseFrames((frame) => this.#take(frame));
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      try {
        this.#frames.add(chunk);
      } catch (cause) {
        this.#end(this.#lost("it answers what cannot be read", cause));
      }
    });
    socket.on("error", (cause) => this.#end(this.#lost("the connection broke", cause)));
    socket.on("close", () => this.#end(this.#lost("the broker closed the connection")));
  }

  /** Connects, asks for the versions that the broker has, and logs in. Throws `CLUSTER_UNREACHABLE`, `CLUSTER_REFUSED`, `CLUSTER_UNSUITABLE`. */
  static async open(address: BrokerAddress, settings: ConnectionSettings): Promise<BrokerConnection> {
    const connection = new BrokerConnection(address, settings, await openSocket(address, settings));
    try {
      await connection.#negotiate();
      if (settings.sasl) await connection.#logIn(settings.sasl);
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  get features(): ClusterFeatures {
    return this.#features;
  }

  /** False when it has ended, or soon will because its login is over. */
  get isUsable(): boolean {
    return this.#error === undefined && this.#settings.clock.monotonicMs() < this.#retireMs;
  }

  get isIdle(): boolean {
    return this.#pending.length === 0 && this.#queued.length === 0;
  }

  /** The version in which this broker is asked. Throws `CLUSTER_UNSUITABLE`. */
  versionOf({ key, name, versions }: Api, { versionMin = 0, versionMax = 999 }: RequestOptions = {}): number {
    const [min, max] = this.#ranges.get(key) ?? [0, -1];
    const version = Math.min(versions[1], max, versionMax);
    if (version >= Math.max(versions[0], min, versionMin)) return version;
    throw new MillraceError(
      "CLUSTER_UNSUITABLE",
      `the broker at ${printAddress(this.address)} does not know ${name} in version ${Math.max(versions[0], versionMin)} or later`,
      { hint: "Millrace needs Kafka 4.0 or later.", details: { api: name } },
    );
  }

  /** Rejects with `CLUSTER_UNREACHABLE` when there is no answer. Error codes in the answer are the caller's to look at. */
  request<A extends Api>(api: A, request: RequestInput<A>, options: RequestOptions = {}): Promise<ResponseOf<A>> {
    if (this.#error) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      const send = () => {
        try {
          this.#send(api, this.versionOf(api, options), request, options.timeoutMs, resolve, reject);
        } catch (error) {
          reject(error);
        }
      };
      if (this.#pending.length < inFlightMax && this.#queued.length === 0) return send();
      if (this.#queued.length >= queuedMax) return reject(this.#lost("too many requests wait for it"));
      this.#queued.push({ send, reject });
    });
  }

  /** Ends when all that waits was answered. */
  retire(): void {
    this.#retireMs = Number.NEGATIVE_INFINITY;
    if (this.isIdle) this.close();
  }

  /** What waits is rejected. */
  close(): void {
    this.#end(this.#lost("the connection was closed"));
  }

  #send<A extends Api>(
    api: A,
    version: number,
    request: RequestInput<A>,
    timeoutMs: number | undefined,
    resolve: (response: ResponseOf<A>) => void,
    reject: (error: unknown) => void,
  ): void {
    const correlationId = this.#correlationId;
    this.#correlationId = (correlationId + 1) | 0;
    const chunks = encodeRequestFrame(api, version, correlationId, this.#settings.clientId, request);
    this.#pending.push({
      correlationId,
      endMs: this.#settings.clock.monotonicMs() + (timeoutMs ?? requestTimeoutMs),
      answer: (frame) => resolve(decodeResponseFrame(api, version, frame).response),
      reject,
    });
    this.#socket.cork();
    for (const chunk of chunks) this.#socket.write(chunk);
    this.#socket.uncork();
    this.#watch();
  }

  #take(frame: Buffer): void {
    const pending = this.#pending.shift();
    if (pending === undefined || frame.length < 4 || frame.readInt32BE(0) !== pending.correlationId) {
      pending?.reject(this.#lost("it answered something else"));
      this.#end(this.#lost("it answered something else"));
      return;
    }
    try {
      pending.answer(frame);
    } catch (cause) {
      pending.reject(this.#lost("it answered what cannot be read", cause));
    }
    while (this.#pending.length < inFlightMax && this.#queued.length > 0) this.#queued.shift()?.send();
    if (this.isIdle && this.#retireMs === Number.NEGATIVE_INFINITY) this.close();
  }

  /** One timer, for the first that waits; it finds the next one when it fires. */
  #watch(): void {
    const first = this.#pending[0];
    if (this.#timer !== undefined || first === undefined || this.#error) return;
    const { clock } = this.#settings;
    this.#timer = clock.after(Math.max(1, first.endMs - clock.monotonicMs()), () => {
      this.#timer = undefined;
      const overdue = this.#pending.some(({ endMs }) => endMs <= clock.monotonicMs());
      if (overdue) this.#end(this.#lost("it did not answer in time"));
      else this.#watch();
    });
  }

  #end(error: MillraceError): void {
    if (this.#error) return;
    this.#error = error;
    this.#timer?.cancel();
    this.#socket.destroy();
    for (const { reject } of this.#pending.splice(0)) reject(error);
    for (const { reject } of this.#queued.splice(0)) reject(error);
  }

  async #negotiate(): Promise<void> {
    const request = { clientSoftwareName: "millrace", clientSoftwareVersion: "1" };
    this.#ranges.set(apiVersions.key, [3, 4]);
    const response = await this.request(apiVersions, request, { timeoutMs: connectTimeoutMs });
    if (response.errorCode === kafkaErrors.UNSUPPORTED_VERSION) {
      throw new MillraceError(
        "CLUSTER_UNSUITABLE",
        `the broker at ${printAddress(this.address)} is older than Kafka 4.0`,
      );
    }
    assertNone(response.errorCode, `asking ${printAddress(this.address)} for its versions`);
    for (const { apiKey, minVersion, maxVersion } of response.apiKeys)
      this.#ranges.set(apiKey, [minVersion, maxVersion]);
    this.#features = new Map(response.finalizedFeatures.map(({ name, maxVersionLevel }) => [name, maxVersionLevel]));
  }

  async #logIn(login: SaslLogin): Promise<void> {
    const { clock, random } = this.#settings;
    const { mechanism, username } = login;
    const what = `logging in at ${printAddress(this.address)} as ${username} with ${mechanism}`;
    const { errorCode, mechanisms } = await this.request(saslHandshake, { mechanism }, { versionMin: 1 });
    assertNone(errorCode, what, mechanisms.length > 0 ? `it offers ${mechanisms.join(", ")}` : null);
    await authenticate(login, random, async (authBytes) => {
      const answer = await this.request(saslAuthenticate, { authBytes });
      assertNone(answer.errorCode, what, answer.errorMessage);
      if (answer.sessionLifetimeMs > 0) this.#retireMs = clock.monotonicMs() + answer.sessionLifetimeMs * lifetimeShare;
      return answer.authBytes;
    });
  }

  #lost(why: string, cause?: unknown): MillraceError {
    return unreachable(this.address, why, cause);
  }
}

function unreachable(address: BrokerAddress, why: string, cause?: unknown): MillraceError {
  const message = `the broker at ${printAddress(address)}: ${why}`;
  const detail = cause instanceof Error ? ` (${cause.message})` : "";
  return new MillraceError("CLUSTER_UNREACHABLE", message + detail, { cause, details: { ...address } });
}

const untrustedCodes: ReadonlySet<unknown> = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_SIGNATURE_FAILURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** Undefined for another failure: this one does not pass by itself. */
function untrusted(address: BrokerAddress, cause: NodeJS.ErrnoException): MillraceError | undefined {
  if (!untrustedCodes.has(cause.code)) return undefined;
  const message = `the certificate of the broker at ${printAddress(address)} is not to be trusted: ${cause.message}`;
  return new MillraceError("CLUSTER_REFUSED", message, {
    hint: "Name the authority that signs the brokers' certificates, or give them certificates for their names.",
    cause,
    details: { ...address },
  });
}

function openSocket(address: BrokerAddress, { clock, tls }: ConnectionSettings): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { host, port } = address;
    const socket = tls
      ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...tls })
      : connectTcp({ host, port, keepAlive: true });
    const timer = clock.after(connectTimeoutMs, () => socket.destroy(new Error("it does not answer")));
    const onError = (cause: Error) => {
      timer.cancel();
      reject(untrusted(address, cause) ?? unreachable(address, "no connection can be made", cause));
    };
    socket.once("error", onError);
    socket.once(tls ? "secureConnect" : "connect", () => {
      timer.cancel();
      socket.off("error", onError);
      resolve(socket);
    });
  });
}
