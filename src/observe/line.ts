/**
 * A line of diagnostics for people: the message, its small fields behind it, and below it, each on a line of its own and
 * as it was written, what is to be read or copied: the error, what to do, its code. Pure.
 */
const standing = new Set(["level", "time", "msg"]);
/** Fields whose text is a sentence, a statement to run or words of another program. */
const sentences = ["error", "message", "reason", "cause", "hint", "lastWords", "code", "stack"];
const indent = "    ";

/** `dim` is how the less important is shown. */
export function lineOf(fields: Readonly<Record<string, unknown>>, dim: (text: string) => string): string {
  const names = Object.keys(fields).filter((name) => !standing.has(name));
  const small = names.filter((name) => !sentences.includes(name)).map((name) => `${name}=${smallText(fields[name])}`);
  const below = sentences.flatMap((name) => (names.includes(name) ? told(name, fields[name], dim) : []));
  const first = [String(fields.msg ?? ""), ...(small.length > 0 ? [dim(small.join(" "))] : [])].join("  ");
  return [first, ...below.map((text) => text.replaceAll(/^/gm, indent))].join("\n");
}

function told(name: string, value: unknown, dim: (text: string) => string): string[] {
  if (value === null || value === undefined || value === "") return [];
  if (typeof value !== "object") return name === "code" || name === "stack" ? [dim(String(value))] : [String(value)];
  const { details, ...rest } = value as Record<string, unknown>;
  const lines = sentences.flatMap((one) => (one in rest ? told(one, rest[one], dim) : []));
  const others = Object.entries(rest).filter(([one]) => !sentences.includes(one));
  if (details !== undefined) others.push(["details", details]);
  return [...lines, ...others.map(([one, other]) => dim(`${one}=${smallText(other)}`))];
}

function smallText(value: unknown): string {
  if (typeof value === "string") return value === "" || /\s/.test(value) ? JSON.stringify(value) : value;
  return JSON.stringify(value) ?? String(value);
}
