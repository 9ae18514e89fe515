/**
 * What of a view a caller is shown: in place of each relation that reads name stands one of the rows that the policy lets the
 * caller see. This is the one place where reads get a view from, so that none can pass it by.
 *
 * Always true: the claims travel as a parameter, in a setting of the read's transaction. Where it is not set, there are no rows.
 */
import { MillraceError } from "../../base/errors.ts";
import type { GroupViews, LiveView } from "../live-view.ts";
import type { ClaimUse } from "./bind-policy.ts";
import { type Caller, type Claims, claimText, claimTexts } from "./caller.ts";

/** The policy of a version that can be read: every condition of it must hold. */
export type LivePolicy =
  | { readonly sql: (alias: string, claims: string) => string; readonly claims: readonly ClaimUse[] }
  /** It does not fit the version's columns: nobody is shown anything. */
  | { readonly refusal: MillraceError };

export type UsablePolicy = Exclude<LivePolicy, { readonly refusal: MillraceError }>;

const claimsSetting = "millrace.claims";

/** After a transaction that set it, the setting is an empty text. */
const claimsOfTransaction = `(select nullif(current_setting('${claimsSetting}', true), '')::jsonb)`;

/** What a policy asks for, of these claims: the same text for the same values, whatever else a token says. */
export function claimsJson(claims: Claims, uses: readonly ClaimUse[]): string {
  const names = (many: boolean) => [...new Set(uses.filter((use) => use.many === many).map(({ name }) => name))].sort();
  return JSON.stringify({
    one: Object.fromEntries(names(false).map((name) => [name, claimText(claims, name)])),
    all: Object.fromEntries(names(true).map((name) => [name, claimTexts(claims, name)])),
  });
}

/** For `set_config(…, true)`. */
export function claimsSettings(claims: string | null): [name: string, value: string][] {
  return claims === null ? [] : [[claimsSetting, claims]];
}

type Read = Pick<GroupViews, "positionSql" | "readable" | "relations">;

/** The group as a caller may read it, and the claims that its statements need. */
export class CallerViews implements Read {
  readonly #group: Read;
  readonly #caller: Caller;
  readonly #uses = new Map<string, ClaimUse>();
  #isPoliced = false;

  constructor(group: Read, caller: Caller) {
    this.#group = group;
    this.#caller = caller;
  }

  get positionSql(): string {
    return this.#group.positionSql;
  }

  relations: Read["relations"] = (view) => this.#group.relations(view);

  /** Throws what `readable` of the group throws, `CALLER_UNKNOWN` and `CALLER_REFUSED`. */
  readable: Read["readable"] = (view, options) => {
    const live = this.#group.readable(view, options);
    const policy = policyFor(live, this.#caller);
    if (policy === null) return live;
    this.#isPoliced = true;
    for (const use of policy.claims) this.#uses.set(JSON.stringify(use), use);
    return policedView(live, policy);
  };

  /** Those that the policies of all views ask for that were read, be it none; null where none of them has one. */
  claims(): string | null {
    return this.#caller.kind === "bearer" && this.#isPoliced
      ? claimsJson(this.#caller.claims, [...this.#uses.values()])
      : null;
  }
}

/** Null where the caller is shown all rows. Throws `CALLER_UNKNOWN`, `CALLER_REFUSED`, and what is wrong with the policy. */
export function policyFor({ name, policy }: Pick<LiveView, "name" | "policy">, { kind }: Caller): UsablePolicy | null {
  if (policy === undefined) {
    if (kind !== "bearer") return null;
    throw new MillraceError(
      "CALLER_REFUSED",
      `view "${name}" has no policy, and a caller's token reads those that have one`,
      {
        hint: `Say in its definition what callers are shown: view("${name}", …, { policy: "true" }) shows all of it to everybody with a token.`,
        details: { view: name },
      },
    );
  }
  if (kind === "operator") return null;
  if (kind === "anyone") {
    throw new MillraceError(
      "CALLER_UNKNOWN",
      `view "${name}" shows each caller other rows, and this one is not known`,
      {
        hint: "Send the caller's token as Authorization: Bearer <token>; who holds the key, or needs none, reads all rows with Millrace-Rows: all.",
        details: { view: name },
      },
    );
  }
  if ("refusal" in policy) throw policy.refusal;
  return policy;
}

function policedView(live: LiveView, { sql }: UsablePolicy): LiveView {
  const of = (relation: string) =>
    `(select p.* from ${relation} as p where ${claimsOfTransaction} is not null and ${sql("p", claimsOfTransaction)})`;
  return {
    ...live,
    lock: live.lock ?? live.publicView,
    publicView: of(live.publicView),
    logTable: of(live.logTable),
    ...(live.find === undefined ? {} : { find: { ...live.find, relation: of(live.find.relation) } }),
    policed: true,
  };
}
