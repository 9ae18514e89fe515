/**
 * JSON text of schemas, read without loss (a default of 2^63-1 stays what it is) and printed again. Depth is checked
 * before anything walks the text.
 */
import { type JsonToken, readJson } from "../json-token.ts";

/** Throws `SyntaxError` when the text is not JSON, or is nested deeper than `depthMax`. */
export function readBoundedJson(text: string, depthMax: number): JsonToken {
  throwIfDeeper(text, depthMax);
  JSON.parse(text); // its grammar is the strict one
  return readJson(text);
}

/** Looks at brackets outside of strings only; other mistakes are the parser's. */
export function throwIfDeeper(text: string, depthMax: number): void {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === 0x5c) at++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > depthMax) throw new SyntaxError(`nested deeper than ${depthMax} levels`);
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
}

/** Compact; `sorted` puts the members of every object into the order of their names. */
export function printJson(token: JsonToken, options: { readonly sorted: boolean }): string {
  switch (token.kind) {
    case "null":
      return "null";
    case "boolean":
      return String(token.value);
    case "number":
      return token.text;
    case "string":
      return JSON.stringify(token.value);
    case "array":
      return `[${token.items.map((item) => printJson(item, options)).join(",")}]`;
    default: {
      const members = [...token.members];
      if (options.sorted) members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${printJson(value, options)}`).join(",")}}`;
    }
  }
}

/** The string of a token, else undefined. */
export function stringOf(token: JsonToken | undefined): string | undefined {
  return token?.kind === "string" ? token.value : undefined;
}

/** One step of a JSON pointer. */
export function pointerStep(name: string | number): string {
  return `/${String(name).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** A JSON pointer of the steps. */
export function pointerOf(steps: readonly (string | number)[]): string {
  return steps.map(pointerStep).join("");
}
