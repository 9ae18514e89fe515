/** `/healthz`, `/readyz` and `/metrics`. */
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { decideReadiness, durabilityWarnings, groupWarnings } from "./readiness.ts";
import { json, type Route, text } from "./route.ts";
import { object, ref, string } from "./schemas.ts";

export function systemRoutes({
  engine,
  node,
  sources,
  views,
  renderMetrics,
}: Pick<HttpDoorDependencies, "engine" | "node" | "sources" | "views" | "renderMetrics">): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/healthz",
      operation: "health",
      about: "Liveness: the process answers.",
      access: "open",
      parameters: [],
      answers: { 200: { about: "It lives.", schema: object({ status: string }) } },
      errors: [],
      handle: () => json({ status: "ok" }),
    },
    {
      method: "GET",
      path: "/readyz",
      operation: "readiness",
      about:
        "Readiness: the store is up, no source has failed, every view is live of each group that is not down itself. Reasons, and warnings of what voids a promise, are told to holders of the key.",
      access: "open",
      parameters: [],
      answers: {
        200: { about: "Ready.", schema: ref("Readiness") },
        503: { about: "Not ready.", schema: ref("Readiness") },
      },
      errors: [],
      handle: (call) => {
        const { store, groups } = node();
        const reasons = decideReadiness({
          store: store.state,
          groups,
          sources: sources.list(),
          views: views.list(),
          closing: call.closing(),
        });
        const ready = reasons.length === 0;
        const warnings = [...groupWarnings(groups), ...durabilityWarnings(engine.topics())];
        return json({ ready, ...(call.trusted ? { reasons, warnings } : {}) }, ready ? 200 : 503);
      },
    },
    {
      method: "GET",
      path: "/metrics",
      operation: "metrics",
      about: "Metrics in Prometheus' text format.",
      access: "key",
      parameters: [],
      answers: { 200: { about: "The metrics.", type: "text/plain", schema: string } },
      errors: [],
      handle: () => text(renderMetrics(), "text/plain; version=0.0.4; charset=utf-8"),
    },
  ];
}
