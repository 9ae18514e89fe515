/**
 * A client's side of SASL: PLAIN (RFC 4616), SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677). Passwords are used
 * as they are: those with characters that SASLprep would change are not supported, as in Kafka's own client.
 */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { MillraceError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";

export type SaslMechanism = "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";

export interface SaslLogin {
  readonly mechanism: SaslMechanism;
  readonly username: string;
  readonly password: string;
}

/** Sends what the client says, and answers what the server says to it. */
export type Exchange = (bytes: Buffer) => Promise<Buffer>;

const iterationsMin = 4096;
const iterationsMax = 1_000_000;
const derive = promisify(pbkdf2);

/** Throws `CLUSTER_REFUSED` when the server is not who it has to be, and what the exchange throws. */
export async function authenticate(login: SaslLogin, random: Random, exchange: Exchange): Promise<void> {
  if (login.mechanism === "PLAIN") {
    await exchange(Buffer.from(`\0${login.username}\0${login.password}`));
    return;
  }
  await scram(login, random.bytes(24).toString("base64"), exchange);
}

async function scram({ mechanism, username, password }: SaslLogin, nonce: string, exchange: Exchange): Promise<void> {
  const [hash, keyBytes] = mechanism === "SCRAM-SHA-256" ? (["sha256", 32] as const) : (["sha512", 64] as const);
  const name = username.replaceAll("=", "=3D").replaceAll(",", "=2C");
  const clientFirst = `n=${name},r=${nonce}`;
  const serverFirst = (await exchange(Buffer.from(`n,,${clientFirst}`))).toString();
  const attributes = attributesOf(serverFirst);
  const serverNonce = attributes.get("r") ?? "";
  const iterations = Number(attributes.get("i"));
  const isSane = iterations >= iterationsMin && iterations <= iterationsMax;
  if (!serverNonce.startsWith(nonce) || serverNonce === nonce || !isSane) throw refused("its first answer cannot be");
  const salt = Buffer.from(attributes.get("s") ?? "", "base64");
  const salted = await derive(password, salt, iterations, keyBytes, hash);
  const sign = (key: Buffer, text: string) => createHmac(hash, key).update(text).digest();
  const clientKey = sign(salted, "Client Key");
  const storedKey = createHash(hash).update(clientKey).digest();
  const clientFinal = `c=biws,r=${serverNonce}`;
  const message = `${clientFirst},${serverFirst},${clientFinal}`;
  const signature = sign(storedKey, message);
  const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] as number)));
  const serverFinal = await exchange(Buffer.from(`${clientFinal},p=${proof.toString("base64")}`));
  const verifier = Buffer.from(attributesOf(serverFinal.toString()).get("v") ?? "", "base64");
  const expected = sign(sign(salted, "Server Key"), message);
  if (verifier.length !== expected.length || !timingSafeEqual(verifier, expected)) {
    throw refused("it does not know the password");
  }
}

function attributesOf(message: string): Map<string, string> {
  return new Map(message.split(",").map((part) => [part.slice(0, 1), part.slice(2)]));
}

function refused(why: string): MillraceError {
  return new MillraceError("CLUSTER_REFUSED", `the broker's side of the login is wrong: ${why}`);
}
