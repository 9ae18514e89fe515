/** One request as its handler sees it. What costs something is made when it is asked for: most handlers ask for little. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../base/clock.ts";
import type { Caller } from "../views/policy/caller.ts";
import { bodyPieces } from "./body-pieces.ts";
import type { Guard } from "./guard.ts";
import type { QueryParameter } from "./query-string.ts";
import type { AnswerContext } from "./reply.ts";
import { type BodyLimits, readBody } from "./request-body.ts";
import type { Call } from "./route.ts";

/** A signal that is made when somebody asks for it. */
export class Abort {
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#controller?.abort(reason);
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#reason) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }
}

/** A request and its answer on their connection, and what is known of it so far. */
export interface Exchange extends AnswerContext {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted when the peer is gone or the door closes. */
  readonly abort: Abort;
  readonly awaitsContinue: boolean;
  cors: Readonly<Record<string, string>>;
  closes: boolean;
  /** Of the route's path; none before one is found. */
  route: string;
  isFeed: boolean;
}

/** Of the door, the same for all requests. */
export interface CallTools {
  readonly guard: Guard;
  readonly limits: BodyLimits;
  readonly clock: Clock;
  isClosing(): boolean;
}

export class RequestCall implements Call {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly segments: Readonly<Record<string, string>>;
  readonly query: readonly QueryParameter[];
  readonly search: string;
  readonly caller: Caller;
  readonly #exchange: Exchange;
  readonly #tools: CallTools;

  constructor(exchange: Exchange, tools: CallTools, target: Pick<Call, "segments" | "query" | "search" | "caller">) {
    this.method = exchange.method;
    this.headers = exchange.headers;
    this.segments = target.segments;
    this.query = target.query;
    this.search = target.search;
    this.caller = target.caller;
    this.#exchange = exchange;
    this.#tools = tools;
  }

  get trusted(): boolean {
    return this.#tools.guard.holdsKey(this.headers);
  }

  get signal(): AbortSignal {
    return this.#exchange.abort.signal;
  }

  closing(): boolean {
    return this.#tools.isClosing();
  }

  guard(): void {
    this.#tools.guard.admit(this.method, this.headers);
  }

  pieces(): AsyncGenerator<Buffer, void> {
    this.#continue();
    return bodyPieces(this.#exchange.request, this.#tools.limits, this.#tools.clock);
  }

  body(limits?: Partial<BodyLimits>): Promise<Buffer> {
    this.#continue();
    const { limits: all, clock } = this.#tools;
    return readBody(this.#exchange.request, limits ? { ...all, ...limits } : all, clock);
  }

  #continue(): void {
    if (this.#exchange.awaitsContinue) this.#exchange.response.writeContinue();
  }
}
