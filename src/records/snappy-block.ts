/**
 * The Snappy format (google/snappy, format_description.txt): the content's length, then literals and copies of bytes that
 * were put out before. Reading is for hostile bytes: nothing outside the given bounds is read or written.
 */
import { copyBytes, emptyPlaces, matchEnd, placeOf, repeatBytes, wordAt } from "./matches.ts";

const copyBytesMin = 4;
const copyBytesMax = 64;
const distanceMax = 0xffff;
/** A copy of 64 bytes takes three: no block can hold more than this many times its bytes. */
const expansionMax = 22;

/** What a block takes at most, however badly its content repeats. */
export function snappyBlockBytesMax(inputBytes: number): number {
  return 32 + inputBytes + Math.floor(inputBytes / 6);
}

/** The length that the block `input[start, end)` declares; -1 when it has none, or none that its bytes can hold. */
export function snappyContentBytes(input: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start, scale = 1; at < end && at < start + 5; at++, scale *= 128) {
    const byte = input[at] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value <= (end - start) * expansionMax ? value : -1;
  }
  return -1;
}

/**
 * Reads the block `input[start, end)`, whose content `snappyContentBytes` long fits behind `position` of `output`.
 * Answers the position behind it; -1 when the block is wrong.
 */
export function readSnappyBlock(input: Buffer, start: number, end: number, output: Buffer, position: number): number {
  const contentBytes = snappyContentBytes(input, start, end);
  const outputEnd = position + contentBytes;
  if (contentBytes < 0 || outputEnd > output.length) return -1;
  let from = start + 1;
  while ((input[from - 1] as number) >= 0x80) from++;
  let to = position;
  while (from < end) {
    const tag = input[from++] as number;
    const kind = tag & 3;
    if (kind === 0) {
      let count = tag >>> 2;
      if (count >= 60) {
        const lengthBytes = count - 59;
        if (lengthBytes > end - from) return -1;
        count = input.readUIntLE(from, lengthBytes);
        from += lengthBytes;
      }
      count++;
      if (count > end - from || count > outputEnd - to) return -1;
      to = copyBytes(input, from, from + count, output, to);
      from += count;
      continue;
    }
    const distanceBytes = kind === 3 ? 4 : kind;
    if (distanceBytes > end - from) return -1;
    let count = (tag >>> 2) + 1;
    let distance = input[from] as number;
    if (kind === 1) {
      count = ((tag >>> 2) & 7) + copyBytesMin;
      distance |= (tag >>> 5) << 8;
    } else {
      distance = kind === 2 ? distance | ((input[from + 1] as number) << 8) : input.readUInt32LE(from);
    }
    from += distanceBytes;
    if (distance === 0 || distance > to - position || count > outputEnd - to) return -1;
    to = repeatBytes(output, to, distance, count);
  }
  return to === outputEnd ? to : -1;
}

/**
 * Writes `input[start, end)` as one block from `position` of `output` on, where there must be room for
 * `snappyBlockBytesMax`. Greedy, with one candidate a place. Answers the position behind it.
 */
export function writeSnappyBlock(input: Buffer, start: number, end: number, output: Buffer, position: number): number {
  const places = emptyPlaces();
  let to = position;
  let left = end - start;
  for (; left >= 0x80; left >>>= 7) output[to++] = (left & 0x7f) | 0x80;
  output[to++] = left;
  let anchor = start;
  let at = start;
  let misses = 0;
  while (at < end - copyBytesMin) {
    const word = wordAt(input, at);
    const place = placeOf(word);
    const candidate = places[place] as number;
    places[place] = at;
    if (candidate < 0 || at - candidate > distanceMax || wordAt(input, candidate) !== word) {
      // What does not repeat is gone through in growing steps.
      at += 1 + (misses++ >> 5);
      continue;
    }
    misses = 0;
    const behind = matchEnd(input, candidate + copyBytesMin, at + copyBytesMin, end);
    to = writeLiterals(input, anchor, at, output, to);
    to = writeCopies(output, to, at - candidate, behind - at);
    at = anchor = behind;
  }
  return writeLiterals(input, anchor, end, output, to);
}

function writeLiterals(input: Buffer, start: number, end: number, output: Buffer, position: number): number {
  if (start === end) return position;
  const last = end - start - 1;
  let to = position;
  if (last < 60) {
    output[to++] = last << 2;
  } else {
    const lengthBytes = last < 0x100 ? 1 : last < 0x10000 ? 2 : last < 0x1000000 ? 3 : 4;
    output[to++] = (59 + lengthBytes) << 2;
    to = output.writeUIntLE(last, to, lengthBytes);
  }
  return copyBytes(input, start, end, output, to);
}

function writeCopies(output: Buffer, position: number, distance: number, count: number): number {
  let to = position;
  let left = count;
  while (left > 0) {
    // What is left over must still be long enough to be a copy.
    const step = left <= copyBytesMax ? left : Math.min(copyBytesMax, left - copyBytesMin);
    if (step < 12 && distance < 0x800) {
      output[to++] = 1 | ((step - copyBytesMin) << 2) | ((distance >>> 8) << 5);
    } else {
      output[to++] = 2 | ((step - 1) << 2);
    }
    output[to++] = distance & 0xff;
    if (step >= 12 || distance >= 0x800) output[to++] = distance >>> 8;
    left -= step;
  }
  return to;
}
