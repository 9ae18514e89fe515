/** Who reads, as far as it decides which rows are shown. */

export type Claims = Readonly<Record<string, unknown>>;

export type Caller =
  /** Nobody said who: views that have no policy. */
  | { readonly kind: "anyone" }
  /** Of a token that was verified: the rows of views with a policy that it lets these claims see. */
  | { readonly kind: "bearer"; readonly claims: Claims }
  /** Who keeps this running, and asked for all rows. */
  | { readonly kind: "operator" };

export const anyone: Caller = { kind: "anyone" };
export const operator: Caller = { kind: "operator" };

const timeClaims = ["exp", "iat", "nbf", "jti"];

/** The same for callers who are shown the same rows by whatever policy: of tokens that differ in their times alone. */
export function callerText(caller: Caller): string {
  if (caller.kind !== "bearer") return caller.kind;
  const claims = Object.entries(caller.claims).filter(([name]) => !timeClaims.includes(name));
  return JSON.stringify(claims.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Text that the store takes; null for what is absent, and for what is neither text nor number nor boolean. */
export function claimText(claims: Claims, name: string): string | null {
  return textOf(claimOf(claims, name));
}

/** The texts of a list; a value by itself is a list of one. */
export function claimTexts(claims: Claims, name: string): string[] {
  const value = claimOf(claims, name);
  return (Array.isArray(value) ? value : [value]).map(textOf).filter((one) => one !== null);
}

/** A member of this name, which may have dots in it, or else the member of a member. */
function claimOf(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const step of name.split(".")) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, step)) return null;
    value = (value as Claims)[step];
  }
  return value;
}

function textOf(value: unknown): string | null {
  if (typeof value === "string") return value.isWellFormed() && !value.includes("\0") ? value : null;
  // Of a larger whole number the last digits are gone: it would be somebody else's.
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value) ? null : String(value);
  return typeof value === "boolean" ? String(value) : null;
}
