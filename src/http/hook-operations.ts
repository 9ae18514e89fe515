/** `/v1/sources/{source}/reconcile` and `/replay`: what somebody asks of a source of webhooks. */
import { MillraceError } from "../base/errors.ts";
import { parseDurationMs } from "../base/units.ts";
import type { Hook } from "../capture/webhooks/hook.ts";
import { type ReplayFilter, type ReplayRequest, type ReplaySpan, replayEvents } from "../capture/webhooks/replay.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { parseTimeMs } from "./event-input.ts";
import { nearest } from "./nearest.ts";
import { queryValue } from "./parameters.ts";
import { decodeSegment, type QueryParameter } from "./query-string.ts";
import { type Call, json, type Parameter, type Route } from "./route.ts";
import { ref } from "./schemas.ts";
import { sourceJson } from "./source-routes.ts";

export function hookOperations(
  deps: Pick<HttpDoorDependencies, "hooks" | "engine" | "clock" | "schemas">,
): readonly Route[] {
  const hookIn = (call: Call): Hook => {
    const name = decodeSegment(call.segments.source ?? "");
    const hook = deps.hooks.get(name);
    if (hook) return hook;
    const meant = nearest(name.slice(0, 100), deps.hooks.names());
    throw new MillraceError("SOURCE_UNKNOWN", `there is no webhook source ${JSON.stringify(name.slice(0, 100))}`, {
      hint: meant === undefined ? "Run millrace sources list to see their names." : `Did you mean "${meant}"?`,
    });
  };
  const timeIn = (query: readonly QueryParameter[], name: string): number | undefined => {
    const text = queryValue(query, name);
    return text === undefined ? undefined : timeOf(text, name, deps.clock.now());
  };
  const spanIn = (query: readonly QueryParameter[]): ReplaySpan => {
    const cursor = queryValue(query, "cursor");
    const fromMs = timeIn(query, "from");
    const toMs = timeIn(query, "to");
    if (cursor === undefined) {
      if (fromMs !== undefined) return { fromMs, toMs: toMs ?? Number.MAX_SAFE_INTEGER };
      throw new MillraceError("REQUEST_INVALID", "from is not said", {
        hint: "from=2026-11-21T10:00:00Z, or from=1h for the last hour.",
      });
    }
    if (fromMs === undefined && toMs === undefined) return readCursor(cursor);
    throw new MillraceError("REQUEST_INVALID", "from and to stand beside a cursor", {
      hint: "The cursor has them: hand it in alone, with the same filter.",
    });
  };
  return [
    {
      method: "POST",
      path: "/v1/sources/{source}/reconcile",
      operation: "reconcileSource",
      about: "Asks the vendor of a webhook source now for the events that its calls did not bring.",
      access: "key",
      parameters: [
        {
          ...time("since"),
          about:
            "A time (RFC 3339), or how long ago (`6d`): everything since then is asked for again, as far back as ids are known.",
        },
      ],
      answers: { 202: { about: "The source, which asks.", schema: ref("Source") } },
      errors: ["SOURCE_UNKNOWN", "RECONCILE_UNDEFINED", "REQUEST_INVALID"],
      handle: (call) => {
        const hook = hookIn(call);
        hook.reconcile(timeIn(call.query, "since") ?? null);
        return json(sourceJson(hook.status()), 202);
      },
    },
    {
      method: "POST",
      path: "/v1/sources/{source}/replay",
      operation: "replaySource",
      about:
        "Takes kept events of a webhook source once more, a piece at a time, into its own topic or another one. Each has the header millrace.replay.",
      access: "key",
      parameters: [
        { ...time("from"), about: "A time of arrival (RFC 3339), or how long ago (`1h`)." },
        { ...time("to"), about: "The same; not included. Everything that is there when it is left out." },
        text("into", "A topic that is there; the source's own when it is left out."),
        text("id", "Only the event of this id."),
        text("type", "Only events of this type."),
        text("key", "Only events of this key."),
        text("cursor", "`next` of the answer before."),
      ],
      answers: { 200: { about: "What was replayed, and where to go on.", schema: ref("Replayed") } },
      errors: [
        "SOURCE_UNKNOWN",
        "REQUEST_INVALID",
        "TOPIC_UNKNOWN",
        "TOPIC_READ_ONLY",
        "SCHEMA_MISMATCH",
        "RECORD_TOO_LARGE",
        "DISK_LOW",
        "PARTITION_FAILED",
      ],
      handle: async (call) => {
        const { name } = hookIn(call);
        const into = queryValue(call.query, "into") ?? name;
        const check: ReplayRequest["check"] = (topic, records) => deps.schemas.check(topic, records);
        const request = { source: name, into, filter: filterIn(call.query), span: spanIn(call.query), check };
        const { read, replayed, next } = await replayEvents(deps.engine, deps.clock, request);
        return json({ read, replayed, next: next && printCursor(next) });
      },
    },
  ];
}

function time(name: string): Omit<Parameter, "about"> {
  return { name, in: "query", schema: { type: "string" } };
}

function text(name: string, about: string): Parameter {
  return { name, in: "query", about, schema: { type: "string" } };
}

function filterIn(query: readonly QueryParameter[]): ReplayFilter {
  const some = ["id", "type", "key"].map((name) => [name, queryValue(query, name)] as const);
  return Object.fromEntries(some.filter(([, value]) => value !== undefined));
}

/** RFC 3339, or a span before now. Throws `REQUEST_INVALID`. */
function timeOf(text: string, name: string, nowMs: number): number {
  const at = parseTimeMs(text);
  if (at !== undefined) return Math.max(0, at);
  try {
    return Math.max(0, nowMs - parseDurationMs(text, name));
  } catch (cause) {
    throw new MillraceError("REQUEST_INVALID", `${name} is ${JSON.stringify(text.slice(0, 40))}, which is no time`, {
      hint: "It is a time like 2026-11-21T10:00:00Z, or a span before now like 6d.",
      cause,
    });
  }
}

/** `<from>-<to>` and, by partition, `<offset>-<end>`. */
function printCursor({ fromMs, toMs, places = [] }: ReplaySpan): string {
  return [`${fromMs}-${toMs}`, ...places.map(({ offset, endOffset }) => `${offset}-${endOffset}`)].join(".");
}

function readCursor(cursor: string): ReplaySpan {
  const pairs = cursor.split(".").map((pair) => /^(\d{1,16})-(\d{1,16})$/.exec(pair));
  const [times, ...places] = pairs;
  if (times && pairs.every((pair) => pair !== null)) {
    return {
      fromMs: Number(times[1]),
      toMs: Number(times[2]),
      places: places.map((pair) => ({ offset: Number(pair?.[1]), endOffset: Number(pair?.[2]) })),
    };
  }
  throw new MillraceError("REQUEST_INVALID", "the cursor is none", { hint: "Hand in next of the answer before." });
}
