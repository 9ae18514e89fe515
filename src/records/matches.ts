/** What Snappy and LZ4 share: both put out bytes again that were put out before, and look for them by their first four. */

/** Below this many bytes a loop is faster than a call. */
export const callBytesMin = 48;

/** Puts `count` bytes again that begin `distance` before `position`; they may overlap. Answers the position behind them. */
export function repeatBytes(output: Buffer, position: number, distance: number, count: number): number {
  const stop = position + count;
  let to = position;
  if (count < callBytesMin) {
    for (let from = position - distance; to < stop; ) output[to++] = output[from++] as number;
    return stop;
  }
  // Where the match overlaps itself, what can be copied doubles with every step.
  const from = position - distance;
  while (to < stop) {
    const step = Math.min(to - from, stop - to);
    output.copyWithin(to, from, from + step);
    to += step;
  }
  return stop;
}

/** Copies `input[start, end)`; there must be room. Answers the position behind it. */
export function copyBytes(input: Buffer, start: number, end: number, output: Buffer, position: number): number {
  if (end - start >= callBytesMin) return position + input.copy(output, position, start, end);
  let to = position;
  for (let from = start; from < end; ) output[to++] = input[from++] as number;
  return to;
}

/** How far `candidate` and `at` go on alike; `at` stays before `limit`. Answers where `at` ends. */
export function matchEnd(input: Buffer, candidate: number, at: number, limit: number): number {
  let end = at;
  for (let from = candidate; end < limit && input[from] === input[end]; from++) end++;
  return end;
}

/** Four bytes, low one first, as a signed number. */
export function wordAt(bytes: Buffer, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

const hashBits = 14;
const places = new Int32Array(1 << hashBits);

/** Where four bytes of the same hash were last, in the input that is written now; -1 when nowhere. One input at a time. */
export function emptyPlaces(): Int32Array {
  return places.fill(-1);
}

export function placeOf(word: number): number {
  return Math.imul(word, 0x9e3779b1) >>> (32 - hashBits);
}
