/** `POST /v1/read`: several reads of views in one snapshot. */
import { MillraceError } from "../base/errors.ts";
import { errorOfRead } from "../views/reader-errors.ts";
import { shownBy } from "../views/reader-reach.ts";
import type { SnapshotAnswer, SnapshotRead } from "../views/view-info.ts";
import { callerParameters, viewsFor } from "./callers.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpLimits } from "./door-settings.ts";
import { nearest } from "./nearest.ts";
import { parsePreferences } from "./preferences.ts";
import { parseQueryString, type QueryParameter } from "./query-string.ts";
import { staleHeaders, warningHeaders } from "./read-headers.ts";
import { afterParameters, groupToken, waitForViews } from "./read-token.ts";
import { jsonBodyOf } from "./request-body.ts";
import { jsonText, type Route } from "./route.ts";
import { checkedStale, parseRowOptions, parseRowQuery } from "./row-query.ts";
import { anything, array, integer, nullable, object, ref, string } from "./schemas.ts";
import { readErrors, rowErrors, tokenErrors } from "./view-routes.ts";

export const readsMax = 50;
const bodyBytesMax = 1024 * 1024;
const keyPartsMax = 32;
const parametersMax = 200;
const example = '{"reads": [{"view": "orders", "query": "status=eq.paid&limit=20"}]}';

const notOfRows: readonly string[] = ["ROW_NOT_SINGLE", "MEDIA_TYPE_UNACCEPTABLE", "RANGE_NOT_SATISFIABLE"];

export function manyReadsRoute(
  { views, sources }: Pick<HttpDoorDependencies, "views" | "sources">,
  limits: HttpLimits,
): Route {
  return {
    method: "POST",
    path: "/v1/read",
    operation: "readMany",
    about: "Several reads of views in one snapshot of the group: no commit lies between them.",
    access: "key",
    callers: true,
    parameters: [
      {
        name: "Prefer",
        in: "header",
        about: "count=exact, planned or estimated: of every list of rows.",
        schema: string,
      },
      ...callerParameters,
      ...afterParameters,
    ],
    body: {
      "application/json": object({
        reads: { ...array(readSchema), minItems: 1, maxItems: readsMax },
        "after?": { ...string, description: "A token: the reads wait until the views have what it names." },
        "stale?": { const: "ok", description: "Reads the last good states of views that failed." },
      }),
    },
    answers: {
      200: {
        about: "The results in the order of the reads, and the token of what they all show.",
        schema: object({ token: string, results: array(resultSchema) }),
      },
    },
    errors: [
      ...readErrors,
      ...tokenErrors,
      ...rowErrors.filter((code) => !notOfRows.includes(code)),
      "READ_ACROSS_GROUPS",
      "KEY_INVALID",
      "VIEW_KEY_MISSING",
      "QUERY_TIMEOUT",
      "MEDIA_TYPE_UNSUPPORTED",
      "REQUEST_TOO_LARGE",
    ],
    handle: async (call) => {
      const { count, applied } = parsePreferences(call.headers.prefer);
      const body = await jsonBodyOf(call, "a list of reads", example, { bodyBytesMax });
      const { reads, after } = parseBody(body, limits);
      const shown = viewsFor(views, call);
      await waitForViews(call, shown, sources, limits.tokenWaitMs, reads.map(shownBy), after);
      const counted = reads.map((read): SnapshotRead => {
        return count === null || "key" in read ? read : { ...read, query: { ...read.query, count } };
      });
      const answer = await shown.readAll(counted);
      const token = groupToken(answer.position);
      return jsonText(bodyOf(token, answer.results), 200, {
        "millrace-token": token,
        "cache-control": "no-store",
        ...staleHeaders(answer.results),
        ...warningHeaders(
          answer.results.map((one, i) => ({
            view: reads[i]?.view ?? "",
            unindexed: "rows" in one ? one.unindexed : undefined,
            read: i,
          })),
        ),
        ...(applied === null ? {} : { "preference-applied": applied }),
      });
    },
  };
}

const readSchema = {
  ...object({
    view: string,
    "query?": {
      description: "What stands behind ? in GET /v1/views/{view}, or its parameters as an object.",
      anyOf: [string, { type: "object", additionalProperties: anything }],
    },
    "key?": {
      description: "Of one row, as in GET /v1/views/{view}/{key}; the parts of a composite one as an array.",
      anyOf: [string, integer, array(anything)],
    },
  }),
  additionalProperties: false,
};

const staleSchema = { ...string, description: "Of a view that failed: since when what it shows may be wrong." };

const resultSchema = {
  anyOf: [
    object({
      rows: array(ref("Row")),
      next: {
        ...nullable(string),
        description: "The cursor of the next page, which is read later: alone, or with others.",
      },
      "total?": integer,
      "stale?": staleSchema,
      "suggestions?": { ...array(string), description: "Of a read with suggest=true that found nothing." },
    }),
    object({ row: nullable(ref("Row")), "stale?": staleSchema }),
  ],
};

/** Rows are JSON already. */
function bodyOf(token: string, results: SnapshotAnswer["results"]): string {
  const texts = results.map((one) => {
    const stale = one.staleSinceMs === undefined ? "" : `,"stale":"${new Date(one.staleSinceMs).toISOString()}"`;
    if ("row" in one) return `{"row":${one.row ?? "null"}${stale}}`;
    const total = one.total === undefined ? "" : `,"total":${one.total}`;
    const suggestions = one.suggestions === undefined ? "" : `,"suggestions":${JSON.stringify(one.suggestions)}`;
    return `{"rows":[${one.rows.join(",\n")}],"next":${JSON.stringify(one.next)}${total}${stale}${suggestions}}`;
  });
  return `{"token":${JSON.stringify(token)},"results":[${texts.join(",\n")}]}\n`;
}

interface Body {
  readonly reads: readonly SnapshotRead[];
  readonly after: string | undefined;
}

/** Throws `REQUEST_INVALID`, and of a read what its query's grammar throws, with its place. */
function parseBody(body: unknown, limits: HttpLimits): Body {
  const { reads, after, stale } = membersOf(body, ["reads", "after", "stale"], "the body");
  if (!Array.isArray(reads) || reads.length === 0) throw invalid(`the body is ${example}`);
  if (reads.length > readsMax) {
    throw invalid(`there are ${reads.length} reads`, `At most ${readsMax} go into one request.`);
  }
  if (after !== undefined && after !== null && typeof after !== "string") throw invalid("after is no token");
  const taken = stale === undefined || stale === null ? {} : checkedStale(stale);
  return { reads: reads.map((read, i) => parseRead(read, i, limits, taken)), after: after ?? undefined };
}

function parseRead(read: unknown, index: number, limits: HttpLimits, stale: { readonly stale?: true }): SnapshotRead {
  try {
    const { view, query, key } = membersOf(read, ["view", "query", "key"], "a read");
    if (typeof view !== "string" || view === "") throw invalid("it names no view");
    const parameters = parametersOf(query);
    const shared = parameters.find(({ name }) => name === "after" || name === "stale")?.name;
    if (shared !== undefined) {
      throw invalid(
        `${shared} belongs beside reads, for all of them`,
        `{"reads": […], "${shared}": ${shared === "after" ? '"<token>"' : '"ok"'}}`,
      );
    }
    if (key === undefined || key === null) return { view, query: { ...parseRowQuery(parameters, limits), ...stale } };
    return { view, key: keyOf(key), ...parseRowOptions(parameters), ...stale };
  } catch (error) {
    throw errorOfRead(MillraceError.from(error), index);
  }
}

function parametersOf(query: unknown): QueryParameter[] {
  if (query === undefined || query === null) return [];
  if (typeof query === "string") return parseQueryString(query.replace(/^\?/, ""));
  if (typeof query !== "object" || Array.isArray(query)) throw invalid("query is neither text nor an object");
  const parameters = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one: unknown) => ({ name, value: textOf(one, `query.${name}`) })),
  );
  if (parameters.length > parametersMax) throw invalid(`query has more than ${parametersMax} parameters`);
  return parameters;
}

function keyOf(key: unknown): string[] {
  const parts: readonly unknown[] = Array.isArray(key) ? key : [key];
  if (parts.length > keyPartsMax) throw invalid(`key has more than ${keyPartsMax} parts`);
  return parts.map((part) => textOf(part, "key"));
}

function textOf(value: unknown, what: string): string {
  const text = typeof value === "number" || typeof value === "boolean" ? String(value) : value;
  if (typeof text !== "string") throw invalid(`${what.slice(0, 80)} is neither text nor a number`);
  if (text.includes("\0")) throw invalid(`${what.slice(0, 80)} has a NUL character`);
  return text;
}

/** The members of an object that has no others: a misspelt one is refused, never ignored. */
function membersOf(value: unknown, known: readonly string[], what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(`${what} is no object`);
  const other = Object.keys(value).find((name) => !known.includes(name));
  if (other === undefined) return value as Readonly<Record<string, unknown>>;
  const meant = nearest(other, known);
  throw invalid(
    `${what} has no member ${JSON.stringify(other.slice(0, 60))}`,
    meant === undefined ? `It has ${known.join(", ")}.` : `Did you mean ${meant}?`,
  );
}

function invalid(message: string, hint?: string): MillraceError {
  return new MillraceError("REQUEST_INVALID", message, hint === undefined ? {} : { hint });
}
