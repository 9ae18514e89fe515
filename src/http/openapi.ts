/** `/openapi.json` (OpenAPI 3.1), made from the route table: what is not in the table is not served. */
import { type ErrorCode, errorCodes } from "../base/error-codes.ts";
import type { Route, Schema } from "./route.ts";
import { components } from "./schemas.ts";

/** Codes that any request can meet. */
const everywhere: readonly ErrorCode[] = [
  "REQUEST_INVALID",
  "REQUEST_FORBIDDEN",
  "REQUEST_HEADERS_TOO_LARGE",
  "REQUEST_TIMEOUT",
  "CONNECTIONS_EXHAUSTED",
  "SHUTTING_DOWN",
  "INTERNAL_ERROR",
];

export function openApiDocument(routes: readonly Route[], version: string): Schema {
  const paths: Record<string, Record<string, Schema>> = {};
  for (const route of routes) {
    const path = paths[route.path] ?? {};
    path[route.method.toLowerCase()] = operation(route);
    paths[route.path] = path;
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Millrace",
      version,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      description: "Topics, views and sources over HTTP. Errors are problem documents (RFC 9457) with a stable code.",
    },
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        key: { type: "http", scheme: "bearer", description: "MILLRACE_KEY, where it is set." },
        token: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description: "A caller's token, for rows of views with a policy.",
        },
      },
    },
  };
}

function operation(route: Route): Schema {
  const names = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
  return {
    operationId: route.operation,
    summary: route.about,
    security: route.access === "key" ? [{ key: [] }, ...(route.callers ? [{ token: [] }] : [])] : [{}],
    parameters: [
      ...names.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } })),
      ...route.parameters.map(({ name, in: place, about, schema }) => ({
        name,
        in: place,
        description: about,
        schema,
      })),
      ...(route.openQuery ? [columnFilters] : []),
    ],
    ...(route.body
      ? {
          requestBody: {
            required: route.bodyRequired ?? true,
            content: Object.fromEntries(Object.entries(route.body).map(([type, schema]) => [type, { schema }])),
          },
        }
      : {}),
    responses: responses(route),
  };
}

const columnFilters: Schema = {
  name: "filters",
  in: "query",
  description: "Filters in PostgREST's grammar, by column: status=eq.paid, total=gte.10, and=(a.eq.1,b.is.null).",
  style: "form",
  explode: true,
  schema: { type: "object", additionalProperties: { type: "string" } },
};

function responses(route: Route): Schema {
  const answers: Record<string, Schema> = {};
  for (const [status, { about, type, schema, also = {} }] of Object.entries(route.answers)) {
    const forms = { [type ?? "application/json"]: schema, ...also };
    answers[status] = {
      description: about,
      ...(schema
        ? { content: Object.fromEntries(Object.entries(forms).map(([form, of]) => [form, { schema: of }])) }
        : {}),
    };
  }
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set([...route.errors, ...everywhere, ...(route.access === "key" ? unauthenticated : [])])) {
    const status = errorCodes[code].http;
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  for (const [status, codes] of [...byStatus].sort(([a], [b]) => a - b)) {
    if (answers[status]) continue;
    answers[status] = {
      description: codes.map((code) => `\`${code}\`: ${errorCodes[code].about}`).join(" "),
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
    };
  }
  return answers;
}

const unauthenticated: readonly ErrorCode[] = ["REQUEST_UNAUTHENTICATED"];
