/**
 * The LZ4 block format (Yann Collet, "LZ4 Block Format Description"): literals, then a match, and so on; a match repeats
 * bytes that were put out before. Reading is for hostile bytes: nothing outside the given bounds is read or written.
 */
import { copyBytes, emptyPlaces, matchEnd, placeOf, repeatBytes, wordAt } from "./matches.ts";

/** What is wrong with a block, instead of a position. */
export const blockDamaged = -1;
export const blockTooLarge = -2;

const matchBytesMin = 4;
/** Rules of the format: the last bytes of a block are literals, and no match begins in its last 12. */
const lastLiteralsBytes = 5;
const matchFreeBytes = 12;
const distanceMax = 0xffff;

/** What a block takes at most, however badly its content repeats. */
export function lz4BlockBytesMax(inputBytes: number): number {
  return inputBytes + Math.floor(inputBytes / 255) + 16;
}

/**
 * Reads the block `input[start, end)` into `output` from `position` on, never past `outputEnd`; matches reach back to
 * `history` at most. Answers the position behind what it wrote, or one of the two faults.
 */
export function readLz4Block(
  input: Buffer,
  start: number,
  end: number,
  output: Buffer,
  position: number,
  outputEnd: number,
  history: number,
): number {
  let from = start;
  let to = position;
  while (from < end) {
    const token = input[from++] as number;
    let literals = token >>> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (from >= end) return blockDamaged;
        more = input[from++] as number;
        literals += more;
      }
    }
    if (literals > end - from) return blockDamaged;
    if (literals > outputEnd - to) return blockTooLarge;
    to = copyBytes(input, from, from + literals, output, to);
    from += literals;
    // Only the last sequence has no match.
    if (from === end) return to;
    if (end - from < 2) return blockDamaged;
    const distance = (input[from] as number) | ((input[from + 1] as number) << 8);
    from += 2;
    if (distance === 0 || distance > to - history) return blockDamaged;
    let matched = (token & 15) + matchBytesMin;
    if (matched === 15 + matchBytesMin) {
      let more = 255;
      while (more === 255) {
        if (from >= end) return blockDamaged;
        more = input[from++] as number;
        matched += more;
      }
    }
    if (matched > outputEnd - to) return blockTooLarge;
    to = repeatBytes(output, to, distance, matched);
  }
  return blockDamaged;
}

/**
 * Writes `input[start, end)` as one block that needs no other, from `position` of `output` on, where there must be room
 * for `lz4BlockBytesMax`. Greedy, with one candidate a place. Answers the position behind it.
 */
export function writeLz4Block(input: Buffer, start: number, end: number, output: Buffer, position: number): number {
  const places = emptyPlaces();
  let to = position;
  let anchor = start;
  let at = start;
  let misses = 0;
  while (at < end - matchFreeBytes) {
    const word = wordAt(input, at);
    const place = placeOf(word);
    const candidate = places[place] as number;
    places[place] = at;
    if (candidate < 0 || at - candidate > distanceMax || wordAt(input, candidate) !== word) {
      // What does not repeat is gone through in growing steps.
      at += 1 + (misses++ >> 6);
      continue;
    }
    misses = 0;
    const behind = matchEnd(input, candidate + matchBytesMin, at + matchBytesMin, end - lastLiteralsBytes);
    const length = behind - at - matchBytesMin;
    to = writeLiterals(input, anchor, at, output, to, Math.min(length, 15));
    output[to++] = (at - candidate) & 0xff;
    output[to++] = (at - candidate) >>> 8;
    if (length >= 15) to = writeMore(output, to, length - 15);
    at = anchor = behind;
  }
  return writeLiterals(input, anchor, end, output, to, 0);
}

/** The token too; `matchBits` are those of the match that follows. */
function writeLiterals(
  input: Buffer,
  start: number,
  end: number,
  output: Buffer,
  position: number,
  matchBits: number,
): number {
  const count = end - start;
  let to = position;
  output[to++] = (Math.min(count, 15) << 4) | matchBits;
  if (count >= 15) to = writeMore(output, to, count - 15);
  return copyBytes(input, start, end, output, to);
}

function writeMore(output: Buffer, position: number, rest: number): number {
  let to = position;
  let left = rest;
  for (; left >= 255; left -= 255) output[to++] = 255;
  output[to++] = left;
  return to;
}
