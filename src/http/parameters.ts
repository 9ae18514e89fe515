/** Parameters of the query string, checked against a route's table and read by their types. */
import { MillraceError } from "../base/errors.ts";
import { parseDurationMs } from "../base/units.ts";
import { nearest } from "./nearest.ts";
import type { QueryParameter } from "./query-string.ts";
import type { Route } from "./route.ts";

/** A misspelt parameter is refused, never ignored. Throws `REQUEST_INVALID`. */
export function checkParameters(route: Route, query: readonly QueryParameter[]): void {
  if (route.openQuery || query.length === 0) return;
  const known = route.parameters.filter((one) => one.in === "query").map((one) => one.name);
  const seen = new Set<string>();
  for (const { name } of query) {
    if (!known.includes(name)) {
      const meant = nearest(name, known);
      throw new MillraceError(
        "REQUEST_INVALID",
        `${JSON.stringify(name.slice(0, 60))} is no parameter of ${route.path}`,
        {
          hint:
            meant !== undefined
              ? `Did you mean ${meant}?`
              : known.length > 0
                ? `It has ${known.join(", ")}.`
                : "It has none.",
        },
      );
    }
    if (seen.has(name)) throw new MillraceError("REQUEST_INVALID", `"${name}" is given twice`);
    seen.add(name);
  }
}

export function queryValue(query: readonly QueryParameter[], name: string): string | undefined {
  return query.find((one) => one.name === name)?.value;
}

/** A whole number in bounds, or undefined when it is not given. Throws `REQUEST_INVALID`. */
export function queryInteger(
  query: readonly QueryParameter[],
  name: string,
  bounds: { readonly min: number; readonly max: number },
): number | undefined {
  const text = queryValue(query, name);
  if (text === undefined) return undefined;
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= bounds.min && value <= bounds.max) return value;
  throw new MillraceError("REQUEST_INVALID", `${name} is ${JSON.stringify(text.slice(0, 40))}`, {
    hint: `It is a whole number from ${bounds.min} to ${bounds.max}.`,
  });
}

/** Undefined when it is not given. Throws `REQUEST_INVALID`. */
export function queryBoolean(query: readonly QueryParameter[], name: string): boolean | undefined {
  const text = queryValue(query, name);
  if (text === undefined) return undefined;
  if (text === "true" || text === "false") return text === "true";
  throw new MillraceError("REQUEST_INVALID", `${name} is ${JSON.stringify(text.slice(0, 40))}`, {
    hint: "It is true or false.",
  });
}

/** A duration with its unit, in milliseconds, cut to `maxMs`. Throws `REQUEST_INVALID`. */
export function queryDurationMs(query: readonly QueryParameter[], name: string, maxMs: number): number | undefined {
  const text = queryValue(query, name);
  if (text === undefined) return undefined;
  try {
    return Math.min(maxMs, parseDurationMs(text, name));
  } catch (cause) {
    const { message, hint } = MillraceError.from(cause);
    throw new MillraceError("REQUEST_INVALID", message, hint === undefined ? { cause } : { hint, cause });
  }
}
