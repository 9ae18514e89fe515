/** What SCRAM (RFC 5802, RFC 7677) derives from a password, and proves with. */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from "node:crypto";

export type ScramMechanism = "SCRAM-SHA-256" | "SCRAM-SHA-512";

export const scramMechanisms: readonly ScramMechanism[] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

/** What the server keeps of a password: enough to check a proof, not to make one. */
export interface ScramCredential {
  readonly salt: Buffer;
  readonly iterations: number;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** Kafka's bounds; below the first a stolen key is too quickly tried, above the second a login costs the server too much. */
export const scramIterationsMin = 4096;
export const scramIterationsMax = 16_384;

const hashes = { "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512" } as const;

export const scramKeyBytes = { "SCRAM-SHA-256": 32, "SCRAM-SHA-512": 64 } as const;

/** Hi() of RFC 5802; runs in the thread pool. Passwords are not normalised, as in Kafka. */
export function saltPassword(
  mechanism: ScramMechanism,
  password: string,
  salt: Buffer,
  iterations: number,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, iterations, scramKeyBytes[mechanism], hashes[mechanism], (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}

export function credentialOf(
  mechanism: ScramMechanism,
  saltedPassword: Buffer,
  salt: Buffer,
  iterations: number,
): ScramCredential {
  const storedKey = scramHash(mechanism, scramHmac(mechanism, saltedPassword, "Client Key"));
  return { salt, iterations, storedKey, serverKey: scramHmac(mechanism, saltedPassword, "Server Key") };
}

/** Whether the proof was made with the password of the credential, over this exchange of messages. */
export function provesPassword(
  mechanism: ScramMechanism,
  { storedKey }: ScramCredential,
  exchanged: string,
  proof: Buffer,
): boolean {
  const signature = scramHmac(mechanism, storedKey, exchanged);
  if (proof.length !== signature.length) return false;
  const clientKey = Buffer.alloc(signature.length);
  for (let i = 0; i < signature.length; i++) clientKey[i] = (signature[i] as number) ^ (proof[i] as number);
  return sameBytes(scramHash(mechanism, clientKey), storedKey);
}

/** What the server proves itself with. */
export function serverSignature(mechanism: ScramMechanism, { serverKey }: ScramCredential, exchanged: string): Buffer {
  return scramHmac(mechanism, serverKey, exchanged);
}

/** In a time that does not depend on where they differ. */
export function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

export function scramHmac(mechanism: ScramMechanism, key: Buffer, text: string): Buffer {
  return createHmac(hashes[mechanism], key).update(text, "utf8").digest();
}

function scramHash(mechanism: ScramMechanism, bytes: Buffer): Buffer {
  return createHash(hashes[mechanism]).update(bytes).digest();
}
