/** How the Kafka door is opened. Every wait, buffer and count has its bound here; Kafka's name for it stands beside it. */
import type { TlsOptions } from "node:tls";
import type { ClassicSettings } from "./groups/classic-state.ts";

export type SecurityProtocol = "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL";

export interface Listener {
  readonly name: string;
  readonly protocol: SecurityProtocol;
  readonly host: string;
  /** Null: 9092, or the next one that is free. 0: any. */
  readonly port: number | null;
  /** What clients are told to connect to; null for the address that they have connected to. */
  readonly advertised: { readonly host: string | null; readonly port: number | null };
}

export interface BrokerDoorSettings {
  readonly listeners: readonly Listener[];
  /** For listeners with TLS. */
  readonly tls: TlsOptions | null;
  readonly autoCreateTopics: boolean;
  readonly partitionsDefault: number;
  /** What DescribeLogDirs calls the one directory of the log. */
  readonly logDirectory: string;
  readonly groups?: Partial<ClassicSettings>;
  readonly limits?: Partial<BrokerLimits>;
}

export interface BrokerLimits {
  /** socket.request.max.bytes */
  readonly requestBytesMax: number;
  /** Of requests that are received or not answered yet, of all connections (queued.max.request.bytes). */
  readonly requestMemoryBytes: number;
  /** Requests of one connection that wait for their answer. */
  readonly inFlightMax: number;
  /** max.connections */
  readonly connectionsMax: number;
  /** max.connections.per.ip */
  readonly connectionsPerAddressMax: number;
  /** connections.max.idle.ms */
  readonly idleMs: number;
  /** A request that has begun, and an answer that is being sent, must get on within this. */
  readonly stallMs: number;
  /** From the connection to the end of its authentication, TLS included. */
  readonly authenticationMs: number;
  /** connection.failed.authentication.delay.ms */
  readonly failedAuthenticationDelayMs: number;
  /** Bytes of answers that a connection may have waiting in its socket before its next request is begun. */
  readonly unsentBytesMax: number;
  /** fetch.max.bytes */
  readonly fetchBytesMax: number;
  /** Of records that are being sent, of all connections; beyond it fetches are answered with less. */
  readonly fetchMemoryBytes: number;
  /** Partitions of all fetch sessions. */
  readonly fetchSessionPartitionsMax: number;
  /** max.incremental.fetch.session.cache.slots */
  readonly fetchSessionsMax: number;
  /** How long `close` lets requests finish. */
  readonly drainMs: number;
}

export const defaultBrokerLimits: BrokerLimits = {
  requestBytesMax: 100 * 1024 * 1024,
  requestMemoryBytes: 128 * 1024 * 1024,
  inFlightMax: 64,
  connectionsMax: 10_000,
  connectionsPerAddressMax: 5_000,
  idleMs: 10 * 60_000,
  stallMs: 30_000,
  authenticationMs: 10_000,
  failedAuthenticationDelayMs: 100,
  unsentBytesMax: 1024 * 1024,
  fetchBytesMax: 16 * 1024 * 1024,
  fetchMemoryBytes: 64 * 1024 * 1024,
  fetchSessionPartitionsMax: 200_000,
  fetchSessionsMax: 1_000,
  drainMs: 2_000,
};
