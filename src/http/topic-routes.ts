/** `/v1/topics`: list, show, create, alter, delete, append, read, follow, and delete events. */
import { MillraceError } from "../base/errors.ts";
import type { Engine, TopicInfo } from "../engine/engine.ts";
import { type EventForm, eventForms } from "../feeds/event-json.ts";
import { unsupported } from "./append-body.ts";
import { appendRoute } from "./append-route.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import type { HttpLimits } from "./door-settings.ts";
import { nearest } from "./nearest.ts";
import { queryDurationMs, queryInteger, queryValue } from "./parameters.ts";
import { errorJson } from "./problem.ts";
import { decodeSegment } from "./query-string.ts";
import { afterParameters, topicTokenOf } from "./read-token.ts";
import { jsonOf, mediaTypeOf, textOf } from "./request-body.ts";
import { type Call, empty, json, jsonText, type Parameter, type Route } from "./route.ts";
import { anything, array, integer, list, object, ref, string } from "./schemas.ts";
import { cursorOf, parseFrom, readPage, resolveFrom, waitForTopic } from "./topic-read.ts";
import { asRequested, parseTopicSettings, printTopicSettings } from "./topic-settings.ts";
import { lastEventIdOf } from "./view-routes.ts";

const fromParameters: readonly Parameter[] = [
  {
    name: "from",
    in: "query",
    about: "earliest, latest, a time (RFC 3339), a cursor, or an offset together with partition=.",
    schema: string,
  },
  { name: "partition", in: "query", about: "Only this one; all of them when left out.", schema: integer },
];
const readErrors = [
  "TOPIC_UNKNOWN",
  "PARTITION_UNKNOWN",
  "OFFSET_OUT_OF_RANGE",
  "TOKEN_INVALID",
  "TOKEN_FOREIGN",
] as const;
const bodyErrors = ["REQUEST_TOO_LARGE", "MEDIA_TYPE_UNSUPPORTED"] as const;
const partitionsMax = 2 ** 31 - 1;

export function topicRoutes(deps: HttpDoorDependencies, limits: HttpLimits): readonly Route[] {
  const { engine, feeds, clock } = deps;
  const routes: readonly Route[] = [
    {
      method: "GET",
      path: "/v1/topics",
      operation: "listTopics",
      about: "All topics with their settings and offsets.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "The topics.", schema: list(ref("Topic")) } },
      errors: [],
      handle: async () => {
        const items = await Promise.all(engine.topics().map((topic) => topicJson(engine, topic)));
        return json({ items, next: null });
      },
    },
    {
      method: "GET",
      path: "/v1/topics/{topic}",
      operation: "showTopic",
      about: "One topic.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "The topic.", schema: ref("Topic") } },
      errors: ["TOPIC_UNKNOWN"],
      handle: async (call) => json(await topicJson(engine, topicOf(engine, call))),
    },
    {
      method: "PUT",
      path: "/v1/topics/{topic}",
      operation: "createTopic",
      about: "Creates a topic; the same settings again answer the topic that is there.",
      access: "key",
      parameters: [],
      body: { "application/json": ref("TopicSettings") },
      bodyRequired: false,
      answers: {
        200: { about: "It was there with these settings.", schema: ref("Topic") },
        201: { about: "It was created.", schema: ref("Topic") },
      },
      errors: ["TOPIC_NAME_INVALID", "TOPIC_EXISTS", "TOPIC_READ_ONLY", ...bodyErrors],
      handle: async (call) => {
        const name = decodeSegment(call.segments.topic ?? "");
        if (name.startsWith("_millrace")) {
          throw new MillraceError("TOPIC_READ_ONLY", `topics whose names begin with _millrace are Millrace's own`);
        }
        const settings = await readSettings(call);
        const known = engine.topic(name) !== undefined;
        const topic = await asRequested(engine.createTopic(name, settings));
        const location = `/v1/topics/${encodeURIComponent(name)}`;
        return json(await topicJson(engine, topic), known ? 200 : 201, known ? {} : { location });
      },
    },
    {
      method: "PATCH",
      path: "/v1/topics/{topic}",
      operation: "alterTopic",
      about: "Changes the settings that are named; partitions are only ever added.",
      access: "key",
      parameters: [],
      body: { "application/json": ref("TopicSettings") },
      answers: { 200: { about: "The topic as it is now.", schema: ref("Topic") } },
      errors: ["TOPIC_UNKNOWN", "TOPIC_READ_ONLY", ...bodyErrors],
      handle: async (call) => {
        const { name } = writableTopicOf(engine, call);
        const settings = await readSettings(call);
        return json(await topicJson(engine, await asRequested(engine.alterTopic(name, settings))));
      },
    },
    {
      method: "DELETE",
      path: "/v1/topics/{topic}",
      operation: "deleteTopic",
      about: "Deletes a topic with all its events.",
      access: "key",
      parameters: [],
      answers: { 204: { about: "It is gone." } },
      errors: ["TOPIC_UNKNOWN", "TOPIC_READ_ONLY"],
      handle: async (call) => {
        const topic = writableTopicOf(engine, call);
        await engine.deleteTopic(topic.name);
        return empty(204);
      },
    },
    appendRoute(deps, limits, writableTopicOf),
    {
      method: "GET",
      path: "/v1/topics/{topic}/events",
      operation: "readEvents",
      about: "A page of committed events; with wait it is a long poll.",
      access: "key",
      parameters: [
        ...fromParameters,
        { name: "limit", in: "query", about: "At most 10,000 events; 100 when left out.", schema: integer },
        { name: "wait", in: "query", about: "How long to wait for the first event: 30s.", schema: string },
        {
          name: "format",
          in: "query",
          about:
            "json, which reads values with their registered schema, or base64: keys and values as they were written.",
          schema: { enum: [...eventForms] },
        },
        ...afterParameters,
      ],
      answers: {
        200: {
          about: "Events in the order of each partition; next reads on.",
          schema: object({ events: array(ref("Event")), next: string }),
        },
      },
      errors: [...readErrors, "TOKEN_TIMEOUT"],
      handle: async (call) => {
        const topic = topicOf(engine, call);
        const { from, partition } = readFrom(call, "earliest");
        const page = {
          recordsMax: queryInteger(call.query, "limit", { min: 1, max: limits.rowsMax }) ?? 100,
          bytesMax: limits.eventsBytesMax,
          waitMs: queryDurationMs(call.query, "wait", limits.longPollMs) ?? 0,
        };
        const form = { wire: deps.wire, form: eventFormOf(call) };
        const token = topicTokenOf(call);
        if (token) await waitForTopic(engine, topic, token, limits.tokenWaitMs, clock, call.signal);
        const positions = await resolveFrom(engine, topic, from, partition);
        try {
          const { events, next } = await readPage(engine, topic, positions, page, form, clock, call.signal);
          return eventsReply(events, next);
        } catch (error) {
          // A door that closes answers what a long poll has: nothing, and where to go on.
          if (call.closing() && call.signal.aborted) return eventsReply([], cursorOf(topic, positions));
          throw error;
        }
      },
    },
    {
      method: "DELETE",
      path: "/v1/topics/{topic}/events",
      operation: "deleteEvents",
      about: "Deletes all events before a place, for good. Their offsets are not given again.",
      access: "key",
      parameters: [
        {
          name: "before",
          in: "query",
          about: "latest, a time (RFC 3339), a cursor, or an offset together with partition=. It has to be given.",
          schema: string,
        },
        { name: "partition", in: "query", about: "Only in this one; in all of them when left out.", schema: integer },
      ],
      answers: {
        200: {
          about: "Where the partitions begin now.",
          schema: object({ partitions: array(object({ partition: integer, logStart: integer })) }),
        },
      },
      errors: [...readErrors, "TOPIC_READ_ONLY", "PARTITION_FAILED"],
      handle: async (call) => {
        const topic = writableTopicOf(engine, call);
        const { before, partition } = readBefore(call);
        const positions = await resolveFrom(engine, topic, before, partition);
        const partitions = await Promise.all(
          [...positions].map(async ([one, offset]) => {
            return { partition: one, logStart: await engine.deleteRecords(topic.name, one, offset) };
          }),
        );
        return json({ partitions });
      },
    },
    {
      method: "GET",
      path: "/v1/topics/{topic}/live",
      operation: "followTopic",
      about: "Committed events as server-sent events, from latest unless said; resumes by Last-Event-ID.",
      access: "key",
      parameters: [
        ...fromParameters,
        { name: "Last-Event-ID", in: "header", about: "The id of the last event that was seen.", schema: string },
      ],
      answers: { 200: { about: "The feed.", type: "text/event-stream", schema: anything } },
      errors: readErrors,
      handle: (call) => {
        const { name } = topicOf(engine, call);
        const { from: asked, partition } = readFrom(call, "latest");
        const cursor = lastEventIdOf(call);
        const from = cursor === null ? asked : ({ kind: "cursor", cursor } as const);
        const only = partition === undefined ? {} : { partition };
        return {
          kind: "feed",
          of: "topic",
          open: (signal) => feeds.openTopicFeed({ topic: name, from, ...only, signal }),
        };
      },
    },
  ];
  return routes;
}

function eventFormOf({ query }: Call): EventForm {
  const text = queryValue(query, "format") ?? "json";
  const form = eventForms.find((one) => one === text);
  if (form !== undefined) return form;
  throw new MillraceError("REQUEST_INVALID", `format is ${JSON.stringify(text.slice(0, 40))}`, {
    hint: `It is ${eventForms.join(" or ")}.`,
  });
}

function eventsReply(events: readonly string[], next: string) {
  return jsonText(`{"events":[${events.join(",\n")}],"next":${JSON.stringify(next)}}\n`, 200, {
    "millrace-token": next,
  });
}

async function topicJson(engine: Engine, topic: TopicInfo): Promise<Record<string, unknown>> {
  const partitions = await Promise.all(
    [...Array(topic.settings.partitions).keys()].map((partition) => offsetsJson(engine, topic, partition)),
  );
  return {
    name: topic.name,
    id: topic.id,
    readOnly: topic.readOnly,
    createdAt: new Date(topic.createdMs).toISOString(),
    sizeBytes: await engine.sizeBytes(topic.name),
    settings: printTopicSettings(topic.settings),
    partitions,
  };
}

/** A partition that the disk failed under tells that in place of its offsets, and hides no other. */
async function offsetsJson(engine: Engine, { name }: TopicInfo, partition: number): Promise<Record<string, unknown>> {
  try {
    const { logStart, highWatermark, lastStable, leaderEpoch } = await engine.offsets(name, partition);
    return { partition, logStart, highWatermark, lastStable, leaderEpoch };
  } catch (thrown) {
    const error = errorJson(MillraceError.from(thrown));
    return { partition, logStart: null, highWatermark: null, lastStable: null, leaderEpoch: null, error };
  }
}

function topicOf(engine: Engine, call: Call): TopicInfo {
  const name = decodeSegment(call.segments.topic ?? "");
  const topic = engine.topic(name);
  if (topic) return topic;
  const names = engine.topics().map((one) => one.name);
  const meant = nearest(name.slice(0, 249), names);
  throw new MillraceError("TOPIC_UNKNOWN", `there is no topic "${name.slice(0, 249)}"`, {
    hint:
      meant === undefined
        ? "GET /v1/topics lists them; PUT /v1/topics/{topic} creates one."
        : `Did you mean "${meant}"?`,
  });
}

function writableTopicOf(engine: Engine, call: Call): TopicInfo {
  const topic = topicOf(engine, call);
  if (!topic.readOnly) return topic;
  throw new MillraceError("TOPIC_READ_ONLY", `topic "${topic.name}" is written by Millrace only`, {
    hint: "Append to a topic of your own; a view can read both.",
  });
}

function readFrom(call: Call, fallback: "earliest" | "latest") {
  const partition = queryInteger(call.query, "partition", { min: 0, max: partitionsMax });
  return { partition, from: parseFrom(queryValue(call.query, "from") ?? fallback, partition) };
}

/** Never everything by oversight: what is to go is said. */
function readBefore(call: Call) {
  const partition = queryInteger(call.query, "partition", { min: 0, max: partitionsMax });
  const text = queryValue(call.query, "before");
  if (text !== undefined) return { partition, before: parseFrom(text, partition, "before") };
  throw new MillraceError("REQUEST_INVALID", "before= is missing: which events are to be deleted?", {
    hint: "Give latest, a time, a cursor, or an offset together with partition=.",
  });
}

async function readSettings(call: Call) {
  const body = textOf(await call.body());
  if (body.trim() === "") return {};
  const type = mediaTypeOf(call.headers["content-type"]);
  if (type === "application/json") return parseTopicSettings(jsonOf(body));
  throw unsupported(type, "application/json");
}
