/**
 * The one broker of the embedded log as clients see it: a node id, a cluster id, and for each listener the address that
 * they are told to connect to.
 */
import type { Listener } from "./door-settings.ts";
import type { RequestContext } from "./handler.ts";

export const nodeId = 1;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export class BrokerNode {
  /** 22 characters, as Kafka prints a UUID. */
  readonly clusterId: string;
  readonly #listeners: ReadonlyMap<string, Listener & { readonly boundPort: number }>;

  /** `logId` is a UUID. */
  constructor(logId: string, listeners: readonly (Listener & { readonly boundPort: number })[]) {
    this.clusterId = shortUuid(logId);
    this.#listeners = new Map(listeners.map((listener) => [listener.name, listener]));
  }

  /** Where the peer of this request is told to connect to: what is advertised, else where it has connected to. */
  endpoint({ listener, localAddress }: Pick<RequestContext, "listener" | "localAddress">): Endpoint {
    const known = this.#listeners.get(listener);
    return {
      host: known?.advertised.host ?? localAddress,
      port: known?.advertised.port ?? known?.boundPort ?? 0,
    };
  }
}

/** Base64url of the bytes, as Kafka prints UUIDs. */
export function shortUuid(uuid: string): string {
  return Buffer.from(uuid.replaceAll("-", ""), "hex").toString("base64url");
}
