/** The mechanisms of SASL that a listener offers, and how an exchange of each begins. */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { BearerExchange } from "./bearer-exchange.ts";
import type { TokenRules } from "./json-web-token.ts";
import type { PasswordWork } from "./password-work.ts";
import { PlainExchange } from "./plain-exchange.ts";
import type { SaslExchange } from "./sasl-exchange.ts";
import type { ScramCredentials } from "./scram-credentials.ts";
import { ScramExchange } from "./scram-exchange.ts";

export const saslMechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] as const;

export type SaslMechanism = (typeof saslMechanisms)[number];

export interface SaslParts {
  readonly credentials: ScramCredentials;
  readonly work: PasswordWork;
  readonly random: Random;
  readonly clock: Clock;
  /** Null: there are no signed tokens, and OAUTHBEARER cannot be offered. */
  readonly tokens: TokenRules | null;
}

export class SaslMechanisms {
  /** Those that are offered, in the operator's order. */
  readonly names: readonly SaslMechanism[];
  readonly #parts: SaslParts;

  /** Throws `SETTING_INVALID`. */
  constructor(names: readonly string[], parts: SaslParts) {
    this.names = [...new Set(names)].map((name) => {
      const known = saslMechanisms.find((mechanism) => mechanism === name);
      if (!known) throw wrong(`${JSON.stringify(name)} is not one of ${saslMechanisms.join(", ")}`);
      if (known === "OAUTHBEARER" && !parts.tokens)
        throw wrong("OAUTHBEARER needs the keys that tokens are signed with");
      return known;
    });
    if (this.names.length === 0) throw wrong("none is named");
    this.#parts = parts;
  }

  /** Undefined for one that is not offered. */
  begin(name: string): SaslExchange | undefined {
    const mechanism = this.names.find((offered) => offered === name);
    const { credentials, work, random, clock, tokens } = this.#parts;
    switch (mechanism) {
      case undefined:
        return undefined;
      case "PLAIN":
        return new PlainExchange(credentials, work);
      case "OAUTHBEARER":
        return tokens ? new BearerExchange(tokens, clock) : undefined;
      default:
        return new ScramExchange(mechanism, credentials, random);
    }
  }
}

function wrong(what: string): MillraceError {
  return new MillraceError("SETTING_INVALID", `the mechanisms of SASL cannot be offered: ${what}`);
}
