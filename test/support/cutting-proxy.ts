/**
 * A TCP proxy that is as unkind as a network may be: it cuts, stalls, delays, refuses, and forgets connections that both
 * ends believe in. Faults hold for the connections that are open when they begin, unless said otherwise.
 *
 * Always true: bytes that are handed on are handed on in order and unchanged.
 */
import { once } from "node:events";
import { createServer, type Server, Socket } from "node:net";
import type { Clock, Timer } from "../../src/base/clock.ts";
import type { Random } from "../../src/base/random.ts";

export interface CuttingProxyOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly clock: Clock;
}

/** What a network did, for a test that says so when it fails. */
export type NetworkFault = "cut" | "cut-after" | "stall" | "half-open" | "mute" | "delay" | "refuse";

const networkFaults: readonly NetworkFault[] = ["cut", "cut-after", "stall", "half-open", "mute", "delay", "refuse"];

export class CuttingProxy {
  readonly #options: CuttingProxyOptions;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  /** Connections that were made, over all time. */
  accepted = 0;
  #refusing = false;
  /** Of connections to come. */
  #delayMs = 0;

  private constructor(options: CuttingProxyOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#connected(socket));
  }

  static async listen(options: CuttingProxyOptions): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(options);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("the proxy is closed");
    return address.port;
  }

  /** The address of the target with the proxy's host and port in it. */
  url(target: string): string {
    const url = new URL(target);
    url.hostname = "127.0.0.1";
    url.port = String(this.port);
    return url.href;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Resets every connection: both ends see it at once. */
  cut(): void {
    for (const pair of this.#pairs) pair.cut();
  }

  /** Resets each connection when so many more bytes have come from the target: in the middle of a message, most likely. */
  cutAfter(bytes: number): void {
    for (const pair of this.#pairs) pair.cutAfter(bytes);
  }

  /** Nothing is read any more, so that both ends run into full buffers; of all, or as with `halfOpen`. `resume` ends it. */
  stall(port?: number): void {
    for (const pair of this.#pairsAt(port)) pair.stall();
  }

  /** Ends stalls and delays, and refuses nobody. */
  resume(): void {
    this.#refusing = false;
    this.#delayMs = 0;
    for (const pair of this.#pairs) {
      pair.delayMs = 0;
      pair.resume();
    }
  }

  /**
   * Forgets every connection, or the one that the target sees at this port of ours: what is sent is taken and lost, and
   * neither end learns of it, or of the other's end.
   */
  halfOpen(port?: number): void {
    for (const pair of this.#pairsAt(port)) pair.forget();
  }

  /** The target hears nothing any more of who called, who still hears it. */
  mute(): void {
    for (const pair of this.#pairs) pair.mute();
  }

  /** Everything comes later by this, on connections to come as well. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs;
    for (const pair of this.#pairs) pair.delayMs = delayMs;
  }

  /** New connections are reset; those that are there stay. */
  refuse(): void {
    this.#refusing = true;
  }

  /** One fault by chance, begun. What it leaves is ended by `resume` and `cut`. */
  misbehave(random: Random): NetworkFault {
    const fault = networkFaults[random.below(networkFaults.length)] as NetworkFault;
    if (fault === "cut") this.cut();
    else if (fault === "cut-after") this.cutAfter(random.below(200_000));
    else if (fault === "stall") this.stall();
    else if (fault === "half-open") this.halfOpen();
    else if (fault === "mute") this.mute();
    else if (fault === "delay") this.delay(5 + random.below(100));
    else {
      this.refuse();
      this.cut();
    }
    return fault;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #pairsAt(port: number | undefined): Pair[] {
    return [...this.#pairs].filter(({ targetPort }) => port === undefined || targetPort === port);
  }

  #connected(client: Socket): void {
    if (this.#refusing) {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const pair = new Pair(client, this.#options, () => this.#pairs.delete(pair));
    pair.delayMs = this.#delayMs;
    this.accepted++;
    this.#pairs.add(pair);
  }
}

/** One connection: the socket of who called, and ours to the target. */
class Pair {
  delayMs = 0;
  readonly #client: Socket;
  readonly #target = new Socket();
  readonly #clock: Clock;
  readonly #onGone: () => void;
  /** What is delayed, of both directions, in the order in which it came. */
  readonly #late: { readonly dueMs: number; readonly act: () => void }[] = [];
  #timer: Timer | null = null;
  #bytesLeft = Number.POSITIVE_INFINITY;
  #stalled = false;
  #forgotten = false;
  #muted = false;
  #gone = false;

  constructor(client: Socket, { target, clock }: CuttingProxyOptions, onGone: () => void) {
    this.#client = client;
    this.#clock = clock;
    this.#onGone = onGone;
    this.#forward(client, this.#target, false);
    this.#forward(this.#target, client, true);
    this.#target.connect(target.port, target.host);
  }

  /** Ours, as the target sees it. */
  get targetPort(): number | undefined {
    return this.#target.localPort;
  }

  cut(): void {
    this.#end(true);
  }

  cutAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  stall(): void {
    this.#stalled = true;
    this.#client.pause();
    this.#target.pause();
  }

  resume(): void {
    this.#stalled = false;
    this.#client.resume();
    this.#target.resume();
  }

  forget(): void {
    this.#forgotten = true;
    this.resume();
  }

  mute(): void {
    this.#muted = true;
  }

  #forward(from: Socket, to: Socket, fromTarget: boolean): void {
    from.setNoDelay(true);
    from.on("data", (chunk: Buffer) => {
      if (this.#forgotten || (this.#muted && !fromTarget)) return;
      this.#later(() => this.#send(from, to, chunk, fromTarget));
    });
    from.on("end", () => {
      if (!this.#forgotten) this.#later(() => this.#end(false));
    });
    from.on("error", () => {
      if (!this.#forgotten) this.#end(true);
    });
    to.on("drain", () => {
      if (!this.#stalled) from.resume();
    });
  }

  #send(from: Socket, to: Socket, chunk: Buffer, fromTarget: boolean): void {
    if (this.#gone || this.#forgotten) return;
    if (!fromTarget || chunk.length < this.#bytesLeft) {
      if (fromTarget) this.#bytesLeft -= chunk.length;
      if (!to.write(chunk)) from.pause();
      return;
    }
    to.write(chunk.subarray(0, this.#bytesLeft), () => this.#end(true));
    this.#bytesLeft = Number.POSITIVE_INFINITY;
    from.pause();
  }

  #later(act: () => void): void {
    if (this.delayMs === 0 && this.#late.length === 0) {
      act();
      return;
    }
    this.#late.push({ dueMs: this.#clock.monotonicMs() + this.delayMs, act });
    this.#timer ??= this.#clock.after(this.delayMs, () => this.#release());
  }

  #release(): void {
    this.#timer = null;
    const nowMs = this.#clock.monotonicMs();
    while (this.#late[0] !== undefined && this.#late[0].dueMs <= nowMs) this.#late.shift()?.act();
    const next = this.#late[0];
    if (next !== undefined && !this.#gone) {
      this.#timer = this.#clock.after(Math.max(1, next.dueMs - nowMs), () => this.#release());
    }
  }

  #end(reset: boolean): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#timer?.cancel();
    for (const socket of [this.#client, this.#target]) {
      if (reset && socket.readyState === "open") socket.resetAndDestroy();
      else if (reset) socket.destroy();
      else socket.end(() => socket.destroy());
    }
    this.#onGone();
  }
}
