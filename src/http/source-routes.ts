/** `/v1/sources` and `/v1/nodes`. */
import { MillraceError } from "../base/errors.ts";
import type { SourceState, SourceStatus } from "../capture/source.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { nearest } from "./nearest.ts";
import { errorJson } from "./problem.ts";
import { decodeSegment } from "./query-string.ts";
import { json, type Route } from "./route.ts";
import { list, ref } from "./schemas.ts";

export function sourceRoutes({ sources, node }: Pick<HttpDoorDependencies, "sources" | "node">): readonly Route[] {
  const unknown = (name: string): MillraceError => {
    const meant = nearest(
      name,
      sources.list().map((one) => one.name),
    );
    return new MillraceError("SOURCE_UNKNOWN", `there is no source "${name.slice(0, 100)}"`, {
      hint: meant !== undefined ? `Did you mean "${meant}"?` : "Run millrace sources list to see their names.",
    });
  };
  return [
    {
      method: "GET",
      path: "/v1/sources",
      operation: "listSources",
      about: "All sources with their states and lags.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "The sources.", schema: list(ref("Source")) } },
      errors: [],
      handle: () => json({ items: sources.list().map(sourceJson), next: null }),
    },
    {
      method: "GET",
      path: "/v1/sources/{source}",
      operation: "showSource",
      about: "One source.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "The source.", schema: ref("Source") } },
      errors: ["SOURCE_UNKNOWN"],
      handle: (call) => {
        const name = decodeSegment(call.segments.source ?? "");
        const status = sources.status(name);
        if (status) return json(sourceJson(status));
        throw unknown(name);
      },
    },
    {
      method: "POST",
      path: "/v1/sources/{source}/resnapshot",
      operation: "resnapshotSource",
      about: "Reads the source anew: its mirrors are emptied and its views built again from a new snapshot.",
      access: "key",
      parameters: [],
      answers: { 202: { about: "The source, whose new snapshot begins.", schema: ref("Source") } },
      errors: ["SOURCE_UNKNOWN"],
      handle: (call) => {
        const name = decodeSegment(call.segments.source ?? "");
        if (!sources.resnapshot(name)) throw unknown(name);
        const status = sources.status(name);
        if (!status) throw unknown(name);
        return json(sourceJson(status), 202);
      },
    },
    {
      method: "GET",
      path: "/v1/nodes",
      operation: "listNodes",
      about: "The processes: this one.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "The processes.", schema: list(ref("Node")) } },
      errors: [],
      handle: () => json({ items: [node()], next: null }),
    },
  ];
}

function sourceJson(status: SourceStatus): Record<string, unknown> {
  return { ...status, state: stateJson(status.state) };
}

function stateJson(state: SourceState): Record<string, unknown> {
  return "error" in state ? { ...state, error: errorJson(state.error) } : state;
}
