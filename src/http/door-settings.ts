/** How the HTTP door is opened. Every wait, buffer and count has its bound here. */
export interface HttpDoorSettings {
  /** A name or an address to listen on; beyond loopback a key is required. */
  readonly host: string;
  /** Null: 4400, or the next one that is free. 0: any. */
  readonly port: number | null;
  /** The one bearer, or null (loopback only). */
  readonly key: string | null;
  /** Browser origins that may read and write, beside loopback: `https://shop.example`. */
  readonly origins: readonly string[];
  readonly limits?: Partial<HttpLimits>;
}

export interface HttpLimits {
  /** Of a request's body, as sent and as decompressed. */
  readonly bodyBytesMax: number;
  /** Of the request line and all headers. */
  readonly headerBytesMax: number;
  readonly headerCountMax: number;
  /** From the first byte of a request to the end of its headers. */
  readonly headersMs: number;
  /** From the end of the headers to the end of the body; of one that is taken as it arrives, between two pieces of it. */
  readonly bodyMs: number;
  /** A connection without a request is closed after this. */
  readonly keepAliveMs: number;
  readonly connectionsMax: number;
  /** Open SSE feeds; below `connectionsMax`, so that requests are still answered. */
  readonly subscribersMax: number;
  /** Requests of one connection that wait for their turn. */
  readonly pipelinedMax: number;
  /** The longest wait for a token. */
  readonly tokenWaitMs: number;
  /** How long an append waits for a transaction that may have the last event of its key. */
  readonly undecidedMs: number;
  /** The longest wait of a long poll. */
  readonly longPollMs: number;
  /** A feed that was silent this long gets a comment. */
  readonly heartbeatMs: number;
  /** A subscriber that does not take what was written within this is closed. */
  readonly stallMs: number;
  /** How long `close` lets requests finish. */
  readonly drainMs: number;
  readonly eventsBytesMax: number;
  readonly rowsMax: number;
  readonly queryMs: number;
  /** Answers below this are not compressed. */
  readonly gzipBytesMin: number;
}

export const defaultHttpLimits: HttpLimits = {
  bodyBytesMax: 32 * 1024 * 1024,
  headerBytesMax: 16 * 1024,
  headerCountMax: 100,
  headersMs: 10_000,
  bodyMs: 60_000,
  keepAliveMs: 10_000,
  connectionsMax: 10_000,
  subscribersMax: 9_000,
  pipelinedMax: 64,
  tokenWaitMs: 10_000,
  undecidedMs: 5_000,
  longPollMs: 60_000,
  heartbeatMs: 15_000,
  stallMs: 30_000,
  drainMs: 5_000,
  eventsBytesMax: 8 * 1024 * 1024,
  rowsMax: 10_000,
  queryMs: 30_000,
  gzipBytesMin: 2_048,
};

/**
 * Room for connections below the process's limit of open files: what is left after files of the log, connections to
 * the store and the sources, and a tenth of the connections kept for requests while feeds take the rest.
 */
export function planConnections(descriptorsMax: number): Pick<HttpLimits, "connectionsMax" | "subscribersMax"> {
  const reserve = Math.min(512, Math.floor(descriptorsMax / 4));
  const connectionsMax = Math.max(16, descriptorsMax - reserve);
  return { connectionsMax, subscribersMax: Math.max(8, connectionsMax - Math.max(8, Math.ceil(connectionsMax / 10))) };
}
