/**
 * The body of a request piece by piece, decompressed, as it arrives: what is not asked for is not read from the socket, so
 * that a body of any size takes no more memory than its reader holds. Throws `REQUEST_TIMEOUT` when nothing came for
 * `bodyMs`, `REQUEST_INVALID` when the connection ends before the body does, `MEDIA_TYPE_UNSUPPORTED`.
 */
import type { IncomingMessage } from "node:http";
import type { Readable, Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { type BodyLimits, encodingRefused } from "./request-body.ts";

const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

export async function* bodyPieces(
  request: IncomingMessage,
  { bodyMs }: Pick<BodyLimits, "bodyMs">,
  clock: Clock,
): AsyncGenerator<Buffer, void> {
  const encoding = (request.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  const decoder = encoding === "identity" ? null : decoders[encoding];
  if (decoder === undefined) throw encodingRefused(encoding);
  const source: Readable = decoder === null ? request : decodedBy(decoder(), request);
  // The answer still needs the socket when the reader stops early.
  const pieces = source.iterator({ destroyOnReturn: false });
  for (;;) {
    const { value, done } = await inTime(pieces.next(), bodyMs, clock).catch((cause) => {
      if (MillraceError.is(cause)) throw cause;
      if (request.destroyed && !request.complete) throw cutOff(cause);
      throw new MillraceError("REQUEST_INVALID", `the body is not ${encoding}`, { cause });
    });
    if (done) break;
    yield value as Buffer;
  }
  if (!request.complete) throw cutOff(undefined);
}

/** What is wrong with the encoding ends the decoder alone: the answer still needs the socket. */
function decodedBy(decoder: Transform, request: IncomingMessage): Transform {
  request.once("close", () => {
    if (!request.complete) decoder.destroy(cutOff(undefined));
  });
  return request.pipe(decoder);
}

function inTime<T>(next: Promise<T>, bodyMs: number, clock: Clock): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(bodyMs, () => {
      const message = `nothing more of the body arrived within ${bodyMs / 1000} seconds`;
      reject(new MillraceError("REQUEST_TIMEOUT", message));
    });
    next.then(resolve, reject).finally(() => timer.cancel());
  });
}

function cutOff(cause: unknown): MillraceError {
  return new MillraceError("REQUEST_INVALID", "the connection ended before the body did", { cause });
}
