/**
 * PLAIN (RFC 4616): the client sends name and password, which are checked against the user's SCRAM credential by
 * deriving its key again. The words of refusals are Kafka's. For listeners with TLS.
 */
import type { PasswordWork } from "./password-work.ts";
import { userPrincipal } from "./principals.ts";
import { emptyToken, failed, type SaslExchange, type SaslStep } from "./sasl-exchange.ts";
import type { ScramCredentials } from "./scram-credentials.ts";
import { credentialOf, type ScramMechanism, sameBytes } from "./scram-keys.ts";

const tokenBytesMax = 4096;

export class PlainExchange implements SaslExchange {
  readonly #credentials: ScramCredentials;
  readonly #work: PasswordWork;

  constructor(credentials: ScramCredentials, work: PasswordWork) {
    this.#credentials = credentials;
    this.#work = work;
  }

  async step(token: Buffer): Promise<SaslStep> {
    if (token.length > tokenBytesMax) return refused("Invalid SASL/PLAIN response: too long");
    const parts = token.toString("utf8").split("\0", 4);
    if (parts.length !== 3) {
      return refused(`Invalid SASL/PLAIN response: expected 3 tokens, got ${parts.length}`);
    }
    const [authorizationId, user, password] = parts as [string, string, string];
    if (user === "") return refused("Authentication failed: username not specified");
    if (password === "") return refused("Authentication failed: password not specified");
    const isRight = await this.#isPassword(user, password);
    if (isRight === undefined) return refused("Authentication failed: credentials for user could not be verified");
    if (!isRight) return refused("Authentication failed: Invalid username or password");
    if (authorizationId !== "" && authorizationId !== user) {
      return refused("Authentication failed: Client requested an authorization id that is different from username");
    }
    return { outcome: "done", token: emptyToken, principal: userPrincipal(user), expiresAtMs: null };
  }

  /** The same work for a user that is not there. Undefined when there is no time for it. */
  async #isPassword(user: string, password: string): Promise<boolean | undefined> {
    const mechanism: ScramMechanism =
      this.#credentials.find(user, "SCRAM-SHA-256") || !this.#credentials.find(user, "SCRAM-SHA-512")
        ? "SCRAM-SHA-256"
        : "SCRAM-SHA-512";
    const { isKnown, credential } = this.#credentials.findOrInvent(user, mechanism);
    const { salt, iterations, storedKey } = credential;
    const salted = await this.#work.salted(mechanism, password, salt, iterations);
    if (!salted) return undefined;
    const isSame = sameBytes(credentialOf(mechanism, salted, salt, iterations).storedKey, storedKey);
    return isSame && isKnown && this.#credentials.find(user, mechanism) === credential;
  }
}

function refused(message: string): SaslStep {
  return failed(message, message);
}
