/** A set of keys from an address. The answer is bounded, and a redirection is not followed. */
import { MillraceError } from "../base/errors.ts";

const bytesMax = 1024 * 1024;

/**
 * For `JsonWebKeys`. The address is `https:`, or `http:` to this machine: keys that others can change on the way would
 * let in whom they like. Throws `SETTING_INVALID`.
 */
export function keysFromAddress(address: string, ask: typeof fetch = fetch): (signal: AbortSignal) => Promise<string> {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isHere = url?.protocol === "http:" && ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (!url || !(url.protocol === "https:" || isHere)) {
    throw new MillraceError("SETTING_INVALID", `${JSON.stringify(address)} is no address for the keys of tokens`, {
      hint: "It begins with https://",
    });
  }
  return async (signal) => {
    const answer = await ask(url, { signal, redirect: "error", headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`the address of the keys answers ${answer.status}`);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of answer.body ?? []) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new Error(`the answer with the keys is larger than ${bytesMax} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  };
}
