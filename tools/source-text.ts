/**
 * As much of TypeScript's grammar as it takes to tell code from comments, strings and regular expressions. Blanked
 * characters become spaces, line breaks stay: positions remain what they were.
 */

/** Import and export specifiers, static and dynamic; type-only ones too unless told otherwise. Takes code without comments. */
export function importsOf(code: string, { types = true } = {}): string[] {
  if (!types) return importsOf(code.replace(/\b(?:import|export)\s+type\b[^;"']*\bfrom\s*(["'])[^"'\n]+\1/g, ""));
  // A quote before `from` makes it a word in a string: `["from", …]`.
  const form = /(?:(?<!["'`])\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*(["'])([^"'\n]+)\1/g;
  return [...code.matchAll(form)].map((match) => match[2] as string);
}

export function blankComments(text: string): string {
  return blank(text, (kind) => kind === "comment");
}

/** Strings, the text of templates, and regular expressions; the code inside `${…}` stays. */
export function blankStrings(text: string): string {
  return blank(text, (kind) => kind !== "comment");
}

type Kind = "comment" | "string" | "regex";

function blank(text: string, wanted: (kind: Kind) => boolean): string {
  let out = "";
  let at = 0;
  for (const { kind, start, end } of literals(text)) {
    if (!wanted(kind)) continue;
    out += text.slice(at, start) + text.slice(start, end).replace(/[^\n]/g, " ");
    at = end;
  }
  return out + text.slice(at);
}

/** In order, without overlap; a template is one literal per piece of its text. */
function* literals(text: string): Generator<{ kind: Kind; start: number; end: number }> {
  // One entry per open `${`: how many braces are open inside it.
  const templates: number[] = [];
  let at = 0;
  let previous = "";
  while (at < text.length) {
    const start = at;
    const char = text[at] as string;
    const two = text.slice(at, at + 2);
    let kind: Kind | undefined;
    if (two === "//") {
      kind = "comment";
      at = endOf(text, "\n", at);
    } else if (two === "/*") {
      kind = "comment";
      at = endOf(text, "*/", at + 2, 2);
    } else if (char === '"' || char === "'") {
      kind = "string";
      at = endOfQuoted(text, at + 1, char);
    } else if (char === "`" || (char === "}" && templates.at(-1) === 0)) {
      kind = "string";
      if (char === "}") templates.pop();
      at = endOfTemplateText(text, at + 1);
      if (text[at - 1] === "{") templates.push(0);
    } else if (char === "/" && regexMayFollow(previous)) {
      kind = "regex";
      at = endOfRegex(text, at + 1);
    } else {
      if (templates.length > 0 && char === "{") templates.push((templates.pop() ?? 0) + 1);
      if (templates.length > 0 && char === "}") templates.push((templates.pop() ?? 0) - 1);
      at++;
    }
    if (kind !== undefined) yield { kind, start, end: at };
    if (kind !== "comment") previous = lastWord(previous, text.slice(start, at));
  }
}

function endOf(text: string, mark: string, from: number, length = 0): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length : found + length;
}

function endOfQuoted(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote || text[at] === "\n") return at + 1;
  }
  return text.length;
}

/** After the closing backtick, or after the `${` that interrupts the text. */
function endOfTemplateText(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "`") return at + 1;
    else if (text[at] === "$" && text[at + 1] === "{") return at + 2;
  }
  return text.length;
}

function endOfRegex(text: string, from: number): number {
  let inClass = false;
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "\n" || (char === "/" && !inClass)) return at + 1;
  }
  return text.length;
}

/** The last word or sign before a place, white space left out. */
function lastWord(previous: string, piece: string): string {
  if (/^\s+$/.test(piece)) return previous.endsWith(" ") ? previous : `${previous} `;
  return /[\w$]/.test(piece) && /[\w$]$/.test(previous) ? previous + piece : piece;
}

/** A slash after a value divides; after an operator, a bracket that opens, or a keyword it begins an expression. */
function regexMayFollow(previous: string): boolean {
  const word = previous.trim();
  if (/^(return|typeof|case|in|of|await|yield|void|delete|throw|new|do|else)$/.test(word)) return true;
  return !/[\w$)\]}"'`]$/.test(word);
}
