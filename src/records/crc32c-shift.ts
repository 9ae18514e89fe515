/**
 * What bytes behind a place do to what a checksum says of the bytes before it, without looking at them: polynomials over
 * GF(2) modulo Castagnoli's (the idea of zlib's crc32_combine; Adler, "A fast, parallel CRC").
 *
 * Numbers are CRCs as they are printed: the highest bit is the coefficient of x^0.
 */

const polynomial = 0x82f63b78;
const one = 0x80000000;

/** x^(2^k) for k from 0. */
const squares = new Uint32Array(64);
squares[0] = one >>> 1;
for (let k = 1; k < squares.length; k++) squares[k] = multiply(squares[k - 1] as number, squares[k - 1] as number);

/**
 * `crc` followed by `bytes` zero bytes, when neither is inverted. Two messages of the same length that end alike differ in
 * their CRC-32Cs by the difference of those of their beginnings, shifted by the length of what they share.
 */
export function crc32cShift(crc: number, bytes: number): number {
  let shifted = crc;
  let power = 3;
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 2), power++) {
    if (rest % 2 === 1) shifted = multiply(shifted, squares[power] as number);
  }
  return shifted;
}

/** The product of two polynomials, modulo ours. */
function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let rest = a; rest !== 0; rest <<= 1) {
    if (rest & one) product ^= shifted;
    shifted = shifted & 1 ? (shifted >>> 1) ^ polynomial : shifted >>> 1;
  }
  return product >>> 0;
}
