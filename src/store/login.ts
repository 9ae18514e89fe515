/** The superuser's password of the embedded server: random, made once, in a file that only we can read. */
import { open, readFile, rename } from "node:fs/promises";
import path from "node:path";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";

const passwordBytes = 24;

/** `found` is false when the password is new: a cluster that exists knows another one. */
export async function openLogin(ours: string, random: Random): Promise<{ password: string; found: boolean }> {
  const file = path.join(ours, "login.json");
  const password = passwordIn(await readFile(file, "utf8").catch(() => ""));
  if (password !== null) return { password, found: true };
  const made = newPassword(random);
  const partial = `${file}.partial`;
  try {
    const handle = await open(partial, "w", 0o600);
    try {
      await handle.chmod(0o600);
      await handle.writeFile(`${JSON.stringify({ password: made })}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, file);
  } catch (cause) {
    throw new MillraceError("DATA_DIRECTORY_UNUSABLE", `the file ${file} cannot be written`, {
      hint: "Give the folder to the user that runs Millrace, or name another one in MILLRACE_DATA.",
      cause,
    });
  }
  return { password: made, found: false };
}

/** Letters, digits, `-` and `_`: right in a URL, in SQL and in a shell as it is. */
export function newPassword(random: Random): string {
  return random.bytes(passwordBytes).toString("base64url");
}

function passwordIn(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("password" in value)) return null;
    return typeof value.password === "string" && /^[\w-]{16,}$/.test(value.password) ? value.password : null;
  } catch {
    return null;
  }
}
