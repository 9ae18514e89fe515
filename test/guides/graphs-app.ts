/** The code of docs/guide/graphs.md; `graphs.test.ts` runs it and its requests. */
import { postgres, sql, view } from "millrace";

export const rail = postgres("rail", {
  url: process.env.RAIL_URL ?? "postgres://rail@127.0.0.1/rail",
  tables: ["lines"],
});

export const lines = view("lines", sql`select id, a, b, kind, minutes from ${rail.lines}`, {
  graph: { from: "a", to: "b", label: "kind", weight: "minutes" },
});
