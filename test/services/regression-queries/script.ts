/** Scripts for psql, as far as a plain connection can run them: statements, and the rows of `copy … from stdin`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { scanSync } from "libpg-query";

export type ScriptStep =
  | { readonly kind: "statement"; readonly text: string }
  /** Lines in the text format of COPY. */
  | { readonly kind: "copy"; readonly table: string; readonly lines: readonly string[] };

/** `loadParser` must have resolved. A script that does not scan has no steps. */
export function readScript(suite: string, name: string): ScriptStep[] {
  const steps: ScriptStep[] = [];
  const plain: string[] = [];
  let data: string[] = [];
  const flush = () => {
    for (const text of statementsOf(plain.join("\n"))) steps.push({ kind: "statement", text });
    plain.length = 0;
  };
  const lines = readFileSync(join(suite, "sql", `${name}.sql`), "utf8").split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    const file = /^\\set filename :abs_srcdir '\/data\/(.+)'/.exec(line)?.[1];
    const copied = /^copy (\S+) .*from (stdin|:'filename')/i.exec(line);
    if (file !== undefined) {
      data = readFileSync(join(suite, "data", file), "utf8")
        .split("\n")
        .filter(Boolean);
    } else if (copied !== null) {
      flush();
      if (copied[2]?.toLowerCase() === "stdin") {
        const end = lines.indexOf("\\.", i);
        data = lines.slice(i + 1, end);
        i = end;
      }
      steps.push({ kind: "copy", table: copied[1] ?? "", lines: data });
    } else if (!line.startsWith("\\")) {
      // What psql would do with the answer ends the statement as well.
      plain.push(line.replace(/\\(g|gset|gx|gexec|gdesc|crosstabview)\b.*$/, ";"));
    }
  }
  flush();
  return steps;
}

function statementsOf(script: string): string[] {
  const bytes = Buffer.from(script);
  let tokens: ReturnType<typeof scanSync>["tokens"];
  try {
    tokens = scanSync(script).tokens;
  } catch {
    return [];
  }
  const statements: string[] = [];
  let start = 0;
  for (const token of tokens) {
    if (token.text !== ";") continue;
    statements.push(bytes.subarray(start, token.start).toString().trim());
    start = token.end;
  }
  return statements.filter(Boolean);
}
