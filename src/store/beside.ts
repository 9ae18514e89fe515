/** Databases beside the store's own, in the same server: one for each group of views that is not `main`. */
import { createHash } from "node:crypto";
import { escapeIdentifier, type Pool } from "pg";
import { MillraceError } from "../base/errors.ts";
import { isNotPermitted } from "./failure.ts";
import type { Login } from "./session.ts";

const identifierBytesMax = 63;

/** `millrace_reports`; where that would be too long, a hash stands for the end. */
export function besideDatabase(database: string, group: string): string {
  const name = `${database}_${group}`;
  if (Buffer.byteLength(name) <= identifierBytesMax) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 16);
  return `${Buffer.from(database).subarray(0, 40).toString().replaceAll("\ufffd", "")}_${hash}`;
}

/** In the user's own server, by its writing role. Throws `STORE_NOT_PERMITTED` with the SQL that would help. */
export async function makeBeside(admin: Pool, { database, user }: Login): Promise<void> {
  const { rowCount } = await admin.query("select from pg_database where datname = $1", [database]);
  if (rowCount !== 0) return;
  const create = `create database ${escapeIdentifier(database)} encoding 'UTF8' template template0`;
  try {
    await admin.query(create);
  } catch (cause) {
    if (!isNotPermitted(cause)) throw cause;
    throw new MillraceError("STORE_NOT_PERMITTED", `the role ${user} may not make the database ${database}`, {
      hint: `As an administrator of the store, run: ${create} owner ${escapeIdentifier(user)}; or give the group a store of its own.`,
      details: { sql: [create] },
      cause,
    });
  }
}
