/**
 * Snappy as Kafka's clients frame it. Java's put a header of snappy-java (xerial) in front of blocks that each have their
 * length before them; librdkafka sends one bare block. Both are read, and Java's form is written, with its blocks of 32 KiB.
 */
import { damagedRecords, tooLargeRecords } from "./compression-faults.ts";
import { readSnappyBlock, snappyBlockBytesMax, snappyContentBytes, writeSnappyBlock } from "./snappy-block.ts";

/** 0x82 `SNAPPY` 0, then version and oldest version that reads it, both 1. */
const header = Buffer.from("82534e41505059000000000100000001", "hex");
const magicBytes = 8;
const blockContentBytes = 32 * 1024;

/** Throws `BATCH_CORRUPT`, and `RECORD_TOO_LARGE` beyond `recordsBytesMax`. */
export function readSnappy(input: Buffer, recordsBytesMax: number): Buffer {
  const framed = input.length >= magicBytes && header.compare(input, 0, magicBytes, 0, magicBytes) === 0;
  // The lengths first: they say how much room it takes, and are held against the bytes there are.
  const contentBytes = framed ? framedContentBytes(input) : snappyContentBytes(input, 0, input.length);
  if (contentBytes < 0) damagedRecords("snappy", "a length that cannot be");
  if (contentBytes > recordsBytesMax) tooLargeRecords(recordsBytesMax);
  const output = Buffer.allocUnsafeSlow(contentBytes);
  let to = 0;
  for (let at = 0; at < input.length; ) {
    if (framed && isHeader(input, at)) {
      at += header.length;
      continue;
    }
    const start = framed ? at + 4 : at;
    const end = framed ? start + input.readUInt32BE(at) : input.length;
    to = readSnappyBlock(input, start, end, output, to);
    if (to < 0) damagedRecords("snappy", "a block");
    at = end;
  }
  return output;
}

export function writeSnappy(content: Buffer): Buffer {
  const blocks = Math.ceil(content.length / blockContentBytes);
  const output = Buffer.allocUnsafeSlow(header.length + blocks * (4 + snappyBlockBytesMax(blockContentBytes)));
  let to = header.copy(output);
  for (let start = 0; start < content.length; start += blockContentBytes) {
    const end = writeSnappyBlock(content, start, Math.min(content.length, start + blockContentBytes), output, to + 4);
    output.writeUInt32BE(end - to - 4, to);
    to = end;
  }
  return output.subarray(0, to);
}

/** Of all blocks together; -1 when a length cannot be. */
function framedContentBytes(input: Buffer): number {
  let contentBytes = 0;
  for (let at = 0; at < input.length; ) {
    if (isHeader(input, at)) {
      at += header.length;
      continue;
    }
    if (input.length - at < 4) return -1;
    const start = at + 4;
    const end = start + input.readUInt32BE(at);
    const blockBytes = end > input.length ? -1 : snappyContentBytes(input, start, end);
    if (blockBytes < 0) return -1;
    contentBytes += blockBytes;
    at = end;
  }
  return contentBytes;
}

/** Streams may follow each other, so a header can come again. Versions are not looked at, as Java's reader takes any from 1. */
function isHeader(input: Buffer, at: number): boolean {
  return input.length - at >= header.length && header.compare(input, at, at + magicBytes, 0, magicBytes) === 0;
}
