/** Names of what is defined: their form, and how they are spelled in SQL. */
import { MillraceError } from "../../base/errors.ts";

/** PostgreSQL cuts a longer identifier. */
export const identifierBytesMax = 63;

const nameForm = /^[a-z][a-z0-9_]{0,47}$/;
/** A source is a schema of the store, and these are others'. */
const takenSchemas = ["views", "topics", "millrace", "public", "pg_catalog", "information_schema", "app"];

/** How a mirror is called inside the schema of its source: `orders`, or `audit.events` when it is not in public. */
export function mirrorName(schema: string, table: string): string {
  return schema === "public" ? table : `${schema}.${table}`;
}

/** A quoted identifier. */
export function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

/** A misspelt option would else be one that was left out. */
export function refuseUnknown(named: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((option) => !known.includes(option));
  if (unknown === undefined) return;
  throw new MillraceError("DEFINITION_INVALID", `${named} has an option ${JSON.stringify(unknown)}, which is none`, {
    hint: `Options are ${known.join(", ")}.`,
  });
}

export function checkName(noun: string, name: unknown): void {
  if (typeof name !== "string" || !nameForm.test(name)) {
    throw new MillraceError("DEFINITION_INVALID", `${noun} name ${JSON.stringify(name)} is not usable`, {
      hint: "Names begin with a small letter and have at most 48 of the characters a-z, 0-9 and _.",
    });
  }
  if (noun === "source" && takenSchemas.includes(name)) {
    throw new MillraceError("DEFINITION_INVALID", `source name "${name}" is taken by a schema of the store`);
  }
}
