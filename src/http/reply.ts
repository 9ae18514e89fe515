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
  /** Of the guard. */
  readonly cors: Readonly<Record<string, string>>;
  /** The connection ends with the answer. */
  readonly closes: boolean;
}

type BodyReply = Extract<Reply, { kind: "body" }>;

/** Names and values in turn, as Node takes them without looking for what was set before. */
type HeaderList = string[];

/** Hands the answer to the socket: at once, or, where it is compressed first, when that is done. */
export function writeBody(
  response: ServerResponse,
  reply: BodyReply,
  context: AnswerContext,
  gzipBytesMin: number,
): Promise<void> | undefined {
  const { status, type, body } = reply;
  const isUnchanged = matches(context, reply.headers?.etag);
  if (isUnchanged || type === null) {
    response.writeHead(isUnchanged ? 304 : status, headersOf(reply, context)).end();
    return undefined;
  }
  const bytes = Buffer.byteLength(body);
  if (bytes >= gzipBytesMin && gzipPays(type, context)) return writeCompressed(response, reply, type, context);
  const headers = headersOf(reply, context);
  headers.push("content-type", type, "content-length", String(bytes));
  // A text goes out together with the head, in one write.
  response.writeHead(status, headers).end(context.method === "HEAD" ? undefined : body);
  return undefined;
}

async function writeCompressed(
  response: ServerResponse,
  reply: BodyReply,
  type: string,
  context: AnswerContext,
): Promise<void> {
  const body = await compress(reply.body, { level: constants.Z_BEST_SPEED });
  if (response.destroyed) return;
  const headers = headersOf(reply, context, "Accept-Encoding");
  headers.push("content-type", type, "content-encoding", "gzip", "content-length", String(body.length));
  response.writeHead(reply.status, headers).end(context.method === "HEAD" ? undefined : body);
}

/** All but those of the body; `varies` is what the answer depends on beside what the reply and the guard name. */
function headersOf({ headers = {} }: BodyReply, { cors, closes }: AnswerContext, varies?: string): HeaderList {
  const list: HeaderList = ["x-content-type-options", "nosniff"];
  if (closes) list.push("connection", "close");
  if (headers["cache-control"] === undefined) list.push("cache-control", "no-store");
  for (const name in headers) if (name !== "vary") list.push(name, headers[name] as string);
  for (const name in cors) if (name !== "vary") list.push(name, cors[name] as string);
  const vary = headers.vary ?? cors.vary ?? varies;
  if (vary !== undefined)
    list.push("vary", [headers.vary, cors.vary, varies].filter((one) => one !== undefined).join(", "));
  return list;
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

function matches({ method, headers }: AnswerContext, etag: string | undefined): boolean {
  const wanted = headers["if-none-match"];
  if (etag === undefined || wanted === undefined || (method !== "GET" && method !== "HEAD")) return false;
  const weak = (tag: string) => tag.trim().replace(/^W\//, "");
  return wanted.trim() === "*" || wanted.split(",").some((tag) => weak(tag) === weak(etag));
}

/** On this machine bytes are free and the processor is not; behind a proxy on it they are not free after all. */
function gzipPays(type: string, { headers, peer }: AnswerContext): boolean {
  if (!/^(text\/|application\/(json|problem\+json|javascript|x-ndjson|vnd\.pgrst\.object\+json))/.test(type))
    return false;
  const accepted = (headers["accept-encoding"] ?? "")
    .split(",")
    .some((one) => /^\s*(gzip|\*)\s*($|;)/i.test(one) && !/;\s*q=0(\.0*)?\s*$/i.test(one));
  if (!accepted) return false;
  const local = isLoopbackHost(peer.replace(/^::ffff:/, ""));
  return !local || headers["x-forwarded-for"] !== undefined || headers.forwarded !== undefined;
}
