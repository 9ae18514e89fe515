/** `/v1/views`, `/v1/explain` and `/v1/query`. */
import { MillraceError } from "../base/errors.ts";
import { printDuration } from "../base/units.ts";
import { mainGroup } from "../catalog/definitions.ts";
import type { PublicationInfo } from "../publish/publication-info.ts";
import type { RowAnswer, ViewInfo } from "../views/view-info.ts";
import { callerErrors, callerParameters, viewsFor } from "./callers.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpLimits } from "./door-settings.ts";
import { errorJson } from "./problem.ts";
import { decodeSegment } from "./query-string.ts";
import { readHeaders, staleHeaders } from "./read-headers.ts";
import { afterParameters, groupToken, waitForViews } from "./read-token.ts";
import { jsonBodyOf } from "./request-body.ts";
import { type Call, json, jsonText, type Parameter, type Reply, type Route, text } from "./route.ts";
import { rowFormTypes } from "./row-form.ts";
import { parseLiveQuery, parseRowOptions, parseRowQuery } from "./row-query.ts";
import { rowsReply } from "./rows-reply.ts";
import { anything, array, boolean, integer, list, object, ref, string } from "./schemas.ts";

export const readErrors = [
  ...callerErrors,
  "VIEW_UNKNOWN",
  "VIEW_BUILDING",
  "VIEW_FAILED",
  "COLUMN_UNKNOWN",
  "STORE_UNAVAILABLE",
] as const;
export const tokenErrors = [
  "TOKEN_INVALID",
  "TOKEN_FOREIGN",
  "TOKEN_TIMEOUT",
  "SOURCE_UNKNOWN",
  "SOURCE_UNREACHABLE",
] as const;

export const rowErrors = [
  "VIEW_OPTION_MISSING",
  "FILTER_INVALID",
  "PATH_INVALID",
  "CAST_FAILED",
  "RELATION_UNKNOWN",
  "RELATION_AMBIGUOUS",
  "RANGE_NOT_SATISFIABLE",
  "HISTORY_BEGINS_LATER",
  "ROW_NOT_SINGLE",
  "MEDIA_TYPE_UNACCEPTABLE",
  "PREFERENCE_INVALID",
] as const;

const otherForms = { [rowFormTypes.lines]: string, "text/csv": string, [rowFormTypes.object]: ref("Row") };

export const rowHeaders: readonly Parameter[] = [
  { name: "Prefer", in: "header", about: "count=exact, planned or estimated; handling=strict.", schema: string },
  { name: "Range", in: "header", about: "0-24: these rows, as limit and offset.", schema: string },
];

const findRouteParameters: readonly Parameter[] = [
  { name: "q", in: "query", about: 'Words, with the option search: "a phrase", or, -not, begin*.', schema: string },
  { name: "highlight", in: "query", about: "Columns to mark the words of q in, as _highlight.", schema: string },
  {
    name: "suggest",
    in: "query",
    about: "true: where q finds nothing, Millrace-Suggestion has other words that do.",
    schema: { const: "true" },
  },
  {
    name: "near",
    in: "query",
    about: "lat,lon with the option geo: the nearest first, with _distance.",
    schema: string,
  },
  { name: "within", in: "query", about: "5km; m, km, mi and nmi are known. Needs near.", schema: string },
  { name: "bbox", in: "query", about: "minlon,minlat,maxlon,maxlat, with the option geo.", schema: string },
  { name: "area", in: "query", about: "A polygon or several, as GeoJSON or well-known text.", schema: string },
  { name: "tile", in: "query", about: "zoom/x/y of a web map.", schema: string },
  { name: "geohash", in: "query", about: "Adds _geohash, of so many characters: 1 to 12.", schema: integer },
  { name: "zoom", in: "query", about: "Adds _tile, as zoom/x/y: 0 to 24.", schema: integer },
];

export const rowsAnswers: Route["answers"] = {
  200: {
    about: "The rows; Link has the next page, Content-Range their places.",
    schema: array(ref("Row")),
    also: otherForms,
  },
  206: {
    about: "As 200, where the rows were counted and there are more.",
    schema: array(ref("Row")),
    also: otherForms,
  },
  304: { about: "The rows are those of the ETag that was sent." },
};

const staleParameter: Parameter = {
  name: "stale",
  in: "query",
  about: "ok reads the last good state of a view that failed, which Millrace-Stale then tells.",
  schema: { const: "ok" },
};

const asOfParameter: Parameter = {
  name: "as_of",
  in: "query",
  about: "2026-03-01T12:00:00Z: the rows that were valid then, of a view with the option history.",
  schema: { ...string, format: "date-time" },
};

export const rowParameters: readonly Parameter[] = [
  {
    name: "select",
    in: "query",
    about:
      "*,name:column,column::text,data->key,relation(column),column.sum(), with commas between; all columns when left out.",
    schema: string,
  },
  { name: "order", in: "query", about: "total.desc.nullslast,id", schema: string },
  { name: "limit", in: "query", about: "At most 10,000; 100 when left out.", schema: integer },
  { name: "offset", in: "query", about: "Rows to pass over.", schema: integer },
  { name: "cursor", in: "query", about: "From the Link header of the page before.", schema: string },
  { name: "and", in: "query", about: "(a.eq.1,or(b.is.null,c.gt.5)); or= and not.and= likewise.", schema: string },
  ...findRouteParameters,
  {
    name: "bucket",
    in: "query",
    about: "1h, 15m, 1d, 1mo: groups by time, with the option series; s, m, h, d, w, mo and y are known.",
    schema: string,
  },
  {
    name: "fill",
    in: "query",
    about: "What stands in buckets without rows.",
    schema: { enum: ["null", "0", "previous", "linear"] },
  },
  { name: "tz", in: "query", about: "Whose days, weeks and months bucket means; UTC when left out.", schema: string },
  asOfParameter,
  staleParameter,
  ...callerParameters,
  ...afterParameters,
];

export function viewRoutes(
  { views, publications, feeds, sources }: Pick<HttpDoorDependencies, "views" | "publications" | "feeds" | "sources">,
  limits: HttpLimits,
): readonly Route[] {
  const viewOf = (call: Call) => decodeSegment(call.segments.view ?? "");
  const routes: readonly Route[] = [
    {
      method: "GET",
      path: "/v1/views",
      operation: "listViews",
      about: "All views with their columns and states.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "The views.", schema: list(ref("View")) } },
      errors: [],
      handle: () => json({ items: views.list().map((view) => viewJson(view, publications.of(view.name))), next: null }),
    },
    {
      method: "GET",
      path: "/v1/views/{view}",
      operation: "readRows",
      about: "Rows of a view: filtered, ordered, page by page; as JSON, lines of JSON, CSV or one object.",
      access: "key",
      callers: true,
      parameters: [...rowParameters, ...rowHeaders],
      openQuery: true,
      answers: rowsAnswers,
      errors: [...readErrors, ...tokenErrors, ...rowErrors],
      handle: (call) => rowsReply(call, { view: viewOf(call), views, sources, limits }, parseRowQuery),
    },
    {
      method: "GET",
      path: "/v1/views/{view}/{key}",
      operation: "readRow",
      about: "One row by its key; parts of a composite key have commas between and are percent-encoded each.",
      access: "key",
      callers: true,
      parameters: [
        { name: "select", in: "query", about: "Columns, with commas between.", schema: string },
        asOfParameter,
        staleParameter,
        ...callerParameters,
        ...afterParameters,
      ],
      answers: {
        200: { about: "The row.", schema: ref("Row") },
        304: { about: "The row is that of the ETag that was sent." },
      },
      errors: [
        ...readErrors,
        ...tokenErrors,
        "KEY_INVALID",
        "VIEW_KEY_MISSING",
        "VIEW_OPTION_MISSING",
        "HISTORY_BEGINS_LATER",
        "ROW_NOT_FOUND",
      ],
      // Without a promise where the row is in memory: it is answered in the turn in which it was asked for.
      handle: (call) => {
        const view = viewOf(call);
        const key = (call.segments.key ?? "").split(",").map(decodeSegment);
        const options = parseRowOptions(call.query);
        const shown = viewsFor(views, call);
        const read = () => {
          const answer = shown.row(view, key, options.select, options);
          return answer instanceof Promise
            ? answer.then((one) => rowReply(view, key, one))
            : rowReply(view, key, answer);
        };
        const waiting = waitForViews(call, shown, sources, limits.tokenWaitMs, [{ view, select: options.select }]);
        return waiting ? waiting.then(read) : read();
      },
    },
    {
      method: "GET",
      path: "/v1/views/{view}/live",
      operation: "followView",
      about: "A snapshot, then every batch of changes, as server-sent events; resumes by Last-Event-ID.",
      access: "key",
      callers: true,
      parameters: [
        { name: "Last-Event-ID", in: "header", about: "The id of the last event that was seen.", schema: string },
        {
          name: "select",
          in: "query",
          about: "Columns that are shown beside the key; all when left out.",
          schema: string,
        },
        ...findRouteParameters.filter(({ name }) => !["highlight", "suggest", "geohash", "zoom"].includes(name)),
        ...callerParameters,
        ...afterParameters,
      ],
      openQuery: true,
      answers: { 200: { about: "The feed.", type: "text/event-stream", schema: string } },
      errors: [...readErrors, ...tokenErrors, "FILTER_INVALID", "PATH_INVALID", "VIEW_OPTION_MISSING"],
      handle: async (call) => {
        const view = viewOf(call);
        const { filter, select } = parseLiveQuery(call.query);
        await waitForViews(call, viewsFor(views, call), sources, limits.tokenWaitMs, [{ view }]);
        const lastEventId = lastEventIdOf(call);
        const { caller } = call;
        return {
          kind: "feed",
          of: "view",
          open: (signal) => feeds.openViewFeed({ view, filter, select, caller, lastEventId, signal }),
        };
      },
    },
    {
      method: "GET",
      path: "/v1/explain/{view}",
      operation: "explainView",
      about: "How a view is kept up to date: its class, statements and indexes, for people.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "The explanation.", type: "text/plain", schema: string } },
      errors: ["VIEW_UNKNOWN"],
      handle: async (call) => text(await views.explain(viewOf(call))),
    },
    {
      method: "POST",
      path: "/v1/query",
      operation: "query",
      about: "A read-only SQL statement on the views of a group (main when left out) and the tables that they read.",
      access: "key",
      parameters: [],
      body: { "application/json": object({ sql: string, "limit?": integer, "group?": string }) },
      answers: {
        200: {
          about: "The result.",
          schema: object({ columns: array(string), rows: array(array(anything)), "more?": boolean }),
        },
      },
      errors: [
        "QUERY_INVALID",
        "QUERY_TIMEOUT",
        "VIEW_GROUP_UNKNOWN",
        "STORE_UNAVAILABLE",
        "MEDIA_TYPE_UNSUPPORTED",
        "REQUEST_TOO_LARGE",
      ],
      handle: async (call) => {
        const { sql, rowsMax, group } = await readQuery(call, limits);
        return json(await views.query(sql, { rowsMax, timeoutMs: limits.queryMs }, call.signal, group));
      },
    },
  ];
  return routes;
}

function rowReply(view: string, key: readonly string[], answer: RowAnswer): Reply {
  const { row, position } = answer;
  const stale = answer.staleSinceMs === undefined ? undefined : staleHeaders([answer]);
  if (row !== null) {
    const headers = readHeaders(position, row.tag);
    return jsonText(row.body, 200, stale ? { ...headers, ...stale } : headers);
  }
  throw new MillraceError("ROW_NOT_FOUND", `view "${view}" has no row with the key ${JSON.stringify(key)}`, {
    details: { token: groupToken(position), ...(stale && { stale: stale["millrace-stale"] }) },
  });
}

export function viewJson(view: ViewInfo, publication: PublicationInfo | undefined): Record<string, unknown> {
  const { state, references, refresh, versions, window, watermarks } = view;
  return {
    ...view,
    group: view.group ?? mainGroup,
    ...(references && {
      references: references.map(({ name, view: to, on }) => ({ name, view: to, on: Object.fromEntries(on) })),
    }),
    ...(versions && { versions: { name: versions.name, keep: versions.keepMs && printDuration(versions.keepMs) } }),
    ...(refresh && { refresh: { every: printDuration(refresh.everyMs), behind: refresh.behind } }),
    ...(window && {
      window: {
        ends: window.ends,
        grace: printDuration(window.graceMs),
        ...(window.session && { session: { gap: printDuration(window.session.gapMs), by: window.session.by } }),
        emit: window.final ? "final" : "updates",
      },
    }),
    ...(watermarks && {
      watermarks: watermarks.map(({ topic, atMs }) => ({
        topic,
        at: atMs === null ? null : new Date(atMs).toISOString(),
      })),
    }),
    ...(publication && { publishing: publicationJson(publication) }),
    state: state.kind === "failed" ? failedJson(state) : state,
  };
}

function publicationJson({ topic, state, position, behind, batches, records }: PublicationInfo) {
  return {
    topic,
    state: "error" in state ? { ...state, error: errorJson(state.error) } : state,
    position: position && `${position.generation}.${position.batch}`,
    behind,
    batches,
    records,
  };
}

function failedJson({ kind, error, staleSinceMs }: Extract<ViewInfo["state"], { kind: "failed" }>) {
  const since = staleSinceMs === undefined ? {} : { staleSince: new Date(staleSinceMs).toISOString() };
  return { kind, error: errorJson(error), ...since };
}

/** What `EventSource` sends when it comes back, as the text that an id is. */
export function lastEventIdOf(call: Call): string | null {
  const header = call.headers["last-event-id"];
  const value = Array.isArray(header) ? header[0] : header;
  return value === undefined || value === "" ? null : value;
}

async function readQuery(
  call: Call,
  limits: HttpLimits,
): Promise<{ sql: string; rowsMax: number; group: string | undefined }> {
  const body = await jsonBodyOf(call, "a query", '{"sql": "select …"}');
  const members = (body ?? {}) as { readonly sql?: unknown; readonly limit?: unknown; readonly group?: unknown };
  const { sql, limit = Math.min(1_000, limits.rowsMax), group } = members;
  if (typeof sql !== "string" || sql.trim() === "" || sql.includes("\0")) {
    throw new MillraceError("REQUEST_INVALID", 'a query is {"sql": "select …", "limit": 100}');
  }
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > limits.rowsMax) {
    throw new MillraceError("REQUEST_INVALID", `limit is ${JSON.stringify(limit)?.slice(0, 40)}`, {
      hint: `It is a whole number from 1 to ${limits.rowsMax}.`,
    });
  }
  if (group !== undefined && typeof group !== "string") {
    throw new MillraceError("REQUEST_INVALID", "group is no name of a group of views", {
      hint: "Leave it out for group main.",
    });
  }
  return { sql, rowsMax: limit as number, group };
}
