/** What `path/commit-to-reader` runs: one linear view over one table, followed live. */
import { postgres, sql, view } from "millrace";

export const clock = postgres("clock", { url: process.env.CLOCK_URL ?? "", tables: ["ticks"] });

export const latest = view("latest", sql`select id, sent from ${clock.ticks}`, { key: "id" });
