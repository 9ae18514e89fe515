/**
 * One authentication by SASL (RFC 4422), the server's side: tokens in, tokens out, until it has come to an end. Knows
 * nothing of the protocol that carries the tokens.
 */
export type SaslStep =
  | { readonly outcome: "challenge"; readonly token: Buffer }
  | {
      readonly outcome: "done";
      readonly token: Buffer;
      /** `User:alice` */
      readonly principal: string;
      /** The wall clock at which the credential ends; null when it does not. */
      readonly expiresAtMs: number | null;
    }
  /**
   * `message` may be told to the client. Without one the client learns only that its credentials are not valid, so that
   * it cannot tell who is there and who is not. `reason` is for the diagnostics.
   */
  | { readonly outcome: "failed"; readonly message: string | null; readonly reason: string };

export interface SaslExchange {
  /** One at a time; not to be called again after an end. Never throws for what a client sends. */
  step(token: Buffer): Promise<SaslStep>;
}

export const emptyToken: Buffer = Buffer.alloc(0);

export function failed(reason: string, message: string | null = null): SaslStep {
  return { outcome: "failed", message, reason };
}
