/** Rows as an answer: the token, the tag, the place among all of them, and the next page. */
import { createHash } from "node:crypto";
import type { RowQuery } from "../views/view-info.ts";
import { viewsFor } from "./callers.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpLimits } from "./door-settings.ts";
import { parsePreferences } from "./preferences.ts";
import type { QueryParameter } from "./query-string.ts";
import { readHeaders, staleHeaders, suggestionHeaders, warningHeaders } from "./read-headers.ts";
import { waitForViews } from "./read-token.ts";
import type { Call, Reply } from "./route.ts";
import { acceptedForm, rowFormTypes, rowsBody } from "./row-form.ts";
import { rangeAnswer } from "./row-range.ts";

export interface RowsToRead extends Pick<HttpDoorDependencies, "views" | "sources"> {
  readonly view: string;
  readonly limits: HttpLimits;
}

export type ParseRows = (query: readonly QueryParameter[], limits: HttpLimits, range?: string) => RowQuery;

export async function rowsReply(
  call: Call,
  { view, views, sources, limits }: RowsToRead,
  parse: ParseRows,
): Promise<Reply> {
  const form = acceptedForm(call.headers.accept);
  const { count, applied } = parsePreferences(call.headers.prefer);
  const query = parse(call.query, limits, call.headers.range);
  await waitForViews(call, viewsFor(views, call), sources, limits.tokenWaitMs, [{ view, ...query }]);
  const answer = await viewsFor(views, call).rows(view, {
    ...query,
    // A second row is what says that the first one is not the only one.
    ...(form === "object" ? { limit: Math.min(query.limit, 2) } : {}),
    ...(form === "csv" ? { form: "cells" } : {}),
    ...(count === null ? {} : { count }),
  });
  const body = rowsBody(form, answer.rows, answer.columns ?? [], view);
  const range = rangeAnswer(query.cursor === null ? query.offset : null, answer.rows.length, answer.total);
  return {
    kind: "body",
    status: range.status,
    type: rowFormTypes[form],
    body,
    headers: {
      ...readHeaders(answer.position, tagOf(form === "json" ? body : `${form}\n${body}`)),
      ...range.headers,
      ...staleHeaders([answer]),
      ...suggestionHeaders(answer.suggestions),
      ...warningHeaders([{ view, unindexed: answer.unindexed }]),
      vary: "Accept, Prefer, Range",
      ...(applied === null ? {} : { "preference-applied": applied }),
      ...(answer.next === null ? {} : linkTo(call, answer.next, query.limit)),
    },
  };
}

function tagOf(body: string): string {
  return createHash("sha256").update(body).digest("base64url").slice(0, 22);
}

/** The same address with the cursor of the next page, relative to this one. */
function linkTo(call: Call, cursor: string, limit: number): Record<string, string> {
  const search = new URLSearchParams();
  for (const { name, value } of call.query) {
    if (name !== "cursor" && name !== "offset" && name !== "after") search.append(name, value);
  }
  // A range says how many, and the next page has none.
  if (call.headers.range !== undefined) search.set("limit", String(limit));
  search.append("cursor", cursor);
  // Header values are bytes of ASCII: URLSearchParams has encoded everything else.
  return { link: `<?${search}>; rel="next"` };
}
