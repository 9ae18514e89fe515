/**
 * Whether PostgreSQL's jsonb takes a JSON text: it is narrower than JSON, and one value that it refuses would fail a whole
 * batch. Pure.
 *
 * Always true: what passes here is taken, and what is refused here would be refused there, up to the bounds of depth and
 * size, which are lower than PostgreSQL's own.
 */
import { schemaLimits } from "../schema/registry/schema-limits.ts";

/** A jsonb of so much text stays below its own limits, and one of numbers takes some hundred megabytes to be read. */
export const jsonCharactersMax = 8 * 1024 * 1024;

const digitsBeforePointMax = 131_072;
const digitsBehindPointMax = 16_383;
const exponentMax = 2 ** 30 - 1;
/** Of a number in plain digits no one as short is out of range. */
const plainDigitsMax = 1_000;

/** Null where it is taken, else a part of a sentence that says why not. The text has no lone surrogates of its own. */
export function jsonbProblem(text: string): string | null {
  if (text.length > jsonCharactersMax) return `the value has more than ${jsonCharactersMax} characters`;
  const problem = scan(text);
  if (problem !== null) return problem;
  try {
    JSON.parse(text);
    return null;
  } catch {
    return "the value is not JSON";
  }
}

/** Of any text; where it is no JSON, what is found need not be right. */
function scan(text: string): string | null {
  const hasEscapes = text.includes("\\");
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) {
      const end = hasEscapes ? escapedEnd(text, at + 1) : text.indexOf('"', at + 1);
      if (typeof end === "string") return end;
      // No end: this is for the parser to say.
      if (end < 0) return null;
      at = end;
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > schemaLimits.payloadDepthMax) {
        return `the value is nested deeper than ${schemaLimits.payloadDepthMax} levels`;
      }
    } else if (code === 0x7d || code === 0x5d) depth--;
    else if (code === 0x2d || isDigit(code)) {
      const end = numberEnd(text, at);
      if (end < 0 && !numericTakes(text.slice(at, -end))) return "the value has a number that is out of range";
      at = Math.abs(end) - 1;
    }
  }
  return null;
}

/** Where the string's closing quote is, -1 where there is none, or what is wrong with it. */
function escapedEnd(text: string, start: number): number | string {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) return at;
    if (code !== 0x5c) continue;
    at++;
    if (text.charCodeAt(at) !== 0x75) continue;
    const unit = unitAt(text, at - 1);
    at += 4;
    if (unit === 0) return "the value has the character U+0000";
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const next = unit < 0xdc00 ? unitAt(text, at + 1) : -1;
    if (next < 0xdc00 || next > 0xdfff) return "the value has half of a surrogate pair";
    at += 6;
  }
  return -1;
}

/** The UTF-16 unit that `\uXXXX` names; -1 where there is no such escape. */
function unitAt(text: string, at: number): number {
  const written = text.slice(at, at + 6);
  return /^\\u[0-9a-fA-F]{4}$/.test(written) ? Number.parseInt(written.slice(2), 16) : -1;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Negative where the number has an exponent, or so many digits that it has to be looked at. */
function numberEnd(text: string, start: number): number {
  let isPlain = true;
  let at = start + 1;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (isDigit(code) || code === 0x2e) continue;
    // The letter and the signs of an exponent.
    if ((code | 0x20) !== 0x65 && code !== 0x2b && code !== 0x2d) break;
    isPlain = false;
  }
  return isPlain && at - start <= plainDigitsMax ? at : -at;
}

/** The bounds of PostgreSQL's numeric, which the numbers of a jsonb are. */
function numericTakes(number: string): boolean {
  const parts = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number);
  if (parts === null) return true;
  const [, whole = "", fraction = "", power = "0"] = parts;
  const exponent = Number(power);
  if (Math.abs(exponent) > exponentMax || fraction.length - exponent > digitsBehindPointMax) return false;
  const first = (whole + fraction).search(/[1-9]/);
  return first < 0 || whole.length - first + exponent <= digitsBeforePointMax;
}
