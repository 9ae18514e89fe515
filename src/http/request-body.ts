/**
 * The body of a request: bounded in bytes (as sent and as decompressed) and in time.
 * Throws `REQUEST_TOO_LARGE`, `REQUEST_TIMEOUT`, `REQUEST_INVALID`, `MEDIA_TYPE_UNSUPPORTED`.
 */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, zstdDecompress } from "node:zlib";
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";

export interface BodyLimits {
  readonly bodyBytesMax: number;
  readonly bodyMs: number;
  /** Told of bytes as they arrive; what it throws refuses the body. */
  readonly onBytes?: (bytes: number) => void;
}

type Decompress = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const encodings: Readonly<Record<string, Decompress>> = {
  gzip: promisify(gunzip) as Decompress,
  "x-gzip": promisify(gunzip) as Decompress,
  deflate: promisify(inflate) as Decompress,
  br: promisify(brotliDecompress) as Decompress,
  zstd: promisify(zstdDecompress) as Decompress,
};

/** What a client may send; told with a 415. */
export const acceptedEncodings = "gzip, deflate, br, zstd";

/** The media type without its parameters, in small letters; a charset other than UTF-8 is refused. */
export function mediaTypeOf(contentType: string | undefined): string {
  const [type = "", ...parameters] = (contentType ?? "").split(";");
  for (const parameter of parameters) {
    const charset = /^\s*charset\s*=\s*"?([^"\s]*)"?\s*$/i.exec(parameter)?.[1];
    if (charset !== undefined && !/^(utf-?8|us-ascii)$/i.test(charset)) {
      throw new MillraceError("MEDIA_TYPE_UNSUPPORTED", `the charset ${JSON.stringify(charset)} is not read here`, {
        hint: "Send UTF-8.",
      });
    }
  }
  return type.trim().toLowerCase();
}

export async function readBody(request: IncomingMessage, limits: BodyLimits, clock: Clock): Promise<Buffer> {
  const encoding = (request.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  const decompress = encoding === "identity" ? null : encodings[encoding];
  if (decompress === undefined) throw encodingRefused(encoding);
  if (Number(request.headers["content-length"] ?? 0) > limits.bodyBytesMax) throw tooLarge(limits);
  const sent = await collect(request, limits, clock);
  if (decompress === null) return sent;
  try {
    return await decompress(sent, { maxOutputLength: limits.bodyBytesMax });
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLarge(limits);
    throw new MillraceError("REQUEST_INVALID", `the body is not ${encoding}`, { cause });
  }
}

export function encodingRefused(encoding: string): MillraceError {
  return new MillraceError("MEDIA_TYPE_UNSUPPORTED", `the encoding ${JSON.stringify(encoding)} is not read here`, {
    hint: `Content-Encoding may be one of ${acceptedEncodings}.`,
    details: { acceptEncoding: acceptedEncodings },
  });
}

/** A body that is JSON and nothing else; `what` and `example` are for the refusal of another one. */
export async function jsonBodyOf(
  call: { readonly headers: IncomingMessage["headers"]; body(limits?: Partial<BodyLimits>): Promise<Buffer> },
  what: string,
  example: string,
  limits: Partial<BodyLimits> = {},
): Promise<unknown> {
  const type = mediaTypeOf(call.headers["content-type"]);
  if (type !== "application/json") {
    throw new MillraceError("MEDIA_TYPE_UNSUPPORTED", `${what} is application/json, not ${JSON.stringify(type)}`, {
      hint: `Send ${example} with Content-Type: application/json.`,
    });
  }
  return jsonOf(textOf(await call.body(limits)));
}

/** UTF-8 text, or `REQUEST_INVALID`. A byte order mark is dropped. */
export function textOf(body: Buffer): string {
  if (!isUtf8(body)) throw new MillraceError("REQUEST_INVALID", "the body is not UTF-8");
  const text = body.toString();
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MillraceError("REQUEST_INVALID", `the body is not JSON: ${reasonOf(cause)}`, { cause });
  }
}

/** The engine's words, on one line. */
export function reasonOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replaceAll(/\s+/g, " ").slice(0, 200);
}

function collect(request: IncomingMessage, limits: BodyLimits, clock: Clock): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const done = (settle: () => void) => {
      timer.cancel();
      request.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onClose);
      settle();
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limits.bodyBytesMax) done(() => reject(tooLarge(limits)));
      else if (hasRoom(chunk.length)) chunks.push(chunk);
    };
    const hasRoom = (more: number) => {
      try {
        limits.onBytes?.(more);
        return true;
      } catch (error) {
        done(() => reject(error));
        return false;
      }
    };
    const onEnd = () => done(() => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes)));
    const onClose = () =>
      done(() => reject(new MillraceError("REQUEST_INVALID", "the connection ended before the body did")));
    const timer = clock.after(limits.bodyMs, () =>
      done(() =>
        reject(
          new MillraceError("REQUEST_TIMEOUT", `the body did not arrive whole within ${limits.bodyMs / 1000} seconds`),
        ),
      ),
    );
    request.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onClose);
    if (request.destroyed) onClose();
  });
}

function tooLarge(limits: BodyLimits): MillraceError {
  return new MillraceError("REQUEST_TOO_LARGE", `the body is larger than ${limits.bodyBytesMax} bytes`, {
    hint: "Send it in several requests.",
    details: { bodyBytesMax: limits.bodyBytesMax },
  });
}
