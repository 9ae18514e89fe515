/**
 * The codecs of record batches: gzip, snappy, lz4 and zstd, as Kafka's clients write them. Reading is for hostile bytes:
 * whatever they are, it answers or throws `BATCH_CORRUPT`, or `RECORD_TOO_LARGE` where the content goes beyond the limit
 * that the caller hands in, and takes memory in proportion to the limit at most.
 */
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { MillraceError } from "../base/errors.ts";
import { damagedRecords, tooLargeRecords } from "./compression-faults.ts";
import { readLz4, writeLz4 } from "./lz4-frames.ts";
import { readSnappy, writeSnappy } from "./snappy-frames.ts";

/** As they stand in a batch's attributes. */
export const codec = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;
export type Codec = (typeof codec)[keyof typeof codec];
export const codecMax = codec.zstd;

/** What the records of one batch may take uncompressed, unless the caller says otherwise: as much as the largest `batchBytesMax`. */
export const recordsBytesLimit = 128 * 1024 * 1024;

/** `codecNumber` is of a batch's attributes; `bytes` are what follows its header. The caller owns the answer. */
export function decompressRecords(bytes: Buffer, codecNumber: number, recordsBytesMax = recordsBytesLimit): Buffer {
  switch (codecNumber) {
    case codec.none:
      return bytes;
    case codec.gzip:
      return inflated("gzip", gunzipSync, bytes, recordsBytesMax);
    case codec.snappy:
      return readSnappy(bytes, recordsBytesMax);
    case codec.lz4:
      return readLz4(bytes, recordsBytesMax);
    case codec.zstd:
      return inflated("zstd", zstdDecompressSync, bytes, recordsBytesMax);
    default:
      throw unknownCodec(codecNumber);
  }
}

/** Throws `RECORD_INVALID` for a codec that is not known. */
export function compressRecords(bytes: Buffer, codecNumber: number): Buffer {
  switch (codecNumber) {
    case codec.none:
      return bytes;
    case codec.gzip:
      return gzipSync(bytes);
    case codec.snappy:
      return writeSnappy(bytes);
    case codec.lz4:
      return writeLz4(bytes);
    case codec.zstd:
      return zstdCompressSync(bytes, { pledgedSrcSize: bytes.length });
    default:
      throw unknownCodec(codecNumber);
  }
}

export function unknownCodec(codecNumber: number): MillraceError {
  return new MillraceError("RECORD_INVALID", `record batches of codec ${codecNumber} are not known`, {
    hint: "Compress with gzip, snappy, lz4 or zstd, or not at all.",
    details: { codec: codecNumber },
  });
}

const chunkBytesMin = 16 * 1024;
const chunkBytesMax = 1024 * 1024;

/** With `info` these answer an object, which their types do not say. */
type Inflate = (bytes: Buffer, options: object) => unknown;

function inflated(name: "gzip" | "zstd", inflate: Inflate, bytes: Buffer, recordsBytesMax: number): Buffer {
  const chunkSize = Math.min(chunkBytesMax, Math.max(chunkBytesMin, bytes.length * 4));
  let answer: { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } };
  try {
    answer = inflate(bytes, { maxOutputLength: recordsBytesMax, chunkSize, info: true }) as typeof answer;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") tooLargeRecords(recordsBytesMax);
    damagedRecords(name, (cause as Error).message, cause);
  }
  if (answer.engine.bytesWritten !== bytes.length) damagedRecords(name, "bytes behind its end");
  return answer.buffer;
}
