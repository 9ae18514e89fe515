/**
 * A SCRAM-SHA-256 verifier as PostgreSQL stores it (RFC 5803 form), so that a password is never in the text of a
 * statement, where the server's log could show it.
 */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";

const iterations = 4096;

/** For passwords in ASCII, which need no SASLprep (RFC 4013). */
export function scramVerifier(password: string, salt: Buffer): string {
  const salted = pbkdf2Sync(password, salt, iterations, 32, "sha256");
  const hmac = (text: string) => createHmac("sha256", salted).update(text).digest();
  const storedKey = createHash("sha256").update(hmac("Client Key")).digest("base64");
  const serverKey = hmac("Server Key").toString("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${serverKey}`;
}
