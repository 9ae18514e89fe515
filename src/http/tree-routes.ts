/** `/v1/views/{view}/tree/…`: rows at and below a path, one level below it, and above it. They are read as all rows are. */
import { MillraceError } from "../base/errors.ts";
import { treeLevelsMax } from "../views/find/find-functions.ts";
import type { TreeQuestion } from "../views/find/find-query.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpLimits } from "./door-settings.ts";
import { allOf } from "./filter-grammar.ts";
import { queryInteger, queryValue } from "./parameters.ts";
import { decodeSegment } from "./query-string.ts";
import type { Call, Parameter, Route } from "./route.ts";
import { parseRowQuery } from "./row-query.ts";
import { type ParseRows, rowsReply } from "./rows-reply.ts";
import { integer, string } from "./schemas.ts";
import { readErrors, rowErrors, rowHeaders, rowParameters, rowsAnswers, tokenErrors } from "./view-routes.ts";

const byParameter: Parameter = {
  name: "by",
  in: "query",
  about: "The column with the path, in a view with several trees.",
  schema: string,
};
const depthParameter: Parameter = {
  name: "depth",
  in: "query",
  about: `So many levels below the path, 0 to ${treeLevelsMax}; all of them when left out.`,
  schema: integer,
};

export function treeRoutes(
  { views, sources }: Pick<HttpDoorDependencies, "views" | "sources">,
  limits: HttpLimits,
): readonly Route[] {
  const route = (
    end: string,
    operation: string,
    about: string,
    questionOf: (path: string, query: Call["query"]) => TreeQuestion,
    parameters: readonly Parameter[],
  ): Route => {
    const own = parameters.map(({ name }) => name);
    return {
      method: "GET",
      path: `/v1/views/{view}/tree/{path}${end}`,
      operation,
      about,
      access: "key",
      callers: true,
      parameters: [...parameters, ...rowParameters.filter(({ name }) => name !== "as_of"), ...rowHeaders],
      openQuery: true,
      answers: rowsAnswers,
      errors: [...readErrors, ...tokenErrors, ...rowErrors],
      handle: (call) => {
        const question = questionOf(decodeSegment(call.segments.path ?? ""), call.query);
        const view = decodeSegment(call.segments.view ?? "");
        return rowsReply(call, { view, views, sources, limits }, treeQuery(question, own));
      },
    };
  };
  return [
    route(
      "",
      "readTree",
      "Rows at a path and below it, in a view with the option tree: each before what is below it, with _depth.",
      (path, query) => {
        const most = queryInteger(query, "depth", { min: 0, max: treeLevelsMax });
        return { is: "below", path, ...(most === undefined ? {} : { levels: { least: 0, most } }) };
      },
      [depthParameter, byParameter],
    ),
    route(
      "/children",
      "readChildren",
      "Rows one level below a path.",
      (path) => ({ is: "below", path, levels: { least: 1, most: 1 } }),
      [byParameter],
    ),
    route(
      "/ancestors",
      "readAncestors",
      "Rows above a path, the uppermost first.",
      (path) => ({ is: "above", path, self: false }),
      [byParameter],
    ),
  ];
}

/** `own` are parameters that are not of rows. Throws `REQUEST_INVALID`, and what the query of rows throws. */
function treeQuery(question: TreeQuestion, own: readonly string[]): ParseRows {
  return (query, limits, range) => {
    const twice = own.find((name) => query.filter((one) => one.name === name).length > 1);
    if (twice !== undefined) throw new MillraceError("REQUEST_INVALID", `"${twice}" is given twice`);
    const asked = parseRowQuery(
      query.filter(({ name }) => !own.includes(name)),
      limits,
      range,
    );
    if (asked.asOfMicros !== undefined) {
      throw new MillraceError("REQUEST_INVALID", "as_of has no meaning for a tree", {
        hint: "What was there at a moment is filtered by columns: path=like.Top.*",
      });
    }
    const column = queryValue(query, "by") ?? null;
    const term = { kind: "tree", column, question, negated: false } as const;
    return {
      ...asked,
      filter: allOf([term, ...(asked.filter === null ? [] : [asked.filter])]),
      find: { ...asked.find, tree: { column } },
    };
  };
}
