/**
 * A route as data: what the router matches, what `/openapi.json` tells, and the function that answers. A handler
 * answers a value, or throws a `MillraceError`; sockets, encodings and errors are the door's.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { ErrorCode } from "../base/error-codes.ts";
import type { Feed } from "../feeds/feed.ts";
import type { Caller } from "../views/policy/caller.ts";
import type { QueryParameter } from "./query-string.ts";
import type { BodyLimits } from "./request-body.ts";

/** JSON Schema 2020-12, as OpenAPI 3.1 takes it. */
export type Schema = Readonly<Record<string, unknown>>;
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface Parameter {
  readonly name: string;
  readonly in: "query" | "header";
  readonly about: string;
  readonly schema: Schema;
}

export interface Route {
  readonly method: Method;
  /** `/v1/topics/{topic}`; a segment is a literal or one parameter. */
  readonly path: string;
  /** The name of the operation in the OpenAPI document, for generated clients. */
  readonly operation: string;
  readonly about: string;
  /** `open` needs no key; `signed` neither a key nor an origin that is known, for its handler verifies the call. */
  readonly access: "open" | "key" | "signed";
  /** The key is also taken as the password of HTTP Basic, for clients that know nothing else. */
  readonly basic?: true;
  /** Who has a caller's token needs no key: the handler shows it what the policies of views let it see. */
  readonly callers?: true;
  readonly parameters: readonly Parameter[];
  /** Query parameters of any name are taken: columns. */
  readonly openQuery?: true;
  /** Schema by media type. */
  readonly body?: Readonly<Record<string, Schema>>;
  readonly bodyRequired?: boolean;
  /** By status; a null schema has no body. */
  readonly answers: Readonly<
    Record<
      number,
      {
        readonly about: string;
        readonly type?: string;
        readonly schema?: Schema;
        /** Other media types that Accept can ask for. */
        readonly also?: Readonly<Record<string, Schema>>;
      }
    >
  >;
  readonly errors: readonly ErrorCode[];
  readonly handle: (call: Call) => Promise<Reply> | Reply;
}

/** One request, as a handler sees it. */
export interface Call {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** As they stand in the path, still percent-encoded. */
  readonly segments: Readonly<Record<string, string>>;
  readonly query: readonly QueryParameter[];
  /** True when the request holds the key, or none is needed. */
  readonly trusted: boolean;
  /** For whom rows of views are read; of routes with `callers` alone anybody else than anyone. */
  readonly caller: Caller;
  /** Aborted when the client has gone, or the door closes. */
  readonly signal: AbortSignal;
  /** True when the door closes: what waits should answer what it has. */
  closing(): boolean;
  /** Throws as `readBody` says. */
  body(limits?: Partial<BodyLimits>): Promise<Buffer>;
  /** The body as it arrives, of any size; to be asked for once. Throws as `bodyPieces` says. */
  pieces(): AsyncGenerator<Buffer, void>;
  /** The query as it was sent, without its question mark. */
  readonly search: string;
  /** For routes with `access: "signed"`: what the door asks of every other request. Throws `REQUEST_FORBIDDEN`. */
  guard(): void;
}

export type Reply =
  | {
      readonly kind: "body";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      /** The media type; null has no body. */
      readonly type: string | null;
      readonly body: string | Buffer;
    }
  | {
      readonly kind: "feed";
      readonly of: FeedKind;
      /** Called once there is room for it; what it throws is still answered with a status. The feed ends with the signal. */
      readonly open: (signal: AbortSignal) => Promise<Feed>;
    };

export type FeedKind = "topic" | "view";

export function json(value: unknown, status = 200, headers?: Readonly<Record<string, string>>): Reply {
  return jsonText(JSON.stringify(value), status, headers);
}

/** JSON that is text already. */
export function jsonText(body: string, status = 200, headers: Readonly<Record<string, string>> = {}): Reply {
  return { kind: "body", status, type: "application/json", body, headers };
}

export function text(body: string, type = "text/plain; charset=utf-8"): Reply {
  return { kind: "body", status: 200, type, body };
}

export function empty(status: number, headers?: Readonly<Record<string, string>>): Reply {
  return { kind: "body", status, type: null, body: "", ...(headers ? { headers } : {}) };
}
