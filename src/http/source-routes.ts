/** `/v1/sources` and `/v1/nodes`. */
import { MillraceError } from "../base/errors.ts";
import type { SourceState, SourceStatus } from "../capture/source.ts";
import type { HookStatus } from "../capture/webhooks/hook-status.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { nearest } from "./nearest.ts";
import type { NodeInfo } from "./node-info.ts";
import { queryValue } from "./parameters.ts";
import { errorJson } from "./problem.ts";
import { decodeSegment } from "./query-string.ts";
import { jsonOf, textOf } from "./request-body.ts";
import { type Call, json, type Parameter, type Reply, type Route } from "./route.ts";
import { list, object, ref, string } from "./schemas.ts";

export function sourceRoutes({
  sources,
  hooks,
  node,
}: Pick<HttpDoorDependencies, "sources" | "hooks" | "node">): readonly Route[] {
  /** Of what a source of webhooks cannot be asked, too. */
  const unknown = (name: string): MillraceError => {
    if (hooks.status(name) !== undefined) {
      return new MillraceError(
        "REQUEST_INVALID",
        `source "${name}" takes webhooks: it has no snapshot, slot or stream`,
        {
          hint: "What it does follows from the calls that come in; take it out of the module to end it.",
        },
      );
    }
    const meant = nearest(
      name,
      [...sources.list(), ...hooks.list()].map((one) => one.name),
    );
    return new MillraceError("SOURCE_UNKNOWN", `there is no source "${name.slice(0, 100)}"`, {
      hint: meant !== undefined ? `Did you mean "${meant}"?` : "Run millrace sources list to see their names.",
    });
  };
  /** The source as it is after something was asked of it. */
  const changed = (name: string, found: boolean): Reply => {
    const status = found ? sources.status(name) : undefined;
    if (status === undefined) throw unknown(name);
    return json(sourceJson(status), 202);
  };
  const nameIn = (call: Call): string => decodeSegment(call.segments.source ?? "");
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
      handle: () => json({ items: [...sources.list(), ...hooks.list()].map(sourceJson), next: null }),
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
        const status = sources.status(name) ?? hooks.status(name);
        if (status) return json(sourceJson(status));
        throw unknown(name);
      },
    },
    {
      method: "POST",
      path: "/v1/sources/{source}/resnapshot",
      operation: "resnapshotSource",
      about:
        "Reads the source anew: its mirrors are emptied and its views built again from a new snapshot. With `table` that table alone, while the others go on.",
      access: "key",
      parameters: [tableParameter],
      answers: { 202: { about: "The source, whose reading begins.", schema: ref("Source") } },
      errors: ["SOURCE_UNKNOWN", "REQUEST_INVALID", "TABLE_UNKNOWN", "SOURCE_UNREACHABLE"],
      handle: async (call) => {
        const table = queryValue(call.query, "table");
        const begun = table === undefined ? sources.resnapshot(nameIn(call)) : sources.readTable(nameIn(call), table);
        return changed(nameIn(call), await begun);
      },
    },
    {
      method: "POST",
      path: "/v1/sources/{source}/adopt",
      operation: "adoptSource",
      about:
        "Goes on from where the source's server is, although changes may be missing, and says so in the transaction topic. For a source that was refused; a source that runs is left alone.",
      access: "key",
      parameters: [],
      answers: { 202: { about: "The source, which is tried again.", schema: ref("Source") } },
      errors: ["SOURCE_UNKNOWN"],
      handle: (call) => changed(nameIn(call), sources.adopt(nameIn(call))),
    },
    {
      method: "POST",
      path: "/v1/sources/{source}/pause",
      operation: "pauseSource",
      about: "Stops a source until it is resumed, through restarts. Its slot is kept or dropped, as is said.",
      access: "key",
      parameters: [slotParameter],
      answers: { 202: { about: "The source, which stands still.", schema: ref("Source") } },
      errors: ["SOURCE_UNKNOWN", "REQUEST_INVALID", "SOURCE_FAILED"],
      handle: async (call) => changed(nameIn(call), await sources.hold(nameIn(call), "paused", slotIn(call))),
    },
    {
      method: "POST",
      path: "/v1/sources/{source}/remove",
      operation: "removeSource",
      about:
        "Stops a source for good, before it is taken out of the module: with its slot its publications go as well. Its topics and mirrors stay. One that was taken out before needs `url`, its database's address, unless another source has that too.",
      access: "key",
      parameters: [slotParameter],
      body: { "application/json": object({ "url?": string }) },
      bodyRequired: false,
      answers: { 202: { about: "The source, which is removed.", schema: ref("Source") } },
      errors: ["SOURCE_UNKNOWN", "REQUEST_INVALID", "SOURCE_FAILED"],
      handle: async (call) => {
        const slot = slotIn(call);
        return changed(nameIn(call), await sources.hold(nameIn(call), "removed", slot, await urlIn(call)));
      },
    },
    {
      method: "POST",
      path: "/v1/sources/{source}/resume",
      operation: "resumeSource",
      about: "Ends a pause or a removal. A source whose slot was dropped is read anew.",
      access: "key",
      parameters: [],
      answers: { 202: { about: "The source, which goes on.", schema: ref("Source") } },
      errors: ["SOURCE_UNKNOWN", "SOURCE_FAILED"],
      handle: async (call) => changed(nameIn(call), await sources.resume(nameIn(call))),
    },
    {
      method: "POST",
      path: "/v1/sources/{source}/retry",
      operation: "retrySource",
      about:
        "Tries what was set aside once more, oldest first, a thousand at a time. A row whose key has a newer event is left as it is.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "What became of the tries.", schema: ref("Retried") } },
      errors: ["SOURCE_UNKNOWN", "SOURCE_UNREACHABLE"],
      handle: async (call) => {
        const result = await sources.retry(nameIn(call));
        if (result === undefined) throw unknown(nameIn(call));
        return json(result);
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
      handle: () => json({ items: [nodeJson(node())], next: null }),
    },
  ];
}

function nodeJson(node: NodeInfo): Record<string, unknown> {
  const groups = node.groups.map((group) => ({ ...group, error: group.error && errorJson(group.error) }));
  return { ...node, groups };
}

export function sourceJson(status: SourceStatus | HookStatus): Record<string, unknown> {
  return { ...status, state: stateJson(status.state) };
}

function stateJson(state: SourceState): Record<string, unknown> {
  return "error" in state && state.error !== undefined ? { ...state, error: errorJson(state.error) } : { ...state };
}

const tableParameter: Parameter = {
  name: "table",
  in: "query",
  about:
    "`schema.table`, or `table` of `public`; all tables when left out. A table alone is read while the source streams.",
  schema: { type: "string" },
};

/** Null when none is said. Throws `REQUEST_INVALID`. */
async function urlIn(call: Call): Promise<string | null> {
  const text = textOf(await call.body());
  if (text === "") return null;
  const { url = null } = (jsonOf(text) ?? {}) as { url?: unknown };
  if (url === null || (typeof url === "string" && /^postgres(ql)?:\/\//.test(url) && URL.canParse(url))) return url;
  throw new MillraceError("REQUEST_INVALID", "the url is no address of a database", {
    hint: 'Send {"url": "postgres://user:password@host:5432/database"}.',
  });
}

const slotParameter: Parameter = {
  name: "slot",
  in: "query",
  about:
    "`keep`: nothing is lost, and the source's server keeps its log until the source is resumed. `drop`: the server keeps nothing, and a resume takes a new snapshot.",
  schema: { enum: ["keep", "drop"] },
};

/** Throws `REQUEST_INVALID` when it is not said: neither is harmless. */
function slotIn(call: Call): "keep" | "drop" {
  const said = call.query.filter(({ name }) => name === "slot").map(({ value }) => value);
  if (said.length === 1 && (said[0] === "keep" || said[0] === "drop")) return said[0];
  throw new MillraceError("REQUEST_INVALID", "what becomes of the replication slot is not said", {
    hint: "slot=keep: the source's server keeps its log until the source is resumed, and its disk fills. slot=drop: it keeps nothing, and a resume takes a new snapshot.",
  });
}
