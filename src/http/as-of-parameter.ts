/** `as_of=2026-03-01T12:00:00Z`: reads a view as it was. */
import { MillraceError } from "../base/errors.ts";

const form = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,6})\d*)?([Zz]|[+-]\d{2}:\d{2})$/;

/** Microseconds from 1970, as a member of a query; none without the parameter. Throws `REQUEST_INVALID`. */
export function asOf(text: string | undefined): { readonly asOfMicros?: number } {
  if (text === undefined) return {};
  const [, date, time, fraction = "", zone = ""] = form.exec(text) ?? [];
  const ms = Date.parse(`${date}T${time}${zone.toUpperCase()}`);
  const micros = ms * 1_000 + Number(fraction.padEnd(6, "0"));
  // A day that a month does not have would be one of the next month.
  const isDay = date !== undefined && new Date(`${date}T00:00:00Z`).toJSON()?.startsWith(date) === true;
  if (isDay && Number.isSafeInteger(micros)) return { asOfMicros: micros };
  throw new MillraceError("REQUEST_INVALID", `as_of is ${JSON.stringify(text.slice(0, 60))}`, {
    hint: "It is a moment with its offset from UTC, such as 2026-03-01T12:00:00Z; in an address + is written %2B. A column of that name is filtered by and=(as_of.eq.…).",
  });
}
