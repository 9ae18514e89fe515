/** A door on a real socket for tests, and the plainest clients: one request, and raw bytes. */

import { type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { silentMetrics } from "../base/metrics.ts";
import { seededRandom } from "../base/random.ts";
import type { Engine } from "../engine/engine.ts";
import type { Feeds } from "../feeds/feed.ts";
import type { SchemaRegistry } from "../registry/schema-registry.ts";
import { plainReader } from "../schema/registry/wire-reader.ts";
import type { Views } from "../views/view-info.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpDoorSettings } from "./door-settings.ts";
import { type HttpDoor, openHttpDoor } from "./http-door.ts";
import type { NodeInfo } from "./node-info.ts";

export type DoorOverrides = Partial<Omit<HttpDoorDependencies, "settings">> & { settings?: Partial<HttpDoorSettings> };

export const testNode: NodeInfo = {
  version: "0.0.0",
  logId: "9b1f6a4e-5f0c-4d53-8a3e-3d4d6ed0b1aa",
  pid: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  mode: "dev",
  store: {
    kind: "embedded",
    state: "up",
    version: 180004,
    reader: { host: "127.0.0.1", port: 4432, database: "millrace", user: "reader" },
  },
  groups: [
    {
      name: "main",
      state: "running",
      error: null,
      position: { generation: 1, batch: 1 },
      store: {
        kind: "embedded",
        state: "up",
        reader: { host: "127.0.0.1", port: 4432, database: "millrace", user: "reader" },
      },
    },
  ],
  addresses: { http: "http://127.0.0.1:4400", kafka: "127.0.0.1:9092", store: "127.0.0.1:4432" },
};

export const noSources: HttpDoorDependencies["sources"] = {
  list: () => [],
  status: () => undefined,
  end: async () => undefined,
  resnapshot: () => false,
  readTable: async () => false,
  retry: async () => undefined,
  adopt: () => false,
  hold: async () => false,
  resume: async () => false,
};

export const noHooks: HttpDoorDependencies["hooks"] = {
  get: () => undefined,
  names: () => [],
  list: () => [],
  status: () => undefined,
};

export function openTestDoor({ settings, ...parts }: DoorOverrides = {}): Promise<HttpDoor> {
  return openHttpDoor({
    engine: partial<Engine>("engine", { topics: () => [] }),
    views: absent<Views>("views"),
    rebuildView: () => Promise.reject(new TypeError("rebuildView is not part of this test")),
    publications: { list: () => [], of: () => undefined },
    feeds: absent<Feeds>("feeds"),
    sources: noSources,
    hooks: noHooks,
    registry: absent<SchemaRegistry>("registry"),
    schemas: { check: () => undefined },
    wire: plainReader,
    idempotent: absent<HttpDoorDependencies["idempotent"]>("idempotent"),
    node: () => testNode,
    files: null,
    renderMetrics: () => "",
    clock: systemClock,
    random: seededRandom(1),
    diagnostics: silentDiagnostics,
    metrics: silentMetrics,
    tokens: null,
    ...parts,
    settings: { host: "127.0.0.1", port: 0, key: null, origins: [], ...settings },
  });
}

/** Some methods of a part; any other one fails the request that calls it. */
export function partial<T extends object>(name: string, methods: Partial<T>): T {
  return new Proxy(methods, {
    get(target, property) {
      if (property in target) return target[property as keyof typeof target];
      throw new TypeError(`${name}.${String(property)} is not part of this test`);
    },
  }) as T;
}

function absent<T extends object>(name: string): T {
  return partial<T>(name, {});
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** The body as JSON. */
  json(): never;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** One request on a connection of its own. */
export function ask(door: HttpDoor, path: string, { method = "GET", headers = {}, body }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const outgoing = request(
      { host: "127.0.0.1", port: door.port, path, method, agent: false, headers: { ...length, ...headers } },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () => {
          const bytes = Buffer.concat(chunks);
          const text = bytes.toString();
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            bytes,
            text,
            json: () => JSON.parse(text) as never,
          });
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

export interface Event {
  /** A comment has the event "". */
  readonly event: string;
  readonly id: string | null;
  readonly data: string;
}

export interface Subscription {
  readonly headers: IncomingHttpHeaders;
  /** The next event or comment; null when the door has ended the feed. */
  next(): Promise<Event | null>;
  /** Stops reading from the socket, or goes on. */
  pause(): void;
  resume(): void;
  /** Goes away without a word. */
  vanish(): void;
  /** Resolves when the connection is gone, on whichever side. */
  readonly closed: Promise<void>;
}

/** Opens a feed as `EventSource` does; rejects when the answer is not a feed. */
export function subscribe(door: HttpDoor, path: string, headers: Record<string, string> = {}): Promise<Subscription> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: "127.0.0.1", port: door.port, path, agent: false, headers: { accept: "text/event-stream", ...headers } },
      (incoming) => {
        if (incoming.statusCode !== 200) {
          outgoing.destroy();
          reject(new Error(`the feed answers ${incoming.statusCode}`));
          return;
        }
        const events: Event[] = [];
        let received = "";
        let ended = false;
        let wake: () => void = () => {};
        incoming.setEncoding("utf8");
        incoming.on("data", (chunk: string) => {
          const blocks = (received + chunk).split("\n\n");
          received = blocks.pop() ?? "";
          events.push(...blocks.map(parseBlock));
          wake();
        });
        const closed = new Promise<void>((gone) => {
          incoming.on("error", () => {});
          incoming.on("close", () => {
            ended = true;
            wake();
            gone();
          });
        });
        resolve({
          headers: incoming.headers,
          closed,
          async next() {
            while (events.length === 0 && !ended) {
              await new Promise<void>((woken) => {
                wake = woken;
              });
            }
            return events.shift() ?? null;
          },
          pause: () => void incoming.pause(),
          resume: () => void incoming.resume(),
          vanish: () => outgoing.destroy(),
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end();
  });
}

function parseBlock(block: string): Event {
  const fields = new Map<string, string>();
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    fields.set(line.slice(0, colon), line.slice(colon + 1).trimStart());
  }
  const event = fields.get("event") ?? (fields.has("retry") ? "retry" : "");
  return { event, id: fields.get("id") ?? null, data: fields.get("data") ?? fields.get("retry") ?? "" };
}

/** Sends bytes as they are and answers everything that came back until the door closed the connection. */
export function raw(door: HttpDoor, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(door.port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    let received = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk) => {
      received += chunk;
    });
    socket.on("error", (error: NodeJS.ErrnoException) =>
      error.code === "ECONNRESET" ? resolve(received) : reject(error),
    );
    socket.on("close", () => resolve(received));
  });
}

/** For `assert.rejects`. */
export function hasCode(code: MillraceError["code"]): (error: unknown) => boolean {
  return (error) => MillraceError.is(error, code);
}
