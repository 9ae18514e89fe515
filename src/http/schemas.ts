/** The JSON Schemas of the interface (draft 2020-12), as `/openapi.json` names them under `components`. */
import type { Schema } from "./route.ts";

export const string: Schema = { type: "string" };
export const integer: Schema = { type: "integer" };
export const boolean: Schema = { type: "boolean" };
export const anything: Schema = {};

export function nullable(schema: Schema): Schema {
  return { anyOf: [schema, { type: "null" }] };
}

export function array(items: Schema): Schema {
  return { type: "array", items };
}

export function ref(name: keyof typeof components): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

export function list(items: Schema): Schema {
  return object({ items: array(items), next: nullable(string) });
}

/** All members are required unless their name ends in `?`. Others may be added in later versions. */
export function object(members: Readonly<Record<string, Schema>>): Schema {
  const names = Object.keys(members);
  return {
    type: "object",
    properties: Object.fromEntries(names.map((name) => [name.replace(/\?$/, ""), members[name]])),
    required: names.filter((name) => !name.endsWith("?")),
  };
}

const base64: Schema = object({ base64: string });
const errorInside: Schema = object({ code: string, message: string, hint: nullable(string), action: string });
const topicSettings = {
  "partitions?": { type: "integer", minimum: 1, default: 1 },
  "retention?": { type: "string", description: "A duration, or forever.", examples: ["7d", "forever"] },
  "retentionSize?": { type: "string", description: "A size per partition, or unlimited.", examples: ["10GB"] },
  "cleanup?": { enum: ["delete", "compact", "compact,delete"] },
  "maxBatch?": { type: "string", description: "The largest record batch.", examples: ["1MB"] },
  "segment?": { type: "string", description: "The largest segment.", examples: ["256MB"] },
  "segmentAge?": {
    type: "string",
    description: "A segment is closed when its first record is this old.",
    examples: ["7d"],
  },
  "durability?": { enum: ["fsync", "os"], description: "With os an answer means written, not durable." },
  "dirtyRatio?": {
    type: "number",
    minimum: 0,
    maximum: 1,
    description: "The share of bytes not yet compacted at which a partition is compacted.",
  },
  "tombstoneRetention?": {
    type: "string",
    description: "How long a tombstone stays after the compaction that first met it.",
    examples: ["1d"],
  },
  "compactionLag?": { type: "string", description: "Younger records are not compacted.", examples: ["0ms"] },
  "compactionLagMax?": {
    type: "string",
    description: "A partition with an older uncompacted record is compacted whatever its ratio; or unlimited.",
    examples: ["1d", "unlimited"],
  },
  "timestampType?": { enum: ["create", "append"], description: "Whose time a record has." },
  "timestampBehindMax?": {
    type: "string",
    description: "How long before now the time of a record may be, or unlimited.",
    examples: ["unlimited"],
  },
  "timestampAheadMax?": {
    type: "string",
    description: "How long after now, or unlimited.",
    examples: ["1h", "unlimited"],
  },
  "compression?": {
    enum: ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
    description: "The codec in which batches are kept; producer keeps them as they came.",
  },
  "minInsyncReplicas?": {
    type: "integer",
    minimum: 1,
    default: 1,
    description: "Of a cluster; the embedded log has one replica, which is not changed by it.",
  },
};

const storeReader = object({ host: string, port: integer, database: string, user: string });

export const components = {
  Problem: object({
    type: { const: "about:blank" },
    title: string,
    status: integer,
    code: { type: "string", description: "What callers compare; the table is in the reference of errors." },
    detail: string,
    "hint?": string,
    action: { enum: ["retry", "fix-request", "fix-setup", "wait", "call-operator"] },
  }),
  Error: errorInside,
  TopicSettings: object(topicSettings),
  Topic: object({
    name: string,
    id: string,
    readOnly: boolean,
    createdAt: { type: "string", format: "date-time" },
    sizeBytes: integer,
    settings: object(topicSettings),
    partitions: array(
      object({
        partition: integer,
        logStart: nullable(integer),
        highWatermark: nullable(integer),
        lastStable: nullable(integer),
        leaderEpoch: nullable(integer),
        "error?": errorInside,
      }),
    ),
  }),
  NewEvent: object({
    value: { description: 'Any JSON; {"base64": "…"} alone is bytes, null is a tombstone.' },
    "key?": { description: "A text is its UTF-8; other JSON is its compact text." },
    "headers?": { type: "object", additionalProperties: { anyOf: [string, base64, { type: "null" }, array(string)] } },
    "timestamp?": { anyOf: [integer, { type: "string", format: "date-time" }] },
    "partition?": integer,
  }),
  Event: object({
    partition: integer,
    offset: integer,
    timestamp: { type: "integer", description: "Milliseconds since 1970." },
    key: anything,
    value: { description: "What was written in the wire format is read with its registered schema." },
    headers: { type: "object" },
    "unread?": {
      ...object({ "key?": string, "value?": string }),
      description: "Why the key or the value, which is in the wire format, is told as bytes.",
    },
  }),
  Appended: object({
    offsets: array(object({ partition: integer, baseOffset: integer, lastOffset: integer })),
    token: string,
  }),
  AppendedLines: object({
    events: integer,
    lines: { type: "integer", description: "Up to this line all are there." },
    offsets: array(object({ partition: integer, baseOffset: integer, lastOffset: integer })),
    token: string,
  }),
  Hooked: object({ partition: integer, offset: integer, duplicate: boolean }),
  View: object({
    name: string,
    group: string,
    sql: string,
    class: { enum: ["linear", "additive", "keyed", "whole", "unknown"] },
    columns: array(object({ name: string, type: string, nullable: boolean })),
    key: nullable(array(string)),
    hash: string,
    "policy?": { ...string, description: "Which rows callers are shown; absent where everybody is shown all of them." },
    "references?": array(object({ name: string, view: string, on: { type: "object", additionalProperties: string } })),
    "find?": object({
      search: nullable(
        object({
          columns: array(object({ column: string, weight: string })),
          language: string,
          "synonyms?": array(array(string)),
        }),
      ),
      fuzzy: array(string),
      geo: nullable(object({ lat: string, lon: string })),
      "tree?": array(string),
    }),
    "reads?": object({
      "graph?": object({ from: string, to: string, "label?": string, "weight?": string }),
      "series?": object({ time: string, by: array(string) }),
      "indexes?": array(
        object({
          "fields?": array(object({ column: string, steps: array(string), text: boolean })),
          "gin?": string,
        }),
      ),
    }),
    "history?": {
      enum: ["store"],
      description: "Of a view that may read topics whose records the log lets go: the store is the only copy of those.",
    },
    "versions?": {
      ...object({ name: string, keep: nullable(string) }),
      description:
        "Of a view with the option history: how the versions of its rows are read, and how long they are kept.",
    },
    "refresh?": {
      ...object({ every: string, behind: boolean }),
      description: "Of a view that is run again as a whole; behind when something that it reads has changed since.",
    },
    "window?": {
      ...object({
        ends: string,
        grace: string,
        "session?": object({ gap: string, by: array(string) }),
        emit: { enum: ["updates", "final"] },
      }),
      description: "Of a view whose rows belong to windows that end, and of that of its late events.",
    },
    "watermarks?": {
      ...array(object({ topic: string, at: nullable(string) })),
      description: "Up to when the events of all partitions of a topic have come; null before that is known.",
    },
    "publishing?": object({
      topic: string,
      state: object({
        kind: { enum: ["starting", "comparing", "publishing", "waiting", "stopped"] },
        "error?": errorInside,
        "retryAtMs?": integer,
      }),
      position: {
        ...nullable(string),
        description: "The topic is the view at this generation.batch; null while it is compared.",
      },
      behind: { ...nullable(integer), description: "Batches of the group that the topic lacks." },
      batches: { type: "integer", description: "Published since the start." },
      records: { type: "integer", description: "Published since the start." },
    }),
    state: object({
      kind: { enum: ["building", "live", "failed", "removed"] },
      "reason?": string,
      "rowsDone?": integer,
      "rowsEstimated?": nullable(integer),
      "replacement?": {
        ...object({ reason: string, rowsDone: integer, rowsEstimated: nullable(integer) }),
        description: "The version that is to take this one's place, while it is built.",
      },
      "error?": errorInside,
      "staleSince?": { ...string, description: "Until then its rows were right; stale=ok reads them as they were." },
    }),
    rowsEstimated: integer,
    changes: integer,
  }),
  Row: { type: "object", additionalProperties: true },
  Source: object({
    name: string,
    type: { enum: ["postgres", "webhook"] },
    state: object({
      kind: {
        enum: ["connecting", "snapshotting", "streaming", "waiting", "failed", "paused", "removed", "left", "stopped"],
      },
      "rows?": integer,
      "rowsEstimated?": integer,
      "rowsPerSecond?": nullable(integer),
      "remainingMs?": nullable(integer),
      "retryAtMs?": integer,
      "slot?": { enum: ["kept", "dropped"] },
      "sinceMs?": integer,
      "error?": errorInside,
    }),
    url: string,
    tables: array(
      object({
        source: string,
        schema: string,
        table: string,
        topic: string,
        columns: array(
          object({ name: string, sourceType: string, storeType: string, nullable: boolean, carriedAsText: boolean }),
        ),
        key: nullable(array(string)),
        appendOnly: boolean,
        rowsEstimated: nullable(integer),
      }),
    ),
    changes: integer,
    transactions: integer,
    position: nullable(string),
    lagBytes: nullable(integer),
    lagMs: nullable({ type: "number" }),
    "reading?": array(
      object({
        table: string,
        reason: string,
        waiting: { type: "boolean" },
        rows: integer,
        rowsEstimated: integer,
        rowsPerSecond: nullable(integer),
        remainingMs: nullable(integer),
      }),
    ),
    slot: nullable(string),
    "server?": object({ systemId: string, timeline: integer }),
    wal: nullable(
      object({
        heldBytes: { type: "number" },
        safeBytes: nullable({ type: "number" }),
        limitBytes: nullable({ type: "number" }),
        status: { enum: ["reserved", "extended", "unreserved", "lost", "unknown"] },
      }),
    ),
    "walAllowance?": object({ heldBytesMax: integer, whenFull: { enum: ["pause", "drop-slot"] } }),
    orphans: array(
      object({
        kind: { enum: ["slot", "publication"] },
        name: string,
        heldBytes: nullable({ type: "number" }),
        sql: string,
      }),
    ),
    warnings: array(string),
    "hook?": object({
      verifier: string,
      topic: string,
      accepted: integer,
      duplicates: integer,
      challenges: integer,
      refused: { type: "object", additionalProperties: integer },
      faults: { type: "object", additionalProperties: integer },
      late: integer,
      lastEventAt: nullable({ type: "string", format: "date-time" }),
      ids: object({ held: integer, max: integer, bytes: integer, evicted: integer }),
      reconcile: nullable(
        object({
          state: { enum: ["waiting", "asking", "failing", "stopped"] },
          completeTo: nullable(string),
          window: nullable(object({ since: string, until: string, pages: integer })),
          gap: nullable(object({ from: string, to: string })),
          nextAt: nullable(string),
          error: nullable(object({ code: string, message: string, hint: nullable(string) })),
          passes: integer,
          pages: integer,
          failures: integer,
          listed: integer,
          missed: integer,
          altered: integer,
          corrected: integer,
          unusable: object({ form: integer, size: integer, id: integer }),
          uncompared: integer,
          recent: array(
            object({
              kind: { enum: ["missed", "altered"] },
              id: string,
              partition: integer,
              offset: integer,
              at: string,
            }),
          ),
        }),
      ),
    }),
  }),
  Replayed: object({ read: integer, replayed: integer, next: nullable(string) }),
  Retried: object({
    tried: integer,
    written: integer,
    superseded: integer,
    refused: integer,
    reasons: array(string),
    more: { type: "boolean" },
  }),
  Node: object({
    version: string,
    logId: string,
    pid: integer,
    startedAt: { type: "string", format: "date-time" },
    mode: { enum: ["dev", "start"] },
    store: object({
      kind: { enum: ["embedded", "own"] },
      state: { enum: ["up", "down"] },
      version: integer,
      reader: storeReader,
    }),
    groups: array(
      object({
        name: string,
        state: { enum: ["running", "waiting", "stopped"] },
        error: nullable(errorInside),
        position: object({ generation: integer, batch: integer }),
        store: nullable(
          object({ kind: { enum: ["embedded", "own"] }, state: { enum: ["up", "down"] }, reader: storeReader }),
        ),
      }),
    ),
    addresses: object({ http: string, kafka: nullable(string), store: string }),
  }),
  Readiness: object({
    ready: boolean,
    "reasons?": array(object({ part: string, code: string, message: string, "hint?": string })),
    "warnings?": array(object({ part: string, message: string, "hint?": string })),
  }),
} as const satisfies Readonly<Record<string, Schema>>;
