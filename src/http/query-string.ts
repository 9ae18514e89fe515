/**
 * The part of a target after `?`, decoded strictly: form encoding (`+` is a space), UTF-8 only, no NUL (PostgreSQL has
 * none in text). Order and repetition are kept. Throws `REQUEST_INVALID`.
 */
import { MillraceError } from "../base/errors.ts";

export interface QueryParameter {
  readonly name: string;
  readonly value: string;
}

const parametersMax = 200;

export function parseQueryString(text: string): QueryParameter[] {
  if (text === "") return [];
  const pieces = text.split("&", parametersMax + 1);
  if (pieces.length > parametersMax) {
    throw new MillraceError("REQUEST_INVALID", `there are more than ${parametersMax} query parameters`);
  }
  const parameters: QueryParameter[] = [];
  for (const piece of pieces) {
    if (piece === "") continue;
    const equals = piece.indexOf("=");
    const [name, value] = equals < 0 ? [piece, ""] : [piece.slice(0, equals), piece.slice(equals + 1)];
    parameters.push({ name: decode(name), value: decode(value) });
  }
  return parameters;
}

/** One segment of a path. Throws `REQUEST_INVALID`. */
export function decodeSegment(text: string): string {
  return decodePercent(text, "the path");
}

function decode(text: string): string {
  return decodePercent(text.replaceAll("+", " "), "the query string");
}

function decodePercent(text: string, where: string): string {
  let decoded: string;
  try {
    decoded = text.includes("%") ? decodeURIComponent(text) : text;
  } catch (cause) {
    throw new MillraceError("REQUEST_INVALID", `${where} has a malformed percent-encoding in ${shortened(text)}`, {
      hint: "Encode a part with encodeURIComponent, as UTF-8.",
      cause,
    });
  }
  if (decoded.includes("\0")) throw new MillraceError("REQUEST_INVALID", `${where} has a NUL character`);
  return decoded;
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
