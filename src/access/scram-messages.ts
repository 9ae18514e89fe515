/**
 * The messages of SCRAM (RFC 5802 section 7), read strictly: what is not of the form is undefined, whatever is wrong
 * with it. Read by cutting at commas; hostile text costs time in proportion to its length.
 */

export interface ClientFirst {
  /** `n,,` or `n,a=name,`; comes again in the client's last message. */
  readonly header: string;
  /** "" when none was given. */
  readonly authorizationId: string;
  readonly user: string;
  readonly nonce: string;
  /** The message without its header, as it was sent: it is part of what is proved. */
  readonly bare: string;
  readonly extensions: ReadonlyMap<string, string>;
}

export interface ClientFinal {
  /** The header of the first message, again. */
  readonly header: string;
  readonly nonce: string;
  readonly withoutProof: string;
  readonly proof: Buffer;
}

/** No message of a client needs more. */
const messageBytesMax = 4096;
const nonceForm = /^[\x21-\x2b\x2d-\x7e]+$/;
const base64Form = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Channel binding is not offered: only the header `n` is taken. Mandatory extensions (`m=`) are refused, as the RFC
 * asks; others are read.
 */
export function readClientFirst(bytes: Buffer): ClientFirst | undefined {
  const text = textOf(bytes);
  if (text === undefined || !text.startsWith("n,")) return undefined;
  const headerEnd = text.indexOf(",", 2);
  if (headerEnd < 0) return undefined;
  const header = text.slice(0, headerEnd + 1);
  const authorization = text.slice(2, headerEnd);
  if (authorization !== "" && !authorization.startsWith("a=")) return undefined;
  const authorizationId = authorization === "" ? "" : nameOf(authorization.slice(2));
  const bare = text.slice(headerEnd + 1);
  const [userPart, noncePart, ...rest] = bare.split(",");
  if (!userPart?.startsWith("n=") || !noncePart?.startsWith("r=")) return undefined;
  const user = nameOf(userPart.slice(2));
  const nonce = noncePart.slice(2);
  const extensions = extensionsOf(rest);
  if (user === undefined || authorizationId === undefined || !nonceForm.test(nonce) || !extensions) return undefined;
  return { header, authorizationId, user, nonce, bare, extensions };
}

export function readClientFinal(bytes: Buffer): ClientFinal | undefined {
  const text = textOf(bytes);
  const proofStart = text?.lastIndexOf(",p=") ?? -1;
  if (text === undefined || proofStart < 0) return undefined;
  const withoutProof = text.slice(0, proofStart);
  const [bindingPart, noncePart, ...rest] = withoutProof.split(",");
  if (!bindingPart?.startsWith("c=") || !noncePart?.startsWith("r=") || !extensionsOf(rest)) return undefined;
  const header = fromBase64(bindingPart.slice(2));
  const proof = fromBase64(text.slice(proofStart + 3));
  if (!header || !proof) return undefined;
  return { header: header.toString("latin1"), nonce: noncePart.slice(2), withoutProof, proof };
}

export function serverFirst(nonce: string, salt: Buffer, iterations: number): string {
  return `r=${nonce},s=${salt.toString("base64")},i=${iterations}`;
}

export function serverFinal(signature: Buffer): string {
  return `v=${signature.toString("base64")}`;
}

function textOf(bytes: Buffer): string | undefined {
  if (bytes.length > messageBytesMax) return undefined;
  const text = bytes.toString("utf8");
  // Replaced characters would make two names one.
  return Buffer.byteLength(text) === bytes.length && !text.includes("\ufffd") && !text.includes("\0")
    ? text
    : undefined;
}

/** A saslname: `=2C` is a comma and `=3D` an equals sign, which do not stand for themselves. */
function nameOf(text: string): string | undefined {
  if (text === "" || /=(?!2C|3D)/.test(text)) return undefined;
  return text.replaceAll("=2C", ",").replaceAll("=3D", "=");
}

function extensionsOf(parts: readonly string[]): Map<string, string> | undefined {
  const extensions = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf("=");
    const name = part.slice(0, equals);
    if (equals < 1 || equals === part.length - 1 || !/^[A-Za-z]+$/.test(name) || name === "m") return undefined;
    extensions.set(name, part.slice(equals + 1));
  }
  return extensions;
}

function fromBase64(text: string): Buffer | undefined {
  return text.length % 4 === 0 && base64Form.test(text) ? Buffer.from(text, "base64") : undefined;
}
