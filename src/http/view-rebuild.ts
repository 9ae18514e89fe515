/** `POST /v1/views/{view}/rebuild`. */
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { decodeSegment } from "./query-string.ts";
import { json, type Route } from "./route.ts";
import { ref } from "./schemas.ts";
import { viewJson } from "./view-routes.ts";

export function viewRebuildRoute({
  views,
  publications,
  rebuildView,
}: Pick<HttpDoorDependencies, "views" | "publications" | "rebuildView">): Route {
  return {
    method: "POST",
    path: "/v1/views/{view}/rebuild",
    operation: "rebuildView",
    about:
      "Builds a view anew from the mirrors of its tables, and mirrors that are broken from the log. Until it is built the view is read as it is; one that failed is read again then.",
    access: "key",
    parameters: [],
    answers: { 202: { about: "The view, whose building begins.", schema: ref("View") } },
    errors: ["VIEW_UNKNOWN", "STORE_UNAVAILABLE"],
    handle: async (call) => {
      const view = decodeSegment(call.segments.view ?? "");
      await rebuildView(view);
      return json(viewJson(views.info(view), publications.of(view)), 202);
    },
  };
}
