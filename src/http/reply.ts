/** Writes an answer: HEAD without a body, `304` for what the client has, gzip where it pays. */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import { isLoopbackHost } from "./guard.ts";
import type { Reply } from "./route.ts";

const compress = promisify(gzip);

export interface AnswerContext {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly peer: string;
  readonly gzipBytesMin: number;
  /** Of the guard. */
  readonly cors: Readonly<Record<string, string>>;
}

/** Hands the answer to the socket: at once, or, where it is compressed first, when that is done. */
export function writeBody(
  response: ServerResponse,
  reply: Extract<Reply, { kind: "body" }>,
  context: AnswerContext,
): Promise<void> | undefined {
  const headers: Record<string, string | number> = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...reply.headers,
    ...context.cors,
  };
  if (reply.headers?.vary !== undefined) vary(headers, reply.headers.vary, context.cors.vary);
  if (matches(context, headers.etag)) {
    response.writeHead(304, headers).end();
    return undefined;
  }
  if (reply.type === null) {
    response.writeHead(reply.status, headers).end();
    return undefined;
  }
  headers["content-type"] = reply.type;
  const bytes = Buffer.byteLength(reply.body);
  if (gzipPays(bytes, reply.type, context)) return writeCompressed(response, reply, headers, context.method);
  headers["content-length"] = bytes;
  // A text goes out together with the head, in one write.
  response.writeHead(reply.status, headers).end(context.method === "HEAD" ? undefined : reply.body);
  return undefined;
}

async function writeCompressed(
  response: ServerResponse,
  reply: Extract<Reply, { kind: "body" }>,
  headers: Record<string, string | number>,
  method: string,
): Promise<void> {
  headers["content-encoding"] = "gzip";
  vary(headers, String(headers.vary ?? ""), "Accept-Encoding");
  const body = await compress(reply.body, { level: constants.Z_BEST_SPEED });
  if (response.destroyed) return;
  headers["content-length"] = body.length;
  response.writeHead(reply.status, headers).end(method === "HEAD" ? undefined : body);
}

function vary(headers: Record<string, string | number>, ...names: readonly (string | undefined)[]): void {
  headers.vary = names.filter((one) => one !== undefined && one !== "").join(", ");
}

/** A feed's head. */
export function writeFeedHead(response: ServerResponse, context: AnswerContext): void {
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // Proxies that understand it hold nothing back.
    "x-accel-buffering": "no",
    // When a feed ends, so does its connection: it holds a place.
    connection: "close",
    ...context.cors,
  });
}

function matches({ method, headers }: AnswerContext, etag: string | number | undefined): boolean {
  const wanted = headers["if-none-match"];
  if (etag === undefined || wanted === undefined || (method !== "GET" && method !== "HEAD")) return false;
  const weak = (tag: string) => tag.trim().replace(/^W\//, "");
  return wanted.trim() === "*" || wanted.split(",").some((tag) => weak(tag) === weak(String(etag)));
}

/** On this machine bytes are free and the processor is not; behind a proxy on it they are not free after all. */
function gzipPays(bytes: number, type: string, { headers, peer, gzipBytesMin }: AnswerContext): boolean {
  if (
    bytes < gzipBytesMin ||
    !/^(text\/|application\/(json|problem\+json|javascript|x-ndjson|vnd\.pgrst\.object\+json))/.test(type)
  )
    return false;
  const accepted = (headers["accept-encoding"] ?? "")
    .split(",")
    .some((one) => /^\s*(gzip|\*)\s*($|;)/i.test(one) && !/;\s*q=0(\.0*)?\s*$/i.test(one));
  if (!accepted) return false;
  const local = isLoopbackHost(peer.replace(/^::ffff:/, ""));
  return !local || headers["x-forwarded-for"] !== undefined || headers.forwarded !== undefined;
}
