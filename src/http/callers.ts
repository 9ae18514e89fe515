/**
 * Who asks for rows: the bearer of a token that is signed as it is to be, who keeps this running and asks for all rows, or
 * whoever. What each is shown is the views' (`views/policy`).
 *
 * Always true: all rows are never shown by default. A token is looked at where rows are read and nowhere else: it is no key.
 */
import type { IncomingHttpHeaders } from "node:http";
import { checkToken, type TokenRules } from "../access/json-web-token.ts";
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { anyone, type Caller, operator } from "../views/policy/caller.ts";
import type { Views } from "../views/view-info.ts";
import type { Guard } from "./guard.ts";
import type { Call, Parameter, Reply, Route } from "./route.ts";
import { string } from "./schemas.ts";

export interface KnownCaller {
  readonly caller: Caller;
  /** When what says who it is holds no longer; null for never. */
  readonly untilMs: number | null;
}

export const callerErrors = ["CALLER_UNKNOWN", "CALLER_TOKEN_INVALID", "CALLER_REFUSED"] as const;

export const callerParameters: readonly Parameter[] = [
  {
    name: "Millrace-Rows",
    in: "header",
    about: "all: every row of views with a policy, for who holds the key or needs none.",
    schema: string,
  },
];

const nobodyKnown: KnownCaller = { caller: anyone, untilMs: null };
const known: KnownCaller = { caller: operator, untilMs: null };

export class Callers {
  readonly #guard: Guard;
  readonly #tokens: TokenRules | null;
  readonly #clock: Clock;

  /** Without `tokens` nobody is known by one. */
  constructor(guard: Guard, tokens: TokenRules | null, clock: Clock) {
    this.#guard = guard;
    this.#tokens = tokens;
    this.#clock = clock;
  }

  /** Without a promise where there is no token. Throws `REQUEST_UNAUTHENTICATED`, `REQUEST_INVALID`, and of `callerErrors`. */
  of(headers: IncomingHttpHeaders, route: Pick<Route, "basic">): KnownCaller | Promise<KnownCaller> {
    const rows = headers["millrace-rows"];
    if (rows !== undefined && rows !== "all") {
      throw new MillraceError("REQUEST_INVALID", `Millrace-Rows is ${JSON.stringify(String(rows).slice(0, 40))}`, {
        hint: "It is all, or left out.",
      });
    }
    const token = this.#tokenIn(headers);
    if (token !== null) {
      if (rows === undefined) return this.#verified(token);
      throw new MillraceError("CALLER_REFUSED", "a caller's token shows its own rows, and never all", {
        hint: "Leave Millrace-Rows out, or send the key.",
      });
    }
    this.#guard.authenticate(headers, route);
    return rows === undefined ? nobodyKnown : known;
  }

  /** Null where there is none, or it is the key. */
  #tokenIn(headers: IncomingHttpHeaders): string | null {
    if (this.#tokens === null || headers.authorization === undefined) return null;
    const token = /^bearer +([\w-]+\.[\w-]+\.[\w-]+) *$/i.exec(headers.authorization)?.[1];
    return token === undefined || (this.#guard.asksForKey && this.#guard.holdsKey(headers)) ? null : token;
  }

  async #verified(token: string): Promise<KnownCaller> {
    const rules = this.#tokens as TokenRules;
    const verdict = await checkToken(token, rules, this.#clock.now());
    if (verdict.outcome === "invalid") {
      throw new MillraceError("CALLER_TOKEN_INVALID", `the caller's token is not taken: ${verdict.reason}`, {
        hint: "Ask its issuer for a new one. MILLRACE_TOKEN_KEYS, _ISSUER and _AUDIENCE say which are taken.",
      });
    }
    return { caller: { kind: "bearer", claims: verdict.claims }, untilMs: verdict.expiresAtMs + rules.skewMs };
  }
}

export function viewsFor(views: Views, { caller }: Pick<Call, "caller">): Views {
  return caller.kind === "anyone" ? views : views.as(caller);
}

/** Which views there are is not told to who holds a token. */
export function errorFor({ kind }: Caller, error: unknown): unknown {
  if (kind !== "bearer" || !MillraceError.is(error, "VIEW_UNKNOWN")) return error;
  return new MillraceError("VIEW_UNKNOWN", error.message, { details: error.details, cause: error });
}

/** What is shown to one caller is in no cache that others are answered from. */
export function privateReply(reply: Reply, { kind }: Caller): Reply {
  if (kind === "anyone" || reply.kind === "feed") return reply;
  const { "cache-control": control = "no-store", vary, ...headers } = reply.headers ?? {};
  return {
    ...reply,
    headers: {
      ...headers,
      "cache-control": `private, ${control}`,
      vary: [...(vary === undefined ? [] : [vary]), "Authorization, Millrace-Rows"].join(", "),
    },
  };
}
