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

/** Resolves when the answer was handed to the socket. */
export async function writeBody(
  response: ServerResponse,
  reply: Extract<Reply, { kind: "body" }>,
  context: AnswerContext,
): Promise<void> {
  const headers: Record<string, string | number> = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...reply.headers,
    ...context.cors,
  };
  if (matches(context, headers.etag)) {
    response.writeHead(304, headers).end();
    return;
  }
  if (reply.type === null) {
    response.writeHead(reply.status, headers).end();
    return;
  }
  headers["content-type"] = reply.type;
  // A text goes out together with the head, in one write.
  let body = reply.body;
  let bytes = Buffer.byteLength(body);
  if (gzipPays(bytes, reply.type, context)) {
    headers["content-encoding"] = "gzip";
    headers.vary = headers.vary === undefined ? "Accept-Encoding" : `${headers.vary}, Accept-Encoding`;
    body = await compress(body, { level: constants.Z_BEST_SPEED });
    bytes = body.length;
    if (response.destroyed) return;
  }
  headers["content-length"] = bytes;
  response.writeHead(reply.status, headers).end(context.method === "HEAD" ? undefined : body);
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
  if (bytes < gzipBytesMin || !/^(text\/|application\/(json|problem\+json|javascript))/.test(type)) return false;
  const accepted = (headers["accept-encoding"] ?? "")
    .split(",")
    .some((one) => /^\s*(gzip|\*)\s*($|;)/i.test(one) && !/;\s*q=0(\.0*)?\s*$/i.test(one));
  if (!accepted) return false;
  const local = isLoopbackHost(peer.replace(/^::ffff:/, ""));
  return !local || headers["x-forwarded-for"] !== undefined || headers.forwarded !== undefined;
}
