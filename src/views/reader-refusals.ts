/** An error of a read's statement, in words of the request that it was made of. */
import type { Pool } from "pg";
import { MillraceError } from "../base/errors.ts";
import { isAboutValues, isAboutWords, serverError } from "./reader-errors.ts";
import { withReader } from "./reader-session.ts";
import type { ValueOrigin } from "./row-filter.ts";
import { filledRowsMax, gridTooLarge } from "./row-series.ts";
import type { Statement } from "./row-sql.ts";

/** Which of the values could not be cast: PostgreSQL's own message does not say. */
export async function explainRefusal(pool: Pool, error: unknown, statement: Statement): Promise<unknown> {
  const server = serverError(error);
  if (!server || !(isAboutValues(server) || isAboutWords(server))) return error;
  const { origins, values, expressions } = statement.parameters;
  const texts = [origins.map((one) => one.value), origins.map((one) => one.type)];
  const sql =
    "select i::int as i, (pg_input_error_info(v, t)).message from unnest($1::text[], $2::text[]) with ordinality as u(v, t, i) " +
    "where not pg_input_is_valid(v, t) limit 1";
  const [bad] = await withReader(pool, async (client) => {
    return (await client.query<{ i: number; message: string }>(sql, texts)).rows;
  }).catch(() => []);
  const origin = bad && origins[bad.i - 1];
  if (origin) return refusedValue(origin, bad.message, error);
  if (server.sqlState === gridTooLarge) {
    return new MillraceError("REQUEST_INVALID", `filling makes more than ${filledRowsMax} rows`, {
      hint: "Narrow the time with a filter, or take larger buckets.",
      cause: error,
    });
  }
  if (server.sqlState === "2201B") {
    const columns = [...new Set(expressions)].map((name) => `"${name}"`).join(", ");
    return new MillraceError("FILTER_INVALID", `the value for column ${columns} cannot be used: ${server.message}`, {
      cause: error,
    });
  }
  if (statement.casts) {
    return new MillraceError("CAST_FAILED", `select casts what cannot be cast: ${server.message}`, {
      cause: error,
      hint: "Cast to text, or leave such rows out with a filter.",
    });
  }
  if (values.length === 0 || isAboutWords(server)) return error;
  return new MillraceError("FILTER_INVALID", server.message, { cause: error });
}

const pathHint =
  "A path is labels of letters, digits, _ and - with dots between: Top.Science.Astronomy. A pattern is lquery.Top.*.Astronomy.";

function refusedValue(origin: ValueOrigin, message: string, cause: unknown): MillraceError {
  const details = { column: origin.column, type: origin.type };
  switch (origin.part) {
    case "filter":
      return new MillraceError("FILTER_INVALID", `the value for column "${origin.column}" cannot be used: ${message}`, {
        ...(/\.ltree$/.test(origin.type) ? { hint: pathHint } : {}),
        cause,
        details,
      });
    case "key":
      return new MillraceError("KEY_INVALID", `the key's part "${origin.column}" cannot be used: ${message}`, {
        cause,
        details,
      });
    case "cursor":
      return new MillraceError("TOKEN_INVALID", "the page's cursor is none of ours", { cause });
  }
}
