/**
 * Rules of access, found by the noun's name: one look for the name itself, one for `*`, and one for each length that
 * a prefix has. Under a pattern rules stand by principal, so that a decision looks at those for the caller only.
 *
 * Always true: `allows` answers what `decideAccess` answers over `rules()`.
 */
import {
  type AccessDefaults,
  type AccessRule,
  anyName,
  anyPrincipal,
  coversVerb,
  decideAccessToAny,
  isFor,
  type NounKind,
  ruleKey,
  type Verb,
} from "./access-rules.ts";

/** The rules of one pattern, by principal. */
type Rules = Map<string, AccessRule[]>;
type Verdict = "allow" | "deny" | undefined;

export class AccessIndex {
  readonly #kinds = new Map<NounKind, KindIndex>();
  readonly #rules = new Map<string, AccessRule>();

  get size(): number {
    return this.#rules.size;
  }

  has(key: string): boolean {
    return this.#rules.has(key);
  }

  rules(): IterableIterator<AccessRule> {
    return this.#rules.values();
  }

  /** False when it is there already. */
  add(rule: AccessRule): boolean {
    const key = ruleKey(rule);
    if (this.#rules.has(key)) return false;
    this.#rules.set(key, rule);
    let kind = this.#kinds.get(rule.kind);
    if (!kind) {
      kind = new KindIndex();
      this.#kinds.set(rule.kind, kind);
    }
    kind.add(rule);
    return true;
  }

  remove(key: string): boolean {
    const rule = this.#rules.get(key);
    if (!rule) return false;
    this.#rules.delete(key);
    this.#kinds.get(rule.kind)?.remove(rule);
    return true;
  }

  allows(principal: string, host: string, verb: Verb, kind: NounKind, name: string, defaults: AccessDefaults): boolean {
    if (defaults.superUsers.has(principal)) return true;
    return this.#kinds.get(kind)?.allows(principal, host, verb, name, defaults) ?? defaults.openWithoutRule;
  }

  /** Looks at every rule: it is asked when a producer begins, not for each of its requests. */
  allowsAny(principal: string, host: string, verb: Verb, kind: NounKind, defaults: AccessDefaults): boolean {
    return decideAccessToAny(this.#rules.values(), principal, host, verb, kind, defaults);
  }
}

class KindIndex {
  readonly #literals = new Map<string, Rules>();
  readonly #prefixes = new Map<string, Rules>();
  /** How many prefixes there are of each length. */
  readonly #lengths = new Map<number, number>();

  add(rule: AccessRule): void {
    const patterns = this.#patterns(rule);
    let rules = patterns.get(rule.name);
    if (!rules) {
      rules = new Map();
      patterns.set(rule.name, rules);
      if (patterns === this.#prefixes) this.#countLength(rule.name.length, 1);
    }
    const own = rules.get(rule.principal);
    if (own) own.push(rule);
    else rules.set(rule.principal, [rule]);
  }

  remove(rule: AccessRule): void {
    const patterns = this.#patterns(rule);
    const rules = patterns.get(rule.name);
    const own = rules?.get(rule.principal);
    if (!rules || !own) return;
    own.splice(own.indexOf(rule), 1);
    if (own.length === 0) rules.delete(rule.principal);
    if (rules.size > 0) return;
    patterns.delete(rule.name);
    if (patterns === this.#prefixes) this.#countLength(rule.name.length, -1);
  }

  allows(principal: string, host: string, verb: Verb, name: string, { openWithoutRule }: AccessDefaults): boolean {
    let isAllowed = false;
    let hasRules = false;
    const look = (rules: Rules | undefined): boolean => {
      if (!rules) return false;
      hasRules = true;
      const verdict = verdictOf(rules, principal, host, verb);
      if (verdict === "allow") isAllowed = true;
      return verdict === "deny";
    };
    if (look(this.#literals.get(name))) return false;
    if (name !== anyName && look(this.#literals.get(anyName))) return false;
    for (const length of this.#lengths.keys()) {
      if (length <= name.length && look(this.#prefixes.get(name.slice(0, length)))) return false;
    }
    return isAllowed || (!hasRules && openWithoutRule);
  }

  #patterns({ pattern }: AccessRule): Map<string, Rules> {
    return pattern === "prefixed" ? this.#prefixes : this.#literals;
  }

  #countLength(length: number, by: 1 | -1): void {
    const count = (this.#lengths.get(length) ?? 0) + by;
    if (count === 0) this.#lengths.delete(length);
    else this.#lengths.set(length, count);
  }
}

function verdictOf(rules: Rules, principal: string, host: string, verb: Verb): Verdict {
  const own = verdictAmong(rules.get(principal), principal, host, verb);
  if (own === "deny" || principal === anyPrincipal) return own;
  return verdictAmong(rules.get(anyPrincipal), principal, host, verb) ?? own;
}

function verdictAmong(rules: readonly AccessRule[] | undefined, principal: string, host: string, verb: Verb): Verdict {
  let verdict: Verdict;
  for (const rule of rules ?? []) {
    if (!isFor(rule, principal, host) || !coversVerb(rule, verb)) continue;
    if (rule.effect === "deny") return "deny";
    verdict = "allow";
  }
  return verdict;
}
