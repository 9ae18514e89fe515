/**
 * OAUTHBEARER (RFC 7628): the client sends a signed token, which says who it is and until when. An invalid one is
 * answered with a status; the client says that it has seen it, and then the exchange has failed.
 */
import type { Clock } from "../base/clock.ts";
import { checkToken, type TokenRules } from "./json-web-token.ts";
import { userPrincipal } from "./principals.ts";
import { emptyToken, failed, type SaslExchange, type SaslStep } from "./sasl-exchange.ts";

/** As Kafka's server says it. */
const invalidToken = '{"status":"invalid_token"}';
const controlA = "\u0001";
const messageBytesMax = 64 * 1024;

export class BearerExchange implements SaslExchange {
  readonly #rules: TokenRules;
  readonly #clock: Clock;
  /** Why the token was refused, until the client has acknowledged it. */
  #refused: string | undefined;

  constructor(rules: TokenRules, clock: Clock) {
    this.#rules = rules;
    this.#clock = clock;
  }

  async step(message: Buffer): Promise<SaslStep> {
    if (this.#refused !== undefined) return failed(this.#refused, invalidToken);
    const response = readInitialResponse(message);
    if (!response) return failed("the client's message has not the form of OAUTHBEARER");
    const verdict = await checkToken(response.token, this.#rules, this.#clock.now());
    if (verdict.outcome === "invalid") {
      this.#refused = verdict.reason;
      return { outcome: "challenge", token: Buffer.from(invalidToken) };
    }
    const { authorizationId } = response;
    if (authorizationId !== "" && authorizationId !== verdict.user) {
      return failed(
        "another authorization id than the token's user",
        "Authentication failed: Client requested an authorization id that is different from the token's principal name",
      );
    }
    return {
      outcome: "done",
      token: emptyToken,
      principal: userPrincipal(verdict.user),
      expiresAtMs: verdict.expiresAtMs,
    };
  }
}

interface InitialResponse {
  readonly authorizationId: string;
  readonly token: string;
}

/** `n,[a=name],^Aauth=Bearer token^A[key=value^A]…^A` */
export function readInitialResponse(message: Buffer): InitialResponse | undefined {
  if (message.length > messageBytesMax) return undefined;
  const text = message.toString("utf8");
  const headerEnd = text.indexOf(`,${controlA}`);
  const header = text.slice(0, headerEnd);
  if (headerEnd < 0 || !text.endsWith(controlA + controlA) || !/^n,(a=[^,]+)?$/.test(header)) return undefined;
  const authorizationId = header.slice(4).replaceAll("=2C", ",").replaceAll("=3D", "=");
  let token: string | undefined;
  for (const pair of text.slice(headerEnd + 2, -2).split(controlA)) {
    const match = /^([A-Za-z]+)=([\x21-\x7e \t\r\n]+)$/.exec(pair);
    if (!match) return undefined;
    if (match[1] !== "auth") continue;
    const bearer = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(match[2] as string);
    if (!bearer || token !== undefined) return undefined;
    token = bearer[1];
  }
  return token === undefined ? undefined : { authorizationId, token };
}
