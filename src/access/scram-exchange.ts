/**
 * SCRAM on the server's side (RFC 5802): the client's first message names the user, the second proves that it has the
 * password; the server proves in turn that it has the credential.
 *
 * A user that is not there goes the same way with an invented credential, and fails at the end, with the same words.
 * Delegation tokens (`tokenauth`) are not known.
 */
import type { Random } from "../base/random.ts";
import { userPrincipal } from "./principals.ts";
import { failed, type SaslExchange, type SaslStep } from "./sasl-exchange.ts";
import type { ScramCredentials } from "./scram-credentials.ts";
import { provesPassword, type ScramCredential, type ScramMechanism, serverSignature } from "./scram-keys.ts";
import { type ClientFirst, readClientFinal, readClientFirst, serverFinal, serverFirst } from "./scram-messages.ts";

/** Bytes of the server's part of the nonce. */
const nonceBytes = 24;

interface Asked {
  readonly first: ClientFirst;
  readonly nonce: string;
  readonly serverFirst: string;
  readonly isKnown: boolean;
  readonly credential: ScramCredential;
}

type State =
  | { readonly kind: "first" }
  | { readonly kind: "final"; readonly asked: Asked }
  | { readonly kind: "ended" };

export class ScramExchange implements SaslExchange {
  readonly #mechanism: ScramMechanism;
  readonly #credentials: ScramCredentials;
  readonly #random: Random;
  #state: State = { kind: "first" };

  constructor(mechanism: ScramMechanism, credentials: ScramCredentials, random: Random) {
    this.#mechanism = mechanism;
    this.#credentials = credentials;
    this.#random = random;
  }

  async step(token: Buffer): Promise<SaslStep> {
    const state = this.#state;
    this.#state = { kind: "ended" };
    if (state.kind === "first") return this.#ask(token);
    if (state.kind === "final") return this.#check(token, state.asked);
    return failed("a message after the end of the exchange");
  }

  #ask(token: Buffer): SaslStep {
    const first = readClientFirst(token);
    if (!first) return failed("the client's first message has not the form of SCRAM");
    if (first.extensions.get("tokenauth")?.toLowerCase() === "true")
      return failed("delegation tokens are not known here");
    if (first.authorizationId !== "" && first.authorizationId !== first.user) {
      return failed(
        "another authorization id than the user",
        "Authentication failed: Client requested an authorization id that is different from username",
      );
    }
    const { isKnown, credential } = this.#credentials.findOrInvent(first.user, this.#mechanism);
    const nonce = first.nonce + this.#random.bytes(nonceBytes).toString("base64url");
    const message = serverFirst(nonce, credential.salt, credential.iterations);
    this.#state = { kind: "final", asked: { first, nonce, serverFirst: message, isKnown, credential } };
    return { outcome: "challenge", token: Buffer.from(message) };
  }

  #check(token: Buffer, { first, nonce, serverFirst, isKnown, credential }: Asked): SaslStep {
    const final = readClientFinal(token);
    if (!final) return failed("the client's final message has not the form of SCRAM");
    if (final.header !== Buffer.from(first.header).toString("latin1")) return failed("another header than at first");
    if (final.nonce !== nonce) return failed("another nonce than was given");
    const exchanged = `${first.bare},${serverFirst},${final.withoutProof}`;
    const isProved = provesPassword(this.#mechanism, credential, exchanged, final.proof);
    if (!isProved || !isKnown) return failed(isKnown ? "the proof is not of this password" : "there is no such user");
    // Taken away or replaced meanwhile: the old password is none any more.
    if (this.#credentials.find(first.user, this.#mechanism) !== credential) return failed("the credential has changed");
    return {
      outcome: "done",
      token: Buffer.from(serverFinal(serverSignature(this.#mechanism, credential, exchanged))),
      principal: userPrincipal(first.user),
      expiresAtMs: null,
    };
  }
}
