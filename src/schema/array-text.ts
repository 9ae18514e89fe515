/**
 * PostgreSQL's text of arrays (`{1,NULL,"a b"}`, `{{1,2},{3,4}}`), to JSON and back. The delimiter is the comma: the one
 * type with another (box) is carried as text. Printing quotes exactly what `array_out` quotes, so that the text is the
 * server's own again.
 */
import type { JsonToken } from "./json-token.ts";

/** JSON text of the array; `element` answers the JSON of one element, given its unquoted text or null. */
export function parseArrayText(text: string, element: (text: string | null) => string): string {
  let at = 0;
  let json = "";
  const depthMax = 6;
  const parse = (depth: number): void => {
    if (text.charCodeAt(at) !== 0x7b || depth > depthMax) fail();
    at++;
    json += "[";
    if (text.charCodeAt(at) === 0x7d) {
      at++;
      json += "]";
      return;
    }
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === 0x7b) parse(depth + 1);
      else if (code === 0x22) json += element(quoted());
      else json += element(bare());
      const next = text.charCodeAt(at++);
      if (next === 0x7d) break;
      if (next !== 0x2c) fail();
      json += ",";
    }
    json += "]";
  };
  const quoted = (): string => {
    let value = "";
    at++;
    for (;;) {
      const code = text.charCodeAt(at);
      if (Number.isNaN(code)) fail();
      if (code === 0x22) break;
      if (code === 0x5c) at++;
      const start = at++;
      while (at < text.length && text.charCodeAt(at) !== 0x22 && text.charCodeAt(at) !== 0x5c) at++;
      value += text.slice(start, at);
    }
    at++;
    return value;
  };
  const bare = (): string | null => {
    const start = at;
    while (at < text.length && text.charCodeAt(at) !== 0x2c && text.charCodeAt(at) !== 0x7d) at++;
    const value = text.slice(start, at);
    if (value === "") fail();
    return value === "NULL" ? null : value;
  };
  const fail = (): never => {
    throw new RangeError("an array's text cannot be read");
  };
  parse(1);
  if (at !== text.length) fail();
  return json;
}

/** The server's text; `element` answers the text of one element, or null. */
export function arrayTextOf(items: readonly JsonToken[], element: (item: JsonToken) => string | null): string {
  let text = "{";
  items.forEach((item, i) => {
    if (i > 0) text += ",";
    if (item.kind === "array") {
      text += arrayTextOf(item.items, element);
      return;
    }
    const value = element(item);
    text += value === null ? "NULL" : needsQuotes(value) ? quotedElement(value) : value;
  });
  return `${text}}`;
}

/** As `array_out` decides; its spaces are the six of ASCII. */
function needsQuotes(value: string): boolean {
  return value === "" || /["\\{}, \t\n\v\f\r]/.test(value) || /^null$/i.test(value);
}

function quotedElement(value: string): string {
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}
