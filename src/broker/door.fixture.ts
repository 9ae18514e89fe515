/** The door on a real log on a simulated disk, and a client that speaks frames, for tests. */
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { systemClock } from "../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { silentMetrics } from "../base/metrics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { CatalogueTopic } from "../catalog/catalogue-topic.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Api, RequestInput, ResponseOf } from "../kafka/fields.ts";
import { decodeResponseFrame, encodeRequestFrame } from "../kafka/frames.ts";
import type { LogLimits } from "../log/log-context.ts";
import { BatchBuilder } from "../records/batch-builder.ts";
import { type BrokerDoor, type BrokerDoorOptions, openBrokerDoor } from "./broker-door.ts";
import { type DoorSecurity, openDoorSecurity, type SecuritySettings } from "./door-security.ts";
import type { BrokerDoorSettings, BrokerLimits } from "./door-settings.ts";
import { FrameReader } from "./frame-reader.ts";

export interface OpenDoor {
  readonly door: BrokerDoor;
  readonly engine: EmbeddedEngine;
  readonly port: number;
  /** What the door said about connections that it closed. */
  readonly said: string[];
  readonly security: DoorSecurity;
  /** With TLS where its options are given. */
  client(tls?: ConnectionOptions): Promise<DoorClient>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function openDoor(
  limits: Partial<BrokerLimits> = {},
  settings: Partial<BrokerDoorSettings> = {},
  security: Partial<SecuritySettings> = {},
  logLimits: Partial<LogLimits> = {},
  schemasOf: (engine: EmbeddedEngine) => Promise<BrokerDoorOptions["schemas"]> = async () => undefined,
): Promise<OpenDoor> {
  const said: string[] = [];
  const diagnostics: Diagnostics = {
    ...silentDiagnostics,
    warn: (message) => said.push(message),
    child: () => diagnostics,
  };
  const tools = { clock: systemClock, random: seededRandom(1), diagnostics };
  const disk = new SimulatedDisk(tools.random);
  const engine = await openEmbeddedEngine({ ...tools, disk, directory: "/log", limits: logLimits });
  const catalogue = await CatalogueTopic.open({ ...tools, engine });
  const open = await openDoorSecurity(catalogue, tools, security);
  const schemas = await schemasOf(engine);
  const door = await openBrokerDoor({
    ...tools,
    engine,
    metrics: silentMetrics,
    security: open,
    ...(schemas && { schemas }),
    settings: {
      listeners: [
        {
          name: "PLAINTEXT",
          protocol: "PLAINTEXT",
          host: "127.0.0.1",
          port: 0,
          advertised: { host: null, port: null },
        },
      ],
      tls: null,
      autoCreateTopics: true,
      partitionsDefault: 1,
      logDirectory: "/log",
      ...settings,
      limits,
    },
  });
  const port = door.addresses.get("PLAINTEXT")?.port ?? 0;
  const clients: DoorClient[] = [];
  return {
    door,
    engine,
    port,
    said,
    security: open,
    async client(tls) {
      const client = await DoorClient.connect(port, tls);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await door.close();
      open.close();
      await catalogue.close();
      await engine.close();
    },
  };
}

/** One connection. Answers come in the order of the requests, as the protocol promises; `ask` relies on nothing else. */
export class DoorClient {
  readonly socket: Socket;
  /** Resolves when the door has closed the connection. */
  readonly closed: Promise<void>;
  readonly #reader = new FrameReader(256 * 1024 * 1024);
  readonly #frames: Buffer[] = [];
  readonly #waiting: { readonly resolve: (frame: Buffer) => void; readonly reject: (error: Error) => void }[] = [];
  #correlationId = 0;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.#reader.feed(chunk);
      for (let step = this.#reader.next(); step.kind === "frame"; step = this.#reader.next()) {
        const waiter = this.#waiting.shift();
        if (waiter) waiter.resolve(step.frame);
        else this.#frames.push(step.frame);
      }
    });
    this.closed = new Promise((resolve) =>
      socket.once("close", () => {
        this.#isClosed = true;
        for (const { reject } of this.#waiting.splice(0)) reject(new Error("the connection was closed"));
        resolve();
      }),
    );
  }

  static connect(port: number, tls?: ConnectionOptions): Promise<DoorClient> {
    return new Promise((resolve, reject) => {
      const socket = tls ? connectTls({ ...tls, port }) : connect({ host: "127.0.0.1", port, noDelay: true });
      const client = new DoorClient(socket);
      socket.once(tls ? "secureConnect" : "connect", () => resolve(client)).once("error", reject);
    });
  }

  /** Of the next request. */
  get nextCorrelationId(): number {
    return this.#correlationId + 1;
  }

  send<A extends Api>(api: A, version: number, request: RequestInput<A>): number {
    const correlationId = ++this.#correlationId;
    for (const chunk of encodeRequestFrame(api, version, correlationId, "test", request)) this.socket.write(chunk);
    return correlationId;
  }

  sendBytes(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The next frame that comes, whatever it answers. */
  frame(): Promise<Buffer> {
    const frame = this.#frames.shift();
    if (frame) return Promise.resolve(frame);
    if (this.#isClosed) return Promise.reject(new Error("the connection was closed"));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async ask<A extends Api>(api: A, version: number, request: RequestInput<A>): Promise<ResponseOf<A>> {
    const sent = this.send(api, version, request);
    const { correlationId, response } = decodeResponseFrame(api, version, await this.frame());
    if (correlationId !== sent) throw new Error(`the answer to ${correlationId} came in place of ${sent}`);
    return response;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** A batch of records without producer. */
export function batchOf(...values: readonly string[]): Buffer {
  const builder = new BatchBuilder(256);
  for (const value of values) builder.add(null, Buffer.from(value), systemClock.now());
  return Buffer.from(builder.finish());
}
