/**
 * The Kafka door: listeners, connections, and the table of what is answered. What is answered stands in the `…-answers.ts`
 * files; this one opens, counts and closes.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { Caller } from "../access/access.ts";
import { anonymousPrincipal } from "../access/principals.ts";
import type { SaslMechanisms } from "../access/sasl-mechanisms.ts";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { listen } from "../base/listen.ts";
import type { Counter, Metrics } from "../base/metrics.ts";
import type { Random } from "../base/random.ts";
import type { EmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { TopicSchemas } from "../registry/topic-schemas.ts";
import { accessAnswers } from "./access/access-answers.ts";
import { createSaslSession } from "./access/sasl.ts";
import { apiVersionsAnswer } from "./api-versions-answer.ts";
import { BrokerNode } from "./broker-node.ts";
import { ByteBudget } from "./byte-budget.ts";
import { clusterAnswers } from "./cluster-answers.ts";
import { configAnswers } from "./configs/config-answers.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import { Dispatch } from "./dispatch.ts";
import type { DoorContext } from "./door-context.ts";
import { DoorGroups } from "./door-groups.ts";
import type { DoorSecurity } from "./door-security.ts";
import { type BrokerDoorSettings, type BrokerLimits, defaultBrokerLimits, type Listener } from "./door-settings.ts";
import { fetchAnswer } from "./fetch-answer.ts";
import { FetchSessions } from "./fetch-sessions.ts";
import type { Answer, RequestContext } from "./handler.ts";
import { needsAuthentication, usesTls } from "./listeners.ts";
import { metadataAnswers } from "./metadata-answer.ts";
import { offsetsAnswers } from "./offsets-answers.ts";
import { produceAnswer } from "./produce-answer.ts";
import { type ConnectionSession, openSession } from "./session.ts";
import { topicsAnswers } from "./topics-answers.ts";
import { transactionAnswers } from "./transactions/transaction-answers.ts";

export interface BrokerDoorOptions {
  readonly engine: EmbeddedEngine;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly metrics: Metrics;
  readonly security: DoorSecurity;
  readonly settings: BrokerDoorSettings;
  /** What the values of topics are checked against; nothing when left out. */
  readonly schemas?: Pick<TopicSchemas, "checkBatch">;
}

export interface BrokerDoor {
  /** Where each listener is, by its name. */
  readonly addresses: ReadonlyMap<string, { readonly host: string; readonly port: number }>;
  readonly connectionCount: number;
  /** Takes nothing new, lets requests finish for `drainMs`, closes every connection. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Throws `PORT_TAKEN`, `SETTING_INVALID`. */
export async function openBrokerDoor(options: BrokerDoorOptions): Promise<BrokerDoor> {
  const door = new Door(options);
  try {
    await door.open();
  } catch (error) {
    await door.close();
    throw error;
  }
  return door;
}

interface OpenListener {
  readonly listener: Listener;
  readonly server: Server;
  readonly port: number;
}

class Door implements BrokerDoor, ConnectionHost {
  readonly addresses = new Map<string, { readonly host: string; readonly port: number }>();
  readonly clock: Clock;
  readonly limits: BrokerLimits;
  readonly requestMemory: ByteBudget;
  readonly #options: BrokerDoorOptions;
  readonly #diagnostics: Diagnostics;
  readonly #connections = new Set<Connection>();
  readonly #byAddress = new Map<string, number>();
  readonly #open: OpenListener[] = [];
  readonly #requests: Counter;
  readonly #refusals: Counter;
  readonly #groups: DoorGroups;
  #dispatch: Dispatch | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: BrokerDoorOptions) {
    const { clock, diagnostics, metrics, settings } = options;
    this.#options = options;
    this.clock = clock;
    this.limits = { ...defaultBrokerLimits, ...settings.limits };
    this.requestMemory = new ByteBudget(this.limits.requestMemoryBytes);
    this.#diagnostics = diagnostics.child({ part: "kafka" });
    this.#groups = new DoorGroups({ ...options, diagnostics: this.#diagnostics, settings: settings.groups });
    this.#requests = metrics.counter("millrace_kafka_requests_total", "Requests of the Kafka protocol answered.");
    this.#refusals = metrics.counter(
      "millrace_kafka_connections_closed_total",
      "Connections of the Kafka protocol that were closed from here, with a reason.",
    );
    metrics.collect("gauge", "millrace_kafka_connections", "Open connections of the Kafka protocol.", () => [
      { value: this.#connections.size },
    ]);
  }

  get dispatch(): Dispatch {
    return this.#dispatch as Dispatch;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  async open(): Promise<void> {
    const { settings, security } = this.#options;
    const unsafe = settings.listeners.find((listener) => needsAuthentication(listener) && !security.sasl);
    if (unsafe) throw new MillraceError("SETTING_INVALID", `listener ${unsafe.name} has no mechanism of SASL`);
    await this.#groups.open();
    for (const listener of settings.listeners) {
      const server = this.#serverOf(listener);
      const port = await listen(server, {
        host: listener.host,
        port: listener.port,
        portDefault: 9092,
        setting: "MILLRACE_KAFKA_PORT or MILLRACE_KAFKA_LISTENERS",
        hostSetting: "MILLRACE_KAFKA_LISTENERS",
      });
      this.#open.push({ listener, server, port });
      this.addresses.set(listener.name, { host: listener.host, port });
      // Made again for each, so that one that is listening already is never without.
      this.#dispatch = new Dispatch(this.#answers());
    }
    if (this.addresses.size > 1) {
      this.#diagnostics.info("Kafka's protocol is spoken by several listeners", {
        listeners: Object.fromEntries([...this.addresses].map(([name, { host, port }]) => [name, `${host}:${port}`])),
      });
    }
  }

  caller(principal: string, address: string): Caller {
    return this.#options.security.access.caller(principal, address);
  }

  requestTook({ principal, clientId }: RequestContext, { api }: Answer, tookMs: number): number {
    this.#requests.add(1, { api: api.name });
    return this.#options.security.quotas.record("request", principal, clientId, tookMs);
  }

  closed(connection: Connection, reason: string | null, cause?: unknown): void {
    this.#connections.delete(connection);
    const left = (this.#byAddress.get(connection.address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(connection.address, left);
    else this.#byAddress.delete(connection.address);
    if (reason === null) return;
    this.#refusals.add(1);
    this.#diagnostics.warn(`a Kafka client's connection was closed: ${reason}`, {
      address: connection.address,
      ...(cause !== undefined && { cause: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause) }),
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const ended = this.#open.map(({ server }) => new Promise((resolve) => server.close(resolve)));
    for (const connection of this.#connections) connection.drain();
    const timer = this.clock.after(this.limits.drainMs, () => {
      for (const connection of this.#connections) connection.close(null);
    });
    await Promise.all([this.#groups.close(), ...ended]);
    timer.cancel();
  }

  #answers(): Answer[] {
    const { engine, clock, random, settings, security } = this.#options;
    const listeners = this.#open.map(({ listener, port }) => ({ ...listener, boundPort: port }));
    const door: DoorContext = {
      engine,
      clock,
      diagnostics: this.#diagnostics,
      settings,
      limits: this.limits,
      node: new BrokerNode(engine.logId, listeners),
      quotas: security.quotas,
      fetchMemory: new ByteBudget(this.limits.fetchMemoryBytes),
      schemas: this.#options.schemas ?? null,
    };
    const sessions = new FetchSessions(
      { clock, random },
      { sessionsMax: this.limits.fetchSessionsMax, partitionsMax: this.limits.fetchSessionPartitionsMax },
    );
    return [
      apiVersionsAnswer(() => this.dispatch),
      ...metadataAnswers(door),
      produceAnswer(door),
      fetchAnswer(door, sessions),
      ...offsetsAnswers(door),
      ...topicsAnswers(door),
      ...clusterAnswers(door),
      ...configAnswers(door),
      ...this.#groups.answers(door.node),
      ...transactionAnswers({
        engine,
        clock,
        mayWriteSomewhere: ({ principal, address }) => security.access.allowsAny(principal, address, "write", "topic"),
      }),
      ...accessAnswers({ access: security.access, credentials: security.credentials, quotas: security.quotaTable }),
    ];
  }

  #serverOf(listener: Listener): Server {
    if (!usesTls(listener)) {
      return createServer({ noDelay: true }, (socket) => this.#accept(socket, listener, anonymousPrincipal));
    }
    const server = createTlsServer(this.#tlsOf(listener), (socket) => this.#acceptTls(socket, listener));
    server.on("tlsClientError", (error, socket) => {
      this.#refuse(reasonOfTls(error, socket), addressOf(socket));
      socket.destroy();
    });
    return server;
  }

  /** Where SASL says who a client is, its certificate is not asked for (KIP-684). */
  #tlsOf(listener: Listener): TlsOptions {
    const options: TlsOptions = { ...this.#options.settings.tls, handshakeTimeout: this.limits.authenticationMs };
    return needsAuthentication(listener) ? { ...options, requestCert: false, rejectUnauthorized: false } : options;
  }

  #acceptTls(socket: TLSSocket, listener: Listener): void {
    const certificate: Buffer | undefined = socket.getPeerCertificate().raw;
    if (certificate && !socket.authorized) {
      this.#refuse(`its certificate is not trusted: ${socket.authorizationError}`, addressOf(socket));
      socket.destroy();
      return;
    }
    const principal = this.#options.security.principalOfCertificate(certificate);
    if (principal !== undefined) this.#accept(socket, listener, principal);
    else {
      this.#refuse("no rule names the owner of its certificate", addressOf(socket));
      socket.destroy();
    }
  }

  #accept(socket: Socket, listener: Listener, principal: string): void {
    const address = addressOf(socket);
    const fromAddress = this.#byAddress.get(address) ?? 0;
    const { connectionsMax, connectionsPerAddressMax } = this.limits;
    if (this.#closing || this.#connections.size >= connectionsMax || fromAddress >= connectionsPerAddressMax) {
      this.#refuse("there are as many as there may be", address);
      socket.destroy();
      return;
    }
    this.#byAddress.set(address, fromAddress + 1);
    const session = this.#sessionOf(listener, principal);
    const localAddress = nameOf(socket) ?? socket.localAddress?.replace(/^::ffff:/, "") ?? "127.0.0.1";
    const connection = new Connection(socket, { listener: listener.name, address, localAddress, session }, this);
    this.#connections.add(connection);
    connection.mute(this.#options.security.quotas.recordConnection(address));
  }

  #sessionOf(listener: Listener, principal: string): ConnectionSession {
    const { sasl, reauthenticateMs } = this.#options.security;
    if (!needsAuthentication(listener)) return openSession(principal);
    return createSaslSession({
      mechanisms: sasl as SaslMechanisms,
      clock: this.clock,
      reauthenticateMs,
      diagnostics: this.#diagnostics,
    });
  }

  #refuse(reason: string, address: string): void {
    this.#refusals.add(1);
    this.#diagnostics.warn(`a Kafka client's connection was closed: ${reason}`, { address });
  }
}

/** The name that the client has connected to, as TLS tells it; a certificate is for that, and seldom for the address. */
function nameOf(socket: Socket): string | undefined {
  const name = "servername" in socket ? socket.servername : undefined;
  return typeof name === "string" && /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?$/.test(name)
    ? name
    : undefined;
}

/** What OpenSSL calls a peer that speaks something else. */
const notTls = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_HTTP_REQUEST",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_RECORD_TOO_SMALL",
  "ERR_SSL_UNEXPECTED_MESSAGE",
]);

function reasonOfTls(error: NodeJS.ErrnoException & { readonly reason?: string }, socket: TLSSocket): string {
  if (notTls.has(error.code ?? "")) return "it does not speak TLS, and this listener does";
  // A code, whatever the type says; null when the certificate was in order, or had not come yet.
  const distrust = socket.authorizationError as unknown;
  if (distrust) return `its certificate is not trusted: ${distrust}`;
  if (error.code === "ECONNRESET") return "it hung up before TLS was agreed on";
  return `TLS could not be agreed on: ${error.reason ?? error.message}`;
}

/** IPv4 addresses that came over an IPv6 socket are written as what they are. */
function addressOf({ remoteAddress }: Socket): string {
  return (remoteAddress ?? "unknown").replace(/^::ffff:/, "");
}
