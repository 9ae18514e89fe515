/**
 * What answers one API of the Kafka protocol. A part of the door exports a list of these; the door's table is made of
 * all lists (`broker-door.ts`), and what is not in it is not advertised.
 *
 * A handler answers what a client did wrong with an error code in the response. What it throws closes the connection, and
 * is told in the diagnostics: a client then asks again.
 */
import type { NounKind, Verb } from "../access/access-rules.ts";
import type { Api, RequestOf, ResponseInput } from "../kafka/fields.ts";
import type { ConnectionSession } from "./session.ts";

export interface RequestContext {
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  /** `User:alice`; `User:ANONYMOUS` where nobody authenticates. */
  readonly principal: string;
  /** Of the peer, without its port. */
  readonly address: string;
  /** The listener's name, as in `PLAINTEXT`. */
  readonly listener: string;
  /** The address that the peer has connected to; under TLS the name, where it told one. */
  readonly localAddress: string;
  /** Aborted when the connection is gone or the door closes. */
  readonly signal: AbortSignal;
  readonly session: ConnectionSession;
  allows(verb: Verb, kind: NounKind, name: string): boolean;
  /** Runs once, when the answer has been handed to the system, or the connection is gone. */
  afterSent(release: () => void): void;
  /** Nothing more of this connection is begun for so long (KIP-219). */
  throttle(throttleMs: number): void;
  /** The connection is closed behind the answer, after a pause: guessing passwords costs time. */
  closeAfter(reason: string): void;
}

export type Handler<A extends Api> = (
  request: RequestOf<A>,
  context: RequestContext,
) => ResponseInput<A> | null | Promise<ResponseInput<A> | null>;

export interface AnswerOptions {
  /**
   * The next request of the connection may begin before this one is answered, as far as it allows the same; answers keep
   * their order. For handlers that do what must be in order before they first wait.
   */
  readonly pipelined?: boolean;
}

/** An entry of the table. Null for an answer is none at all (`acks=0`). */
export interface Answer {
  readonly api: Api;
  readonly handle: (request: unknown, context: RequestContext) => unknown;
  readonly pipelined: boolean;
}

export function answers<A extends Api>(api: A, handler: Handler<A>, options: AnswerOptions = {}): Answer {
  return {
    api,
    handle: handler as (request: unknown, context: RequestContext) => unknown,
    pipelined: options.pipelined ?? false,
  };
}
