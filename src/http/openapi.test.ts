import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { errorCodes } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { silentMetrics } from "../base/metrics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import type { SourceStatus } from "../capture/source.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Views } from "../views/view-info.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { ask, noHooks, noSources, openTestDoor, partial } from "./door-fixture.ts";
import { defaultHttpLimits } from "./door-settings.ts";
import { createRoutes } from "./routes.ts";

interface Schema {
  readonly [member: string]: unknown;
}

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { name: string; in: string; required?: boolean; schema: Schema }[];
  readonly responses: Readonly<Record<string, { description: string; content?: Record<string, { schema: Schema }> }>>;
  readonly security: readonly Record<string, unknown>[];
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

async function openHouse() {
  const engine = await openEmbeddedEngine({
    disk: new SimulatedDisk(seededRandom(2)),
    directory: "/log",
    clock: systemClock,
    random: seededRandom(3),
    diagnostics: silentDiagnostics,
  });
  const error = new MillraceError("SOURCE_UNREACHABLE", "the database does not answer");
  const source: SourceStatus = {
    name: "shop",
    type: "postgres",
    state: { kind: "waiting", error, retryAtMs: 5 },
    url: "postgres://shop@db/shop",
    tables: [],
    changes: 1,
    transactions: 1,
    position: "0/1",
    lagBytes: 5,
    lagMs: 0.5,
    slot: null,
    reading: [],
    wal: { heldBytes: 5, safeBytes: null, limitBytes: null, status: "reserved" },
    orphans: [{ kind: "slot", name: "millrace_x_00000000", heldBytes: 1, sql: "select 1;" }],
    warnings: [],
  };
  const views = partial<Views>("views", {
    list: () => [
      {
        name: "cards",
        sql: "select 1",
        class: "additive",
        columns: [{ name: "id", type: "bigint", nullable: false }],
        key: ["id"],
        hash: "h",
        state: { kind: "building", reason: "new", rowsDone: 1, rowsEstimated: null },
        rowsEstimated: 1,
        changes: 0,
      },
    ],
    rows: async () => ({ rows: ['{"id":"1"}'], next: null, position: { generation: 1, batch: 1 } }),
    query: async () => ({ columns: ["a"], rows: [[1]] }),
  });
  const sources = {
    list: () => [source],
    status: () => source,
    end: async () => "0/1",
    resnapshot: () => true,
    readTable: async () => true,
    retry: async () => ({ tried: 2, written: 1, superseded: 0, refused: 1, reasons: ["why"], more: false }),
    adopt: () => true,
    hold: async () => true,
    resume: async () => true,
  };
  const door = await openTestDoor({ engine, views, sources });
  const document = (await ask(door, "/openapi.json")).json() as Document;
  const close = async () => {
    await door.close();
    await engine.close();
  };
  return { door, document, [Symbol.asyncDispose]: close };
}

test("the document has every route with its parameters, and nothing else", async () => {
  await using house = await openHouse();
  const { document } = house;
  assert.equal(document.openapi, "3.1.0");
  assert.equal(document.info.version, "0.0.0");
  const routes = createRoutes(
    partial<HttpDoorDependencies>("deps", {
      metrics: silentMetrics,
      engine: partial("engine", {}),
      views: partial("views", {}),
      feeds: partial("feeds", {}),
      publications: partial("publications", {}),
      rebuildView: async () => {},
      clock: systemClock,
      random: seededRandom(1),
      sources: noSources,
      hooks: noHooks,
      node: () => assert.fail(),
      renderMetrics: () => "",
    }),
    defaultHttpLimits,
  );
  const told = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(told.sort(), routes.map((route) => `${route.method} ${route.path}`).sort());
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation) => ({ path, operation })),
  );
  assert.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length);
  for (const { path, operation } of operations) {
    const inPath = operation.parameters.filter((one) => one.in === "path").map((one) => `{${one.name}}`);
    assert.deepEqual(inPath, path.match(/\{\w+\}/g) ?? [], path);
    for (const parameter of operation.parameters) assert.ok(parameter.schema, `${path} ${parameter.name}`);
    for (const [status, answer] of Object.entries(operation.responses)) {
      assert.match(status, /^[2345]\d\d$/);
      assert.ok(answer.description.length > 0, `${path} ${status}`);
    }
  }
});

test("every reference in the document leads somewhere", async () => {
  await using house = await openHouse();
  for (const [, name = ""] of JSON.stringify(house.document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
    assert.ok(house.document.components.schemas[name], name);
  }
});

test("what needs the key says so, and what does not is three paths, and calls that are verified otherwise", async () => {
  await using house = await openHouse();
  const open = Object.entries(house.document.paths)
    .filter(([, methods]) => Object.values(methods).some(({ security }) => !("key" in (security[0] ?? {}))))
    .map(([path]) => path);
  assert.deepEqual(open.sort(), ["/healthz", "/openapi.json", "/readyz", "/v1/hooks/{source}"]);
});

test("answers are what the document says", async () => {
  await using house = await openHouse();
  const { door, document } = house;
  const headers = { "content-type": "application/json" };
  const requests = [
    ["put", "/v1/topics/{topic}", "/v1/topics/clicks", "{}"],
    ["post", "/v1/topics/{topic}", "/v1/topics/clicks", '[{"value":{"a":1},"headers":{"h":"1"}}]'],
    ["patch", "/v1/topics/{topic}", "/v1/topics/clicks", '{"retention":"7d"}'],
    ["get", "/v1/topics", "/v1/topics"],
    ["get", "/v1/topics/{topic}", "/v1/topics/clicks"],
    ["get", "/v1/topics/{topic}", "/v1/topics/none"],
    ["get", "/v1/topics/{topic}/events", "/v1/topics/clicks/events"],
    ["delete", "/v1/topics/{topic}/events", "/v1/topics/clicks/events?before=latest"],
    ["get", "/v1/views", "/v1/views"],
    ["get", "/v1/views/{view}", "/v1/views/cards"],
    ["get", "/v1/views/{view}", "/v1/views/cards?a=b"],
    ["post", "/v1/query", "/v1/query", '{"sql":"select 1"}'],
    ["get", "/v1/sources", "/v1/sources"],
    ["get", "/v1/sources/{source}", "/v1/sources/shop"],
    ["get", "/v1/nodes", "/v1/nodes"],
    ["get", "/healthz", "/healthz"],
    ["get", "/readyz", "/readyz"],
    ["get", "/openapi.json", "/openapi.json"],
  ] as const;
  for (const [method, pattern, path, body] of requests) {
    const answer = await ask(door, path, { method: method.toUpperCase(), ...(body ? { headers, body } : {}) });
    const told = document.paths[pattern]?.[method]?.responses[answer.status];
    assert.ok(told, `${method} ${path} answers ${answer.status}, which the document does not tell`);
    const type = String(answer.headers["content-type"]);
    assert.ok(told.content?.[type], `${method} ${path} is ${type}`);
    assert.deepEqual(breaches(document, told.content[type].schema, JSON.parse(answer.text), path), [], path);
  }
});

test("a code that a route tells of is in the table, and no error is told twice", async () => {
  await using house = await openHouse();
  for (const methods of Object.values(house.document.paths)) {
    for (const { responses } of Object.values(methods)) {
      const codes = Object.values(responses).flatMap(({ description }) =>
        [...description.matchAll(/`([A-Z_]+)`:/g)].map((match) => match[1] ?? ""),
      );
      for (const code of codes) assert.ok(Object.hasOwn(errorCodes, code), code);
      assert.equal(new Set(codes).size, codes.length);
    }
  }
});

/** The part of JSON Schema that the document uses. */
function breaches(document: Document, schema: Schema, value: unknown, place: string): string[] {
  if (typeof schema.$ref === "string") {
    return breaches(document, document.components.schemas[schema.$ref.split("/").at(-1) ?? ""] ?? {}, value, place);
  }
  if (Array.isArray(schema.anyOf)) {
    const all = schema.anyOf.map((one: Schema) => breaches(document, one, value, place));
    return all.some((one) => one.length === 0) ? [] : all.flat();
  }
  if (Array.isArray(schema.enum)) return schema.enum.includes(value) ? [] : [`${place} is ${JSON.stringify(value)}`];
  if ("const" in schema) return schema.const === value ? [] : [`${place} is ${JSON.stringify(value)}`];
  const type = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const wanted = schema.type === "integer" ? "number" : schema.type;
  if (wanted !== undefined && wanted !== type) return [`${place} is ${type}, not ${wanted}`];
  if (schema.type === "integer" && !Number.isInteger(value)) return [`${place} is ${value}`];
  if (Array.isArray(value)) {
    const items = (schema.items ?? {}) as Schema;
    return value.flatMap((one, i) => breaches(document, items, one, `${place}[${i}]`));
  }
  if (type !== "object") return [];
  const members = value as Record<string, unknown>;
  const missing = ((schema.required ?? []) as string[]).filter((name) => !(name in members));
  const properties = (schema.properties ?? {}) as Record<string, Schema>;
  return [
    ...missing.map((name) => `${place}.${name} is missing`),
    ...Object.entries(properties).flatMap(([name, one]) =>
      name in members ? breaches(document, one, members[name], `${place}.${name}`) : [],
    ),
  ];
}
