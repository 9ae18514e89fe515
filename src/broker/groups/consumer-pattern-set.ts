/**
 * Sets of characters of a topic pattern. Names of topics are ASCII, so a set is 128 bits, and what a pattern says of other
 * characters is kept only as far as it folds to ASCII.
 */

/** Four words of 32 bits. */
export type CharacterSet = Uint32Array;

/** Beside upper and lower case these fold to ASCII: the Kelvin sign and the long s. */
const foldsToAscii: readonly (readonly [code: number, letter: number])[] = [
  [0x212a, 0x6b],
  [0x17f, 0x73],
];

/** Kafka's RE2 knows general categories by their short names, and scripts. */
const categories = /^(?:C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?)$/;

const posix: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  alnum: spans("09AZaz"),
  alpha: spans("AZaz"),
  ascii: [[0, 0x7f]],
  blank: spans("\t\t  "),
  cntrl: [
    [0, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: spans("09"),
  graph: spans("!~"),
  lower: spans("az"),
  print: spans(" ~"),
  punct: spans("!/:@[`{~"),
  space: spans("\t\r  "),
  upper: spans("AZ"),
  word: spans("09AZaz__"),
  xdigit: spans("09AFaf"),
};

const perl: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  d: spans("09"),
  s: spans("\t\n\f\r  "),
  w: spans("09AZaz__"),
};

export function emptySet(): CharacterSet {
  return new Uint32Array(4);
}

export function hasCharacter(set: CharacterSet, code: number): boolean {
  return code < 128 && (((set[code >>> 5] as number) >>> (code & 31)) & 1) === 1;
}

export function addRange(set: CharacterSet, first: number, last: number, isFolding: boolean): void {
  for (let code = first; code <= last && code < 128; code++) add(set, code, isFolding);
  if (!isFolding) return;
  for (const [code, letter] of foldsToAscii) if (first <= code && code <= last) add(set, letter, true);
}

export function addSet(set: CharacterSet, other: CharacterSet, isNegated: boolean): void {
  for (let i = 0; i < 4; i++) set[i] = (set[i] as number) | (isNegated ? ~(other[i] as number) : (other[i] as number));
}

export function negated(set: CharacterSet): CharacterSet {
  return set.map((word) => ~word);
}

/** `[:alpha:]` by its name; undefined when there is none. */
export function posixSet(name: string, isFolding: boolean): CharacterSet | undefined {
  return Object.hasOwn(posix, name) ? setOf(posix[name] ?? [], isFolding) : undefined;
}

/** `\d`, `\s`, `\w`. */
export function perlSet(letter: string, isFolding: boolean): CharacterSet | undefined {
  return Object.hasOwn(perl, letter) ? setOf(perl[letter] ?? [], isFolding) : undefined;
}

/** `\pL`, `\p{Greek}`; undefined when there is none of the name. */
export function unicodeSet(name: string, isFolding: boolean): CharacterSet | undefined {
  if (name === "Any") return setOf([[0, 0x7f]], false);
  const property = categories.test(name) ? name : /^[A-Z][A-Za-z_]{2,40}$/.test(name) ? `Script=${name}` : undefined;
  if (property === undefined) return undefined;
  let one: RegExp;
  try {
    one = new RegExp(`^\\p{${property}}$`, "u");
  } catch {
    return undefined;
  }
  const set = emptySet();
  for (let code = 0; code < 128; code++) if (one.test(String.fromCharCode(code))) add(set, code, isFolding);
  return set;
}

function add(set: CharacterSet, code: number, isFolding: boolean): void {
  set[code >>> 5] = (set[code >>> 5] as number) | (1 << (code & 31));
  // Upper and lower case differ in one bit.
  const other = code ^ 0x20;
  if (isFolding && isLetter(code)) set[other >>> 5] = (set[other >>> 5] as number) | (1 << (other & 31));
}

function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

function setOf(ranges: readonly (readonly [number, number])[], isFolding: boolean): CharacterSet {
  const set = emptySet();
  for (const [first, last] of ranges) addRange(set, first, last, isFolding);
  return set;
}

/** Pairs of first and last. */
function spans(text: string): readonly (readonly [number, number])[] {
  const ranges: [number, number][] = [];
  for (let i = 0; i < text.length; i += 2) ranges.push([text.charCodeAt(i), text.charCodeAt(i + 1)]);
  return ranges;
}
