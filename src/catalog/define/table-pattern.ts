/**
 * Tables by pattern: `audit.*` stands for every table of a schema, `order_?` for some of schema public, and `!audit.tmp_*`
 * takes away what the others match.
 */
import { MillraceError } from "../../base/errors.ts";

export interface TablePattern {
  /** As it was written. */
  readonly spelled: string;
  /** `*` stands for any characters, `?` for one. */
  readonly schema: string;
  readonly table: string;
  /** It takes away. */
  readonly excludes: boolean;
  /** Of the tables that it matches. */
  readonly appendOnly: boolean;
}

interface Named {
  readonly schema: string;
  readonly table: string;
}

/** A table whose own name has such a character is matched by a `?` in its place. */
export function isTablePattern(spelled: string): boolean {
  return /^!|[*?]/.test(spelled);
}

/** Throws `DEFINITION_INVALID` for a pattern without a name. */
export function tablePattern(source: string, spelled: string, appendOnly: boolean): TablePattern {
  const excludes = spelled.startsWith("!");
  const { schema, table } = splitName(excludes ? spelled.slice(1) : spelled);
  if (schema === "" || table === "") {
    throw new MillraceError(
      "DEFINITION_INVALID",
      `source "${source}" has the pattern "${spelled}", which names nothing`,
      {
        hint: 'Write "audit.*", "order_?", or "!audit.tmp_*".',
      },
    );
  }
  return Object.freeze({ spelled, schema, table, excludes, appendOnly });
}

/** What is not in a schema by its name is in public. */
export function splitName(spelled: string): Named {
  const dot = spelled.indexOf(".");
  return dot < 0
    ? { schema: "public", table: spelled }
    : { schema: spelled.slice(0, dot), table: spelled.slice(dot + 1) };
}

/** The first pattern that stands for the table; null where none does, or one takes it away. */
export function patternOf(patterns: readonly TablePattern[], { schema, table }: Named): TablePattern | null {
  const matches = (pattern: TablePattern) => fits(pattern.schema, schema) && fits(pattern.table, table);
  if (patterns.some((pattern) => pattern.excludes && matches(pattern))) return null;
  return patterns.find((pattern) => !pattern.excludes && matches(pattern)) ?? null;
}

/** In time of their lengths' product, whatever the stars: the last star is moved on, and never an earlier one. */
function fits(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let starAt = 0;
  while (n < name.length) {
    if (pattern[p] === "*") {
      star = p++;
      starAt = n;
    } else if (p < pattern.length && (pattern[p] === "?" || pattern[p] === name[n])) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++starAt;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
