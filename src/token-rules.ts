/** What tokens are checked against, as settings say it; of the Kafka door and of HTTP alike. */
import { readFile } from "node:fs/promises";
import { keysFromAddress } from "./access/json-web-key-address.ts";
import { JsonWebKeys } from "./access/json-web-keys.ts";
import { defaultTokenRules, type TokenRules } from "./access/json-web-token.ts";
import type { Clock } from "./base/clock.ts";
import type { Diagnostics } from "./base/diagnostics.ts";

export interface TokenSettings {
  /** A file, or an address. */
  readonly keys: string;
  readonly issuer: string | null;
  readonly audiences: readonly string[];
}

/** Null where no tokens are taken. Keys are loaded when the first token comes. Throws `SETTING_INVALID` for an address that is none. */
export function openTokenRules(
  settings: TokenSettings | null,
  { clock, diagnostics }: { readonly clock: Clock; readonly diagnostics: Diagnostics },
): TokenRules | null {
  if (settings === null) return null;
  const { keys, issuer, audiences } = settings;
  const load = /^https?:\/\//.test(keys)
    ? keysFromAddress(keys)
    : (signal: AbortSignal) => readFile(keys, { encoding: "utf8", signal });
  return { ...defaultTokenRules, keys: new JsonWebKeys({ load, clock, diagnostics }), issuer, audiences };
}
