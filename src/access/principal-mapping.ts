/**
 * Which principal a client certificate stands for (Kafka's ssl.principal.mapping.rules, KIP-371): the first rule whose
 * pattern fits the whole subject says the name; `DEFAULT` takes the subject as it is.
 *
 * `RULE:pattern/replacement/[LU]`, parted by commas; `\/` is a slash that parts nothing. Patterns are the operator's,
 * in the syntax of JavaScript, which for such patterns is Java's.
 */
import { MillraceError } from "../base/errors.ts";
import { anonymousPrincipal, userPrincipal } from "./principals.ts";

type MappingRule =
  | { readonly kind: "default" }
  | {
      readonly kind: "pattern";
      readonly pattern: RegExp;
      readonly replacement: string;
      readonly letters: "L" | "U" | "";
    };

export interface PrincipalMapping {
  /**
   * `User:CN=alice,…` for a subject (RFC 2253); `User:ANONYMOUS` for a peer without a certificate. Undefined when no rule
   * fits: such a peer is not let in.
   */
  principalOf(subject: string | undefined): string | undefined;
}

/** Throws `SETTING_INVALID`. */
export function readPrincipalMapping(text = "DEFAULT"): PrincipalMapping {
  const rules = readRules(text);
  return {
    principalOf(subject) {
      if (subject === undefined) return anonymousPrincipal;
      for (const rule of rules) {
        const name = nameBy(rule, subject);
        if (name !== undefined) return userPrincipal(name);
      }
      return undefined;
    },
  };
}

function nameBy(rule: MappingRule, subject: string): string | undefined {
  if (rule.kind === "default") return subject;
  if (!new RegExp(`^(?:${rule.pattern.source})$`, "su").test(subject)) return undefined;
  const name = subject.replace(rule.pattern, (...found: unknown[]) => expanded(rule.replacement, found));
  if (rule.letters === "L") return name.toLowerCase();
  return rule.letters === "U" ? name.toUpperCase() : name;
}

/** `$1` is the first group; `$9` stays as it is when there are fewer; `\$` is a dollar. */
function expanded(replacement: string, found: readonly unknown[]): string {
  const end = found.findIndex((part, i) => i > 0 && typeof part === "number");
  const groups = found.slice(0, end) as (string | undefined)[];
  return replacement.replace(/\\(.)|\$(\d+)/g, (whole, literal: string | undefined, digits: string | undefined) => {
    if (literal !== undefined) return literal;
    for (let length = digits?.length ?? 0; length > 0; length--) {
      const number = Number(digits?.slice(0, length));
      if (number < groups.length) return (groups[number] ?? "") + (digits?.slice(length) ?? "");
    }
    return whole;
  });
}

function readRules(text: string): MappingRule[] {
  const rules: MappingRule[] = [];
  let rest = text.trim();
  while (rest !== "") {
    const match = /^(?:(DEFAULT)|RULE:((?:\\.|[^\\/])*)\/((?:\\.|[^\\/])*)\/([LU]?))\s*(?:,\s*|$)/s.exec(rest);
    if (!match) throw wrong(rest);
    const [whole, isDefault, pattern = "", replacement = "", letters = ""] = match;
    if (isDefault) rules.push({ kind: "default" });
    else rules.push({ kind: "pattern", pattern: patternOf(pattern), replacement, letters: letters as "L" | "U" | "" });
    rest = rest.slice(whole.length);
  }
  if (rules.length === 0) rules.push({ kind: "default" });
  return rules;
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text, "gsu");
  } catch (cause) {
    throw wrong(text, cause);
  }
}

function wrong(text: string, cause?: unknown): MillraceError {
  return new MillraceError("SETTING_INVALID", `${JSON.stringify(text)} is no rule for the names of certificates`, {
    hint: "A rule is DEFAULT, or RULE:pattern/replacement/ with L or U behind it for small or large letters.",
    cause,
  });
}
