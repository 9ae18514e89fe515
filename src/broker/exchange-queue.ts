/**
 * The requests of one connection that are not answered yet, in their order: which may begin, and which answers may go out.
 *
 * Always true: answers leave in the order of the requests. A request is begun when all before it are answered, or when it and all
 * that are not are `pipelined`. What a handler wants to have released is released once, whatever becomes of the answer.
 * Not here: the socket, and what holds a connection back.
 */
import type { Clock } from "../base/clock.ts";
import { encodeResponseFrame, type RequestHeader } from "../kafka/frames.ts";
import type { Answer, RequestContext } from "./handler.ts";

export interface Exchange {
  readonly frameBytes: number;
  readonly header: RequestHeader;
  readonly answer: Answer;
  request: unknown;
  state: "waiting" | "running" | "done";
  /** Of a done one; null for no answer at all. */
  chunks: Buffer[] | null;
  afterSent: (() => void) | undefined;
  /** Why the connection is closed behind it. */
  lastReason: string | undefined;
}

export interface ExchangeHost {
  readonly clock: Clock;
  /** Nothing more may begin now. */
  isHeldBack(): boolean;
  contextOf(exchange: Exchange): RequestContext;
  /** How long a request kept the processor: what it waited for others does not count. */
  worked(context: RequestContext, answer: Answer, workMs: number): void;
  /** In the order of the requests. */
  send(exchange: Exchange): void;
  failed(answer: Answer, cause: unknown): void;
  /** Something was answered. */
  advanced(): void;
}

export class ExchangeQueue {
  readonly #host: ExchangeHost;
  readonly #exchanges: Exchange[] = [];
  #heldBytes = 0;
  #isClosed = false;

  constructor(host: ExchangeHost) {
    this.#host = host;
  }

  get length(): number {
    return this.#exchanges.length;
  }

  /** Of the frames of all requests that are here. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  get areAllWaiting(): boolean {
    return this.#exchanges.every(({ state }) => state === "waiting");
  }

  /** With `chunks` it is answered already, and only waits for its turn. */
  push(
    header: RequestHeader,
    answer: Answer,
    request: unknown,
    frameBytes: number,
    chunks: Buffer[] | null = null,
  ): void {
    this.#exchanges.push({
      frameBytes,
      header,
      answer,
      request,
      state: "waiting",
      chunks,
      afterSent: undefined,
      lastReason: undefined,
    });
    this.#heldBytes += frameBytes;
    this.begin();
  }

  /** Begins what may be begun, in order. */
  begin(): void {
    let arePipelined = true;
    for (const exchange of this.#exchanges) {
      if (exchange.state === "waiting") {
        const isFirst = exchange === this.#exchanges[0];
        if (!isFirst && !(arePipelined && exchange.answer.pipelined)) return;
        if (this.#isClosed || this.#host.isHeldBack()) return;
        this.#run(exchange);
      }
      arePipelined &&= exchange.answer.pipelined;
    }
  }

  /** Nothing more is sent; what still runs runs for nobody. */
  close(): void {
    this.#isClosed = true;
    for (const exchange of this.#exchanges) released(exchange);
    this.#exchanges.length = 0;
    this.#heldBytes = 0;
  }

  #run(exchange: Exchange): void {
    exchange.state = "running";
    const { answer, request } = exchange;
    exchange.request = undefined;
    if (exchange.chunks) {
      this.#finish(exchange);
      return;
    }
    const context = this.#host.contextOf(exchange);
    const beganMs = this.#host.clock.monotonicMs();
    const failed = (cause: unknown): void => {
      released(exchange);
      if (!this.#isClosed) this.#host.failed(answer, cause);
    };
    try {
      const response = answer.handle(request, context);
      const workMs = this.#host.clock.monotonicMs() - beganMs;
      const done = (answered: unknown) => this.#answered(exchange, answered, context, workMs);
      if (response instanceof Promise) response.then(done).catch(failed);
      else done(response);
    } catch (cause) {
      failed(cause);
    }
  }

  #answered(exchange: Exchange, response: unknown, context: RequestContext, workMs: number): void {
    if (this.#isClosed) {
      released(exchange);
      return;
    }
    const { answer, header } = exchange;
    const beganMs = this.#host.clock.monotonicMs();
    if (response !== null) {
      exchange.chunks = encodeResponseFrame(answer.api, header.apiVersion, header.correlationId, response as never);
    }
    this.#host.worked(context, answer, workMs + this.#host.clock.monotonicMs() - beganMs);
    this.#finish(exchange);
  }

  #finish(exchange: Exchange): void {
    exchange.state = "done";
    while (this.#exchanges[0]?.state === "done") {
      const done = this.#exchanges.shift() as Exchange;
      this.#heldBytes -= done.frameBytes;
      this.#host.send(done);
    }
    this.#host.advanced();
  }
}

/** Runs what the handler wants to have run, once. */
export function released(exchange: Exchange): void {
  const release = exchange.afterSent;
  exchange.afterSent = undefined;
  release?.();
}
