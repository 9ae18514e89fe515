/**
 * The cluster as one partner: connections to its brokers, who leads and who coordinates, and asking again.
 *
 * Always true: of a broker there is one connection per lane, so that what may wait on a broker (a long poll, an append that
 * replicas have to confirm) holds up nothing of another lane. What fails in passing is asked again with growing pauses, each a
 * little different, until the patience of the call is over; then it is `CLUSTER_UNREACHABLE`, with the last reason.
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { findCoordinator } from "../../kafka/apis/find-coordinator.ts";
import { metadata } from "../../kafka/apis/metadata.ts";
import type { Api, RequestInput, ResponseOf } from "../../kafka/fields.ts";
import { type BrokerAddress, printAddress } from "./broker-address.ts";
import { BrokerConnection, type ClusterFeatures, type ClusterTls, type RequestOptions } from "./broker-connection.ts";
import { ClusterMetadata } from "./cluster-metadata.ts";
import { assertNone, KafkaError, logClosed, remedyOf } from "./kafka-error.ts";
import type { SaslLogin } from "./sasl.ts";

export interface ClusterClientOptions {
  readonly brokers: readonly BrokerAddress[];
  readonly clientId?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly tls?: ClusterTls;
  readonly sasl?: SaslLogin;
  /** How long somebody is looked for who answers; a minute. */
  readonly openPatienceMs?: number;
}

export interface Patience {
  readonly patienceMs?: number;
  readonly signal?: AbortSignal;
}

export type CoordinatorKind = "group" | "transaction";

/** A broker by its node id; null is any. */
export type NodeId = number | null;

const patienceMsDefault = 60_000;
const pauseFirstMs = 10;
const pauseMostMs = 1_000;
const coordinatorsMax = 10_000;

export class ClusterClient {
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly metadata = new ClusterMetadata();
  readonly #options: ClusterClientOptions;
  readonly #connections = new Map<string, Promise<BrokerConnection>>();
  readonly #coordinators = new Map<string, number>();
  readonly #closing = new AbortController();
  /** The one that was asked last when anybody would do: it knows at least what it knew then. */
  #confidant: BrokerAddress | undefined;
  #refreshing: Promise<void> | undefined;
  #refreshNext: Promise<void> | undefined;
  #features: ClusterFeatures = new Map();

  private constructor(options: ClusterClientOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.random = options.random;
    this.diagnostics = options.diagnostics;
  }

  /** Throws `CLUSTER_UNREACHABLE` when nobody answers in time, `CLUSTER_REFUSED`, `CLUSTER_UNSUITABLE`. */
  static async open(options: ClusterClientOptions): Promise<ClusterClient> {
    const client = new ClusterClient(options);
    try {
      const { openPatienceMs: patienceMs } = options;
      const patience = patienceMs === undefined ? {} : { patienceMs };
      await client.persist("asking for the cluster's brokers", () => client.refresh(), patience);
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  get features(): ClusterFeatures {
    return this.#features;
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Aborted with `LOG_CLOSED`. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.#closing.abort(logClosed());
    const connections = [...this.#connections.values()];
    this.#connections.clear();
    for (const connection of connections)
      connection.then(
        (one) => one.close(),
        () => {},
      );
  }

  /** Once. Rejects with `CLUSTER_UNREACHABLE`; error codes in the answer are the caller's to look at. */
  async ask<A extends Api>(
    node: NodeId,
    lane: string,
    api: A,
    request: RequestInput<A>,
    options?: RequestOptions,
  ): Promise<ResponseOf<A>> {
    const connection = node === null ? await this.#anyConnection(lane) : await this.#connectionTo(node, lane);
    return await connection.request(api, request, options);
  }

  /** To one broker, for one who wants to know it better. Rejects as `ask` does. */
  async connectTo(node: number): Promise<BrokerConnection> {
    return await this.#connectionTo(node, "lookup");
  }

  /** The connection is not for this lane any more. */
  async closeLane(lane: string): Promise<void> {
    for (const [key, opening] of this.#connections) {
      if (!key.endsWith(`/${lane}`)) continue;
      this.#connections.delete(key);
      opening.then(
        (one) => one.close(),
        () => {},
      );
    }
  }

  /** Again and again, until it does not fail in passing. What does not pass is thrown as it came. */
  async persist<T>(what: string, attempt: () => Promise<T>, { patienceMs, signal }: Patience = {}): Promise<T> {
    const endMs = this.clock.monotonicMs() + (patienceMs ?? patienceMsDefault);
    for (let attempts = 0; ; attempts++) {
      signal?.throwIfAborted();
      this.assertOpen();
      try {
        return await attempt();
      } catch (error) {
        this.assertOpen();
        const remedy = remedyOf(error);
        if (remedy === "none") throw error;
        const pauseMs = this.pauseMs(attempts);
        if (this.clock.monotonicMs() + pauseMs >= endMs) throw gaveUp(what, error);
        await this.pause(pauseMs, signal);
        if (remedy === "refresh") await this.refresh().catch(() => undefined);
      }
    }
  }

  /** Before the attempt that follows `attempts` failed ones. */
  pauseMs(attempts: number): number {
    return Math.min(pauseMostMs, pauseFirstMs * 2 ** Math.min(attempts, 10)) * (0.5 + this.random.next() / 2);
  }

  /** Ends early, with `LOG_CLOSED`, when the client is closed. */
  async pause(pauseMs: number, signal?: AbortSignal): Promise<void> {
    await this.clock.sleep(pauseMs, signal ? AbortSignal.any([signal, this.closing]) : this.closing);
  }

  /** Looks at the cluster anew, not earlier than the call. Throws `CLUSTER_UNREACHABLE`. */
  refresh(): Promise<void> {
    if (this.#refreshNext) return this.#refreshNext;
    const before = this.#refreshing;
    if (!before) return this.#startRefresh();
    this.#refreshNext = before
      .catch(() => undefined)
      .then(() => {
        this.#refreshNext = undefined;
        return this.#startRefresh();
      });
    return this.#refreshNext;
  }

  /** Asks who coordinates, unless it is known. */
  async coordinatorOf(kind: CoordinatorKind, key: string): Promise<number> {
    const known = this.#coordinators.get(`${kind}/${key}`);
    if (known !== undefined) return known;
    const request = { keyType: kind === "group" ? 0 : 1, coordinatorKeys: [key] };
    const answer = await this.ask(null, "lookup", findCoordinator, request, { versionMin: 4 });
    const found = answer.coordinators[0];
    assertNone(found?.errorCode ?? -1, `asking who coordinates ${kind} ${key}`, found?.errorMessage ?? null);
    const nodeId = found?.nodeId as number;
    if (!this.metadata.brokers.has(nodeId)) await this.refresh();
    if (this.#coordinators.size >= coordinatorsMax) this.#coordinators.clear();
    this.#coordinators.set(`${kind}/${key}`, nodeId);
    return nodeId;
  }

  /** `attempt` gets the coordinator; where it is another one by now, that one is asked. */
  async persistAtCoordinator<T>(
    kind: CoordinatorKind,
    key: string,
    what: string,
    attempt: (node: number) => Promise<T>,
    patience?: Patience,
  ): Promise<T> {
    return await this.persist(
      what,
      async () => {
        const node = await this.coordinatorOf(kind, key);
        try {
          return await attempt(node);
        } catch (error) {
          if (leadsElsewhere(error)) this.forgetCoordinator(kind, key);
          throw error;
        }
      },
      patience,
    );
  }

  /** It may be another one by now: it is asked for again. */
  forgetCoordinator(kind: CoordinatorKind, key: string): void {
    this.#coordinators.delete(`${kind}/${key}`);
  }

  assertOpen(): void {
    if (this.isClosed) throw logClosed();
  }

  #startRefresh(): Promise<void> {
    const refreshing = this.#refresh().finally(() => {
      if (this.#refreshing === refreshing) this.#refreshing = undefined;
    });
    this.#refreshing = refreshing;
    return refreshing;
  }

  async #refresh(): Promise<void> {
    const request = { topics: null, allowAutoTopicCreation: false };
    const answer = await this.ask(null, "lookup", metadata, request, { versionMin: 12 });
    if (answer.errorCode !== 0) throw new KafkaError(answer.errorCode, "asking for the cluster's topics");
    this.metadata.take(answer);
  }

  async #connectionTo(node: number, lane: string): Promise<BrokerConnection> {
    const address = this.metadata.brokers.get(node);
    if (address) return await this.#open(address, lane);
    throw new MillraceError("CLUSTER_UNREACHABLE", `broker ${node} is not there`, { details: { broker: node } });
  }

  /** Where one answered before, it is asked again. */
  async #anyConnection(lane: string): Promise<BrokerConnection> {
    const known = [...this.metadata.brokers.values()];
    const seeds = this.#options.brokers;
    const first = this.#confidant ? [this.#confidant] : [];
    let last: unknown;
    const asked = new Set<string>();
    for (const address of [...first, ...this.#shuffled(known), ...this.#shuffled(seeds)]) {
      const name = printAddress(address);
      if (asked.has(name)) continue;
      asked.add(name);
      try {
        const connection = await this.#open(address, lane);
        this.#confidant = address;
        return connection;
      } catch (error) {
        if (address === this.#confidant) this.#confidant = undefined;
        if (!MillraceError.is(error, "CLUSTER_UNREACHABLE")) throw error;
        last = error;
      }
    }
    throw last ?? new MillraceError("CLUSTER_UNREACHABLE", "no broker is known");
  }

  #shuffled<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, at: this.random.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item);
  }

  async #open(address: BrokerAddress, lane: string): Promise<BrokerConnection> {
    this.assertOpen();
    const key = `${printAddress(address)}/${lane}`;
    const known = this.#connections.get(key);
    if (known) {
      const connection = await known.catch(() => undefined);
      if (connection?.isUsable) return connection;
      if (this.#connections.get(key) === known) {
        this.#connections.delete(key);
        connection?.retire();
      }
    }
    const opening = this.#connections.get(key) ?? this.#start(address, key);
    const connection = await opening;
    if (this.isClosed) connection.close();
    this.assertOpen();
    return connection;
  }

  #start(address: BrokerAddress, key: string): Promise<BrokerConnection> {
    const { clientId = "millrace", clock, random, tls, sasl } = this.#options;
    const settings = { clientId, clock, random, ...(tls ? { tls } : {}), ...(sasl ? { sasl } : {}) };
    const opening = BrokerConnection.open(address, settings).catch((error) => {
      if (this.#connections.get(key) === opening) this.#connections.delete(key);
      if (error instanceof KafkaError && remedyOf(error) === "none") {
        throw new MillraceError("CLUSTER_REFUSED", error.message, { cause: error });
      }
      throw error;
    });
    this.#connections.set(key, opening);
    opening.then(
      ({ features }) => {
        this.#features = features;
      },
      () => {},
    );
    return opening;
  }
}

/** What was asked may be known to another broker. */
export function leadsElsewhere(error: unknown): boolean {
  const remedy = remedyOf(error);
  return remedy === "coordinator" || remedy === "refresh";
}

function gaveUp(what: string, error: unknown): MillraceError {
  const reason =
    error instanceof KafkaError
      ? `Kafka answers ${error.label}`
      : error instanceof Error
        ? error.message
        : String(error);
  const details = error instanceof KafkaError ? { kafka: error.label } : {};
  return new MillraceError("CLUSTER_UNREACHABLE", `${what} did not succeed in time: ${reason}`, {
    cause: error,
    details,
  });
}
