/** The parts of a set operation as pieces of the definition's text: an AST of PostgreSQL does not say where a SELECT ends. */
import type { SelectStmt } from "@pgsql/types";
import type { ScanToken } from "libpg-query";
import { unwrapped } from "../block-text.ts";
import type { Binding } from "../from.ts";
import { isKeyword } from "../source-text.ts";
import type { Among, Restricted } from "./gathered.ts";
import type { KeyedQuery } from "./slices.ts";

/** The query in its parts where it has an EXCEPT that can be told apart, else as one text. */
export function queryParts(
  statement: SelectStmt,
  names: readonly string[],
  binding: Binding,
  restricted: (among: Among) => Restricted,
): KeyedQuery {
  const { source, replacements } = binding;
  const whole: KeyedQuery = {
    kind: "text",
    text: source.rewritten(replacements),
    columns: names,
    restricted: (among) => source.rewritten(new Map([...replacements, ...restricted(among).replacements])),
  };
  const words = binding.source.words().filter((token) => token.text !== ";");
  if (!hasExcept(statement) || hasClauses(statement)) return whole;
  return split(statement, words, names, binding) ?? whole;
}

function hasExcept(select: SelectStmt | undefined): boolean {
  if (select === undefined) return false;
  return select.op === "SETOP_EXCEPT" || hasExcept(select.larg) || hasExcept(select.rarg);
}

/** Clauses that belong to the operation and not to its last part. */
function hasClauses(select: SelectStmt): boolean {
  return select.withClause !== undefined || select.sortClause !== undefined || select.limitCount !== undefined;
}

function split(
  select: SelectStmt,
  tokens: readonly ScanToken[],
  names: readonly string[],
  binding: Binding,
): KeyedQuery | null {
  const words = unwrapped(tokens);
  if (select.op === undefined || select.op === "SETOP_NONE") {
    const [first, last] = [words[0], words.at(-1)];
    if (first === undefined || last === undefined) return null;
    const text = binding.source.rewritten(binding.replacements, { start: first.start, end: last.end });
    return { kind: "text", text, columns: names, restricted: () => text };
  }
  if (hasClauses(select)) return null;
  const at = operatorAt(words, select.op);
  const quantifier = words[at + 1]?.text.toLowerCase();
  const skip = quantifier === "all" || quantifier === "distinct" ? 2 : 1;
  if (at < 0) return null;
  const left = split(select.larg ?? {}, words.slice(0, at), names, binding);
  const right = split(select.rarg ?? {}, words.slice(at + skip), names, binding);
  if (left === null || right === null) return null;
  const operation = `${words[at]?.text.toLowerCase()}${select.all === true ? " all" : ""}`;
  return { kind: "set", operation, parts: [left, right] };
}

/** UNION and EXCEPT bind alike, to the left; INTERSECT binds tighter: the root is the last one outside of parentheses. */
function operatorAt(tokens: readonly ScanToken[], operation: string): number {
  const wanted = operation.replace("SETOP_", "").toLowerCase();
  let depth = 0;
  let found = -1;
  tokens.forEach((token, i) => {
    depth += token.text === "(" ? 1 : token.text === ")" ? -1 : 0;
    if (depth === 0 && isKeyword(tokens, i, wanted)) found = i;
  });
  return found;
}
