/**
 * Rules of access: who may or may not do what to which nouns, from where (Kafka's ACLs, KIP-11, KIP-290).
 *
 * `decideAccess` is the specification, in the words of Kafka's StandardAuthorizer: of the rules that hold for a
 * noun one that denies wins; then one that allows; a noun that has rules, none of them for the caller, is closed; a
 * noun without any rule is as the operator says. `access-index.ts` answers the same without looking at all rules.
 */
export const verbs = [
  "all",
  "read",
  "write",
  "create",
  "delete",
  "alter",
  "describe",
  "cluster-action",
  "describe-configs",
  "alter-configs",
  "idempotent-write",
  "create-tokens",
  "describe-tokens",
  "two-phase-commit",
] as const;

export type Verb = (typeof verbs)[number];

export const nounKinds = ["topic", "group", "cluster", "transactional-id", "delegation-token", "user"] as const;

export type NounKind = (typeof nounKinds)[number];

export type Pattern = "literal" | "prefixed";
export type Effect = "allow" | "deny";

export interface Noun {
  readonly kind: NounKind;
  readonly name: string;
}

export interface AccessRule {
  readonly kind: NounKind;
  /** A literal `*` holds for every name. */
  readonly pattern: Pattern;
  readonly name: string;
  /** `User:alice`; `User:*` is everybody. */
  readonly principal: string;
  /** An address as text; `*` is any. */
  readonly host: string;
  readonly verb: Verb;
  readonly effect: Effect;
}

/** Who is never refused, and what holds for a noun that no rule is about. */
export interface AccessDefaults {
  readonly superUsers: ReadonlySet<string>;
  /** Kafka's allow.everyone.if.no.acl.found. */
  readonly openWithoutRule: boolean;
}

export const clusterName = "kafka-cluster";
export const anyName = "*";
export const anyPrincipal = "User:*";
export const anyHost = "*";

/** Only of rules that allow: who may read may know that it is there. */
const implied: Readonly<Partial<Record<Verb, readonly Verb[]>>> = {
  describe: ["read", "write", "delete", "alter"],
  "describe-configs": ["alter-configs"],
};

export function decideAccess(
  rules: Iterable<AccessRule>,
  principal: string,
  host: string,
  verb: Verb,
  noun: Noun,
  defaults: AccessDefaults,
): boolean {
  if (defaults.superUsers.has(principal)) return true;
  let isAllowed = false;
  let hasRules = false;
  for (const rule of rules) {
    if (!isAbout(rule, noun)) continue;
    hasRules = true;
    if (!isFor(rule, principal, host) || !coversVerb(rule, verb)) continue;
    if (rule.effect === "deny") return false;
    isAllowed = true;
  }
  return isAllowed || (!hasRules && defaults.openWithoutRule);
}

/**
 * Whether there is any noun of the kind that the caller may do it to (KIP-679): such a one may write idempotently.
 * Verbs count as they are written; nothing is implied.
 */
export function decideAccessToAny(
  rules: Iterable<AccessRule>,
  principal: string,
  host: string,
  verb: Verb,
  kind: NounKind,
  defaults: AccessDefaults,
): boolean {
  const all = [...rules];
  // A noun of this name shows what holds for super users, everybody, and nouns without rules.
  if (decideAccess(all, principal, host, verb, { kind, name: "hardcode" }, defaults)) return true;
  const own = all.filter((rule) => rule.kind === kind && isFor(rule, principal, host) && isOf(rule, verb));
  const denied = own.filter(({ effect }) => effect === "deny");
  if (denied.some(isWildcard)) return false;
  const literals = new Set(denied.filter(({ pattern }) => pattern === "literal").map(({ name }) => name));
  const prefixes = denied.filter(({ pattern }) => pattern === "prefixed").map(({ name }) => name);
  return own.some((rule) => {
    if (rule.effect === "deny") return false;
    if (isWildcard(rule)) return true;
    if (rule.pattern === "literal" && literals.has(rule.name)) return false;
    return !prefixes.some((prefix) => rule.name.startsWith(prefix));
  });
}

/** Rules with the same text are the same rule. */
export function ruleKey(rule: AccessRule): string {
  const { kind, pattern, name, principal, host, verb, effect } = rule;
  return JSON.stringify([kind, pattern, name, principal, host, verb, effect]);
}

/** Undefined for text that is no rule's. */
export function ruleOfKey(text: string): AccessRule | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts) || parts.length !== 7 || !parts.every((part) => typeof part === "string")) return undefined;
  const [kind, pattern, name, principal, host, verb, effect] = parts as [string, ...string[]];
  const isKnown =
    (nounKinds as readonly unknown[]).includes(kind) &&
    (pattern === "literal" || pattern === "prefixed") &&
    (verbs as readonly unknown[]).includes(verb) &&
    (effect === "allow" || effect === "deny");
  return isKnown ? ({ kind, pattern, name, principal, host, verb, effect } as AccessRule) : undefined;
}

export function isAbout(rule: AccessRule, { kind, name }: Noun): boolean {
  if (rule.kind !== kind) return false;
  if (rule.pattern === "prefixed") return name.startsWith(rule.name);
  return rule.name === name || rule.name === anyName;
}

export function isFor(rule: AccessRule, principal: string, host: string): boolean {
  return (
    (rule.principal === principal || rule.principal === anyPrincipal) && (rule.host === host || rule.host === anyHost)
  );
}

export function coversVerb(rule: AccessRule, verb: Verb): boolean {
  return isOf(rule, verb) || (rule.effect === "allow" && (implied[verb]?.includes(rule.verb) ?? false));
}

function isOf(rule: AccessRule, verb: Verb): boolean {
  return rule.verb === verb || rule.verb === "all";
}

function isWildcard({ pattern, name }: AccessRule): boolean {
  return pattern === "literal" && name === anyName;
}
