/** The whole table of routes. */
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpLimits } from "./door-settings.ts";
import { graphRoutes } from "./graph-routes.ts";
import { hookOperations } from "./hook-operations.ts";
import { hookRoutes } from "./hook-routes.ts";
import { manyReadsRoute } from "./many-reads.ts";
import { openApiDocument } from "./openapi.ts";
import { registryRoutes } from "./registry-routes.ts";
import { json, type Route } from "./route.ts";
import { sourceRoutes } from "./source-routes.ts";
import { systemRoutes } from "./system-routes.ts";
import { topicRoutes } from "./topic-routes.ts";
import { treeRoutes } from "./tree-routes.ts";
import { viewRebuildRoute } from "./view-rebuild.ts";
import { viewRoutes } from "./view-routes.ts";

export function createRoutes(deps: HttpDoorDependencies, limits: HttpLimits): readonly Route[] {
  const routes: Route[] = [
    ...topicRoutes(deps, limits),
    ...viewRoutes(deps, limits),
    viewRebuildRoute(deps),
    ...graphRoutes(deps, limits),
    ...treeRoutes(deps, limits),
    manyReadsRoute(deps, limits),
    ...sourceRoutes(deps),
    ...hookRoutes(deps),
    ...hookOperations(deps),
    ...registryRoutes(deps),
    ...systemRoutes(deps),
    {
      method: "GET",
      path: "/openapi.json",
      operation: "openapi",
      about: "This document.",
      access: "open",
      parameters: [],
      answers: { 200: { about: "OpenAPI 3.1.", schema: { type: "object" } } },
      errors: [],
      handle: () => json(openApiDocument(routes, deps.node().version)),
    },
  ];
  return routes;
}
