/**
 * One connection to the door: frames in, answers out in the order of their requests. Requests are begun one after the other;
 * those of handlers that allow it (`pipelined`) while earlier ones of the same kind wait to be durable.
 *
 * Always true: what a peer sends, or does not send, or does not take, holds no more than the bounds of `BrokerLimits`, and
 * ends at worst this connection, with a reason in the diagnostics.
 */
import type { Socket } from "node:net";
import type { Caller } from "../access/access.ts";
import { anonymousPrincipal } from "../access/principals.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { apiVersions } from "../kafka/apis/api-versions.ts";
import { decodeRequest, encodeResponseFrame, type RequestHeader, readRequestHeader } from "../kafka/frames.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import { saslFrameBytesMax } from "./access/sasl.ts";
import type { ByteBudget } from "./byte-budget.ts";
import type { Dispatch } from "./dispatch.ts";
import type { BrokerLimits } from "./door-settings.ts";
import { type Exchange, type ExchangeHost, ExchangeQueue, released } from "./exchange-queue.ts";
import { FrameReader } from "./frame-reader.ts";
import type { Answer, RequestContext } from "./handler.ts";
import type { ConnectionSession } from "./session.ts";

export interface ConnectionHost {
  readonly clock: Clock;
  readonly limits: BrokerLimits;
  readonly dispatch: Dispatch;
  readonly requestMemory: ByteBudget;
  caller(principal: string, address: string): Caller;
  /** How long to leave the peer alone for what this request cost, in milliseconds (KIP-124). */
  requestTook(context: RequestContext, answer: Answer, tookMs: number): number;
  /** A reason is given where the peer did not leave by itself. */
  closed(connection: Connection, reason: string | null, cause?: unknown): void;
}

export interface ConnectionPlace {
  /** The listener's name. */
  readonly listener: string;
  readonly address: string;
  /** What the peer has connected to. */
  readonly localAddress: string;
  readonly session: ConnectionSession;
}

export class Connection implements ExchangeHost {
  readonly address: string;
  readonly clock: Clock;
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #session: ConnectionSession;
  readonly #listener: string;
  readonly #localAddress: string;
  readonly #reader: FrameReader;
  readonly #exchanges: ExchangeQueue;
  readonly #abort = new AbortController();
  /** Remembers what it may do. */
  #caller: Caller | undefined;
  /** Of the budget for requests. */
  #takenBytes = 0;
  #takeBack: (() => void) | undefined;
  #mutedUntilMs = 0;
  #muteTimer: Timer | undefined;
  #authenticationTimer: Timer | undefined;
  #lastRequestMs: number;
  #isCorked = false;
  #isReading = false;
  #isDraining = false;
  /** Closed in a moment; nothing more is begun or sent. */
  #isEnding = false;
  #isClosed = false;

  constructor(socket: Socket, { listener, address, localAddress, session }: ConnectionPlace, host: ConnectionHost) {
    this.address = address;
    this.clock = host.clock;
    this.#exchanges = new ExchangeQueue(this);
    this.#socket = socket;
    this.#listener = listener;
    this.#localAddress = localAddress;
    this.#session = session;
    this.#host = host;
    this.#reader = new FrameReader(host.limits.requestBytesMax);
    this.#lastRequestMs = host.clock.monotonicMs();
    socket.setNoDelay(true);
    this.#watchProgress();
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.#proceed());
    socket.on("timeout", () => this.#timedOut());
    socket.on("error", (error) => this.close(null, error));
    socket.on("close", () => this.close(null));
    if (!session.principal) {
      const { authenticationMs } = host.limits;
      this.#authenticationTimer = host.clock.after(authenticationMs, () => {
        if (!session.principal) this.close(`it has not authenticated within ${authenticationMs} ms`);
      });
    }
  }

  /** Requests that have been received and are not answered. */
  get inFlight(): number {
    return this.#exchanges.length;
  }

  /** Nothing new is begun; closes when what was begun is answered. */
  drain(): void {
    this.#isDraining = true;
    this.#abort.abort(new MillraceError("SHUTTING_DOWN", "the broker is stopping"));
    this.#closeIfDrained();
  }

  close(reason: string | null, cause?: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#abort.abort(new MillraceError("SHUTTING_DOWN", "the connection is closed"));
    this.#muteTimer?.cancel();
    this.#authenticationTimer?.cancel();
    this.#takeBack?.();
    this.#host.requestMemory.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
    this.#exchanges.close();
    this.#socket.destroy();
    this.#host.closed(this, reason, cause);
  }

  #receive(chunk: Buffer): void {
    this.#reader.feed(chunk);
    this.#isReading = true;
    for (let step = this.#reader.next(); !this.#isClosed; step = this.#reader.next()) {
      if (step.kind === "more") break;
      if (step.kind === "frame" && !this.#session.principal && step.frame.length > saslFrameBytesMax) {
        this.close(`a request of ${step.frame.length} bytes came before it has authenticated`);
        return;
      }
      if (step.kind === "invalid") {
        this.close(reasonOfLength(step.length, this.#host.limits.requestBytesMax));
        return;
      }
      this.#accept(step.frame);
    }
    this.#isReading = false;
    this.#proceed();
  }

  #accept(frame: Buffer): void {
    this.#lastRequestMs = this.#host.clock.monotonicMs();
    if (this.#session.takesRawFrames) {
      this.#acceptRaw(frame);
      return;
    }
    let header: RequestHeader;
    try {
      header = readRequestHeader(frame);
      const answer = this.#host.dispatch.find(header.apiKey, header.apiVersion);
      if (!answer) {
        this.#refuseVersion(header, frame.length);
        return;
      }
      if (!this.#session.mayAsk(header.apiKey)) {
        const isOver = this.#session.principal !== null;
        this.close(
          isOver
            ? "its session is over, and it has not authenticated again"
            : `it asks for ${answer.api.name} before it has authenticated`,
        );
        return;
      }
      const request = decodeRequest(answer.api, header.apiVersion, frame, header.bodyPosition);
      this.#exchanges.push(header, answer, request, frame.length);
    } catch (error) {
      if (!MillraceError.is(error, "REQUEST_MALFORMED")) throw error;
      this.close(`a request cannot be read: ${error.message}`);
    }
  }

  /** A client that asks in an unknown version for what is known is answered with what is known (KIP-511). */
  #refuseVersion(header: RequestHeader, frameBytes: number): void {
    const { apiKey, apiVersion, correlationId } = header;
    if (apiKey !== apiVersions.key) {
      this.close(`it asks for version ${apiVersion} of API ${apiKey}, which is not there`);
      return;
    }
    const chunks = encodeResponseFrame(apiVersions, 0, correlationId, {
      errorCode: kafkaErrors.UNSUPPORTED_VERSION,
      apiKeys: this.#host.dispatch.ownRange(),
    });
    this.#exchanges.push(header, this.#host.dispatch.own, undefined, frameBytes, chunks);
  }

  /** Tokens of SASL without a header, as after SaslHandshake 0. */
  #acceptRaw(frame: Buffer): void {
    const bytes = Buffer.from(frame);
    this.#socket.pause();
    this.#session.authenticateRaw(bytes).then(
      ({ response, isRefused }) => {
        if (this.#isClosed) return;
        if (isRefused) {
          this.#closeLater(`SASL authentication failed`);
          return;
        }
        const length = Buffer.alloc(4);
        length.writeInt32BE(response.length, 0);
        this.#socket.write(Buffer.concat([length, response]));
        this.#proceed();
      },
      (error) => this.close("authentication failed with an error of ours", error),
    );
  }

  isHeldBack(): boolean {
    const isUnsent = this.#socket.writableLength > this.#host.limits.unsentBytesMax;
    return this.#isDraining || this.#isMuted || this.#isEnding || isUnsent;
  }

  contextOf(exchange: Exchange): RequestContext {
    const { apiVersion, correlationId, clientId } = exchange.header;
    const { address } = this;
    const principal = this.#session.principal ?? anonymousPrincipal;
    if (this.#caller?.principal !== principal) this.#caller = this.#host.caller(principal, address);
    const caller = this.#caller;
    return {
      apiVersion,
      correlationId,
      clientId,
      principal,
      address,
      localAddress: this.#localAddress,
      listener: this.#listener,
      signal: this.#abort.signal,
      session: this.#session,
      allows: (verb, kind, name) => caller.allows(verb, kind, name),
      afterSent(release) {
        exchange.afterSent = release;
      },
      throttle: (throttleMs) => this.mute(throttleMs),
      closeAfter(reason) {
        exchange.lastReason = reason;
      },
    };
  }

  worked(context: RequestContext, answer: Answer, workMs: number): void {
    this.mute(this.#host.requestTook(context, answer, workMs));
  }

  failed({ api }: Answer, cause: unknown): void {
    this.close(this.#isDraining ? null : `${api.name} could not be answered`, cause);
  }

  advanced(): void {
    if (!this.#isReading) this.#proceed();
  }

  send(exchange: Exchange): void {
    const { chunks, lastReason } = exchange;
    if (this.#isClosed || this.#isEnding) {
      released(exchange);
      return;
    }
    if (lastReason !== undefined) {
      released(exchange);
      this.#closeLater(lastReason, chunks);
      return;
    }
    if (!chunks) {
      released(exchange);
      return;
    }
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    const last = chunks.length - 1;
    chunks.forEach((chunk, i) => {
      if (i === last && exchange.afterSent) this.#socket.write(chunk, () => released(exchange));
      else this.#socket.write(chunk);
    });
  }

  /** Begins more, and reads on or stops reading by what is held. */
  #proceed(): void {
    if (this.#isClosed) return;
    this.#exchanges.begin();
    if (this.#isClosed || this.#closeIfDrained()) return;
    this.#account();
    const { inFlightMax, unsentBytesMax } = this.#host.limits;
    const isFull = this.#exchanges.length >= inFlightMax || this.#socket.writableLength > unsentBytesMax;
    if (isFull || this.#isMuted || this.#takeBack || this.#isDraining) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  #account(): void {
    const { requestMemory } = this.#host;
    const needed = this.#exchanges.heldBytes + this.#reader.heldBytes;
    if (this.#takeBack) return;
    if (needed <= this.#takenBytes) {
      requestMemory.giveBack(this.#takenBytes - needed);
      this.#takenBytes = needed;
      return;
    }
    const more = needed - this.#takenBytes;
    if (requestMemory.take(more)) {
      this.#takenBytes = needed;
      return;
    }
    this.#takeBack = requestMemory.whenFree(more, () => {
      this.#takeBack = undefined;
      this.#takenBytes += more;
      this.#proceed();
    });
  }

  get #isMuted(): boolean {
    return this.#muteTimer !== undefined;
  }

  /** Leaves the peer alone for so long. */
  mute(throttleMs: number): void {
    if (throttleMs <= 0 || this.#isClosed) return;
    const untilMs = this.#host.clock.monotonicMs() + throttleMs;
    if (untilMs <= this.#mutedUntilMs) return;
    this.#mutedUntilMs = untilMs;
    this.#muteTimer?.cancel();
    this.#muteTimer = this.#host.clock.after(throttleMs, () => {
      this.#muteTimer = undefined;
      this.#proceed();
    });
  }

  #closeIfDrained(): boolean {
    if (!this.#isDraining || !this.#exchanges.areAllWaiting) return false;
    this.#exchanges.close();
    this.#socket.end();
    return true;
  }

  /** Guessing passwords costs time. */
  #closeLater(reason: string, chunks: Buffer[] | null = null): void {
    this.#isEnding = true;
    this.#socket.pause();
    this.#muteTimer?.cancel();
    this.#muteTimer = this.#host.clock.after(this.#host.limits.failedAuthenticationDelayMs, () => {
      for (const chunk of chunks ?? []) this.#socket.write(chunk);
      this.#socket.end(() => this.close(reason));
    });
  }

  #timedOut(): void {
    const { idleMs, stallMs } = this.#host.limits;
    if (this.#socket.writableLength > 0) this.close(`it took nothing of an answer for ${stallMs} ms`);
    else if (this.#reader.isInside) this.close(`a request has not come on for ${stallMs} ms`);
    else if (this.#exchanges.length === 0 && this.#host.clock.monotonicMs() - this.#lastRequestMs >= idleMs)
      this.close(`it was idle for ${idleMs} ms`);
    // The socket says so once, and then only after something has moved again.
    else this.#watchProgress();
  }

  #watchProgress(): void {
    const { idleMs, stallMs } = this.#host.limits;
    this.#socket.setTimeout(Math.min(stallMs, idleMs));
  }
}

/** What other protocols begin with, read as a length. */
function reasonOfLength(length: number, bytesMax: number): string {
  if (length >>> 16 === 0x1603) return "it speaks TLS, and this listener does not";
  const text = Buffer.alloc(4);
  text.writeInt32BE(length, 0);
  if (/^(GET |POST|PUT |HEAD|OPTI|PRI )/.test(text.toString("latin1"))) return "it speaks HTTP, not Kafka's protocol";
  return `a request of ${length} bytes was announced, and ${bytesMax} is the most`;
}
