/** Which rules of access a filter means (Kafka's AclBindingFilter, KIP-290). */
import { type AccessRule, anyName, type Effect, type NounKind, type Pattern, type Verb } from "./access-rules.ts";

/** What is null is left open. */
export interface AccessFilter {
  readonly kind: NounKind | null;
  /**
   * `match`: all patterns that hold for `name`. Null: patterns of both forms with exactly this name.
   */
  readonly pattern: Pattern | "match" | null;
  readonly name: string | null;
  readonly principal: string | null;
  readonly host: string | null;
  readonly verb: Verb | null;
  readonly effect: Effect | null;
}

export function fitsFilter(rule: AccessRule, filter: AccessFilter): boolean {
  return (
    fits(filter.kind, rule.kind) &&
    fits(filter.principal, rule.principal) &&
    fits(filter.host, rule.host) &&
    fits(filter.verb, rule.verb) &&
    fits(filter.effect, rule.effect) &&
    fitsPattern(rule, filter)
  );
}

function fits(wanted: string | null, given: string): boolean {
  return wanted === null || wanted === given;
}

function fitsPattern(rule: AccessRule, { pattern, name }: AccessFilter): boolean {
  if (pattern === "literal" || pattern === "prefixed") return pattern === rule.pattern && fits(name, rule.name);
  if (name === null || pattern === null) return fits(name, rule.name);
  return rule.pattern === "prefixed" ? name.startsWith(rule.name) : name === rule.name || rule.name === anyName;
}
