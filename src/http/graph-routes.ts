/** `/v1/views/{view}/graph/…`: neighbours, what can be reached, and paths. */
import type { Views } from "../views/view-info.ts";
import type { GraphQuery } from "../views/walk/graph-query.ts";
import { callerParameters, viewsFor } from "./callers.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpLimits } from "./door-settings.ts";
import { parseNeighbours, parsePath, parseReach } from "./graph-query.ts";
import type { QueryParameter } from "./query-string.ts";
import { decodeSegment } from "./query-string.ts";
import { afterParameters, groupToken, waitForViews } from "./read-token.ts";
import { jsonText, type Parameter, type Route, type Schema } from "./route.ts";
import { array, boolean, integer, nullable, object, ref, string } from "./schemas.ts";
import { readErrors, tokenErrors } from "./view-routes.ts";

const node: Schema = { anyOf: [integer, string], description: "As the columns of the view's rows have it." };

const ofParameter: Parameter = { name: "of", in: "query", about: "The node that it begins at.", schema: string };
const hopsParameter: Parameter = {
  name: "hops",
  in: "query",
  about: "No farther than so many edges.",
  schema: integer,
};
const nodesParameter: Parameter = {
  name: "nodes",
  in: "query",
  about: "Nodes that the walk may meet: at most 100,000; 10,000 when left out.",
  schema: integer,
};
const edgeParameters: readonly Parameter[] = [
  {
    name: "direction",
    in: "query",
    about: "out goes along the edges (when left out), in against them, both either way.",
    schema: { enum: ["out", "in", "both"] },
  },
  { name: "label", in: "query", about: "Only edges with one of these labels, with commas between.", schema: string },
];

export function graphRoutes(
  { views, sources }: Pick<HttpDoorDependencies, "views" | "sources">,
  limits: HttpLimits,
): readonly Route[] {
  const route = (
    name: GraphQuery["kind"],
    about: string,
    parse: (query: readonly QueryParameter[]) => GraphQuery,
    parameters: readonly Parameter[],
    answer: { readonly about: string; readonly schema: Schema },
  ): Route => ({
    method: "GET",
    path: `/v1/views/{view}/graph/${name}`,
    operation: { neighbours: "readNeighbours", reach: "readReach", path: "readPath" }[name],
    about,
    access: "key",
    callers: true,
    parameters: [...parameters, ...edgeParameters, ...callerParameters, ...afterParameters],
    openQuery: true,
    answers: { 200: answer },
    errors: [...readErrors, ...tokenErrors, ...graphErrors],
    handle: async (call) => {
      const query = parse(call.query);
      const view = decodeSegment(call.segments.view ?? "");
      const shown = viewsFor(views, call);
      await waitForViews(call, shown, sources, limits.tokenWaitMs, [{ view }]);
      const found = await shown.graph(view, query, call.signal);
      return jsonText(graphBody(found), 200, {
        "millrace-token": groupToken(found.position),
        "cache-control": "no-cache",
      });
    },
  });
  return [
    route(
      "neighbours",
      "Nodes that an edge leads to, in a view with the option graph, each once.",
      parseNeighbours,
      [
        ofParameter,
        { name: "limit", in: "query", about: "At most 10,000; 100 when left out.", schema: integer },
        { name: "cursor", in: "query", about: "next of the page before.", schema: string },
      ],
      {
        about: "The nodes, in their order.",
        schema: object({ items: array(object({ node, edges: integer })), next: nullable(string) }),
      },
    ),
    route(
      "reach",
      "Nodes that can be reached, with how many edges away they are.",
      parseReach,
      [ofParameter, hopsParameter, nodesParameter],
      {
        about: "The nodes, the nearest first; truncated when a bound has ended the walk.",
        schema: object({ items: array(object({ node, hops: integer })), truncated: boolean }),
      },
    ),
    route(
      "path",
      "A path of the fewest edges, or with the least sum of weights.",
      parsePath,
      [
        { name: "from", in: "query", about: "Where the path begins.", schema: string },
        { name: "to", in: "query", about: "Where it ends.", schema: string },
        { name: "by", in: "query", about: "hops when left out.", schema: { enum: ["hops", "weight"] } },
        hopsParameter,
        nodesParameter,
      ],
      {
        about: "The path; truncated when a bound has ended the walk before one was found.",
        schema: object({
          found: boolean,
          truncated: boolean,
          hops: nullable(integer),
          cost: nullable({ anyOf: [{ type: "number" }, string] }),
          nodes: array(node),
          edges: array(ref("Row")),
        }),
      },
    ),
  ];
}

const graphErrors = [
  "VIEW_OPTION_MISSING",
  "NODE_INVALID",
  "WEIGHT_NEGATIVE",
  "FILTER_INVALID",
  "PATH_INVALID",
  "QUERY_TIMEOUT",
] as const;

/** Rows stand in it as their texts were made. */
export function graphBody({ position, kind, ...answer }: Awaited<ReturnType<Views["graph"]>>): string {
  if (!("edges" in answer)) return `${JSON.stringify(answer)}\n`;
  const { edges, found, nodes, cost, truncated } = answer;
  const head = JSON.stringify({ found, truncated, hops: found ? nodes.length - 1 : null, cost, nodes });
  return `${head.slice(0, -1)},"edges":[${edges.join(",\n")}]}\n`;
}
